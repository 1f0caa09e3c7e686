//! An attempt as a source tells of it, and in full.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use protocol::{
    smtp::{EnhancedCode, Failure, Phase},
    tls::HandshakeFacts,
};

use super::{
    signs::Signs,
    source::{Place, Source},
};

/// Between client and server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// When it was made, or the earliest that the source knows of it.
    pub began: Timestamp,
}

/// How an attempt came out.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    Worked,
    Failed {
        phase: Option<Phase>,
        /// What happened, beside what reply and handshake say.
        signs: Signs,
        code: Option<u16>,
        enhanced: Option<EnhancedCode>,
        /// The failure in words, for people.
        text: &'a str,
    },
}

impl<'a> Outcome<'a> {
    /// Of a failure as our own sender has it; `text` is the same for people.
    pub fn of(failure: &Failure, text: &'a str) -> Self {
        let mut signs = Signs::of_kind(&failure.kind);
        if let Some(reply) = &failure.reply {
            signs = signs.union(Signs::of_text(&reply.text));
        }
        Self::Failed {
            phase: Some(failure.phase),
            signs,
            code: failure.reply.as_ref().map(|reply| reply.code),
            enhanced: failure.reply.as_ref().and_then(|reply| reply.enhanced),
            text,
        }
    }
}

/// One attempt as a source tells of it. What it does not tell is `None`.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    pub source: Source,
    pub at: Option<Timestamp>,
    /// A session id that joins to protocol logs.
    pub session: Option<&'a str>,
    pub connection: Option<Connection>,
    /// In whatever words name it in this source.
    pub message: Option<&'a str>,
    pub recipient: Option<&'a str>,
    /// The header field (RFC 5322 section 3.6.4), which names a message in all systems.
    pub message_id: Option<&'a str>,
    /// How mail leaves: attempts by one connector are compared with each other.
    pub connector: Option<&'a str>,
    pub node: Option<&'a str>,
    pub source_address: Option<IpAddr>,
    /// Host name and port.
    pub destination: Option<(&'a str, u16)>,
    pub destination_address: Option<IpAddr>,
    pub tls_policy: Option<&'a str>,
    /// What was agreed on, in OpenSSL's words.
    pub tls: Option<(&'a str, &'a str)>,
    pub handshake: Option<&'a HandshakeFacts>,
    pub message_bytes: Option<u64>,
    pub sender_domain: Option<&'a str>,
    pub recipient_domain: Option<&'a str>,
    pub outcome: Outcome<'a>,
}

impl Observed<'_> {
    /// An attempt that worked, and of which nothing else is known.
    pub fn by(source: Source) -> Self {
        Self {
            source,
            at: None,
            session: None,
            connection: None,
            message: None,
            recipient: None,
            message_id: None,
            connector: None,
            node: None,
            source_address: None,
            destination: None,
            destination_address: None,
            tls_policy: None,
            tls: None,
            handshake: None,
            message_bytes: None,
            sender_domain: None,
            recipient_domain: None,
            outcome: Outcome::Worked,
        }
    }
}

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
