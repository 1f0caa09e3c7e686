//! Changes of the fleet and of destinations.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trace::{Change, ChangeKind};
use uuid::Uuid;

use super::schema;

/// One change, as in `gatepost changes`. Every key is always present; a value that does not apply is null.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FleetChangeView {
    pub id: Uuid,
    #[schemars(schema_with = "schema::time")]
    pub at: Timestamp,
    /// The node that it is about, or that saw it; null if it is about the fleet.
    pub node: Option<String>,
    /// The operator, or `node NAME` if a node acted without one.
    pub who: String,
    /// The operator's address; null if the operator used the command line, or a node acted.
    pub from: Option<IpAddr>,
    /// The kind, such as `rollout-set`. A newer version may have others.
    pub change: String,
    /// The same in words.
    pub what: String,
    /// The facts. Their keys depend on the kind.
    pub facts: Map<String, Value>,
}

impl From<&Change> for FleetChangeView {
    fn from(change: &Change) -> Self {
        let Change { id, at, node, who, from, kind } = change;
        let facts = match (kind, serde_json::to_value(kind)) {
            (ChangeKind::Unknown { fields, .. }, _) => fields.clone(),
            (_, Ok(Value::Object(mut facts))) => {
                facts.remove("change");
                facts
            }
            (_, Ok(_) | Err(_)) => Map::new(),
        };
        let (change, what) = (kind.name().to_owned(), kind.to_string());
        Self { id: *id, at: *at, node: node.clone(), who: who.clone(), from: *from, change, what, facts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_those_of_the_kind() {
        let view = |json: &str| {
            let (node, who) = (Some("mx1".to_owned()), "amy".to_owned());
            let kind = ChangeKind::read(json).unwrap();
            let change = Change { id: Uuid::nil(), at: Timestamp::UNIX_EPOCH, node, who, from: None, kind };
            let view = FleetChangeView::from(&change);
            (view.change, Value::Object(view.facts).to_string())
        };
        for (json, expected) in [
            (r#"{"change":"started","version":"1"}"#, ("started", r#"{"version":"1"}"#)),
            (r#"{"change":"node-drained"}"#, ("node-drained", "{}")),
            (r#"{"change":"moon-phase","phase":"full"}"#, ("moon-phase", r#"{"phase":"full"}"#)),
        ] {
            let (change, facts) = view(json);
            assert_eq!((change.as_str(), facts.as_str()), expected);
        }
    }
}
