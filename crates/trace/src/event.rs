//! Events: the rows of a message's history. An event observes; nothing is ever decided by one.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use jiff::Timestamp;
use protocol::{
    smtp::{Address, Destination, Failure, Phase, PhaseTime, Reply, ReversePath, TlsSummary},
    tls::HandshakeFacts,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Limit, NextStep};

/// One row of a message's history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    /// Name of the node that saw it, or of the operator's host for commands.
    pub node: String,
    /// The network message id.
    pub message: Uuid,
    /// `None`: the event is about the whole message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The message is durable in the queue and was answered 250.
    Received(Received),
    /// The destination took the delivery.
    Delivered {
        attempt: Attempt,
        reply: Reply,
    },
    /// An attempt failed, and Gatepost tries again.
    Deferred {
        attempt: Attempt,
        failure: Failure,
        due: Timestamp,
    },
    /// The delivery was given up. No attempt where it expired without one.
    Failed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Attempt>,
        failure: Failure,
    },
    /// One host of its connector failed, and the next one was tried: the result of that follows. Covers all recipients
    /// that the attempt carried, and stands once for them.
    HostFailed {
        attempt: Attempt,
        failure: Failure,
    },
    /// Its node stopped between lease and result. If the attempt had sent its final dot, a duplicate is possible.
    Interrupted {
        leased_by: String,
    },
    /// A notice about this delivery was queued for the sender.
    Notified {
        action: NoticeAction,
        notice: Uuid,
    },
    /// A notice about this delivery was not sent: the sender's address has had as many as one may get.
    NoticeWithheld {
        action: NoticeAction,
    },
    Suspended {
        by: String,
    },
    Resumed {
        by: String,
    },
    /// An operator made it due now.
    Retried {
        by: String,
    },
    /// An operator deleted it from the queue.
    Removed {
        by: String,
    },
    /// An event that this version cannot read, because a newer one wrote it: see [`Event::read`].
    #[serde(skip_deserializing)]
    Unknown {
        /// What the newer version calls it.
        name: String,
        #[serde(flatten)]
        fields: serde_json::Map<String, serde_json::Value>,
    },
}

impl Event {
    /// Reads an event as it is recorded. It fails only if that is not an event of any version.
    pub fn read(json: &str) -> serde_json::Result<Self> {
        // The usual case costs nothing more.
        serde_json::from_str(json).or_else(|_| Self::read_unknown(json))
    }

    fn read_unknown(json: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Recorded {
            at: Timestamp,
            node: String,
            message: Uuid,
            #[serde(default)]
            recipient: Option<Address>,
            event: String,
            #[serde(flatten)]
            fields: serde_json::Map<String, serde_json::Value>,
        }
        let Recorded { at, node, message, recipient, event: name, fields } = serde_json::from_str(json)?;
        Ok(Self { at, node, message, recipient, kind: EventKind::Unknown { name, fields } })
    }
}

impl EventKind {
    /// The stable name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Received(_) => "received",
            Self::Delivered { .. } => "delivered",
            Self::Deferred { .. } => "deferred",
            Self::Failed { .. } => "failed",
            Self::HostFailed { .. } => "host-failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Notified { .. } => "notified",
            Self::NoticeWithheld { .. } => "notice-withheld",
            Self::Suspended { .. } => "suspended",
            Self::Resumed { .. } => "resumed",
            Self::Retried { .. } => "retried",
            Self::Removed { .. } => "removed",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl EventKind {
    /// The attempt that it is the result of.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Delivered { attempt, .. } | Self::Deferred { attempt, .. } | Self::HostFailed { attempt, .. } => {
                Some(attempt)
            }
            Self::Failed { attempt, .. } => attempt.as_ref(),
            _ => None,
        }
    }

    /// Why its attempt failed; `None` where it worked, or was none.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Deferred { failure, .. } | Self::Failed { failure, .. } | Self::HostFailed { failure, .. } => {
                Some(failure)
            }
            _ => None,
        }
    }
}

/// How a message came in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Received {
    pub sender: ReversePath,
    pub recipients: u32,
    pub size_bytes: u64,
    /// `None`: made by the gateway itself (a notice).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What the client said in EHLO or HELO.
    #[serde(default, rename = "hello", skip_serializing_if = "String::is_empty")]
    pub ehlo_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// Session id, 16 hex digits; joins to the protocol log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
}

/// One try to deliver, on one connection, by one node to one destination.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub connector: String,
    /// `None` when no destination was found to connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// Name of the TLS policy that held.
    #[serde(default)]
    pub tls_policy: String,
    /// Version of the rollout plan that the node followed; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_version: Option<u64>,
    /// What was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    /// What was seen of the handshake, good or bad; `None` where it came to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// What each phase took, in order. Those of the connection stand in its first attempt only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
    /// The handshake failure for which the connection went on in plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext_because: Option<Failure>,
    /// Session id, 16 hex digits, the same for all attempts on one connection.
    pub session: String,
    /// From taking up the delivery to its result, in milliseconds.
    pub duration_ms: u64,
}

