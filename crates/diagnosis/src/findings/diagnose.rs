//! From evidence to findings.
//!
//! Attempts by one connector are looked at together. Each way of failing has a cause that explains it best; for each such
//! cause, the attempts that failed by it are compared with those that worked.

use std::{collections::BTreeSet, rc::Rc};

use trace::NextStep;

use super::{
    counter::Delivered,
    elsewhere::Elsewhere,
    everywhere::{self, Widespread},
    explained::Explained,
    finding::{Finding, Piece, Scope, Severity},
    frequency::by_frequency,
    group::Group,
    inbound::told_to,
    judged::Causes,
    noise, plaintext,
    provider::with_documented,
    refine::{Attempts, NEARLY_ALL},
    situation::situation,
    state::State,
    stories::{Stories, domain_or},
    stuck::Stuck,
    wording::{chance, look_at, part, summary, time},
};
use crate::{
    causes::{Cause, CauseId, Check, Situation},
    comparison::{Comparer, Comparison, Split},
    evidence::{Delivery, Dimension, Direction, Evidence, Example, Record, Symptom},
    tables::{HashMap, HashSet},
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
    let endings = endings(evidence, &records);
    let comparer = Comparer::of(evidence);
    let elsewhere = Elsewhere::of(evidence);
    let delivered = Delivered::of(&records, &causes);
    let group = |number, records| Group {
        evidence,
        causes: &causes,
        endings: &endings,
        delivered: &delivered,
        comparer: &comparer,
        elsewhere: &elsewhere,
        number,
        everywhere: None,
        records,
    };
    let is_widespread = |record: &Record| {
        causes.of(record).is_some_and(|(cause, _)| widespread.iter().any(|all| all.cause == cause.id))
    };
    let mut findings: Vec<Explained<'_>> = plaintext::find(evidence, &records, &causes).into_iter().collect();
    // A million records take their room only as long as they are needed.
    let all = if widespread.is_empty() { Vec::new() } else { records.clone() };
    let mut groups: HashMap<u32, Vec<&Record>> = HashMap::default();
    let stories = Stories::of(evidence, &records);
    for record in records.into_iter().filter(|record| !is_widespread(record)) {
        groups.entry(stories.group(record)).or_default().push(record);
    }
    for (number, records) in groups {
        findings.extend(group(number, records).findings(|_| true));
    }
    for Widespread { cause, scope, .. } in &widespread {
        let group = Group { everywhere: Some(scope), ..group(common_group(&all), all.clone()) };
        findings.extend(group.findings(|id| id == *cause));
    }
    findings.sort_by(|Explained { finding: a, .. }, Explained { finding: b, .. }| {
        (b.is_ongoing().cmp(&a.is_ongoing()))
            .then(b.is_root_cause().cmp(&a.is_root_cause()))
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

/// The last record of each delivery that ever failed or was suspended. There are few of them beside those that worked at
/// once.
fn endings<'e>(evidence: &Evidence, records: &[&'e Record]) -> HashMap<Delivery, &'e Record> {
    let suspended = evidence.all_suspended();
    let is_wanted = |record: &&Record| record.symptom != 0 || suspended.contains(&record.delivery);
    let known = || records.iter().copied().filter(|record| record.delivery.is_known());
    let mut endings: HashMap<Delivery, &Record> = HashMap::default();
    for record in known().filter(is_wanted) {
        endings.entry(record.delivery).or_insert(record);
    }
    for record in known() {
        if let Some(last) = endings.get_mut(&record.delivery)
            && last.at <= record.at
        {
            *last = record;
        }
    }
    endings
}

/// Attempts that failed by one cause.
struct Failing<'a> {
    cause: &'static Cause,
    records: Vec<&'a Record>,
    /// Their sum.
    likelihoods: f64,
}

