//! Settings for mail that waits: retries, rollouts, notices, name servers.

use std::net::SocketAddr;

use delivery::schedule::Schedule;
use insight::units::{Deadline, Duration, Period, Rate};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::observe::socket_addresses;

use super::super::network::Network;

/// When Gatepost tries a deferred delivery again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Waits before the second attempt, the third, and so on. The last wait repeats. Gatepost varies each wait a
    /// little, so that mail deferred at the same time is not tried again at the same time.
    #[schemars(length(min = 1))]
    pub schedule: Vec<Duration>,
    /// Maximum age of a message in the queue. Gatepost then stops trying and sends the sender a notice.
    pub expire: Duration,
    /// Age of a message at which the sender gets a notice of the delay, or "never".
    pub delay_notice: Deadline,
    /// Pause of a connector after all its hosts failed. The pause doubles at each further failure.
    pub back_off_first: Duration,
    /// Maximum pause of a connector.
    pub back_off_max: Duration,
}

impl Retry {
    /// When deliveries are tried again, when their senders are notified, and when they expire.
    pub fn as_schedule(&self) -> Schedule {
        Schedule {
            intervals: self.schedule.iter().map(|interval| **interval).collect(),
            expire: *self.expire,
            delay_notice: match &self.delay_notice {
                Deadline::After(delay) => Some(**delay),
                Deadline::Never => None,
            },
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            schedule: vec![Duration::minutes(15)],
            expire: Duration::hours(24),
            delay_notice: Deadline::After(Duration::hours(4)),
            back_off_first: Duration::seconds(15),
            back_off_max: Duration::minutes(5),
        }
    }
}

/// What nodes do automatically during a rollout of a TLS policy, see gatepost rollout --help.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Whether Gatepost halts a rollout if the new policy fails where the old one works, and leaves mail to the nodes
    /// whose policy works.
    pub self_defence: bool,
    /// Time that a node then leaves due mail to the other nodes. After that the node tries the mail itself.
    pub leave_for: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { self_defence: true, leave_for: Duration::minutes(1) }
    }
}

/// Failure and delay notices (RFC 3464). Anybody can forge a sender, so a notice may reach somebody who wrote nothing.
/// One notice covers all recipients of a message and contains nothing of the message but a few header fields.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// Whether Gatepost sends notices. false: senders get no notices, but traces still show what happened to their
    /// mail.
    pub enabled: bool,
    /// Domains whose senders get notices. "*.partner.test" means all subdomains of partner.test. Empty: all domains.
    #[schemars(schema_with = "domains", example = &["partner.test"])]
    pub sender_domains: Vec<String>,
    /// Maximum number of notices to one address in a period, from all nodes together. Gatepost withholds further
    /// notices, and the trace shows this.
    pub per_sender: Rate,
    /// Networks of clients that may request a notice of success (NOTIFY=SUCCESS, RFC 3461). Other clients get such a
    /// notice only if the destination sends it.
    #[schemars(example = &["192.0.2.0/24"])]
    pub success_to: Vec<Network>,
    /// Name of the [[connector]] for notices to senders outside the accepted domains, such as a smart host for outgoing
    /// mail. Unset: the built-in connector "internet", which delivers to the sender's domain by MX.
    #[schemars(example = &"outgoing")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            enabled: true,
            sender_domains: Vec::new(),
            per_sender: Rate { messages: 20, per: Period::Hour },
            success_to: Vec::new(),
            connector: None,
        }
    }
}

/// How Gatepost looks up names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// IP addresses and ports of name servers. Empty: the name servers of the system (/etc/resolv.conf).
    #[schemars(schema_with = "socket_addresses")]
    pub servers: Vec<SocketAddr>,
    /// Maximum wait for the answer of one name server.
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::seconds(5) }
    }
}

fn domains(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "domain" } })
}
