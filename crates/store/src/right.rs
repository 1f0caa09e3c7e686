//! What a person or a token may do. Each right includes those before it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Sees what is so, but no address and no message.
    Viewer,
    /// Searches for messages and sees addresses.
    Tracer,
    /// Acts on the queue and on rollouts.
    Operator,
    /// Removes mail, reads content, gives rights.
    Administrator,
}

impl Right {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Tracer, Self::Operator, Self::Administrator];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Tracer => "tracer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}
