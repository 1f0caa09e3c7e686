//! From evidence to findings.
//!
//! Attempts by one connector are looked at together. Each way of failing has a cause that explains it best; for each such
//! cause, the attempts that failed by it are compared with those that worked.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use trace::NextStep;

use super::{
    counter::Delivered,
    everywhere::{self, Everywhere, Widespread},
    explained::Explained,
    finding::{Finding, Piece, Scope, Severity},
    judged::Causes,
    noise, plaintext,
    refine::{Attempts, NEARLY_ALL},
    situation::situation,
    stories::Stories,
    wording::{chance, look_at, part, summary, time},
};
use crate::{
    causes::{Cause, CauseId, Check, Situation},
    comparison::{LnFactorials, Split, contrast},
    evidence::{Dimension, Direction, Evidence, Example, Record, Sign, Symptom},
};

/// No finding is surer: only a probe could say more.
const CONFIDENCE_MAX: f64 = 0.99;
/// If this share of the messages is stuck, it is not a coincidence.
const STUCK_SHARE: f64 = 0.25;

/// What keeps mail from flowing, the root cause first.
pub fn diagnose(evidence: &Evidence) -> Vec<Finding> {
    explain(evidence).into_iter().map(|explained| explained.finding).collect()
}

/// The same, each with the attempts that it rests on.
pub fn explain(evidence: &Evidence) -> Vec<Explained<'_>> {
    let records = noise::without(evidence);
    let mut causes = Causes::judge(evidence);
    let widespread = everywhere::find(evidence, &records, &causes);
    causes.rename(|id| widespread.iter().find(|all| all.of.contains(&id)).map(|all| all.cause));
    let endings = endings(&records);
    let ln = LnFactorials::up_to(evidence.len());
    let delivered = Delivered::of(&records);
    let group = |number, records| Group {
        evidence,
        causes: &causes,
        endings: &endings,
        delivered: &delivered,
        ln: &ln,
        number,
        everywhere: None,
        records,
    };
    let is_widespread = |record: &Record| {
        causes.of(record).is_some_and(|(cause, _)| widespread.iter().any(|all| all.cause == cause.id))
    };
    let mut groups: HashMap<u32, Vec<&Record>> = HashMap::new();
    let stories = Stories::of(evidence, &records, &endings);
    for record in records.iter().filter(|record| !is_widespread(record)) {
        groups.entry(stories.of_group(record.group)).or_default().push(record);
    }
    let mut findings: Vec<Explained<'_>> = Vec::new();
    for (number, records) in groups {
        findings.extend(group(number, records).findings(|_| true));
    }
    for Widespread { cause, scope, .. } in &widespread {
        let group = Group { everywhere: Some(scope), ..group(common_group(&records), records.clone()) };
        findings.extend(group.findings(|id| id == *cause));
    }
    findings.extend(plaintext::find(evidence, &records, &causes));
    findings.sort_by(|Explained { finding: a, .. }, Explained { finding: b, .. }| {
        (b.is_root_cause().cmp(&a.is_root_cause()))
            .then(b.severity.cmp(&a.severity))
            .then(b.messages_pending.cmp(&a.messages_pending))
            .then(b.confidence.total_cmp(&a.confidence))
            .then(a.scope.destination.cmp(&b.scope.destination))
    });
    findings
}

/// The group of all records, such as their only connector; 0 if there are several.
fn common_group(records: &[&Record]) -> u32 {
    let first = records.first().map_or(0, |record| record.group);
    if records.iter().all(|record| record.group == first) { first } else { 0 }
}

/// The last record of each delivery.
fn endings<'e>(records: &[&'e Record]) -> HashMap<u64, &'e Record> {
    let mut endings: HashMap<u64, &Record> = HashMap::with_capacity(records.len().min(1 << 20));
    for record in records.iter().filter(|record| record.delivery != 0) {
        let last = endings.entry(record.delivery).or_insert(record);
        if last.at <= record.at {
            *last = record;
        }
    }
    endings
}

