//! Delivery status notification parameters of MAIL and RCPT (RFC 3461).

use serde::{Deserialize, Serialize};

/// How much of the message a failure notice returns: `RET=FULL` or `RET=HDRS` (RFC 3461 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ret {
    Full,
    Headers,
}

/// When the sender wants to be told about a recipient: `NOTIFY=` (RFC 3461 section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    Never,
    /// Any of the three; all false cannot come from the wire.
    On { success: bool, failure: bool, delay: bool },
}

impl Default for Notify {
    /// What applies when the client says nothing: failure and delay (RFC 3461 section 4.1).
    fn default() -> Self {
        Self::On { success: false, failure: true, delay: true }
    }
}

impl Notify {
    pub fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }

    pub fn on_failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    pub fn on_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }
}
