//! Why an attempt failed: phase, kind and the destination's reply, as separate facts. Prose is never state.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{Phase, Reply};

/// The server at the other end of one attempt.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Destination {
    /// Host name, or address literal, as configured or as the MX record says.
    pub host: String,
    pub port: u16,
    /// `None` before the lookup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        match self.address {
            Some(address) if address.ip().to_string() != self.host => write!(f, " [{}]", address.ip()),
            _ => Ok(()),
        }
    }
}

/// TLS version and cipher suite of an encrypted connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TlsSummary {
    /// As OpenSSL names it, e.g. `TLSv1.3`.
    pub version: String,
    /// As OpenSSL names it, e.g. `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// Why one delivery, or every delivery of an attempt, failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub phase: Phase,
    #[serde(flatten)]
    pub kind: FailureKind,
    /// The destination's reply, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
}

/// What went wrong, and who caused it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FailureKind {
    /// The destination replied 4xx or 5xx; see [`Failure::reply`].
    Rejected,
    /// The name does not exist, or has neither MX nor address.
    HostNotFound,
    /// The domain says that it accepts no mail (null MX, RFC 7505).
    NullMx,
    /// Name servers did not answer, or answered with a failure.
    DnsFailure {
        detail: String,
    },
    ConnectionRefused,
    NetworkUnreachable,
    ConnectionReset,
    /// The destination closed the connection in an orderly way, before it replied.
    ConnectionClosed,
    /// The destination sent nothing within the timeout of the phase.
    TimedOut {
        after_s: u64,
    },
    HandshakeFailed {
        detail: String,
    },
    /// After the handshake, the destination sent an alert, or bytes that are not TLS. A mail server that is being
    /// stopped may write its 421 in plaintext.
    TlsBroken {
        detail: String,
    },
    /// The connector requires TLS and the destination does not offer STARTTLS.
    #[serde(rename = "starttls-not-offered")]
    StartTlsNotOffered,
    /// The connector requires TLS, and a device in the network has overwritten the word STARTTLS.
    #[serde(rename = "starttls-masked")]
    StartTlsMasked,
    /// The destination lacks an extension without which the message would be damaged.
    ExtensionMissing {
        extension: String,
    },
    /// The message is larger than the destination says it accepts (SIZE, RFC 1870).
    TooLarge {
        size_bytes: u64,
        size_max_bytes: u64,
    },
    /// The destination sent bytes that are not SMTP.
    BadReply {
        detail: String,
    },
    /// A stranger chose the destination, and all its addresses are outside the public internet. `address` is the first.
    AddressNotAllowed {
        address: IpAddr,
    },
    /// A fault on this node: no file descriptors, no memory, a store that cannot read the message.
    Local {
        detail: String,
    },
    /// This host is the best mail exchanger for the recipient's domain (RFC 5321 section 5.1).
    MailLoop,
    /// The delivery waited longer than the queue keeps mail. Phase, reply, destination and cause are those of the last
    /// attempt. `None`: there was no attempt.
    Expired {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Box<FailureKind>>,
    },
}

/// The deliveries that a failure affects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Only this recipient. Other recipients of the same message may get it.
    Recipient,
    /// This message, for all its recipients.
    Message,
    /// Every message to this destination. The caller tries the connector's other hosts, then pauses the connector.
    Destination,
}

impl FailureKind {
    /// The stable name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::HostNotFound => "host-not-found",
            Self::NullMx => "null-mx",
            Self::DnsFailure { .. } => "dns-failure",
            Self::ConnectionRefused => "connection-refused",
            Self::NetworkUnreachable => "network-unreachable",
            Self::ConnectionReset => "connection-reset",
            Self::ConnectionClosed => "connection-closed",
            Self::TimedOut { .. } => "timed-out",
            Self::HandshakeFailed { .. } => "handshake-failed",
            Self::TlsBroken { .. } => "tls-broken",
            Self::StartTlsNotOffered => "starttls-not-offered",
            Self::StartTlsMasked => "starttls-masked",
            Self::ExtensionMissing { .. } => "extension-missing",
            Self::TooLarge { .. } => "too-large",
            Self::BadReply { .. } => "bad-reply",
            Self::AddressNotAllowed { .. } => "address-not-allowed",
            Self::Local { .. } => "local",
            Self::MailLoop => "mail-loop",
            Self::Expired { .. } => "expired",
        }
    }
}

impl Failure {
    pub fn new(phase: Phase, kind: FailureKind) -> Self {
        Self { phase, kind, reply: None, destination: None }
    }

    pub fn rejected(phase: Phase, reply: Reply) -> Self {
        Self { phase, kind: FailureKind::Rejected, reply: Some(reply), destination: None }
    }

    pub fn at(mut self, destination: &Destination) -> Self {
        self.destination = Some(destination.clone());
        self
    }

