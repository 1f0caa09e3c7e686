//! Causes that fail at all destinations: one fault on this side, and one finding.
//!
//! What counts as a destination is a pair of host and recipients' domain. Hosts of one organisation, and domains of one,
//! are related: what fails at all of them may be theirs.

use std::collections::BTreeMap;

use protocol::{host_port, smtp::Phase};

use super::judged::Causes;
use crate::{
    causes::{CauseId, Reach},
    evidence::{Dimension, Direction, Evidence, Record, Sign, Symptom},
    tables::{HashMap, HashSet},
};

/// Number of unrelated destinations that must fail.
const UNRELATED_MIN: usize = 3;
/// Share of the destinations that may get further while the others fail.
const FURTHER_MAX: f64 = 0.1;
/// Number of attempts that would have got further if nothing were wrong.
const EXPECTED_MIN: f64 = 3.0;
/// Destinations that a finding names.
const NAMED_MAX: usize = 5;

/// Whom a cause holds for if it fails at all destinations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Everywhere {
    /// How many destinations, hosts of one organisation counted once.
    pub destinations: u64,
    /// Those with the most failures.
    pub named: Vec<String>,
}

impl Everywhere {
    /// How sure it is that this side is at fault: each further destination makes a coincidence less likely.
    pub(super) fn confidence(&self) -> f64 {
        0.98 * (1.0 - 0.6 / self.destinations.max(1) as f64)
    }
}

/// A cause that fails at all destinations.
pub(super) struct Widespread {
    /// What it is on this side.
    pub cause: CauseId,
    /// What it is at each destination.
    pub of: Vec<CauseId>,
    pub scope: Everywhere,
}

/// How far a conversation must come to show that a cause did not stop it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    After(Phase),
    Encrypted,
    Whole,
}

/// All causes that fail at all destinations.
pub(super) fn find(evidence: &Evidence, records: &[&Record], causes: &Causes) -> Vec<Widespread> {
    let mut seen: HashMap<Key, Times> = HashMap::default();
    for record in records.iter().filter(|record| record.symptom != 0) {
        seen.entry(Key::of(record)).or_default().add(record);
    }
    let mut kinds: BTreeMap<CauseId, Kind<'_>> = BTreeMap::new();
    for (key, times) in seen {
        let Some(cause) = causes.of_symptom(key.symptom).filter(|cause| cause.id.can_be_everywhere()) else { continue };
        // A resolver that says for good that a name does not exist works.
        if cause.id == CauseId::DnsFailure && evidence.symptoms.get(key.symptom).is_some_and(is_final) {
            continue;
        }
        kinds.entry(kind_of(cause.id)).or_insert_with(|| Kind::new(evidence)).add(cause.id, key, &times);
    }
    kinds.into_iter().filter_map(|(id, kind)| kind.widespread(id, records, causes)).collect()
}

fn is_final(symptom: &Symptom) -> bool {
    symptom.signs.has(Sign::GivenUp)
        || symptom.code.is_some_and(|code| code >= 500)
        || symptom.enhanced.is_some_and(|enhanced| enhanced.class == 5)
}

/// Ways to fail to connect are one kind: a firewall drops some connections and refuses others.
fn kind_of(id: CauseId) -> CauseId {
    match id {
        CauseId::ConnectionTimedOut | CauseId::ConnectionRefused | CauseId::NetworkUnreachable => {
            CauseId::OutboundPortBlocked
        }
        other => other,
    }
}

fn stage(id: CauseId) -> Stage {
    match id {
        CauseId::DnsFailure => Stage::After(Phase::Resolve),
        CauseId::OutboundPortBlocked => Stage::After(Phase::Connect),
        CauseId::BannerTimeout | CauseId::ConnectionDroppedBeforeBanner => Stage::After(Phase::Banner),
        _ if id.concerns_tls() || id == CauseId::StarttlsNotOffered => Stage::Encrypted,
        _ => Stage::Whole,
    }
}

/// What is compared of an attempt. There are few of them, however many attempts there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    symptom: u32,
    is_plaintext: bool,
    /// Host and recipients' domain.
    place: (u32, u32),
}

impl Key {
    fn of(record: &Record) -> Self {
        let domain = record.value(Dimension::RecipientDomain);
        let is_plaintext = record.plaintext_after != 0;
        Self { symptom: record.symptom, is_plaintext, place: (record.destination, domain) }
    }
}

/// How often, and from when to when.
struct Times {
    count: u64,
    first: i64,
    last: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { count: 0, first: i64::MAX, last: i64::MIN }
    }
}

impl Times {
    fn add(&mut self, record: &Record) {
        self.count += 1;
        self.first = self.first.min(record.at);
        self.last = self.last.max(record.at);
    }

