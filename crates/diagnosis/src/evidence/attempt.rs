//! An attempt as one source has it, or as several do.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use jiff::Timestamp;
use protocol::{
    host_port,
    smtp::{EnhancedCode, Failure, Phase},
    tls::HandshakeFacts,
};

use super::{
    signs::{Signs, Speaker, Words},
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

/// Which way the mail of an attempt goes, seen from the system that the source is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    #[default]
    Outbound,
    /// The sender's host stands in `destination` and `destination_address`: it is the remote host.
    Inbound,
}

/// One attempt. `None`: the source does not have it. It borrows from its source until it is kept.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    /// Of several, the one that knows most of it.
    pub source: Source,
    pub direction: Direction,
    pub at: Option<Timestamp>,
    /// A session id that joins to protocol logs.
    pub session: Option<Cow<'a, str>>,
    pub connection: Option<Connection>,
    /// In whatever words name it in this source.
    pub message: Option<Cow<'a, str>>,
    pub recipient: Option<Cow<'a, str>>,
    /// The header field (RFC 5322 section 3.6.4), which names a message in all systems.
    pub message_id: Option<Cow<'a, str>>,
    /// How mail leaves: attempts by one connector are compared with each other.
    pub connector: Option<Cow<'a, str>>,
    pub node: Option<Cow<'a, str>>,
    pub source_address: Option<IpAddr>,
    /// Host name, and the port if the source names it.
    pub destination: Option<(Cow<'a, str>, Option<u16>)>,
    pub destination_address: Option<IpAddr>,
    pub tls_policy: Option<Cow<'a, str>>,
    /// What was agreed on, in OpenSSL's words.
    pub tls: Option<(Cow<'a, str>, Cow<'a, str>)>,
    pub handshake: Option<Cow<'a, HandshakeFacts>>,
    pub message_bytes: Option<u64>,
    /// Connections that this side had open to the destination when it began, itself included.
    pub connections: Option<u32>,
    pub sender_domain: Option<Cow<'a, str>>,
    pub recipient_domain: Option<Cow<'a, str>>,
    /// It worked, but without TLS, because TLS had failed like this.
    pub plaintext_after: Option<Box<Failed<'a>>>,
    /// `None`: it worked.
    pub failure: Option<Failed<'a>>,
    /// Where to find it, in each source that has it; only of attempts that are kept.
    pub places: Vec<(Source, Place)>,
}

/// How an attempt failed.
#[derive(Clone, Debug)]
pub struct Failed<'a> {
    pub phase: Option<Phase>,
    /// What happened, beside what reply and handshake say.
    pub signs: Signs,
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
    /// In words, for people.
    pub text: Cow<'a, str>,
}

impl Attempt<'_> {
    /// An attempt that worked, and of which nothing else is known.
    pub fn by(source: Source) -> Self {
        Self {
            source,
            direction: Direction::Outbound,
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
            connections: None,
            sender_domain: None,
            recipient_domain: None,
            plaintext_after: None,
            failure: None,
            places: Vec::new(),
        }
    }

    /// `host:port` of the destination, as evidence names it.
    pub(crate) fn destination_name(&self) -> Option<String> {
        self.destination.as_ref().map(|(host, port)| host_port::join(host, *port))
    }

    /// To be kept, with its places in the sources.
    pub(super) fn kept(&self, places: Vec<(Source, Place)>) -> Attempt<'static> {
        Attempt {
            source: self.source,
            direction: self.direction,
            at: self.at,
            session: self.session.as_deref().map(owned),
            connection: self.connection,
            message: self.message.as_deref().map(owned),
            recipient: self.recipient.as_deref().map(owned),
            message_id: self.message_id.as_deref().map(owned),
            connector: self.connector.as_deref().map(owned),
            node: self.node.as_deref().map(owned),
            source_address: self.source_address,
            destination: self.destination.as_ref().map(|(host, port)| (owned(host), *port)),
            destination_address: self.destination_address,
            tls_policy: self.tls_policy.as_deref().map(owned),
            tls: self.tls.as_ref().map(|(version, cipher)| (owned(version), owned(cipher))),
            handshake: self.handshake.as_deref().map(|facts| Cow::Owned(facts.clone())),
            message_bytes: self.message_bytes,
            connections: self.connections,
            sender_domain: self.sender_domain.as_deref().map(owned),
            recipient_domain: self.recipient_domain.as_deref().map(owned),
            plaintext_after: self.plaintext_after.as_ref().map(|failed| Box::new(failed.kept())),
            failure: self.failure.as_ref().map(Failed::kept),
            places,
        }
    }

    /// The same, completed from another source.
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
        self.destination = match (self.destination, other.destination) {
            (Some((host, None)), Some((_, port))) => Some((host, port)),
            (own, other) => own.or(other),
        };
        self.destination_address = self.destination_address.or(other.destination_address);
        self.tls_policy = self.tls_policy.or(other.tls_policy);
        self.tls = self.tls.or(other.tls);
        self.handshake = self.handshake.or(other.handshake);
        self.message_bytes = self.message_bytes.or(other.message_bytes);
        self.connections = self.connections.or(other.connections);
        self.sender_domain = self.sender_domain.or(other.sender_domain);
        self.recipient_domain = self.recipient_domain.or(other.recipient_domain);
        self.plaintext_after = self.plaintext_after.or(other.plaintext_after);
        self.failure = match (self.failure, other.failure) {
            (Some(failed), Some(other)) => Some(failed.completed_by(other)),
            (failed, _) => failed,
        };
        self.places.extend(other.places);
        self
    }
}

impl<'a> Failed<'a> {
    /// Of a failure as our own sender has it; `text` is the same for people.
    pub fn of(failure: &Failure, text: impl Into<Cow<'a, str>>) -> Self {
        let mut signs = Signs::of_kind(&failure.kind);
        if let Some(reply) = &failure.reply {
            signs = signs.union(Signs::of_words(&Words {
                text: &reply.text,
                speaker: Speaker::Destination,
                phase: Some(failure.phase),
                code: Some(reply.code),
                enhanced: reply.enhanced,
            }));
        }
        Self {
            phase: Some(failure.phase),
            signs,
            code: failure.reply.as_ref().map(|reply| reply.code),
            enhanced: failure.reply.as_ref().and_then(|reply| reply.enhanced),
            text: text.into(),
        }
    }

    fn kept(&self) -> Failed<'static> {
        Failed {
            phase: self.phase,
            signs: self.signs,
            code: self.code,
            enhanced: self.enhanced,
            text: owned(&self.text),
        }
    }

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

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}
