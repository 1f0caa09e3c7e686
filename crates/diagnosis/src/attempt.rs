//! Attempts in full, for those who want to look at some of them. Of each way of failing the newest are kept, and of those
//! that worked: a million attempts leave no more behind than a few thousand.

use std::{collections::HashMap, net::IpAddr};

use jiff::Timestamp;
use protocol::{
    smtp::{EnhancedCode, Phase},
    tls::HandshakeFacts,
};

use crate::{
    evidence::{Connection, Observed, Outcome, Place, Source},
    signs::Signs,
};

/// One attempt as its source tells of it, or its sources. What they do not tell is `None`.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The one that knows most of it.
    pub source: Source,
    pub at: Option<Timestamp>,
    pub session: Option<String>,
    pub connection: Option<Connection>,
    /// In whatever words name it in this source.
    pub message: Option<String>,
    pub recipient: Option<String>,
    pub message_id: Option<String>,
    pub connector: Option<String>,
    pub node: Option<String>,
    pub source_address: Option<IpAddr>,
    /// Host name and port.
    pub destination: Option<(String, u16)>,
    pub destination_address: Option<IpAddr>,
    pub tls_policy: Option<String>,
    /// What was agreed on, in OpenSSL's words.
    pub tls: Option<(String, String)>,
    pub handshake: Option<HandshakeFacts>,
    pub message_bytes: Option<u64>,
    pub sender_domain: Option<String>,
    pub recipient_domain: Option<String>,
    /// `None`: it worked.
    pub failure: Option<Failed>,
    /// Where to find it, in each source that tells of it.
    pub places: Vec<(Source, Place)>,
}

/// How an attempt failed; see [`Outcome::Failed`].
#[derive(Clone, Debug)]
pub struct Failed {
    pub phase: Option<Phase>,
    pub signs: Signs,
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
    /// In words, for people.
    pub text: String,
}

impl Attempt {
    pub(crate) fn of(observed: &Observed<'_>, places: Vec<(Source, Place)>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            source: observed.source,
            at: observed.at,
            session: owned(observed.session),
            connection: observed.connection,
            message: owned(observed.message),
            recipient: owned(observed.recipient),
            message_id: owned(observed.message_id),
            connector: owned(observed.connector),
            node: owned(observed.node),
            source_address: observed.source_address,
            destination: observed.destination.map(|(host, port)| (host.to_owned(), port)),
            destination_address: observed.destination_address,
            tls_policy: owned(observed.tls_policy),
            tls: observed.tls.map(|(version, cipher)| (version.to_owned(), cipher.to_owned())),
            handshake: observed.handshake.cloned(),
            message_bytes: observed.message_bytes,
            sender_domain: owned(observed.sender_domain),
            recipient_domain: owned(observed.recipient_domain),
            failure: match observed.outcome {
                Outcome::Failed { phase, signs, code, enhanced, text } => {
                    Some(Failed { phase, signs, code, enhanced, text: text.to_owned() })
                }
                Outcome::Worked => None,
            },
            places,
        }
    }

    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            source: self.source,
            at: self.at,
            session: self.session.as_deref(),
            connection: self.connection,
            message: self.message.as_deref(),
            recipient: self.recipient.as_deref(),
            message_id: self.message_id.as_deref(),
            connector: self.connector.as_deref(),
            node: self.node.as_deref(),
            source_address: self.source_address,
            destination: self.destination.as_ref().map(|(host, port)| (host.as_str(), *port)),
            destination_address: self.destination_address,
            tls_policy: self.tls_policy.as_deref(),
            tls: self.tls.as_ref().map(|(version, cipher)| (version.as_str(), cipher.as_str())),
            handshake: self.handshake.as_ref(),
            message_bytes: self.message_bytes,
            sender_domain: self.sender_domain.as_deref(),
            recipient_domain: self.recipient_domain.as_deref(),
            outcome: match &self.failure {
                Some(Failed { phase, signs, code, enhanced, text }) => {
                    Outcome::Failed { phase: *phase, signs: *signs, code: *code, enhanced: *enhanced, text }
                }
                None => Outcome::Worked,
            },
        }
    }

    /// The same, completed by what another source tells of it.
    pub(crate) fn completed_by(mut self, other: Self) -> Self {
        self.at = self.at.or(other.at);
        self.session = self.session.or(other.session);
        self.connection = self.connection.or(other.connection);
        self.message = self.message.or(other.message);
        self.recipient = self.recipient.or(other.recipient);
        self.message_id = self.message_id.or(other.message_id);
        self.connector = self.connector.or(other.connector);
        self.node = self.node.or(other.node);
        self.source_address = self.source_address.or(other.source_address);
        self.destination = self.destination.or(other.destination);
        self.destination_address = self.destination_address.or(other.destination_address);
        self.tls_policy = self.tls_policy.or(other.tls_policy);
        self.tls = self.tls.or(other.tls);
        self.handshake = self.handshake.or(other.handshake);
        self.message_bytes = self.message_bytes.or(other.message_bytes);
        self.sender_domain = self.sender_domain.or(other.sender_domain);
        self.recipient_domain = self.recipient_domain.or(other.recipient_domain);
        self.failure = match (self.failure, other.failure) {
            (Some(failed), Some(other)) => Some(failed.completed_by(other)),
            (failed, _) => failed,
        };
        self.places.extend(other.places);
        self
    }
}

impl Failed {
    fn completed_by(self, other: Self) -> Self {
        Self {
            phase: self.phase.or(other.phase),
            signs: if self.signs.are_silent() { self.signs.union(other.signs) } else { self.signs },
            code: self.code.or(other.code),
            enhanced: self.enhanced.or(other.enhanced),
            text: self.text,
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

    pub(crate) fn add(
        &mut self,
        group: u32,
        symptom: u32,
        observed: &Observed<'_>,
        places: impl Fn() -> Vec<(Source, Place)>,
    ) {
        let is_full = self.attempts.len() >= WAYS_MAX && !self.attempts.contains_key(&(group, symptom));
        if self.limit == 0 || is_full {
            return;
        }
        let attempts = self.attempts.entry((group, symptom)).or_default();
        if attempts.len() < self.limit {
            attempts.push(Attempt::of(observed, places()));
            return;
        }
        if let Some(oldest) = attempts.iter_mut().min_by_key(|attempt| attempt.at)
            && oldest.at < observed.at
        {
            *oldest = Attempt::of(observed, places());
        }
    }

    pub(crate) fn of(&self, group: u32, symptom: u32) -> &[Attempt] {
        self.attempts.get(&(group, symptom)).map_or(&[], Vec::as_slice)
    }
}
