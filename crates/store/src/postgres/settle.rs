//! Results: one transaction of two round trips for all settlements that wait.
//!
//! ```text
//!   1  BEGIN, lock the messages in order, read and lock the deliveries, see what else of the messages is open
//!   2  update what stays in the queue, move finished messages to the history, insert events, count deliveries, COMMIT
//! ```
//!
//! The rows of messages are locked first, by everybody and in order. So nobody waits in a circle, and of two that settle
//! the last two deliveries of a message, the second sees that it is finished.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::LazyLock,
};

use jiff::Timestamp;

use super::{
    changes::{self, Changes, Settled},
    events::{self, Events, Of},
    finish::finish,
    fleet::{self, WeakCounts},
    lane::{SERVER_TIME, commit},
    row::Columns,
    session::{Parameter, Session},
    tally,
};
use crate::{
    DeliveryKey, Result, Settlement, State,
    clock::after,
    last_attempt::Note,
    stored::{notice_number, time_from_millis},
    tally::Counts,
    withhold::{Withhold, late_event},
};

/// A delivery as it is under this transaction's lock.
struct Delivery {
    message: i64,
    connector: String,
    state: State,
    lease: Option<i64>,
    last_lease: Option<i64>,
    is_owed: bool,
    is_suspended: bool,
}

impl Delivery {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Queued | State::Leased | State::Suspended) || self.is_owed
    }
}

struct Message {
    of: Of,
    size: i64,
    withhold: Withhold,
}

/// What the first round trip has found.
struct Found {
    now: Timestamp,
    messages: BTreeMap<i64, Message>,
    deliveries: HashMap<i64, Delivery>,
    /// Messages of which other deliveries are not finished.
    open: HashSet<i64>,
}

/// Settles each call's results; returns for each call the deliveries whose lease is not current any more. With `again`,
/// this may have been done already, and then that was these calls' work.
pub(super) async fn settle(
    session: &Session,
    clock: Option<Timestamp>,
    calls: &[&[Settlement]],
    again: bool,
) -> Result<Vec<Vec<DeliveryKey>>> {
    let mut found = find(session, clock, calls).await?;
    let mut writing = Writing::default();
    let mut lost = Vec::with_capacity(calls.len());
    let mut late = Vec::new();
    for call in calls {
        let mut lost_of_call = Vec::new();
        for settlement in *call {
            match found.apply(settlement, &mut writing)? {
                Applied::Now => {}
                Applied::Before if again => {}
                Applied::Before | Applied::Lost => {
                    late.push(settlement);
                    lost_of_call.push(settlement.delivery);
                }
            }
        }
        lost.push(lost_of_call);
    }
    let mine = if again { mine_in_history(session, &late).await? } else { HashSet::new() };
    lost.iter_mut().for_each(|keys| keys.retain(|key| !mine.contains(&key.0)));
    insert_late_events(session, &found, &late).await?;
    writing.write(session, &found).await?;
    Ok(lost)
}

const LOCK: &str =
    "SELECT message, received, size, withhold FROM queue_message WHERE message = ANY($1) ORDER BY message FOR UPDATE";
const READ: &str = "SELECT id, message, connector, state, lease, last_lease, owed IS NOT NULL, suspended_by IS NOT NULL
    FROM queue_delivery WHERE id = ANY($1) ORDER BY id FOR UPDATE";
static OPEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SERVER_TIME}, array(SELECT m FROM unnest($1::bigint[]) AS m WHERE EXISTS (
             SELECT 1 FROM queue_delivery AS d WHERE d.message = m AND (d.state <= 2 OR d.owed IS NOT NULL)
                 AND d.id <> ALL($2::bigint[])))"
    )
});

