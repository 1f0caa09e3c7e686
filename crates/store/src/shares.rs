//! Limits that hold for a whole fleet: how the connections and the messages of a connector are divided among its nodes.
//!
//! A node says every few seconds, or as soon as it could use more, what it wants and what it is bound to, and gets its
//! share. Connections go by demand, and what nobody wants is divided evenly, so that a node with new mail can begin at
//! once. Messages under a rate are slots on one line of time, from which each node takes its next ones.
//!
//! Invariant: all that nodes hold is never more than the limit, be some of them dead or cut off. A node gets more only of
//! what the others have given back, or have not asked for within [`SHARE_VALID`]. A node uses nothing of its share for
//! longer than that after it *asked*.

use std::{collections::BTreeMap, time::Duration};

use crate::{Epoch, MEMBER_VALID, Member};

/// How long a share lasts after its node has asked.
pub const SHARE_VALID: Duration = MEMBER_VALID;

/// Slots of a rate are given out so far ahead.
pub const SLOTS_AHEAD: Duration = Duration::from_secs(2);

/// Where there are fewer connections than nodes, others get them after this time.
const TURN: Duration = Duration::from_secs(60);

/// What a node could use of a connector's limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    pub connector: String,
    /// The limit: connections of the whole fleet.
    pub concurrency: u32,
    /// Connections that this node could use; 0 if it is to send nothing.
    pub wanted: u32,
    /// The most that it may have open until it hears the answer.
    pub bound: u32,
    /// The limit: the time between two messages of the whole fleet, if there is one.
    pub interval: Option<Duration>,
    /// Messages that could be sent, and have no slot yet.
    pub messages: u32,
}

/// What a node may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    pub connector: String,
    pub connections: u32,
    /// Messages that it may send, the first of them after `first_in`, and the others one interval apart.
    pub slots: u32,
    pub first_in: Duration,
    /// When the fleet has another slot.
    pub next_in: Duration,
    /// Slots that this node gets at once.
    pub slots_max: u32,
}

/// One connector's limits as the store keeps them. Times are in microseconds since 1970, by the store's clock.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shares {
    /// By node.
    pub(crate) members: BTreeMap<String, Held>,
    /// The first slot of the rate that nobody has.
    pub(crate) next_slot: i64,
}

/// What one node holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    /// Connections that count as its own. It may have been told to use fewer.
    pub(crate) connections: u32,
    pub(crate) wanted: u32,
    pub(crate) messages: u32,
    /// When it asked last.
    pub(crate) at: i64,
}

impl Shares {
    /// Gives a node its share.
    pub(crate) fn give(&mut self, member: &Member, demand: &Demand, now: i64) -> Share {
        let limit = demand.concurrency;
        self.end_old(now);
        let mut mine = match self.members.get(member.name()) {
            Some(held) if held.epoch > member.epoch() => return demand.nothing(),
            Some(held) if held.epoch == member.epoch() => held.clone(),
            // A member that had the name before is dead. One that was silent for too long may still have connections open.
            _ => Held { epoch: member.epoch(), connections: demand.bound, wanted: 0, messages: 0, at: now },
        };
        mine.connections = mine.connections.min(demand.bound);
        (mine.wanted, mine.messages, mine.at) = (demand.wanted, demand.messages, now);
        self.members.insert(member.name().to_owned(), mine.clone());
        let target = self.target(member.name(), limit, now);
        let held: u32 = self.members.values().map(|held| held.connections).fold(0, u32::saturating_add);
        let more = target.saturating_sub(mine.connections).min(limit.saturating_sub(held));
        mine.connections += more;
        let connections = mine.connections.min(target);
        self.members.insert(member.name().to_owned(), mine);
        self.slots(demand, connections, now)
    }

    /// A node that asked last at this time, or before, uses nothing any more.
    pub(crate) fn over_at(now: i64) -> i64 {
        now.saturating_sub(micros(SHARE_VALID))
    }

    fn end_old(&mut self, now: i64) {
        self.members.retain(|_, held| held.at > Self::over_at(now));
        // The clock was set back: nobody knows how long ago that was.
        self.members.values_mut().for_each(|held| held.at = held.at.min(now));
    }

    /// The connections that a node is to have once the others have given back what they are to give back.
    fn target(&self, node: &str, limit: u32, now: i64) -> u32 {
        let mut wanting: Vec<(&str, u32)> = self
            .members
            .iter()
            .filter(|(_, held)| held.wanted > 0)
            .map(|(name, held)| (name.as_str(), held.wanted))
            .collect();
        if !wanting.is_empty() {
            let turn = now.div_euclid(micros(TURN)).rem_euclid(wanting.len() as i64);
            wanting.rotate_left(turn as usize);
        }
        divide(limit, &wanting).into_iter().find(|(name, _)| *name == node).map_or(0, |(_, connections)| connections)
    }

    fn slots(&mut self, demand: &Demand, connections: u32, now: i64) -> Share {
        let mut share = Share { connections, ..demand.nothing() };
        let Some(interval) = demand.interval.map(|interval| micros(interval).max(1)) else { return share };
        let ahead = micros(SLOTS_AHEAD);
        // A line that is longer was made under a lower rate, or before the clock was set back.
        let first = self.next_slot.clamp(now, now + ahead + interval);
        let asking = self.members.values().filter(|held| held.messages > 0).count().max(1) as i64;
        share.slots_max = u32::try_from(ahead / interval / asking).unwrap_or(u32::MAX).max(1);
        if first <= now + ahead {
            let fit = u32::try_from(1 + (now + ahead - first) / interval).unwrap_or(u32::MAX);
            share.slots = demand.messages.min(share.slots_max).min(fit);
        }
        self.next_slot = first + interval * i64::from(share.slots);
        share.first_in = Duration::from_micros((first - now) as u64);
        share.next_in = Duration::from_micros((self.next_slot - now) as u64);
        share
    }
}

impl Demand {
    fn nothing(&self) -> Share {
        let connector = self.connector.clone();
        Share { connector, connections: 0, slots: 0, first_in: SHARE_VALID, next_in: SHARE_VALID, slots_max: 1 }
    }
}

/// Divides a limit by demand: those who want little get it, the others get the same, and the rest is for all. Where it
/// does not come out even, the last ones in the list get one more.
fn divide<'a>(limit: u32, wanting: &[(&'a str, u32)]) -> Vec<(&'a str, u32)> {
    let mut by_demand = wanting.to_vec();
    by_demand.sort_by_key(|(_, wanted)| *wanted);
    let even = |left: u32, others: usize| left / u32::try_from(others).unwrap_or(u32::MAX);
    let count = by_demand.len();
    let mut left = limit;
    let mut given: Vec<(&str, u32)> = Vec::with_capacity(count);
    for (index, (name, wanted)) in by_demand.into_iter().enumerate() {
        let connections = wanted.min(even(left, count - index));
        left -= connections;
        given.push((name, connections));
    }
    for (index, (_, connections)) in given.iter_mut().enumerate() {
        let more = even(left, count - index);
        left -= more;
        *connections += more;
    }
    given
}

/// Of a duration that may be longer than can be told.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