    /// At the rate of what got further before and after, not enough would have got further in this time: that nothing did
    /// says nothing.
    fn is_too_short(&self, outside: u64, all: &Self) -> bool {
        let (during, whole) = (self.last.saturating_sub(self.first), all.last.saturating_sub(all.first));
        let expected = outside as f64 * during as f64 / whole.saturating_sub(during).max(1) as f64;
        outside > 0 && expected < EXPECTED_MIN
    }

    /// True also if a time is unknown.
    fn contain(&self, at: i64) -> bool {
        at == i64::MIN || self.first == i64::MIN || (self.first..=self.last).contains(&at)
    }
}

/// Attempts that failed by one kind of cause.
struct Kind<'e> {
    evidence: &'e Evidence,
    of: HashSet<CauseId>,
    /// Attempts by host and recipients' domain.
    places: HashMap<(u32, u32), u64>,
    symptoms: HashMap<u32, u64>,
    /// What got further before or after them says nothing.
    times: Times,
}

impl<'e> Kind<'e> {
    fn new(evidence: &'e Evidence) -> Self {
        Self {
            evidence,
            of: HashSet::default(),
            places: HashMap::default(),
            symptoms: HashMap::default(),
            times: Times::default(),
        }
    }

    fn add(&mut self, id: CauseId, key: Key, times: &Times) {
        self.of.insert(id);
        *self.places.entry(key.place).or_default() += times.count;
        *self.symptoms.entry(key.symptom).or_default() += times.count;
        self.times.count += times.count;
        self.times.first = self.times.first.min(times.first);
        self.times.last = self.times.last.max(times.last);
    }

    fn widespread(self, id: CauseId, records: &[&Record], causes: &Causes) -> Option<Widespread> {
        let is_possible = match id {
            // A client that connects to this side is not stopped by a rule for outgoing connections.
            CauseId::OutboundPortBlocked => self.evidence.direction() == Direction::Outbound,
            // Failures that nobody understands are one fault only if they are alike, and no answer of each destination.
            CauseId::Unknown => self.is_alike(),
            _ => true,
        };
        // Where a line does not name the host, the domain stands for it.
        let hosts = self.organisations(|place| if place.0 == 0 { place.1 } else { place.0 });
        let domains = self.organisations(|place| place.1);
        let unrelated = if domains.is_empty() { hosts.len() } else { hosts.len().min(domains.len()) };
        if !is_possible || unrelated < UNRELATED_MIN || self.gets_further(id, records, causes) {
            return None;
        }
        let only_unreachable = self.of.len() == 1 && self.of.contains(&CauseId::NetworkUnreachable);
        let cause = match id {
            _ if only_unreachable => CauseId::NetworkUnreachable,
            // Exchange's "unable to connect" has no reason; at all destinations it needs none.
            CauseId::Unknown if self.is_connecting() => CauseId::OutboundPortBlocked,
            id => id,
        };
        let scope = Everywhere { destinations: unrelated as u64, named: self.named() };
        Some(Widespread { cause, of: self.of.into_iter().collect(), scope })
    }

    fn is_alike(&self) -> bool {
        let most = self.symptoms.iter().max_by_key(|(symptom, count)| (**count, **symptom));
        most.is_some_and(|(symptom, count)| {
            let phase = self.evidence.symptoms.get(*symptom).and_then(|symptom| symptom.phase);
            *count as f64 >= 0.8 * self.times.count as f64 && phase.is_none_or(|phase| phase <= Phase::Handshake)
        })
    }

    /// None of them came further than to connect.
    fn is_connecting(&self) -> bool {
        let symptoms = self.symptoms.keys().map(|symptom| self.evidence.symptoms.get(*symptom));
        symptoms.into_iter().all(|symptom| symptom.is_some_and(|symptom| symptom.phase == Some(Phase::Connect)))
    }

    fn organisations(&self, of: impl Fn(&(u32, u32)) -> u32) -> HashSet<String> {
        let numbers: HashSet<u32> = self.places.keys().map(of).filter(|number| *number != 0).collect();
        numbers.into_iter().map(|number| organisation(self.evidence.name(number))).collect()
    }