/// Attempts that are compared with each other.
struct Group<'a, 'e> {
    evidence: &'e Evidence,
    causes: &'a Causes,
    endings: &'a HashMap<u64, &'e Record>,
    delivered: &'a Delivered,
    ln: &'a LnFactorials,
    number: u32,
    /// The attempts of all groups, for a cause that fails at all destinations.
    everywhere: Option<&'a Everywhere>,
    records: Vec<&'e Record>,
}

/// Attempts that failed by one cause.
struct Failing<'a> {
    cause: &'static Cause,
    records: Vec<&'a Record>,
    /// Their sum.
    likelihoods: f64,
}

/// How much mail is stuck by a cause.
struct Stuck {
    share: f64,
    /// Deliveries that are still waiting; 0 if the source does not separate deliveries.
    pending: u64,
    /// Deliveries that bounced; 0 if the source does not separate deliveries.
    bounced: u64,
    /// When the first of these failed for the first time.
    pending_since: Option<i64>,
}

impl<'e> Group<'_, 'e> {
    /// A finding for each cause that is wanted.
    fn findings(&self, is_wanted: impl Fn(CauseId) -> bool) -> Vec<Explained<'e>> {
        let mut by_cause: HashMap<CauseId, Failing<'e>> = HashMap::new();
        let mut working = Vec::new();
        for record in &self.records {
            match self.causes.of(record) {
                None => working.push(*record),
                Some((cause, likelihood)) => {
                    let new = || Failing { cause, records: Vec::new(), likelihoods: 0.0 };
                    let failing = by_cause.entry(cause.id).or_insert_with(new);
                    failing.records.push(record);
                    failing.likelihoods += likelihood;
                }
            }
        }
        let working: Rc<[&'e Record]> = working.into();
        let explained = |failing: Failing<'e>| Explained {
            finding: self.finding(&failing, &working),
            evidence: self.evidence,
            groups: self.numbers(&failing.records),
            failing: failing.records,
            working: Rc::clone(&working),
        };
        by_cause.into_values().filter(|failing| is_wanted(failing.cause.id)).map(explained).collect()
    }

    /// The groups that the attempts belong to.
    fn numbers(&self, failing: &[&Record]) -> Vec<u32> {
        let numbers: BTreeSet<u32> = failing.iter().map(|record| record.group).collect();
        numbers.into_iter().collect()
    }

    fn finding(&self, Failing { cause, records: failing, likelihoods }: &Failing<'_>, working: &[&Record]) -> Finding {
        let fails_otherwise = |record: &&&Record| self.causes.of(record).is_some_and(|(known, _)| known != *cause);
        let others: Vec<&Record> = self.records.iter().filter(fails_otherwise).copied().collect();
        let split = contrast(self.evidence, failing, &others, working, self.ln);
        let stuck = self.stuck(cause, failing);
        let attempts = Attempts { evidence: self.evidence, failing, working, split: split.as_ref() };
        let (cause, likelihood) = attempts.refine(cause, likelihoods / failing.len() as f64);
        let likelihood = likelihood * self.delivered.factor(cause.id, failing);
        let confidence = match self.everywhere {
            Some(all) if cause.id == CauseId::OutboundPortBlocked => all.confidence(),
            _ => confidence(cause, likelihood, failing.len(), working.len(), split.as_ref(), &stuck),
        };
        let scope = Scope {
            destination: self.destination(failing),
            connector: self.connector(),
            failed: failing.len() as u64,
            attempts: self.records.len() as u64,
            works_with: self.works_with(working),
            everywhere: self.everywhere.cloned(),
            split,
        };
        let times = || failing.iter().map(|record| record.at).filter(|at| *at != i64::MIN);
        let example = self.examples(failing);
        let situation = self.situation(failing, working, &example);
        Finding {
            cause: cause.id,
            severity: Severity::Stuck,
            confidence: (confidence * 100.0).round() / 100.0,
            messages_pending: stuck.pending,
            pending_since: time(stuck.pending_since),
            first_seen: time(times().min()),
            last_seen: time(times().max()),
            summary: summary(cause, &scope, stuck.pending, stuck.bounced),
            evidence: self.pieces(&scope, &example),
            remedy: cause.remedies(&situation),
            situation,
            check: self.check(cause, failing, &example).to_string(),
            experiment: None,
            scope,
        }
    }

    /// Deliveries that this cause was the last word on. Where a source does not tell deliveries apart, each attempt counts
    /// for one.
    fn stuck(&self, cause: &Cause, failing: &[&Record]) -> Stuck {
        let told: HashSet<u64> = failing.iter().map(|record| record.delivery).filter(|key| *key != 0).collect();
        if told.is_empty() {
            let share = failing.len() as f64 / self.records.len() as f64;
            return Stuck { share, pending: 0, bounced: 0, pending_since: None };
        }
        let is_of_cause = |record: &&Record| self.causes.of(record).is_some_and(|(known, _)| known == cause);
        let last = |key: &u64| self.endings.get(key).copied();
        let held: Vec<&Record> = told.iter().filter_map(last).filter(is_of_cause).collect();
        let is_pending = |record: &&&Record| {
            let symptom = self.evidence.symptoms.get(record.symptom);
            let tries_on =
                |symptom: &Symptom| symptom.code.is_none_or(|code| code < 500) && !symptom.signs.has(Sign::GivenUp);
            symptom.is_some_and(tries_on)
        };
        let pending: HashSet<u64> = held.iter().filter(is_pending).map(|record| record.delivery).collect();
        let failed = failing.iter().filter(|record| pending.contains(&record.delivery) && record.at != i64::MIN);
        let all: HashSet<u64> = self.records.iter().map(|record| record.delivery).filter(|key| *key != 0).collect();
        Stuck {
            share: held.len() as f64 / all.len().max(1) as f64,
            pending: pending.len() as u64,
            bounced: (held.len() - pending.len()) as u64,
            pending_since: failed.map(|record| record.at).min(),
        }
    }

    /// Version and cipher of nearly all that works.
    fn works_with(&self, working: &[&Record]) -> Option<String> {
        let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
        for record in working {
            let pair = (record.values[Dimension::TlsVersion as usize], record.values[Dimension::Cipher as usize]);
            *counts.entry(pair).or_default() += 1;
        }
        let ((version, cipher), count) = counts.into_iter().max_by_key(|(pair, count)| (*count, *pair))?;
        let is_common = version != 0 && count as f64 >= NEARLY_ALL * working.len() as f64;
        is_common.then(|| format!("{} {}", self.evidence.name(version), self.evidence.name(cipher)))
    }

    fn situation(&self, failing: &[&Record], working: &[&Record], examples: &[&Example]) -> Situation {
        let symptoms: Vec<&Symptom> = self
            .frequent_symptoms(failing)
            .into_iter()
            .take(PIECES_MAX)
            .filter_map(|number| self.evidence.symptoms.get(number))
            .collect();
        let situation = situation(self.evidence, failing, working, &symptoms, examples.first().copied());
        Situation { is_everywhere: self.everywhere.is_some(), ..situation }
    }

    fn connector(&self) -> Option<String> {
        self.evidence.is_connector(self.number).then(|| self.evidence.name(self.number).to_owned())
    }

    /// The host where all that fails goes to one; else the group.
    fn destination(&self, failing: &[&Record]) -> String {
        if let Some(all) = self.everywhere {
            return format!("Each of {} destinations", all.destinations);
        }
        let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
        match hosts.iter().next() {
            Some(host) if hosts.len() == 1 && *host != 0 => self.evidence.name(*host).to_owned(),
            // Several hosts that the same messages tried.
            _ if self.numbers(failing).len() > 1 => self.common_domain(failing),
            _ if self.number != 0 => self.evidence.name(self.number).to_owned(),
            _ => "the destination".to_owned(),
        }
    }

    /// The recipients' domain, or one of the hosts where there are several.
    fn common_domain(&self, failing: &[&Record]) -> String {
        let domain = |record: &&Record| record.values[Dimension::RecipientDomain as usize];
        let domains: HashSet<u32> = failing.iter().map(domain).collect();
        match domains.iter().next() {
            Some(domain) if domains.len() == 1 && *domain != 0 => self.evidence.name(*domain).to_owned(),
            _ => self.frequent_host(failing).unwrap_or("the destination").to_owned(),
        }
    }

    /// What shows the cause, or else the attempts where they were read.
    fn check(&self, cause: &Cause, failing: &[&Record], examples: &[&Example]) -> NextStep {
        let host = match cause.check {
            // The senders of mail that comes in need not accept any.
            _ if self.evidence.direction() == Direction::Inbound => None,
            Check::Probe | Check::Dns => self.frequent_host(failing),
            Check::Trace => None,
        };
        match host {
            Some(host) => NextStep::Probe(host.to_owned()),
            None => look_at(examples.first().copied(), self.connector().as_deref()),
        }
    }

    /// The host that most of these went to, if any is known.
    fn frequent_host(&self, failing: &[&Record]) -> Option<&str> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for host in failing.iter().map(|record| record.destination).filter(|host| *host != 0) {
            *counts.entry(host).or_default() += 1;
        }
        let (host, _) = counts.into_iter().max_by_key(|(host, count)| (*count, Reverse(*host)))?;
        Some(self.evidence.name(host))
    }

    /// Of the most frequent symptoms.
    fn examples(&self, failing: &[&Record]) -> Vec<&Example> {
        let groups = self.numbers(failing);
        let symptoms = self.frequent_symptoms(failing).into_iter();
        let keys = symptoms.flat_map(|symptom| groups.iter().map(move |group| (*group, symptom)));
        keys.flat_map(|(group, symptom)| self.evidence.examples(group, symptom)).take(PIECES_MAX).collect()
    }

    /// The most frequent one first.
    fn frequent_symptoms(&self, failing: &[&Record]) -> Vec<u32> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for record in failing {
            *counts.entry(record.symptom).or_default() += 1;
        }
        let mut counts: Vec<(u32, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(symptom, count)| (Reverse(*count), *symptom));
        counts.into_iter().map(|(symptom, _)| symptom).collect()
    }

    fn pieces(&self, scope: &Scope, examples: &[&Example]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = examples.iter().map(|example| Piece::of(example)).collect();
        if let (Some(all), Some(first)) = (self.everywhere, examples.first()) {
            let place = format!("comparison of {} attempts", scope.attempts);
            let what = format!("It fails at {} unrelated destinations: {}", all.destinations, all.named.join(", "));
            pieces.insert(0, Piece { what, source: first.source, place });
        }
        if let (Some(split), Some(first)) = (&scope.split, examples.first()) {
            let place = format!("comparison of {} attempts", scope.attempts);
            let piece = Piece {
                what: format!("{} (chance of coincidence: {})", part(split), chance(split.p_value)),
                source: first.source,
                place,
            };
            pieces.insert(0, piece);
        }
        pieces
    }
}

/// Enough to believe it, few enough to read.
const PIECES_MAX: usize = 3;

fn confidence(
    cause: &Cause,
    likelihood: f64,
    failing: usize,
    working: usize,
    split: Option<&Split>,
    stuck: &Stuck,
) -> f64 {
    let n = failing as f64;
    if cause.id == CauseId::Unknown {
        return likelihood;
    }
    if let Some(split) = split {
        let alone = likelihood * n / (n + 1.0);
        return (alone + (1.0 - alone) * 0.7 * split.sharpness()).min(CONFIDENCE_MAX);
    }
    if working == 0 {
        return (likelihood * (n + 2.0) / (n + 3.0)).min(CONFIDENCE_MAX);
    }
    // Some fail and some work, and nothing parts them: ordinary, unless much mail is stuck.
    (likelihood * n / (n + 1.0) * (stuck.share / STUCK_SHARE).min(1.0)).min(CONFIDENCE_MAX)
}
