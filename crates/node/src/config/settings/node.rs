//! Settings of this node.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// This node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Name of this node in leases, events and logs. It must be unique among the nodes that share a store. Empty: the
    /// machine's host name. Requires a restart.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// Folder of the queue and its history. Requires a restart.
    #[schemars(with = "String", extend("format" = "path"))]
    pub data: PathBuf,
    /// Host name in the greeting, in EHLO and in the Received field. Empty: the machine's host name. Requires a
    /// restart.
    #[schemars(extend("format" = "host-name"))]
    pub hostname: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: String::new(), data: "data".into(), hostname: String::new() }
    }
}
