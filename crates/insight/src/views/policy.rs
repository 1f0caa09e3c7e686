//! Views of TLS policies: the policies, their effect, and the ledger of weak deliveries.

use diagnosis::Verdict;
use jiff::Timestamp;
use protocol::{host_port, smtp::TlsSummary, tls::TlsPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::LedgerEntry;
use trace::NextStep;

use super::schema;
use crate::Impact;

/// A TLS policy, as in `policy list`. The names of cipher suites and groups are OpenSSL's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    pub name: String,
    /// Such as `TLS 1.2`.
    pub minimum: String,
    pub maximum: String,
    pub ciphers: String,
    pub suites: String,
    pub groups: String,
    pub security_level: u32,
    /// The connectors that use it.
    pub connectors: Vec<String>,
}

impl PolicyView {
    pub fn new(policy: TlsPolicy, connectors: Vec<String>) -> Self {
        Self {
            minimum: policy.minimum.to_string(),
            maximum: policy.maximum.to_string(),
            name: policy.name,
            ciphers: policy.ciphers,
            suites: policy.suites,
            groups: policy.groups,
            security_level: policy.security_level,
            connectors,
        }
    }
}

/// What a policy would break, or has broken, as in `policy impact`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicyImpactView {
    pub policy: String,
    #[schemars(schema_with = "schema::time")]
    pub since: Timestamp,
    /// Days with history.
    pub days: f64,
    /// Messages to destinations where mail would be queued.
    pub queued: u64,
    /// Messages to destinations where mail would go in plaintext.
    pub plaintext: u64,
    /// Messages to destinations of which nothing can be foreseen.
    pub undecided: u64,
    pub destinations: Vec<DestinationImpactView>,
}

/// The effect of a policy on one destination.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DestinationImpactView {
    pub host: String,
    pub port: u16,
    pub connector: String,
    /// `breaks`, `undecided` or `works`.
    pub verdict: String,
    /// If it breaks: `queued` or `plaintext`.
    pub effect: Option<String>,
    /// Why, in words about the server.
    pub because: String,
    pub messages: u64,
    pub messages_a_day: f64,
    /// What failed under the policy itself, and has not worked since; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenView>,
    /// The command that finds out more.
    pub check: String,
}

/// What a policy has broken.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BrokenView {
    /// Attempts whose TLS failed under the policy.
    pub attempts: u64,
    pub messages: u64,
    #[schemars(schema_with = "schema::time")]
    pub last: Timestamp,
}

impl PolicyImpactView {
    /// `days`: how many days of history there are.
    pub fn new(policy: &str, since: Timestamp, days: f64, impacts: &[Impact]) -> Self {
        let breaks = |in_plaintext| move |impact: &&Impact| impact.breaks() && impact.in_plaintext == in_plaintext;
        let is_undecided = |impact: &&Impact| impact.foresight.verdict == Verdict::Undecided;
        Self {
            policy: policy.to_owned(),
            since,
            days: tenths(days),
            queued: impacts.iter().filter(breaks(false)).map(|impact| impact.messages).sum(),
            plaintext: impacts.iter().filter(breaks(true)).map(|impact| impact.messages).sum(),
            undecided: impacts.iter().filter(is_undecided).map(|impact| impact.messages).sum(),
            destinations: impacts.iter().map(|impact| DestinationImpactView::new(impact, days)).collect(),
        }
    }
}

impl DestinationImpactView {
    fn new(impact: &Impact, days: f64) -> Self {
        let effect = if impact.in_plaintext { "plaintext" } else { "queued" };
        let verdict = match impact.foresight.verdict {
            Verdict::Breaks => "breaks",
            Verdict::Undecided => "undecided",
            Verdict::Works => "works",
        };
        let broken = impact.broken.map(|broken| BrokenView {
            attempts: broken.attempts,
            messages: broken.messages,
            last: broken.last,
        });
        Self {
            host: impact.host.clone(),
            port: impact.port,
            connector: impact.connector.clone(),
            verdict: verdict.to_owned(),
            effect: impact.breaks().then(|| effect.to_owned()),
            because: impact.foresight.because.clone(),
            messages: impact.messages,
            messages_a_day: tenths(impact.messages as f64 / days),
            broken,
            check: protocol::text::clean(
                &NextStep::Probe(host_port::join(&impact.host, Some(impact.port))).to_string(),
            ),
        }
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// A destination that got mail in plaintext or below the policy `modern`, as in `policy ledger`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LedgerView {
    pub host: String,
    pub port: u16,
    pub connector: String,
    pub tls_policy: String,
    /// Version and cipher suite; absent for plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tls")]
    pub tls: Option<TlsSummary>,
    /// Such as `weak-cipher`.
    pub why: String,
    pub deliveries: u64,
    #[schemars(schema_with = "schema::time")]
    pub first: Timestamp,
    #[schemars(schema_with = "schema::time")]
    pub last: Timestamp,
}

impl From<&LedgerEntry> for LedgerView {
    fn from(entry: &LedgerEntry) -> Self {
        Self {
            host: entry.host.clone(),
            port: entry.port,
            connector: entry.connector.clone(),
            tls_policy: entry.tls_policy.clone(),
            tls: entry.tls.clone(),
            why: entry.why.to_string(),
            deliveries: entry.deliveries,
            first: entry.first,
            last: entry.last,
        }
    }
}
