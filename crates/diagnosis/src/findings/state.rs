//! Whether a finding is ongoing or over, through which change on record, and at what price.
//!
//! It is over if enough of what failed works again, if every delivery that failed has been delivered since, or if the
//! destination has refused with another reply ever since. Only
//! attempts on the failing side count: if nodes under one policy fail, success under another one ends nothing, unless
//! those nodes have left the failing policy.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;

use super::{
    group::Group,
    stuck::{deliveries, distinct, messages},
};
use crate::{
    causes::CauseId,
    comparison::Compared,
    evidence::{Dimension, Record},
    tables::{HashMap, HashSet},
};

/// Whether mail still fails.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    Ongoing,
    Over(Over),
}

/// The end of a finding.
#[derive(Clone, PartialEq, Debug)]
pub struct Over {
    /// When the first attempt worked after the last failure, or was refused otherwise.
    pub since: Timestamp,
    /// Attempts that worked after the last failure.
    pub worked: u64,
    /// What else changed between the last failures and the attempts that worked after them.
    pub changes: Vec<Change>,
    /// Messages that had failed by this and left in plaintext in the end.
    pub plaintext: u64,
    /// Messages that had failed by this.
    pub messages: u64,
}

/// Something that changed when a finding ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    TlsPolicy {
        from: String,
        to: String,
    },
    /// The subject of the certificate that the destination presents now.
    Certificate {
        subject: String,
    },
    Address {
        from: String,
        to: String,
    },
    /// Version and cipher suite of the attempts that work now.
    Tls {
        from: Option<String>,
        to: String,
    },
    /// Messages leave without TLS.
    Plaintext,
    /// A node stopped and started again.
    Restart {
        node: String,
    },
    /// The destination refuses with other codes.
    Reply {
        from: String,
        to: String,
    },
}

impl Change {
    /// The stable name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TlsPolicy { .. } => "tls-policy",
            Self::Certificate { .. } => "certificate",
            Self::Address { .. } => "destination-address",
            Self::Tls { .. } => "tls",
            Self::Plaintext => "plaintext",
            Self::Restart { .. } => "restart",
            Self::Reply { .. } => "reply",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsPolicy { from, to } => write!(f, "the nodes moved from TLS policy {from} to {to}"),
            Self::Certificate { subject } => write!(f, "the server presented another certificate ({subject})"),
            Self::Address { from, to } => write!(f, "mail went to the address {to} instead of {from}"),
            Self::Tls { from: None, to } => write!(f, "the server agreed on {to}"),
            Self::Tls { from: Some(from), to } => write!(f, "the server agreed on {to} instead of {from}"),
            Self::Restart { node } => write!(f, "node {node} stopped and started again"),
            Self::Reply { from, to } => write!(f, "the server replied {to} instead of {from}"),
            Self::Plaintext => f.write_str("STARTTLS was no longer offered or used, and mail left in plaintext"),
        }
    }
}

/// This number of attempts must work before a finding is over, and enough that chance alone would rarely let them work.
pub(super) const WORKED_MIN: usize = 3;
const CHANCE_MAX: f64 = 0.05;
/// The last failures are compared with what works after them.
const COMPARED_MAX: usize = 100;

impl Group<'_, '_> {
    /// `best` says what separates `failing` from `working`, if anything does.
    pub(super) fn state(
        &self,
        cause: CauseId,
        failing: &[&Record],
        working: &[&Record],
        best: Option<&Compared>,
        untried: u64,
    ) -> State {
        let last = failing.iter().map(|record| record.at).max().unwrap_or(i64::MIN);
        if last == i64::MIN || untried > 0 {
            return State::Ongoing;
        }
        let worked = None
            .or_else(|| self.worked_again(failing, working, best, last).filter(|_| !cause.is_of_one_message()))
            .or_else(|| self.left_policy(failing, working, best, last))
            .or_else(|| self.delivered_since(failing, best))
            .or_else(|| self.replied_otherwise(cause, failing, best, last).filter(|_| !cause.is_of_one_message()));
        worked.and_then(|worked| self.over(failing, working, &worked)).map_or(State::Ongoing, State::Over)
    }

