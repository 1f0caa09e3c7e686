//! Whether a node takes mail now, for load balancers.

use std::fmt;

use store::{Fleet as _, Queue as _, Room};
use trace::NextStep;

use super::Node;

/// Why a node takes no mail now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReady {
    Drained,
    /// No report has reached the store for as long as a member counts as alive.
    NotReported,
    NoRoom,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "an operator has drained this node",
            Self::NotReported => "the store has taken no report of this node for 30 seconds",
            Self::NoRoom => "the store has no room for new mail",
        })
    }
}

impl Node {
    /// What a load balancer need not know, and a person may want to.
    pub fn remark(&self) -> Option<String> {
        let remark = || format!("mail of a restored backup is held: {}", NextStep::StoreRestored);
        self.store.holds_restored().then(remark)
    }

    /// `None`: it takes mail.
    pub fn not_ready(&self) -> Option<NotReady> {
        if self.is_drained() {
            return Some(NotReady::Drained);
        }
        if self.alive_until.load().as_ref().is_none_or(|until| until.is_over()) {
            return Some(NotReady::NotReported);
        }
        (self.store.room() == Room::Short).then_some(NotReady::NoRoom)
    }
}