/// Nothing waits for an answer before the next statement is sent.
async fn find(session: &Session, clock: Option<Timestamp>, calls: &[&[Settlement]]) -> Result<Found> {
    let all = || calls.iter().copied().flatten();
    let keys: Vec<i64> = all().map(|settlement| settlement.delivery.0).collect();
    let messages: Vec<i64> =
        all().map(|settlement| settlement.message.0).collect::<BTreeSet<_>>().into_iter().collect();
    session.prepare(&[LOCK, READ, &OPEN]).await?;
    let (lock, open): ([Parameter<'_>; 1], [Parameter<'_>; 2]) = ([&messages], [&messages, &keys]);
    let read: [Parameter<'_>; 1] = [&keys];
    let (begun, locked, read, open) = tokio::join!(
        biased;
        session.run("BEGIN"),
        session.query(LOCK, &lock),
        session.query(READ, &read),
        session.query_one(&OPEN, &open),
    );
    begun?;
    let (locked, read, open) = (locked?, read?, open?);
    let message = |row: &tokio_postgres::Row| -> Result<(i64, Message)> {
        let mut columns = Columns::of(row);
        let of = Of { message: columns.take()?, received: columns.take()? };
        let (size, withhold) = (columns.take()?, Withhold::from_number(columns.take::<i16>()? as u8));
        Ok((of.message, Message { of, size, withhold }))
    };
    let delivery = |row: &tokio_postgres::Row| -> Result<(i64, Delivery)> {
        let mut columns = Columns::of(row);
        let id = columns.take()?;
        let (message, connector, state, lease) = (columns.take()?, columns.take()?, columns.state()?, columns.take()?);
        let (last_lease, is_owed, is_suspended) = (columns.take()?, columns.take()?, columns.take()?);
        Ok((id, Delivery { message, connector, state, lease, last_lease, is_owed, is_suspended }))
    };
    Ok(Found {
        now: clock.unwrap_or(time_from_millis(open.try_get(0)?)),
        messages: locked.iter().map(message).collect::<Result<_>>()?,
        deliveries: read.iter().map(delivery).collect::<Result<_>>()?,
        open: open.try_get::<_, Vec<i64>>(1)?.into_iter().collect(),
    })
}

enum Applied {
    Now,
    /// Under this very lease.
    Before,
    Lost,
}

/// What the second round trip writes.
#[derive(Default)]
struct Writing<'a> {
    settlements: Vec<(i64, Settled<'a>)>,
    events: Events,
    weak: WeakCounts<'a>,
    counts: Counts,
    /// Messages of which a delivery has come to its end.
    ended: BTreeSet<i64>,
}

impl Found {
    fn apply<'a>(&mut self, settlement: &'a Settlement, writing: &mut Writing<'a>) -> Result<Applied> {
        let Some(delivery) = self.deliveries.get_mut(&settlement.delivery.0) else { return Ok(Applied::Lost) };
        if delivery.state != State::Leased || delivery.lease != Some(settlement.lease.0) {
            let is_before = delivery.last_lease == Some(settlement.lease.0);
            return Ok(if is_before { Applied::Before } else { Applied::Lost });
        }
        let Some(message) = self.messages.get(&delivery.message) else { return Ok(Applied::Lost) };
        let (change, now) = (settlement.outcome.change(), self.now);
        let has_ended = settlement.outcome.is_end();
        let back = if delivery.is_suspended { State::Suspended } else { State::Queued };
        delivery.state = change.end.map_or(back, |(state, _)| state);
        let owed = match settlement.notice {
            Some(action) => Some(Some((i16::from(notice_number(action)), now.as_millisecond()))),
            // Nobody needs to hear any more that it is late.
            None => has_ended.then_some(None),
        };
        delivery.is_owed = owed.map_or(delivery.is_owed, |owed| owed.is_some());
        if has_ended {
            writing.ended.insert(delivery.message);
        }
        for event in &settlement.events {
            writing.events.push(message.of, event)?;
        }
        writing.weak.add(settlement.weak.as_ref())?;
        let note = Note::of(&settlement.outcome, &settlement.events);
        writing.counts.settled(now, settlement, note.as_ref(), &delivery.connector, message.size);
        let time = |wait: Option<std::time::Duration>| wait.map(|wait| after(now, wait).as_millisecond());
        let settled = Settled {
            delivery: settlement.delivery,
            state: delivery.state,
            lease: settlement.lease.0,
            due: time(change.due_in),
            review: time(change.review_in),
            change,
            owed,
            note,
        };
        writing.settlements.push((delivery.message, settled));
        Ok(Applied::Now)
    }

    /// Messages that are finished with this transaction.
    fn finished(&self, ended: &BTreeSet<i64>) -> BTreeSet<i64> {
        let open: HashSet<i64> =
            self.deliveries.values().filter(|delivery| delivery.is_open()).map(|delivery| delivery.message).collect();
        ended.iter().copied().filter(|message| !open.contains(message) && !self.open.contains(message)).collect()
    }
}