    /// What works on the failing side after the last failure, if it is enough.
    fn worked_again<'r>(
        &self,
        failing: &[&Record],
        working: &[&'r Record],
        best: Option<&Compared>,
        last: i64,
    ) -> Option<Vec<&'r Record>> {
        let first = failing.iter().map(|record| record.at).filter(|at| *at != i64::MIN).min()?;
        let destinations: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
        let is_same = |record: &&&Record| match best {
            Some(best) => self.comparer.is_on_failing_side(best, record),
            None => destinations.contains(&record.destination),
        };
        let same: Vec<&Record> = working.iter().filter(is_same).copied().collect();
        let between = same.iter().filter(|record| (first..=last).contains(&record.at)).count();
        let later: Vec<&Record> = same.into_iter().filter(|record| record.at > last).collect();
        are_enough(&later, failing.len(), between).then_some(later)
    }

    /// What the destination refuses after the last failure in another way and at no earlier point, if it is enough.
    fn replied_otherwise(
        &self,
        cause: CauseId,
        failing: &[&Record],
        best: Option<&Compared>,
        last: i64,
    ) -> Option<Vec<&Record>> {
        let reply = |record: &Record| {
            let symptom = self.evidence.symptoms.get(record.symptom)?;
            Some((symptom.phase?, symptom.code?))
        };
        let phases: Option<Vec<_>> = failing.iter().map(|record| reply(record).map(|(phase, _)| phase)).collect();
        let reached = phases?.into_iter().max()?;
        let first = failing.iter().map(|record| record.at).filter(|at| *at != i64::MIN).min()?;
        let destinations: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
        let is_same = |record: &&&Record| match best {
            Some(best) => self.comparer.is_on_failing_side(best, record),
            None => destinations.contains(&record.destination),
        };
        let is_other = |record: &&&Record| self.causes.of(record).is_some_and(|(known, _)| known.id != cause);
        let comes_as_far = |record: &&&Record| reply(record).is_some_and(|(phase, _)| phase >= reached);
        let same: Vec<&Record> =
            self.records.iter().filter(is_other).filter(is_same).filter(comes_as_far).copied().collect();
        let between = same.iter().filter(|record| (first..=last).contains(&record.at)).count();
        let later: Vec<&Record> = same.into_iter().filter(|record| record.at > last).collect();
        are_enough(&later, failing.len(), between).then_some(later)
    }

    /// What works under another policy on every node that failed, if none of them uses the failing policy any more.
    fn left_policy<'r>(
        &self,
        failing: &[&Record],
        working: &[&'r Record],
        best: Option<&Compared>,
        last: i64,
    ) -> Option<Vec<&'r Record>> {
        let best = best.filter(|best| best.dimension == [Dimension::TlsPolicy])?;
        let node = |record: &Record| record.value(Dimension::Node);
        let nodes: HashSet<u32> = failing.iter().map(|record| node(record)).collect();
        let later = working.iter().copied().filter(|record| record.at > last && nodes.contains(&node(record)));
        let later: Vec<&Record> = later.collect();
        let moved: HashSet<u32> = later.iter().map(|record| node(record)).collect();
        let is_left = |record: &&Record| !self.comparer.is_on_failing_side(best, record);
        let all_moved = !nodes.contains(&0) && moved == nodes && later.iter().all(is_left);
        (all_moved && distinct(&later) >= WORKED_MIN).then_some(later)
    }

    /// The last attempts of all deliveries that failed, if all of them worked.
    fn delivered_since(&self, failing: &[&Record], best: Option<&Compared>) -> Option<Vec<&Record>> {
        if failing.iter().any(|record| !record.delivery.is_known()) {
            return None;
        }
        let has_worked = |record: &&Record| {
            record.symptom == 0 && best.is_none_or(|best| self.comparer.is_on_failing_side(best, record))
        };
        deliveries(failing).into_iter().map(|delivery| self.ending(delivery).filter(has_worked)).collect()
    }

    fn over(&self, failing: &[&Record], working: &[&Record], later: &[&Record]) -> Option<Over> {
        let first = later.iter().min_by_key(|record| record.at)?;
        let since = Timestamp::from_millisecond(first.at).ok()?;
        let all = deliveries(failing);
        let left =
            all.iter().filter(|delivery| self.ending(**delivery).is_some_and(|record| self.is_plaintext(record)));
        Some(Over {
            since,
            worked: later.iter().filter(|record| record.symptom == 0).count() as u64,
            changes: self.changes(failing, working, later),
            plaintext: messages(left.copied()),
            messages: messages(all.iter().copied()),
        })
    }

    fn is_plaintext(&self, record: &Record) -> bool {
        self.evidence.seen.get(record.seen).is_some_and(|seen| seen.is_plaintext)
    }

    /// What differs between the last failures and what works after them.
    fn changes(&self, failing: &[&Record], working: &[&Record], later: &[&Record]) -> Vec<Change> {
        let mut before = failing.to_vec();
        before.sort_by_key(|record| std::cmp::Reverse(record.at));
        before.truncate(COMPARED_MAX);
        let changed = |dimension: Dimension| {
            let value = |record: &Record| record.value(dimension);
            let (from, to) = (usual(&before, value)?, usual(later, value)?);
            let is_new = later.iter().all(|record| value(record) != from);
            is_new.then(|| (self.evidence.name(from).to_owned(), self.evidence.name(to).to_owned()))
        };
        let changes = [
            changed(Dimension::TlsPolicy).map(|(from, to)| Change::TlsPolicy { from, to }),
            self.new_certificate(&before, later),
            changed(Dimension::DestinationAddress).map(|(from, to)| Change::Address { from, to }),
            self.new_tls(&before, working, later),
            self.new_plaintext(&before, working, later),
        ];
        let restarts = self.restarts(failing, later);
        changes.into_iter().flatten().chain(restarts).chain(self.new_reply(&before, later)).collect()
    }

    /// Nodes that failed, and stopped before it worked.
    fn restarts(&self, failing: &[&Record], later: &[&Record]) -> Vec<Change> {
        let nodes: HashSet<u32> = failing.iter().map(|record| record.value(Dimension::Node)).collect();
        let last = failing.iter().map(|record| record.at).max().unwrap_or(i64::MAX);
        let began = later.iter().map(|record| record.at).min().unwrap_or(i64::MIN);
        let then = self.evidence.restarts.iter().filter(|(_, at)| (last..=began).contains(at));
        let restarted: BTreeSet<u32> = then.map(|(node, _)| *node).filter(|node| nodes.contains(node)).collect();
        restarted.into_iter().map(|node| Change::Restart { node: self.evidence.name(node).to_owned() }).collect()
    }

    fn new_reply(&self, before: &[&Record], later: &[&Record]) -> Option<Change> {
        let of = |record: &Record| record.symptom;
        let code = |number: u32| {
            let symptom = self.evidence.symptoms.get(number)?;
            let enhanced = symptom.enhanced.map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
            Some(format!("{}{enhanced}", symptom.code?))
        };
        let (from, to) = (code(usual(before, of)?)?, code(usual(later, of)?)?);
        (from != to).then_some(Change::Reply { from, to })
    }

    fn new_certificate(&self, before: &[&Record], later: &[&Record]) -> Option<Change> {
        let certificate = |record: &Record| {
            self.evidence.seen.get(record.seen).filter(|seen| seen.certificate.is_some()).map_or(0, |_| record.seen)
        };
        let of = |number: u32| self.evidence.seen.get(number)?.certificate.as_ref();
        let (from, to) = (of(usual(before, certificate)?)?, of(usual(later, certificate)?)?);
        (from.0 != to.0).then(|| Change::Certificate { subject: to.1.clone() })
    }

    /// Version and cipher suite of what works, if what worked before used others, or nothing did.
    fn new_tls(&self, before: &[&Record], working: &[&Record], later: &[&Record]) -> Option<Change> {
        let version = |record: &Record| record.value(Dimension::TlsVersion);
        let cipher = |record: &Record| record.value(Dimension::Cipher);
        let name = |version: u32, cipher: u32| {
            format!("{} {}", self.evidence.name(version), self.evidence.name(cipher)).trim_end().to_owned()
        };
        let to = (usual(later, version)?, usual(later, cipher).unwrap_or(0));
        let began = later.iter().map(|record| record.at).min()?;
        let earlier: Vec<&Record> = working.iter().copied().filter(|record| record.at < began).collect();
        match usual(&earlier, version).map(|version| (version, usual(&earlier, cipher).unwrap_or(0))) {
            Some(from) if from != to => Some(Change::Tls { from: Some(name(from.0, from.1)), to: name(to.0, to.1) }),
            Some(_) => None,
            None => usual(before, version).is_none().then(|| Change::Tls { from: None, to: name(to.0, to.1) }),
        }
    }

    fn new_plaintext(&self, before: &[&Record], working: &[&Record], later: &[&Record]) -> Option<Change> {
        let began = later.iter().map(|record| record.at).min()?;
        let was_used = before.iter().any(|record| record.offer != 0)
            || working.iter().any(|record| record.at < began && record.value(Dimension::TlsVersion) != 0);
        let plaintext = later.iter().filter(|record| self.is_plaintext(record)).count();
        (was_used && plaintext * 2 > later.len()).then_some(Change::Plaintext)
    }
}

/// What came after the last of these failures is more than chance would leave, given what came between them.
fn are_enough(later: &[&Record], failing: usize, between: usize) -> bool {
    let share = failing as f64 / (failing + between + 1) as f64;
    let needed = (CHANCE_MAX.ln() / (1.0 - share).ln()).ceil();
    let distinct = distinct(later);
    distinct >= WORKED_MIN && distinct as f64 >= needed
}

/// The value that most have; `None` if most have none.
fn usual(records: &[&Record], value: impl Fn(&Record) -> u32) -> Option<u32> {
    let mut counts: HashMap<u32, usize> = HashMap::default();
    for record in records {
        *counts.entry(value(record)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, *value)).map(|(value, _)| value).filter(|value| *value != 0)
}
