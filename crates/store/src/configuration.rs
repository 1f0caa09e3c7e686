//! The fleet's configuration as it is stored, and what a node says of how it follows it. Only a shared store has one: on
//! the embedded store there is one node, and its file is its configuration.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trace::change::Settings;

/// One version of the fleet's configuration, without its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigurationRecord {
    /// 1 for the first.
    pub version: u64,
    pub at: Timestamp,
    /// Who applied it.
    pub by: String,
    pub comment: Option<String>,
    /// The version that an operator rolled back to; this one is the same again.
    pub repeats: Option<u64>,
    /// Version of Gatepost with which it was applied.
    pub program: String,
}

impl ConfigurationRecord {
    pub fn id(&self) -> ConfigurationId {
        ConfigurationId { version: self.version, at: self.at }
    }
}

/// Which configuration it is. The number alone does not say: after a restore of the database, numbers are given out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConfigurationId {
    pub version: u64,
    /// When it was applied.
    #[serde(default)]
    pub at: Timestamp,
}

/// A version with its text, which is opaque here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredConfiguration {
    pub record: ConfigurationRecord,
    pub toml: String,
}

/// A version that is to be applied.
#[derive(Clone, PartialEq, Debug)]
pub struct NewConfiguration {
    pub toml: String,
    pub by: String,
    pub comment: Option<String>,
    pub repeats: Option<u64>,
    pub program: String,
    /// What differs from the version before, for the change log.
    pub settings: Settings,
}

/// How a node follows the fleet's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Following {
    /// `None`: it goes by its own file alone.
    #[serde(flatten)]
    pub id: Option<ConfigurationId>,
    /// The version in force, if it cannot follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedConfiguration>,
}

/// A version that a node cannot follow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedConfiguration {
    #[serde(flatten)]
    pub id: ConfigurationId,
    /// For people, a line for each fault.
    pub why: Vec<String>,
}
