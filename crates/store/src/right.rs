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

    /// The right of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Tracer => "tracer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}
