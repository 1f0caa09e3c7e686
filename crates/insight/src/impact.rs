//! The effect that a TLS policy would have, or has had, on the destinations in the history.

use std::collections::{HashMap, HashSet};

use diagnosis::{Foresight, Offer, Server, Verdict};
use jiff::Timestamp;
use protocol::smtp::{Failure, FailureKind, Phase, client::TlsLevel};
use store::{Store, TraceQuery};
use trace::{Attempt, Event};

use crate::{Connectors, Pages, wording::counted};

/// The effect of a policy on mail to one destination.
pub struct Impact {
    pub host: String,
    pub port: u16,
    pub connector: String,
    pub foresight: Foresight,
    /// True if the connector allows plaintext, so that mail would go in plaintext instead of being queued.
    pub in_plaintext: bool,
    /// Messages with an attempt at this destination.
    pub messages: u64,
    /// What the policy has broken already. `None`: nothing.
    pub broken: Option<Broken>,
}

impl Impact {
    pub fn breaks(&self) -> bool {
        self.foresight.verdict == Verdict::Breaks
    }
}

/// TLS that failed under the policy itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    pub attempts: u64,
    pub messages: u64,
    pub last: Timestamp,
}

/// Host, port and connector.
type Key = (String, u16, String);

#[derive(Default)]
struct Seen {
    server: Server,
    messages: u64,
    broken: Option<Broken>,
    /// The last delivery with TLS under the policy.
    encrypted: Option<Timestamp>,
}

/// What is asked about.
#[derive(Clone, Copy)]
struct Question<'a> {
    connectors: &'a dyn Connectors,
    /// Name of the policy.
    policy: &'a str,
}

/// The effect of a policy on each destination, from attempts at messages received since a time; and when the first was
/// received. `offer` is what the policy offers. `progress` learns how far back the history was read.
pub async fn impact<S: Store>(
    store: &S,
    connectors: &dyn Connectors,
    policy: &str,
    offer: &Offer,
    since: Timestamp,
    mut progress: impl FnMut(Timestamp) + Send,
) -> store::Result<(Vec<Impact>, Option<Timestamp>)> {
    let question = Question { connectors, policy };
    let mut seen: HashMap<Key, Seen> = HashMap::new();
    let mut first = None;
    let mut pages = Pages::new(TraceQuery { since: Some(since), limit: u32::MAX, ..TraceQuery::default() });
    while let Some(records) = pages.read(store).await? {
        // Records are sorted, the newest first.
        first = records.last().map(|record| record.message.received).or(first);
        let mut keys: Vec<_> = records.iter().map(|record| record.message.key).collect();
        keys.dedup();
        for history in store.histories(keys).await? {
            question.add_message(&mut seen, &history);
        }
        first.into_iter().for_each(&mut progress);
    }
    let mut impacts: Vec<Impact> = seen.into_iter().map(|(key, seen)| judge(key, &seen, connectors, offer)).collect();
    impacts.sort_by(|a, b| {
        let order = a.foresight.verdict.cmp(&b.foresight.verdict).then(b.messages.cmp(&a.messages));
        order.then_with(|| (&a.host, a.port, &a.connector).cmp(&(&b.host, b.port, &b.connector)))
    });
    Ok((impacts, first))
}

impl Question<'_> {
    fn add_message(self, seen: &mut HashMap<Key, Seen>, history: &[Event]) {
        let (mut destinations, mut broken) = (HashSet::new(), HashSet::new());
        for event in history {
            let Some(attempt) = event.kind.attempt() else { continue };
            let Some(destination) = &attempt.destination else { continue };
            let key = (destination.host.clone(), destination.port, attempt.connector.clone());
            let seen = seen.entry(key.clone()).or_default();
            seen.messages += u64::from(destinations.insert(key.clone()));
            self.add_attempt(&mut seen.server, event, attempt);
            if attempt.tls_policy != self.policy {
                continue;
            }
            match tls_failure(event, attempt) {
                Some(_) => seen.add_broken(event.at, broken.insert(key)),
                None if attempt.tls.is_some() => seen.encrypted = seen.encrypted.max(Some(event.at)),
                None => {}
            }
        }
    }

    fn add_attempt(self, server: &mut Server, event: &Event, attempt: &Attempt) {
        // What fails later does not depend on TLS.
        let works = event.kind.failure().is_none_or(|failure| failure.phase >= Phase::Mail);
        let fell_back = attempt.plaintext_because.is_some();
        // A connector that requires TLS delivers nothing in plaintext.
        let level = || self.connectors.tls(&attempt.connector).level;
        match &attempt.handshake {
            Some(facts) => server.add(facts, works && !fell_back, event.at),
            None if works && attempt.tls.is_none() && level() == TlsLevel::Opportunistic => {
                server.add_plaintext(event.at);
            }
            None => {}
        }
    }
}

/// The failure of an attempt's TLS that a policy can be the reason for: not this node's own files, nor the certificate.
fn tls_failure<'a>(event: &'a Event, attempt: &'a Attempt) -> Option<&'a Failure> {
    let facts = attempt.handshake.as_deref()?;
    let failure = attempt.plaintext_because.as_ref().or_else(|| event.kind.failure())?;
    let is_local = matches!(failure.kind, FailureKind::Local { .. });
    // Some servers complete a handshake, and then say nothing.
    let is_of_tls = matches!(failure.phase, Phase::Handshake | Phase::Ehlo) && !is_local;
    (is_of_tls && !diagnosis::is_over_the_certificate(facts)).then_some(failure)
}

impl Seen {
    fn add_broken(&mut self, at: Timestamp, is_new_message: bool) {
        let broken = self.broken.get_or_insert(Broken { attempts: 0, messages: 0, last: at });
        broken.attempts += 1;
        broken.messages += u64::from(is_new_message);
        broken.last = broken.last.max(at);
    }

    /// What the policy has broken, unless it has worked since: then the failures were not its fault, or are repaired.
    fn still_broken(&self) -> Option<Broken> {
        self.broken.filter(|broken| self.encrypted.is_none_or(|encrypted| encrypted <= broken.last))
    }
}

fn judge((host, port, connector): Key, seen: &Seen, connectors: &dyn Connectors, offer: &Offer) -> Impact {
    let tls = connectors.tls(&connector);
    let foresight = match tls.level {
        TlsLevel::None => Foresight { verdict: Verdict::Works, because: "gets its mail without TLS".to_owned() },
        _ => seen.server.foresee(offer),
    };
    let broken = seen.still_broken().filter(|_| tls.level != TlsLevel::None);
    let foresight = match broken {
        Some(broken) => has_broken(&broken, foresight),
        None => foresight,
    };
    let in_plaintext = tls.level == TlsLevel::Opportunistic && tls.falls_back;
    Impact { host, port, connector, foresight, in_plaintext, messages: seen.messages, broken }
}

/// What has happened counts for more than what can be foreseen: a destination that has turned STARTTLS off since was broken.
fn has_broken(broken: &Broken, foresight: Foresight) -> Foresight {
    let attempts = counted(broken.attempts, "attempt");
    let now = match foresight.verdict {
        Verdict::Breaks => format!(": {}", foresight.because),
        Verdict::Works => format!("; now it {}", foresight.because),
        Verdict::Undecided => String::new(),
    };
    Foresight { verdict: Verdict::Breaks, because: format!("failed in {attempts} under this policy{now}") }
}
