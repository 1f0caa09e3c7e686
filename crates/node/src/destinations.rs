//! What destinations show of themselves at the beginning of each connection. A sight that differs from the last one goes to
//! the store, which knows what this node saw before it was restarted, and what other nodes have just recorded.
//!
//! Mail never waits for this, and what is remembered is bounded.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use net::send::Seen;
use protocol::{
    smtp::client::{Extensions, Introduction},
    tls::HandshakeFacts,
};
use store::{ChangeLog as _, Queue as _, Room, SeenDestination};
use tokio::time::Instant;
use trace::change::{CertificateFacts, DestinationFacts, StartTlsOffer};

use crate::Node;

/// Addresses that are remembered. Those of smart hosts are few; MX records lead to any number.
const ADDRESSES_MAX: usize = 4000;
/// Maximum number of sights of one address that go to the store within `WINDOW`: servers that differ may answer in turn.
const SIGHTS_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(600);
/// Interval at which sights go to the store, and addresses at a time: one transaction must not take long, even if the server is
/// far away and each address has changed.
const INTERVAL: Duration = Duration::from_secs(1);
const AT_ONCE_MAX: usize = 10;
/// Pause after the store did not take them.
const PAUSE: Duration = Duration::from_secs(30);
/// Keywords that are kept of one answer to EHLO, and characters of each.
const KEYWORDS_MAX: usize = 50;
const KEYWORD_MAX: usize = 40;

/// The addresses that this node has connected to.
#[derive(Default)]
pub(crate) struct Destinations(Mutex<HashMap<(String, SocketAddr), Known>>);

struct Known {
    /// The last sight that went to the store, or is to go there.
    facts: DestinationFacts,
    /// What is to go there, in its order: the sight before a change is what the change is told by.
    new: Vec<DestinationFacts>,
    last: Instant,
    /// Sights that went to the store since then.
    window: Instant,
    sights: u32,
}

impl Destinations {
    /// Notes what a connection has shown. A sight that came to no answer to EHLO says nothing.
    pub(crate) fn note(&self, host: &str, address: SocketAddr, seen: &Seen) {
        let facts = seen.introduction.as_deref().and_then(|said| facts(said, seen.handshake.as_deref()));
        if let Some(facts) = facts {
            self.note_facts(host, address, facts, Instant::now());
        }
    }

    fn note_facts(&self, host: &str, address: SocketAddr, facts: DestinationFacts, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), address);
        if let Some(known) = all.get_mut(&key) {
            known.note(facts, now);
            return;
        }
        if all.len() >= ADDRESSES_MAX {
            let oldest = all.iter().min_by_key(|(_, known)| known.last).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let new = vec![facts.clone()];
        all.insert(key, Known { facts, new, last: now, window: now, sights: 1 });
    }

    /// What is to go to the store.
    fn take_new(&self) -> Vec<SeenDestination> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let with_new = all.iter_mut().filter(|(_, known)| !known.new.is_empty()).take(AT_ONCE_MAX);
        let taken = with_new.flat_map(|((host, address), known)| {
            let seen = |facts| SeenDestination { host: host.clone(), address: *address, facts };
            std::mem::take(&mut known.new).into_iter().map(seen).collect::<Vec<_>>()
        });
        taken.collect()
    }

    /// The store did not take these.
    fn put_back(&self, seen: Vec<SeenDestination>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for SeenDestination { host, address, facts } in seen.into_iter().rev() {
            if let Some(known) = all.get_mut(&(host, address)) {
                known.new.insert(0, facts);
                known.bound();
            }
        }
    }
}

impl Known {
    fn note(&mut self, facts: DestinationFacts, now: Instant) {
        self.last = now;
        let facts = facts.completed(&self.facts);
        if facts == self.facts {
            return;
        }
        if now.duration_since(self.window) >= WINDOW {
            (self.window, self.sights) = (now, 0);
        }
        // A sight that is left out is noted with a later connection, if it lasts.
        if self.sights < SIGHTS_MAX {
            self.sights += 1;
            self.new.push(facts.clone());
            self.facts = facts;
            self.bound();
        }
    }

    /// While the store is away, the first sights and the last one are kept.
    fn bound(&mut self) {
        while self.new.len() > SIGHTS_MAX as usize {
            self.new.remove(self.new.len() - 2);
        }
    }
}