impl Writing<'_> {
    async fn write(self, session: &Session, found: &Found) -> Result<()> {
        let is_withheld =
            |message: &i64| found.messages.get(message).is_some_and(|found| found.withhold == Withhold::WhenFinished);
        let (withheld, moved): (Vec<i64>, Vec<i64>) = found.finished(&self.ended).into_iter().partition(is_withheld);
        let (mut stays, mut goes) = (Changes::default(), Changes::default());
        for (message, settled) in &self.settlements {
            let changes = if moved.binary_search(message).is_ok() { &mut goes } else { &mut stays };
            changes.push(settled)?;
        }
        if withheld.is_empty() {
            let statements = [&changes::UPDATE, &changes::MOVE, events::INSERT, fleet::COUNT, &tally::INSERT];
            session.prepare(&statements).await?;
            // A statement that fails makes the commit fail.
            let (updated, inserted, moved, weak, counted, committed) = tokio::join!(
                biased;
                stays.update(session),
                self.events.insert(session),
                goes.move_to_history(session, &moved),
                self.weak.upsert(session),
                tally::write(session, &self.counts),
                commit(session),
            );
            return updated.and(inserted).and(moved).and(weak).and(counted).and(committed);
        }
        stays.update(session).await?;
        self.events.insert(session).await?;
        goes.move_to_history(session, &moved).await?;
        self.weak.upsert(session).await?;
        finish(session, &withheld).await?;
        tally::write(session, &self.counts).await?;
        commit(session).await
    }
}

/// Of deliveries that are finished, those that were finished under these leases.
async fn mine_in_history(session: &Session, late: &[&Settlement]) -> Result<HashSet<i64>> {
    let (messages, keys, leases) = keys(late);
    let sql = "SELECT h.id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (message, id, lease)
               JOIN history AS h ON h.message = n.message AND h.id = n.id AND h.last_lease = n.lease";
    let rows = session.query(sql, &[&messages, &keys, &leases]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn keys(settlements: &[&Settlement]) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let of = |settlement: &&Settlement| (settlement.message.0, settlement.delivery.0, settlement.lease.0);
    settlements.iter().map(of).collect()
}

/// Keeps what was seen of a delivery that another node holds, or has finished; once, though it be settled again.
async fn insert_late_events(session: &Session, found: &Found, late: &[&Settlement]) -> Result<()> {
    let mut events = Events::default();
    for settlement in late {
        if let Some(message) = found.messages.get(&settlement.message.0) {
            settlement.events.iter().try_for_each(|event| events.push(message.of, event))?;
            continue;
        }
        let sql = "SELECT received, withhold, (SELECT recipient FROM history WHERE message = $1 AND id = $2)
                   FROM history WHERE message = $1 LIMIT 1";
        let row = session.query_opt(sql, &[&settlement.message.0, &settlement.delivery.0]).await?;
        // A message that the history has dropped has no events any more.
        let Some(row) = row else { continue };
        let mut columns = Columns::of(&row);
        let of = Of { message: settlement.message.0, received: columns.take()? };
        let withhold = Withhold::from_number(columns.take::<i16>()? as u8);
        let recipient: Option<String> = columns.take()?;
        for new in &settlement.events {
            match withhold {
                Withhold::Done => events.push_as(of, new.id, &withheld(new, recipient.clone())?)?,
                Withhold::Never | Withhold::WhenFinished => events.push(of, new)?,
            }
        }
    }
    events.insert_missing(session).await
}

fn withheld(new: &crate::NewEvent, recipient: Option<String>) -> Result<serde_json::Value> {
    late_event(&new.event, recipient).map_err(|error| crate::StoreError::Other(error.to_string()))
}
