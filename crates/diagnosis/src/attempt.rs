//! Attempts in full, for those who want to look at some of them. Of each way of failing the newest are kept, and of those
//! that worked: a million attempts leave no more behind than a few thousand.

use std::{collections::HashMap, net::IpAddr};

use jiff::Timestamp;
use protocol::tls::HandshakeFacts;

use crate::evidence::{Observed, Outcome, Place, Source};

/// One attempt as its source tells of it. What it does not tell is `None`.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub source: Source,
    pub at: Option<Timestamp>,
    /// The message in whatever words name it in this source.
    pub message: Option<String>,
    pub node: Option<String>,
    pub source_address: Option<IpAddr>,
    /// Host name and port.
    pub destination: Option<(String, u16)>,
    pub destination_address: Option<IpAddr>,
    pub tls_policy: Option<String>,
    /// What was agreed on, in OpenSSL's words.
    pub tls: Option<(String, String)>,
    pub handshake: Option<HandshakeFacts>,
    /// The failure in words; `None`: it worked.
    pub failure: Option<String>,
    pub place: Option<Place>,
}

impl Attempt {
    fn of(observed: &Observed<'_>, place: Option<Place>) -> Self {
        Self {
            source: observed.source,
            at: observed.at,
            message: observed.delivery.map(|(message, _)| message.to_owned()),
            node: observed.node.map(str::to_owned),
            source_address: observed.source_address,
            destination: observed.destination.map(|(host, port)| (host.to_owned(), port)),
            destination_address: observed.destination_address,
            tls_policy: observed.tls_policy.map(str::to_owned),
            tls: observed.tls.map(|(version, cipher)| (version.to_owned(), cipher.to_owned())),
            handshake: observed.handshake.cloned(),
            failure: match observed.outcome {
                Outcome::Failed { text, .. } => Some(text.to_owned()),
                Outcome::Worked => None,
            },
            place,
        }
    }
}

/// Ways of failing of which attempts are kept: foreign text must not fill the memory.
const WAYS_MAX: usize = 1000;

/// The newest attempts by group and symptom.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Of each; 0: none are wanted.
    limit: usize,
    attempts: HashMap<(u32, u32), Vec<Attempt>>,
}

impl Newest {
    pub(crate) fn of_each(limit: usize) -> Self {
        Self { limit, attempts: HashMap::new() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn add(&mut self, group: u32, symptom: u32, observed: &Observed<'_>, place: impl Fn() -> Option<Place>) {
        let is_full = self.attempts.len() >= WAYS_MAX && !self.attempts.contains_key(&(group, symptom));
        if self.limit == 0 || is_full {
            return;
        }
        let attempts = self.attempts.entry((group, symptom)).or_default();
        if attempts.len() < self.limit {
            attempts.push(Attempt::of(observed, place()));
            return;
        }
        if let Some(oldest) = attempts.iter_mut().min_by_key(|attempt| attempt.at)
            && oldest.at < observed.at
        {
            *oldest = Attempt::of(observed, place());
        }
    }

    pub(crate) fn of(&self, group: u32, symptom: u32) -> &[Attempt] {
        self.attempts.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }
}
