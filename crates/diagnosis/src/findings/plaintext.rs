//! The finding about mail that left in plaintext because TLS had failed. It is a warning: the mail was delivered.

use std::{cmp::Reverse, rc::Rc};

use trace::NextStep;

use super::{
    explained::Explained,
    finding::{Finding, Piece, Scope, Severity},
    frequency::by_frequency,
    judged::Causes,
    state::{Over, State, WORKED_MIN},
    stuck::distinct,
    wording::{look_at, messages, time},
};
use crate::{
    causes::{CauseId, Reach, Remedy, Side, Situation, System},
    evidence::{Dimension, Evidence, Example, Record},
    tables::{HashMap, HashSet},
};

/// It was observed, not concluded.
const CONFIDENCE: f64 = 0.99;
/// Destinations that the summary names.
const NAMED_MAX: usize = 5;
const PIECES_MAX: usize = 3;

/// The finding, if any mail left like that.
pub(super) fn find<'e>(evidence: &'e Evidence, records: &[&'e Record], causes: &Causes) -> Option<Explained<'e>> {
    let failing: Vec<&Record> = records.iter().filter(|record| record.plaintext_after != 0).copied().collect();
    let first = failing.first()?;
    let hosts: HashSet<u32> = failing.iter().map(|record| record.destination).collect();
    let there = |record: &&&Record| hosts.contains(&record.destination);
    let attempts = records.iter().filter(there).count() as u64;
    let encrypted = |record: &&&Record| record.symptom == 0 && record.value(Dimension::TlsVersion) != 0;
    let working: Rc<[&Record]> = records.iter().filter(there).filter(encrypted).copied().collect();
    let examples = examples(evidence, &failing);
    let domains: HashSet<u32> = failing.iter().map(|record| record.value(Dimension::RecipientDomain)).collect();
    let situation = Situation {
        system: examples.first().map_or(System::Other, |example| System::of(example.source)),
        domain: domains.iter().next().filter(|_| domains.len() == 1).map(|number| evidence.name(*number).to_owned()),
        ..Situation::default()
    };
    let times = || failing.iter().map(|record| record.at).filter(|at| *at != i64::MIN);
    let id = CauseId::DeliveredWithoutTls;
    let finding = Finding {
        cause: id,
        severity: Severity::Warning,
        confidence: CONFIDENCE,
        state: state(&failing, &working, &hosts),
        messages_known: true,
        messages_pending: 0,
        messages_bounced: 0,
        messages_removed: 0,
        pending_since: None,
        first_seen: time(times().min()),
        last_seen: time(times().max()),
        summary: summary(evidence, &failing, causes),
        evidence: examples.iter().map(|example| Piece::of(example)).collect(),
        remedy: remedies(&failing, causes, &situation),
        situation,
        check: check(examples.first().copied()).to_string(),
        experiment: None,
        scope: Scope {
            destination: destination(evidence, &hosts),
            connector: evidence.is_connector(first.group).then(|| evidence.name(first.group).to_owned()),
            failed: failing.len() as u64,
            attempts,
            failed_otherwise: 0,
            destinations: hosts.len() as u64,
            everywhere: None,
            split: None,
            compared: Vec::new(),
            works_with: None,
        },
    };
    let groups: HashSet<u32> = failing.iter().map(|record| record.group).collect();
    Some(Explained { finding, evidence, groups: groups.into_iter().collect(), failing, working })
}

/// It is over if mail to all of these hosts left with TLS after the last time, and enough of it.
fn state(failing: &[&Record], encrypted: &[&Record], hosts: &HashSet<u32>) -> State {
    let last = failing.iter().map(|record| record.at).max().unwrap_or(i64::MIN);
    let later: Vec<&Record> = encrypted.iter().copied().filter(|record| record.at > last && last != i64::MIN).collect();
    let reached: HashSet<u32> = later.iter().map(|record| record.destination).collect();
    let since = time(later.iter().map(|record| record.at).min());
    match since.filter(|_| reached == *hosts && distinct(&later) >= WORKED_MIN) {
        Some(since) => {
            let messages = distinct(failing) as u64;
            State::Over(Over { since, worked: later.len() as u64, changes: Vec::new(), plaintext: messages, messages })
        }
        None => State::Ongoing,
    }
}

fn destination(evidence: &Evidence, hosts: &HashSet<u32>) -> String {
    match hosts.iter().next() {
        Some(host) if hosts.len() == 1 && *host != 0 => evidence.name(*host).to_owned(),
        _ => format!("{} destinations", hosts.len()),
    }
}

/// `3 messages left in plaintext, because TLS had failed: mx1.test:25 2 (no-shared-cipher), mx2.test:25 1 (unknown)`
fn summary(evidence: &Evidence, failing: &[&Record], causes: &Causes) -> String {
    let mut by_host: HashMap<u32, (u64, HashMap<CauseId, u64>)> = HashMap::default();
    for record in failing {
        let (count, because) = by_host.entry(record.destination).or_default();
        *count += 1;
        if let Some(cause) = causes.of_symptom(record.plaintext_after) {
            *because.entry(cause.id).or_default() += 1;
        }
    }
    let mut hosts: Vec<(&str, u64, Option<CauseId>)> = by_host
        .into_iter()
        .map(|(host, (count, because))| {
            let most = because.into_iter().max_by_key(|(id, count)| (*count, Reverse(*id))).map(|(id, _)| id);
            (evidence.name(host), count, most)
        })
        .collect();
    hosts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let named = hosts.iter().take(NAMED_MAX).map(|(host, count, because)| {
        let host = if host.is_empty() { "a host that is not named" } else { host };
        let because = match because {
            Some(CauseId::Unknown) | None => "cause unknown".to_owned(),
            Some(id) => id.to_string(),
        };
        format!("{count} to {host} ({because})")
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = hosts.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and to {more} more hosts") };
    let number = distinct(failing) as u64;
    format!("{} left in plaintext, because TLS had failed: {named}{more}", messages(number))
}

/// Where this side itself made TLS fail, the destination has nothing to fix.
fn remedies(failing: &[&Record], causes: &Causes, situation: &Situation) -> Vec<Remedy> {
    let here =
        |record: &Record| causes.of_symptom(record.plaintext_after).filter(|cause| cause.id.reach() == Reach::ThisSide);
    let own = failing.iter().find_map(|record| here(record));
    let all = CauseId::DeliveredWithoutTls.cause().remedies(situation);
    let Some(own) = own.filter(|_| failing.iter().all(|record| here(record).is_some())) else { return all };
    let rest = all.into_iter().filter(|remedy| remedy.side != Side::Destination);
    own.remedies(situation).into_iter().chain(rest).collect()
}

/// The mail that left so: it is not stuck.
fn check(example: Option<&Example>) -> NextStep {
    match look_at(example, None) {
        NextStep::TraceFile { format, file, .. } => NextStep::TraceFile { format, file, status: NextStep::DELIVERED },
        NextStep::TraceFailures { .. } => NextStep::PolicyLedger,
        step => step,
    }
}

fn examples<'e>(evidence: &'e Evidence, failing: &[&Record]) -> Vec<&'e Example> {
    let counts = by_frequency(failing.iter().map(|record| (record.group, record.plaintext_after)));
    counts.iter().flat_map(|((group, symptom), _)| evidence.examples(*group, *symptom)).take(PIECES_MAX).collect()
}
