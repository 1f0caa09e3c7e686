//! Attempts in full from both sides of a difference, close to each other in time, and what changed while they were made.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};

use super::explained::Explained;
use crate::{
    comparison::Split,
    evidence::{Attempt, Dimension, Evidence, Record},
};

/// Maximum number of changes.
const CHANGES_MAX: usize = 8;
/// Nodes that move within this time moved in one step of a rollout.
const ONE_STEP: SignedDuration = SignedDuration::from_mins(1);

/// Something that attempts show to have changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Changed {
    pub at: Timestamp,
    /// For people; begins with a noun.
    pub what: String,
}

impl<'a> Explained<'a> {
    /// Attempts that failed by this cause, as far as they were kept: first those on the failing side of the difference, each
    /// side the newest first.
    pub fn failing(&self) -> Vec<&'a Attempt<'static>> {
        let symptoms = self.failing.iter().map(|record| record.symptom);
        let mut attempts = self.kept(symptoms);
        attempts.sort_by_key(|attempt| (!self.is_on_side(attempt, |split| &split.fails), Reverse(attempt.at)));
        attempts.truncate(self.evidence.kept());
        attempts
    }

    /// Attempts of the same group that worked, as far as they were kept: first those on the working side of the difference
    /// that used what all of them use, each the closest in time to attempts that failed first.
    pub fn working(&self) -> Vec<&'a Attempt<'static>> {
        let failed: Vec<Timestamp> = self.failing().iter().filter_map(|attempt| attempt.at).collect();
        let distance = |attempt: &Attempt<'_>| {
            let at = attempt.at?;
            failed.iter().map(|other| at.duration_since(*other).unsigned_abs()).min()
        };
        let mut attempts = self.kept(std::iter::once(0));
        attempts.sort_by_cached_key(|attempt| {
            let is_other_side = !self.is_on_side(attempt, |split| &split.works);
            // Unknown times come last.
            let distance = distance(attempt);
            (is_other_side, !self.is_usual(attempt), distance.is_none(), distance, Reverse(attempt.at))
        });
        attempts.truncate(self.evidence.kept());
        attempts
    }

    /// One attempt of each kind, from opposite sides of the difference and as close in time as those that were kept are. What
    /// worked last may prove nothing: after a fix, it left otherwise.
    pub fn pair(&self) -> Option<(&'a Attempt<'static>, &'a Attempt<'static>)> {
        let working = self.working();
        let worked = working.first().copied().filter(|attempt| self.is_on_side(attempt, |split| &split.works))?;
        let distance = |attempt: &&Attempt<'_>| {
            attempt.at.zip(worked.at).map_or(u128::MAX, |(a, b)| a.duration_since(b).unsigned_abs().as_nanos())
        };
        let failing = self.failing().into_iter().filter(|attempt| self.is_on_side(attempt, |split| &split.fails));
        Some((failing.min_by_key(distance)?, worked))
    }

    fn kept(&self, symptoms: impl Iterator<Item = u32>) -> Vec<&'a Attempt<'static>> {
        let symptoms: std::collections::BTreeSet<u32> = symptoms.collect();
        let keys = symptoms.into_iter().flat_map(|symptom| self.groups.iter().map(move |group| (*group, symptom)));
        keys.flat_map(|(group, symptom)| self.evidence.kept_attempts(group, symptom)).collect()
    }

    /// True without a difference, or if it has no sides by names.
    fn is_on_side(&self, attempt: &Attempt<'_>, side: impl Fn(&Split) -> &[String]) -> bool {
        let Some(split) = &self.finding.scope.split else { return true };
        match value_of(attempt, &split.dimension) {
            Some(value) => side(split).contains(&value),
            None => true,
        }
    }

    /// It used the TLS version and cipher suite that nearly all of those that work use.
    fn is_usual(&self, attempt: &Attempt<'_>) -> bool {
        let Some(usual) = &self.finding.scope.works_with else { return true };
        attempt.tls.as_ref().is_some_and(|(version, cipher)| format!("{version} {cipher}") == *usual)
    }

    /// Steps of a rollout, and other TLS at the destination, as far as attempts show them. In order.
    pub fn changes(&self) -> Vec<Changed> {
        let mut records: Vec<&Record> = self.failing.iter().chain(self.working.iter()).copied().collect();
        records.sort_by_key(|record| record.at);
        let mut changes = self.moves(&records);
        changes.extend(self.other_tls());
        changes.sort();
        changes.truncate(CHANGES_MAX);
        changes
    }

    /// Nodes that go from one TLS policy to another. A node that goes to and fro, because connectors differ, does not count.
    fn moves(&self, records: &[&Record]) -> Vec<Changed> {
        let mut by_node: BTreeMap<u32, Vec<(u32, &Record)>> = BTreeMap::new();
        for record in records {
            let [node, policy] = [Dimension::Node, Dimension::TlsPolicy].map(|dimension| record.value(dimension));
            if node != 0 && policy != 0 {
                let policies = by_node.entry(node).or_default();
                if policies.last().is_none_or(|(last, _)| *last != policy) {
                    policies.push((policy, record));
                }
            }
        }
        let mut moves: Vec<(u32, u32, Timestamp, Vec<&str>)> = Vec::new();
        let of_node = |(node, policies): (u32, Vec<(u32, &Record)>)| match policies.as_slice() {
            [(from, _), (to, record)] => Some((*from, *to, time(record)?, node)),
            _ => None,
        };
        let mut steps: Vec<(u32, u32, Timestamp, u32)> = by_node.into_iter().filter_map(of_node).collect();
        steps.sort_by_key(|(_, _, at, _)| *at);
        for (from, to, at, node) in steps {
            let node = name(self.evidence, node);
            let is_same = |(other, into, first, _): &&mut (u32, u32, Timestamp, Vec<&str>)| {
                (*other, *into) == (from, to) && at.duration_since(*first) <= ONE_STEP
            };
            match moves.iter_mut().find(is_same) {
                Some((.., nodes)) => nodes.push(node),
                None => moves.push((from, to, at, vec![node])),
            }
        }
        let change = |(from, to, at, nodes): (u32, u32, Timestamp, Vec<&str>)| {
            let [from, to] = [from, to].map(|number| name(self.evidence, number));
            let noun = if nodes.len() == 1 { "node" } else { "nodes" };
            Changed { at, what: format!("{noun} {} moved from TLS policy {from} to {to}", nodes.join(", ")) }
        };
        moves.into_iter().map(change).collect()
    }

    /// All deliveries after one time use other TLS than all before it.
    fn other_tls(&self) -> Option<Changed> {
        let mut working: Vec<&Record> = self.working.iter().copied().filter(|record| record.at != i64::MIN).collect();
        working.sort_by_key(|record| record.at);
        let tls = |record: &Record| [Dimension::TlsVersion, Dimension::Cipher].map(|dimension| record.value(dimension));
        let (first, last) = (tls(working.first()?), tls(working.last()?));
        let turn = working.iter().position(|record| tls(record) != first)?;
        let is_clean = working.get(turn..)?.iter().all(|record| tls(record) == last);
        let words = |[version, cipher]: [u32; 2]| match version {
            0 => "plaintext".to_owned(),
            _ => format!("{} {}", name(self.evidence, version), name(self.evidence, cipher)),
        };
        let at = time(working.get(turn)?)?;
        is_clean.then(|| Changed { at, what: format!("deliveries went from {} to {}", words(first), words(last)) })
    }
}

