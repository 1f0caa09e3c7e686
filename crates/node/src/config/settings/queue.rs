//! What becomes of mail that waits: retries, rollouts, notices, name servers.

use std::net::SocketAddr;

use insight::units::{Deadline, Duration, Period, Rate};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::observe::socket_addresses;

use super::super::network::Network;

/// When a delivery that failed for now is tried again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Waits before the second attempt, the third, and so on. The last one repeats. Each is varied a little, so that
    /// mail deferred together does not come back together.
    #[schemars(length(min = 1))]
    pub schedule: Vec<Duration>,
    /// Age at which a message that could not be delivered fails, and its sender is told.
    pub expire: Duration,
    /// Age at which the sender is told that the message is delayed, or "never".
    pub delay_notice: Deadline,
    /// When all hosts of a connector fail as a whole, nothing is sent to it for this long; doubled at each failure.
    pub back_off_first: Duration,
    /// The longest such pause.
    pub back_off_max: Duration,
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

/// What nodes do about a rollout of a TLS policy by themselves, see gatepost rollout --help.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Halt a rollout whose new policy fails where the old one works, and leave mail to the nodes whose policy works.
    pub self_defence: bool,
    /// How long a node leaves what is due to the others then; after that it tries by itself, whether they are there or
    /// not.
    pub leave_for: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { self_defence: true, leave_for: Duration::minutes(1) }
    }
}

/// Failure and delay notices (RFC 3464). Anybody can forge a sender, so that a notice may go to somebody who wrote
/// nothing. One notice tells of all recipients of a message, and has no content of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// Send notices. With false, senders are told nothing; traces still show what became of their mail.
    pub enabled: bool,
    /// Domains whose senders are sent notices; "*.partner.test" means all its subdomains. Empty: all domains.
    #[schemars(schema_with = "domains", example = &["partner.test"])]
    pub sender_domains: Vec<String>,
    /// Most notices to one address in a span of time, counted for all nodes together. Further ones are withheld, and
    /// the trace says so.
    pub per_sender: Rate,
    /// Networks of clients that may ask to be told of success (NOTIFY=SUCCESS, RFC 3461). Others are told only by
    /// destinations that make such notices themselves.
    #[schemars(example = &["192.0.2.0/24"])]
    pub success_to: Vec<Network>,
    /// Name of the [[connector]] by which notices leave for senders outside the accepted domains, such as a smart host
    /// for outgoing mail. Unset: the built-in connector "internet", straight to the sender's domain by MX.
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

/// How names are looked up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// IP addresses and ports of name servers. Empty: those of the system (/etc/resolv.conf).
    #[schemars(schema_with = "socket_addresses")]
    pub servers: Vec<SocketAddr>,
    /// Longest wait for one server's answer.
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
