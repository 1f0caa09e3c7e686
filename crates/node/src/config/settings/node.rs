//! This process.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// This process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// How this node is called in leases, events and logs. Unique among the nodes that share a store. Empty: the
    /// machine's host name. A change needs a restart.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// Folder of the queue and its history, relative to the folder of this file. A change needs a restart.
    #[schemars(with = "String", extend("format" = "path"))]
    pub data: PathBuf,
    /// The host name that the banner, EHLO and the Received field say. Empty: the machine's host name. A change needs a
    /// restart.
    #[schemars(extend("format" = "host-name"))]
    pub hostname: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: String::new(), data: "data".into(), hostname: String::new() }
    }
}