impl<'e> Group<'_, 'e> {
    /// A finding for each cause that is wanted.
    fn findings(&self, is_wanted: impl Fn(CauseId) -> bool) -> Vec<Explained<'e>> {
        let mut by_cause: HashMap<CauseId, Failing<'e>> = HashMap::default();
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
        let explained = |failing: Failing<'e>| {
            let (comparison, compared) = self.compare(&failing, &working);
            Explained {
                finding: self.finding(&failing, &working, comparison),
                evidence: self.evidence,
                groups: self.numbers(&failing.records),
                failing: failing.records,
                working: compared,
            }
        };
        by_cause.into_values().filter(|failing| is_wanted(failing.cause.id)).map(explained).collect()
    }

    /// The groups that the attempts belong to.
    pub(super) fn numbers(&self, failing: &[&Record]) -> Vec<u32> {
        let numbers: BTreeSet<u32> = failing.iter().map(|record| record.group).collect();
        numbers.into_iter().collect()
    }

    /// Compares what fails with what works. Where nothing works at a host, with what works for the same domains at other
    /// hosts: one of a domain's hosts may be at fault. Returns the attempts that worked of the comparison, too.
    fn compare(&self, failing: &Failing<'e>, working: &Rc<[&'e Record]>) -> (Comparison, Rc<[&'e Record]>) {
        let fails_otherwise =
            |record: &&&Record| self.causes.of(record).is_some_and(|(known, _)| known != failing.cause);
        let others: Vec<&Record> = self.records.iter().filter(fails_otherwise).copied().collect();
        if working.is_empty() && self.everywhere.is_none() && !self.evidence.is_connector(self.number) {
            let elsewhere = self.elsewhere.for_domains_of(&failing.records);
            let comparison = self.comparer.compare(&failing.records, &others, &elsewhere);
            let comparison = comparison.preferring(Dimension::DestinationHost);
            if comparison.best().is_some_and(|best| best.dimension == [Dimension::DestinationHost]) {
                return (comparison, elsewhere.into());
            }
        }
        (self.comparer.compare(&failing.records, &others, working), Rc::clone(working))
    }

    fn finding(
        &self,
        Failing { cause, records: failing, likelihoods }: &Failing<'_>,
        working: &[&Record],
        comparison: Comparison,
    ) -> Finding {
        let split = comparison.split().cloned();
        let stuck = self.stuck(cause, failing);
        let state = self.state(cause.id, failing, working, comparison.best(), stuck.effects.untried);
        let attempts = Attempts { evidence: self.evidence, failing, working, split: split.as_ref() };
        let (cause, likelihood) = attempts.refine(cause, likelihoods / failing.len() as f64);
        let likelihood = likelihood * self.delivered.factor(cause.id, failing);
        let share = stuck_share(&stuck, &state, cause.id.passes_by_itself());
        let confidence = match self.everywhere {
            Some(all) if cause.id == CauseId::OutboundPortBlocked => all.confidence(),
            _ => confidence(cause, likelihood, failing.len(), working.len(), split.as_ref(), share),
        };
        let scope = Scope {
            destination: self.destination(failing),
            connector: self.connector(),
            failed: failing.len() as u64,
            attempts: self.records.len() as u64,
            failed_otherwise: (self.records.len() - failing.len() - working.len()) as u64,
            works_with: self.works_with(working),
            destinations: self.destinations(failing),
            everywhere: self.everywhere.cloned(),
            split,
            compared: comparison.compared,
        };
        let times = || failing.iter().map(|record| record.at).filter(|at| *at != i64::MIN);
        let example = self.examples(failing);
        let situation = self.situation(failing, working, &example);
        Finding {
            cause: cause.id,
            severity: Severity::Stuck,
            confidence: (confidence * 100.0).round() / 100.0,
            state,
            messages_known: stuck.is_known,
            messages_pending: stuck.effects.waiting,
            messages_bounced: stuck.effects.bounced,
            messages_removed: stuck.effects.removed,
            pending_since: time(stuck.pending_since),
            first_seen: time(times().min()),
            last_seen: time(times().max()),
            summary: summary(told_to(self.evidence.direction(), cause), &scope, stuck.effects),
            evidence: self.pieces(&scope, &example),
            remedy: with_documented(self.evidence, failing, cause.remedies(&situation)),
            situation,
            check: self.check(cause, failing, &example).to_string(),
            experiment: None,
            scope,
        }
    }

    /// Version and cipher of nearly all that works.
    fn works_with(&self, working: &[&Record]) -> Option<String> {
        let mut counts: HashMap<(u32, u32), usize> = HashMap::default();
        for record in working {
            let pair = (record.value(Dimension::TlsVersion), record.value(Dimension::Cipher));
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

    fn destinations(&self, failing: &[&Record]) -> u64 {
        let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
        let all = self.everywhere.map_or(1, |all| all.destinations);
        (hosts.into_iter().filter(|host| *host != 0).count() as u64).max(all)
    }

    /// The host where all that fails goes to one; else the group.
    fn destination(&self, failing: &[&Record]) -> String {
        if let Some(all) = self.everywhere {
            let them = if self.evidence.direction() == Direction::Inbound { "senders" } else { "destinations" };
            return format!("Each of {} {them}", all.destinations);
        }
        let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
        match hosts.iter().next() {
            Some(host) if hosts.len() == 1 && *host != 0 => self.evidence.name(*host).to_owned(),
            _ if hosts.len() > 1 && self.connector().is_none() => {
                self.evidence.name(domain_or(self.number, failing)).to_owned()
            }
            _ if self.one_of_several_domains(failing) => self.evidence.name(domain_or(self.number, failing)).to_owned(),
            _ if self.number != 0 => self.evidence.name(self.number).to_owned(),
            _ => "the destination".to_owned(),
        }
    }

    /// A connector leads to many domains, and fails for one of them at a host that is not known.
    fn one_of_several_domains(&self, failing: &[&Record]) -> bool {
        let domains = |records: &[&Record]| -> HashSet<u32> {
            records
                .iter()
                .map(|record| record.value(Dimension::RecipientDomain))
                .filter(|number| *number != 0)
                .collect()
        };
        self.connector().is_some()
            && failing.iter().all(|record| record.destination == 0)
            && domains(failing).len() == 1
            && domains(&self.records).len() > 1
    }

    /// What shows the cause, or else the attempts where they were read.
    fn check(&self, cause: &Cause, failing: &[&Record], examples: &[&Example]) -> NextStep {
        let host = match cause.check {
            // The senders of mail that comes in need not accept any.
            _ if self.evidence.direction() == Direction::Inbound => None,
            Check::Probe | Check::Dns => self.frequent_host(failing),
            Check::Trace => None,
        };
        let example = examples.first().copied();
        let inbound = example.filter(|_| self.evidence.direction() == Direction::Inbound);
        match (host, inbound.and_then(|example| example.file.clone())) {
            (Some(host), _) => NextStep::Probe(host.to_owned()),
            // A trace shows messages, and senders that fail hand none in.
            (None, Some(file)) => NextStep::WhyFile { option: "--inbound", file },
            (None, None) => look_at(example, self.connector().as_deref()),
        }
    }

    /// The host that most of these went to, if any is known.
    fn frequent_host(&self, failing: &[&Record]) -> Option<&str> {
        let hosts = failing.iter().map(|record| record.destination).filter(|host| *host != 0);
        let (host, _) = *by_frequency(hosts).first()?;
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
        by_frequency(failing.iter().map(|record| record.symptom)).into_iter().map(|(symptom, _)| symptom).collect()
    }

    fn pieces(&self, scope: &Scope, examples: &[&Example]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = examples.iter().map(|example| Piece::of(example)).collect();
        if let (Some(all), Some(first)) = (self.everywhere, examples.first()) {
            let place = format!("comparison of {} attempts", scope.attempts);
            let what =
                format!("It fails at {} unrelated destinations, such as {}", all.destinations, all.named.join(", "));
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

/// The share of the mail that counts: of a finding that is over, what was stuck while it lasted. What passes by itself is
/// ordinary in any amount.
fn stuck_share(stuck: &Stuck, state: &State, is_passing: bool) -> f64 {
    if matches!(state, State::Over(_)) && !is_passing { stuck.share_ever } else { stuck.share }
}

fn confidence(
    cause: &Cause,
    likelihood: f64,
    failing: usize,
    working: usize,
    split: Option<&Split>,
    stuck_share: f64,
) -> f64 {
    let n = failing as f64;
    if cause.id == CauseId::Unknown {
        return likelihood;
    }
    if let Some(split) = split {
        let alone = likelihood * n / (n + 1.0);
        return (alone + (1.0 - alone) * 0.7 * split.sharpness()).min(CONFIDENCE_MAX);
    }
    // Of session tickets, that other handshakes work is a sign of its own.
    if working == 0 || cause.id == CauseId::TlsSessionTicketInterop {
        return (likelihood * (n + 2.0) / (n + 3.0)).min(CONFIDENCE_MAX);
    }
    // Some fail and some work, and nothing parts them: ordinary, unless much mail is stuck.
    (likelihood * n / (n + 1.0) * (stuck_share / STUCK_SHARE).min(1.0)).min(CONFIDENCE_MAX)
}