    /// True if another attempt cannot help, so that the delivery bounces now.
    pub fn is_permanent(&self) -> bool {
        match &self.kind {
            FailureKind::Rejected => {
                self.scope() != Scope::Destination && self.reply.as_ref().is_some_and(Reply::is_permanent)
            }
            FailureKind::NullMx
            | FailureKind::ExtensionMissing { .. }
            | FailureKind::TooLarge { .. }
            | FailureKind::MailLoop
            | FailureKind::AddressNotAllowed { .. }
            | FailureKind::Expired { .. } => true,
            // If a domain does not exist, its name servers may be wrong. The delivery expires if they stay wrong.
            FailureKind::HostNotFound
            | FailureKind::DnsFailure { .. }
            | FailureKind::ConnectionRefused
            | FailureKind::NetworkUnreachable
            | FailureKind::ConnectionReset
            | FailureKind::ConnectionClosed
            | FailureKind::TimedOut { .. }
            | FailureKind::HandshakeFailed { .. }
            | FailureKind::TlsBroken { .. }
            | FailureKind::StartTlsNotOffered
            | FailureKind::StartTlsMasked
            | FailureKind::BadReply { .. }
            | FailureKind::Local { .. } => false,
        }
    }

    /// Which deliveries the failure affects.
    pub fn scope(&self) -> Scope {
        match (&self.kind, self.phase) {
            (
                FailureKind::NullMx
                | FailureKind::ExtensionMissing { .. }
                | FailureKind::TooLarge { .. }
                | FailureKind::MailLoop
                | FailureKind::AddressNotAllowed { .. }
                | FailureKind::Expired { .. }
                | FailureKind::Local { .. },
                _,
            ) => Scope::Message,
            // 421 closes the connection, whatever command it answers (RFC 5321 section 3.8).
            (FailureKind::Rejected, _) if self.reply.as_ref().is_some_and(|r| r.code == 421) => Scope::Destination,
            (FailureKind::Rejected, Phase::Rcpt) => Scope::Recipient,
            (FailureKind::Rejected, Phase::Mail | Phase::Data | Phase::EndOfData) => Scope::Message,
            (FailureKind::Rejected, _) => Scope::Destination,
            // A message that breaks the connection must not delay the others.
            (_, Phase::Mail | Phase::Rcpt | Phase::Data | Phase::EndOfData) => Scope::Message,
            (_, _) => Scope::Destination,
        }
    }

    /// A sentence for people: what failed, in which phase, and the destination's reply.
    pub fn summary(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(destination) = &self.destination {
            write!(f, "{destination}: ")?;
        }
        write!(f, "{} while {}", self.kind, self.phase.doing())?;
        if self.phase == Phase::EndOfData && self.kind != FailureKind::Rejected {
            f.write_str(" (the recipient may get a duplicate)")?;
        }
        match &self.reply {
            Some(reply) => write!(f, ": {reply}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => f.write_str("rejected"),
            Self::HostNotFound => f.write_str("host not found"),
            Self::NullMx => f.write_str("the domain accepts no mail (null MX)"),
            Self::DnsFailure { detail } => write!(f, "DNS failure ({detail})"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::NetworkUnreachable => f.write_str("network unreachable"),
            Self::ConnectionReset => f.write_str("connection reset"),
            Self::ConnectionClosed => f.write_str("connection closed by the destination"),
            Self::TimedOut { after_s } => write!(f, "no answer within {after_s} s"),
            Self::HandshakeFailed { detail } => write!(f, "TLS handshake failed ({detail})"),
            Self::TlsBroken { detail } => write!(f, "the encrypted connection broke ({detail})"),
            Self::StartTlsNotOffered => f.write_str("STARTTLS is required and not offered"),
            Self::StartTlsMasked => f.write_str("STARTTLS is required, but a firewall has overwritten it (XXXXXXXA)"),
            Self::ExtensionMissing { extension } => write!(f, "the destination does not offer {extension}"),
            Self::TooLarge { size_bytes, size_max_bytes } => {
                write!(f, "{size_bytes} bytes are more than the {size_max_bytes} that the destination accepts")
            }
            Self::BadReply { detail } => write!(f, "the answer is not SMTP ({detail})"),
            Self::AddressNotAllowed { address } => {
                write!(f, "{address} is not a public internet address, and [internet] allow does not list it")
            }
            Self::Local { detail } => write!(f, "fault on this node ({detail})"),
            Self::MailLoop => f.write_str("this host is the domain's own mail exchanger, so the mail would loop"),
            Self::Expired { cause: Some(cause) } => write!(f, "expired in the queue, last attempt: {cause}"),
            Self::Expired { cause: None } => f.write_str("expired in the queue"),
        }
    }
}