fn facts(said: &Introduction, handshake: Option<&HandshakeFacts>) -> Option<DestinationFacts> {
    const COMPARED_ALONE: [&str; 4] = ["STARTTLS", "SIZE", "XXXXXXXA", "XXXXXXXX"];
    let ehlo = said.ehlo.as_ref()?;
    let offered = Extensions::parse(ehlo);
    let mut extensions = Extensions::keywords(ehlo);
    extensions.retain(|keyword| !COMPARED_ALONE.contains(&keyword.as_str()) && keyword.chars().count() <= KEYWORD_MAX);
    extensions.truncate(KEYWORDS_MAX);
    let starttls = match offered {
        Extensions { starttls: true, .. } => StartTlsOffer::Offered,
        Extensions { starttls_masked: true, .. } => StartTlsOffer::Masked,
        _ => StartTlsOffer::NotOffered,
    };
    let leaf = handshake.and_then(|handshake| handshake.certificates.first());
    let certificate = leaf.map(|leaf| CertificateFacts {
        subject: leaf.subject.clone(),
        thumbprint: leaf.thumbprint.clone(),
        not_after: Timestamp::from_second(leaf.not_after_s).unwrap_or(Timestamp::MAX),
    });
    let greeting = DestinationFacts::stable_greeting(&said.greeting);
    Some(DestinationFacts { greeting, starttls, size: offered.size.flatten(), extensions, certificate })
}

/// Tells the store as long as the node runs.
pub(crate) async fn tell_always(node: Arc<Node>) {
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        // On a full disk, results of attempts need the room.
        if node.store.room() != Room::Enough {
            continue;
        }
        let seen = node.destinations.take_new();
        if seen.is_empty() {
            continue;
        }
        if let Err(error) = node.store.note_destinations(&node.name, seen.clone()).await {
            tracing::warn!(%error, "failed to store what destinations have shown; trying again");
            node.destinations.put_back(seen);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::smtp::Reply;

    use super::*;

    fn shown(ehlo: &str) -> DestinationFacts {
        let ehlo = Some(Reply::new(250, None, ehlo));
        let said = Introduction { greeting: "mx.test ESMTP 1234".to_owned(), ehlo };
        facts(&said, None).expect("an answer to EHLO")
    }

    #[test]
    fn an_answer_to_ehlo_is_read() {
        let facts = shown("mx.test\nSIZE 1000\nstarttls\n8BITMIME\nAUTH LOGIN PLAIN\nAUTH=LOGIN");
        assert_eq!((facts.starttls, facts.size), (StartTlsOffer::Offered, Some(1000)));
        assert_eq!(
            (facts.greeting.as_str(), facts.extensions.as_slice()),
            ("mx.test ESMTP", &["8BITMIME", "AUTH", "AUTH=LOGIN"].map(str::to_owned)[..])
        );
        assert_eq!(shown("mx.test\nXXXXXXXA").starttls, StartTlsOffer::Masked);
        let many = (0..100).map(|number| format!("\nX-{number}")).collect::<String>();
        assert_eq!(shown(&format!("mx.test{many}\n{}", "Y".repeat(500))).extensions.len(), KEYWORDS_MAX);
        assert_eq!(super::facts(&Introduction::default(), None), None);
    }

    #[test]
    fn only_changes_go_to_the_store_and_not_too_many() {
        let (destinations, now) = (Destinations::default(), Instant::now());
        let address = "192.0.2.1:25".parse().expect("an address");
        let note = |ehlo: &str, second| {
            destinations.note_facts("mx.test", address, shown(ehlo), now + Duration::from_secs(second));
            destinations.take_new().len()
        };
        assert_eq!((note("mx.test", 0), note("mx.test", 1), note("mx.test\nDSN", 2)), (1, 0, 1));
        // Two servers answer in turn.
        let turns = (3..100).map(|second| note(if second % 2 == 0 { "mx.test\nDSN" } else { "mx.test" }, second));
        assert_eq!(turns.sum::<usize>(), 3);
        assert_eq!(note("mx.test\nDSN\nSIZE 1", 700), 1);
        let seen = vec![SeenDestination { host: "mx.test".to_owned(), address, facts: shown("mx.test") }];
        destinations.put_back(seen.clone());
        assert_eq!(destinations.take_new(), seen);
        // While the store is away, they do not pile up, and the last one is the last.
        let many: Vec<_> = (0..9)
            .map(|size| SeenDestination { facts: shown(&format!("mx.test\nSIZE {size}")), ..seen[0].clone() })
            .collect();
        destinations.put_back(many.clone());
        let kept = destinations.take_new();
        assert_eq!((kept.len(), kept.first(), kept.last()), (SIGHTS_MAX as usize, many.first(), many.last()));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (destinations, now) = (Destinations::default(), Instant::now());
        for port in 0..=ADDRESSES_MAX as u16 {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            destinations.note_facts("mx.test", address, shown("mx.test"), now + Duration::from_secs(port.into()));
        }
        let all = destinations.0.lock().expect("unpoisoned");
        assert_eq!(all.len(), ADDRESSES_MAX);
        assert!(!all.contains_key(&("mx.test".to_owned(), SocketAddr::from(([192, 0, 2, 1], 0)))));
    }
}
