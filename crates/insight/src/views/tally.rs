//! The view of tallies, from which charts are drawn.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Tally;

use super::schema;

/// Deliveries that were counted together. Only the dimensions that were asked for are present.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TallyView {
    /// The start of the minute or hour. Counts that are older than two days come by the hour.
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    /// `accepted`, `delivered`, `deferred`, `failed` or `removed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// The node that accepted the message or made the attempt; empty if an operator removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// TLS policy of the attempt; empty if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_policy: Option<String>,
    /// TLS version and cipher suite, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty if there was no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Why it was deferred or bounced: phase and kind of the failure, then reply code or TLS alert, such as
    /// `rcpt rejected 451 4.7.1`; empty if it was neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub deliveries: u64,
    /// Sizes of the messages, counted for each delivery.
    pub bytes: u64,
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> Self {
        let Tally { at, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes } = tally;
        let outcome = outcome.map(|outcome| outcome.name().to_owned());
        Self { at, outcome, connector, node, tls_policy, tls, cause, deliveries, bytes }
    }
}

#[cfg(test)]
mod tests {
    use store::TallyOutcome;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_shown() {
        let tally = Tally {
            at: Timestamp::UNIX_EPOCH,
            outcome: Some(TallyOutcome::Deferred),
            connector: None,
            node: None,
            tls_policy: None,
            tls: Some(String::new()),
            cause: None,
            deliveries: 2,
            bytes: 10,
        };
        let view = serde_json::to_value(TallyView::from(tally)).unwrap();
        let expected = serde_json::json!({
            "at": "1970-01-01T00:00:00Z", "outcome": "deferred", "tls": "", "deliveries": 2, "bytes": 10,
        });
        assert_eq!(view, expected);
    }
}
