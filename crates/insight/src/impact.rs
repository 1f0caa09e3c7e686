//! The effect that a TLS policy would have on the destinations in the history.

use std::collections::{HashMap, HashSet};

use diagnosis::{Foresight, Offer, Server, Verdict};
use jiff::Timestamp;
use protocol::smtp::{Scope, client::TlsLevel};
use store::{Store, TraceQuery};
use trace::{Attempt, Event};

use crate::{Connectors, Pages};

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
}

/// Host, port and connector.
type Key = (String, u16, String);

#[derive(Default)]
struct Seen {
    server: Server,
    messages: u64,
}

/// The effect on each destination, from attempts at messages received since a time; and when the first was received.
pub async fn impact<S: Store>(
    store: &S,
    connectors: &dyn Connectors,
    offer: &Offer,
    since: Timestamp,
) -> store::Result<(Vec<Impact>, Option<Timestamp>)> {
    let mut seen: HashMap<Key, Seen> = HashMap::new();
    let mut first = None;
    let mut pages = Pages::new(TraceQuery { since: Some(since), limit: u32::MAX, ..TraceQuery::default() });
    while let Some(records) = pages.read(store).await? {
        // Records are sorted, the newest first.
        first = records.last().map(|record| record.message.received).or(first);
        let mut keys: Vec<_> = records.iter().map(|record| record.message.key).collect();
        keys.dedup();
        for history in store.histories(keys).await? {
            add_message(&mut seen, &history, connectors);
        }
    }
    let mut impacts: Vec<Impact> = seen.into_iter().map(|(key, seen)| judge(key, &seen, connectors, offer)).collect();
    impacts.sort_by(|a, b| {
        let order = a.foresight.verdict.cmp(&b.foresight.verdict).then(b.messages.cmp(&a.messages));
        order.then_with(|| (&a.host, a.port, &a.connector).cmp(&(&b.host, b.port, &b.connector)))
    });
    Ok((impacts, first))
}

fn add_message(seen: &mut HashMap<Key, Seen>, history: &[Event], connectors: &dyn Connectors) {
    let mut destinations = HashSet::new();
    for event in history {
        let Some(attempt) = event.kind.attempt() else { continue };
        let Some(destination) = &attempt.destination else { continue };
        let key = (destination.host.clone(), destination.port, attempt.connector.clone());
        let seen = seen.entry(key.clone()).or_default();
        seen.messages += u64::from(destinations.insert(key));
        add_attempt(&mut seen.server, event, attempt, connectors);
    }
}

fn add_attempt(server: &mut Server, event: &Event, attempt: &Attempt, connectors: &dyn Connectors) {
    let works = event.kind.failure().is_none_or(|failure| failure.scope() != Scope::Destination);
    let fell_back = attempt.plaintext_because.is_some();
    // A connector that requires TLS delivers nothing in plaintext.
    let in_plaintext = || attempt.tls.is_none() && connectors.tls(&attempt.connector).level == TlsLevel::Opportunistic;
    match &attempt.handshake {
        Some(facts) => server.add(facts, works && !fell_back, event.at),
        None if works && in_plaintext() => server.add_plaintext(event.at),
        None => {}
    }
}

fn judge((host, port, connector): Key, seen: &Seen, connectors: &dyn Connectors, offer: &Offer) -> Impact {
    let tls = connectors.tls(&connector);
    let foresight = match tls.level {
        TlsLevel::None => Foresight { verdict: Verdict::Works, because: "gets its mail without TLS".to_owned() },
        _ => seen.server.foresee(offer),
    };
    let in_plaintext = tls.level == TlsLevel::Opportunistic && tls.falls_back;
    Impact { host, port, connector, foresight, in_plaintext, messages: seen.messages }
}