fn time(record: &Record) -> Option<Timestamp> {
    (record.at != i64::MIN).then(|| Timestamp::from_millisecond(record.at).ok()).flatten()
}

fn name(evidence: &Evidence, number: u32) -> &str {
    if number == 0 { "not known" } else { evidence.name(number) }
}

/// The value that a difference by these dimensions has for an attempt. `None`: a limit, not a name.
fn value_of(attempt: &Attempt<'_>, dimensions: &[Dimension]) -> Option<String> {
    let values: Option<Vec<String>> = dimensions.iter().map(|dimension| name_in(attempt, *dimension)).collect();
    values.map(|values| values.join(" with "))
}

fn name_in(attempt: &Attempt<'_>, dimension: Dimension) -> Option<String> {
    let owned = |text: Option<&str>| Some(text.unwrap_or("not known").to_owned());
    match dimension {
        Dimension::TlsPolicy => owned(attempt.tls_policy.as_deref()),
        Dimension::Node => owned(attempt.node.as_deref()),
        Dimension::SourceAddress => owned(attempt.source_address.map(|address| address.to_string()).as_deref()),
        Dimension::DestinationHost => owned(attempt.destination_name().as_deref()),
        Dimension::DestinationAddress => {
            owned(attempt.destination_address.map(|address| address.to_string()).as_deref())
        }
        Dimension::TlsVersion => owned(attempt.tls.as_ref().map(|tls| tls.0.as_ref())),
        Dimension::Cipher => owned(attempt.tls.as_ref().map(|tls| tls.1.as_ref())),
        Dimension::RecipientDomain => owned(attempt.recipient_domain.as_deref()),
        Dimension::SenderDomain => owned(attempt.sender_domain.as_deref()),
        _ => None,
    }
}