/// What a notice says of a delivery: the Action field of RFC 3464 section 2.3.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeAction {
    Failed,
    Delayed,
    /// Handed to a server that makes no notices of its own (RFC 3461 section 5.2.2).
    Relayed,
}

/// What an attempt under way is doing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Doing {
    pub phase: Phase,
    /// When the phase began.
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phase.doing())?;
        match &self.destination {
            Some(destination) => write!(f, " ({destination})"),
            None => Ok(()),
        }
    }
}

/// Why a delivery is still in the queue. Closed: every waiting delivery is in exactly one of these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "waits", rename_all = "kebab-case")]
pub enum Waiting {
    /// For its retry timer.
    Timer {
        until: Timestamp,
    },
    /// Due, but the connector runs as many connections, or sends as fast, as it may.
    ConnectorLimit {
        limit: Limit,
    },
    /// The connector's destinations failed as a whole; nothing is tried before that time.
    ConnectorBackedOff {
        until: Timestamp,
    },
    Suspended {
        by: String,
    },
    /// It was waiting in a backup that was restored, and may have been delivered since. Nobody has said yet what is to become
    /// of it.
    Restored,
    /// A node is delivering it right now.
    Leased {
        node: String,
        until: Timestamp,
        /// What the attempt is doing; `None` where it began a moment ago.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doing: Option<Doing>,
    },
    /// No connector for it in the configuration.
    NoRoute {
        connector: String,
    },
    /// A TLS policy forbids what the destination offers.
    PolicyForbids {
        policy: String,
    },
    /// Due, but no node has reported for a while.
    NoNode {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Timestamp>,
    },
}

impl Waiting {
    /// The stable name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Timer { .. } => "timer",
            Self::ConnectorLimit { .. } => "connector-limit",
            Self::ConnectorBackedOff { .. } => "connector-backed-off",
            Self::Suspended { .. } => "suspended",
            Self::Restored => "restored",
            Self::Leased { .. } => "leased",
            Self::NoRoute { .. } => "no-route",
            Self::PolicyForbids { .. } => "policy-forbids",
            Self::NoNode { .. } => "no-node",
        }
    }

    /// What an operator can do about it: the command for this message, or for its connector.
    pub fn next_step(&self, message: Uuid, connector: &str) -> Option<NextStep> {
        match self {
            Self::Timer { .. } => Some(NextStep::RetryMessage(message)),
            Self::ConnectorBackedOff { .. } => Some(NextStep::RetryConnector(connector.to_owned())),
            Self::Suspended { .. } => Some(NextStep::ResumeMessage(message)),
            Self::Restored => Some(NextStep::StoreRestored),
            Self::NoNode { .. } => Some(NextStep::Serve),
            Self::ConnectorLimit { .. } | Self::Leased { .. } | Self::NoRoute { .. } | Self::PolicyForbids { .. } => {
                None
            }
        }
    }

    /// What ends the wait, for people.
    pub fn unblocked_by(&self) -> String {
        match self {
            Self::Timer { until } => format!("the next attempt at {until}"),
            Self::ConnectorLimit { limit } => format!("the end of another delivery (limit: {limit})"),
            Self::ConnectorBackedOff { until } => {
                format!("the next connection attempt at {until}")
            }
            Self::Suspended { .. } => "an operator, who must resume the message".to_owned(),
            Self::Restored => "an operator, who must say what is to become of restored mail".to_owned(),
            Self::Leased { node, .. } => format!("the result from node {node}, or the end of its lease"),
            Self::NoRoute { connector } => format!("a [[connector]] named \"{connector}\" in the configuration"),
            Self::PolicyForbids { policy } => {
                format!("a change of the destination's TLS or of the policy \"{policy}\"")
            }
            Self::NoNode { .. } => "the start of a node".to_owned(),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timer { until } => write!(f, "next attempt at {until}"),
            Self::ConnectorLimit { limit } => write!(f, "connector at its limit ({limit})"),
            Self::ConnectorBackedOff { until } => write!(f, "connector paused until {until}"),
            Self::Suspended { by } => write!(f, "suspended by {by}"),
            Self::Restored => f.write_str("held, because the store was restored from a backup"),
            Self::Leased { node, doing: Some(doing), .. } => {
                write!(f, "{node} has been {doing} since {}", doing.since)
            }
            Self::Leased { node, until, doing: None } => write!(f, "being delivered by {node}, lease until {until}"),
            Self::NoRoute { connector } => write!(f, "no connector \"{connector}\""),
            Self::PolicyForbids { policy } => write!(f, "TLS policy \"{policy}\" forbids it"),
            Self::NoNode { last_seen: Some(at) } => write!(f, "no node running (last seen {at})"),
            Self::NoNode { last_seen: None } => f.write_str("no node running"),
        }
    }
}