    /// More than a few destinations were reached while these failed.
    fn gets_further(&self, id: CauseId, records: &[&Record], causes: &Causes) -> bool {
        let stage =
            if id.reach() == Reach::ThisSide && id != CauseId::OutboundPortBlocked { Stage::Whole } else { stage(id) };
        let is_public = self.places.keys().any(|place| place.0 == 0 || !is_near(self.evidence.name(place.0)));
        let ports: HashSet<u16> = self.places.keys().filter_map(|place| port(self.evidence.name(place.0))).collect();
        let is_compared = |place: (u32, u32)| {
            let host = self.evidence.name(place.0);
            // Without a host, it went to a mailbox or a socket of this machine.
            (!is_public || !(host.is_empty() || is_near(host)))
                && port(host).is_none_or(|port| ports.is_empty() || ports.contains(&port))
        };
        let mut seen: HashMap<(Key, bool), u64> = HashMap::default();
        let mut all = Times::default();
        for record in records {
            all.add(record);
            *seen.entry((Key::of(record), self.times.contain(record.at))).or_default() += 1;
        }
        seen.retain(|(key, _), _| self.is_past(*key, stage, causes) && is_compared(key.place));
        let during = seen.keys().filter(|(_, is_during)| *is_during).map(|(key, _)| key.place);
        let further: HashSet<(u32, u32)> = during.collect();
        let failing = self.places.keys().filter(|place| !further.contains(place)).count();
        let outside = seen.iter().filter(|((_, is_during), _)| !is_during).map(|(_, count)| *count).sum();
        further.len() as f64 > FURTHER_MAX * failing as f64 || self.times.is_too_short(outside, &all)
    }

    fn is_past(&self, key: Key, stage: Stage, causes: &Causes) -> bool {
        if causes.of_symptom(key.symptom).is_some_and(|cause| self.of.contains(&cause.id)) {
            return false;
        }
        let symptom = self.evidence.symptoms.get(key.symptom);
        let worked = symptom.is_none();
        match stage {
            Stage::Whole => worked,
            Stage::Encrypted if worked => !key.is_plaintext,
            Stage::Encrypted => symptom.is_some_and(|symptom| symptom.signs.has(Sign::TlsEstablished)),
            Stage::After(phase) => worked || symptom.is_some_and(|symptom| symptom.phase.is_some_and(|at| at > phase)),
        }
    }

    fn named(&self) -> Vec<String> {
        let mut counts: HashMap<&str, u64> = HashMap::default();
        for ((host, domain), count) in &self.places {
            let name = self.evidence.name(if *host == 0 { *domain } else { *host });
            *counts.entry(name).or_default() += count;
        }
        let mut named: Vec<(&str, u64)> = counts.into_iter().filter(|(name, _)| !name.is_empty()).collect();
        named.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        named.into_iter().take(NAMED_MAX).map(|(name, _)| name.to_owned()).collect()
    }
}

fn port(name: &str) -> Option<u16> {
    host_port::split(name).1
}

/// What the hosts of one organisation have in common, as far as a name can show it; of addresses, the network.
pub(super) fn organisation(name: &str) -> String {
    let name = host_port::split(name).0.trim_end_matches('.').to_ascii_lowercase();
    match name.parse() {
        Ok(std::net::IpAddr::V4(ip)) => return format!("{:?}", &ip.octets()[..3]),
        Ok(std::net::IpAddr::V6(ip)) => return format!("{:?}", &ip.segments()[..3]),
        Err(_) => {}
    }
    let labels: Vec<&str> = name.split('.').collect();
    // `firm.co.uk`: the last two labels are no organisation.
    let is_country = labels.len() > 2 && labels[labels.len() - 1].len() == 2 && labels[labels.len() - 2].len() <= 3;
    let kept = if is_country { 3 } else { 2 };
    labels[labels.len().saturating_sub(kept)..].join(".")
}

/// On this machine or in this network: no firewall at the edge is in the way.
fn is_near(name: &str) -> bool {
    let (host, _) = host_port::split(name);
    host == "localhost"
        || host.parse().is_ok_and(|ip: std::net::IpAddr| match ip {
            std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            std::net::IpAddr::V6(ip) => ip.is_loopback(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_belong_to_organisations() {
        for (a, b, is_one) in [
            ("mx1.firm.test:25", "mx2.firm.test:25", true),
            ("mx1.firm.test:25", "mx1.other.test:25", false),
            ("a.firm.co.uk", "b.firm.co.uk", true),
            ("a.firm.co.uk", "a.other.co.uk", false),
            ("192.0.2.1:25", "192.0.2.77:25", true),
            ("192.0.2.1:25", "198.51.100.1:25", false),
            ("[2001:db8:1::1]:25", "[2001:db8:1::2]:25", true),
            ("firm.test", "mx.firm.test:25", true),
        ] {
            assert_eq!(organisation(a) == organisation(b), is_one, "{a} {b}");
        }
        assert!(is_near("127.0.0.1:10025") && is_near("localhost:24") && !is_near("203.0.113.1:25"));
    }
}
