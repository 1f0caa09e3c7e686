//! Whether a node takes mail now, for load balancers.

use std::{fmt, sync::Arc};

use store::{Fleet as _, Queue as _, Room, StoreError};
use trace::NextStep;

use super::Node;

/// Why a node takes no mail now.
#[derive(Clone, Debug)]
pub enum NotReady {
    /// The store does not count it as a member.
    Disowned(Arc<StoreError>),
    Drained,
    /// No report has reached the store for as long as a member counts as alive.
    NotReported,
    NoRoom,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disowned(error) => write!(f, "{error}"),
            Self::Drained => f.write_str("an operator has drained this node"),
            Self::NotReported => f.write_str("the store has taken no report of this node for 30 seconds"),
            Self::NoRoom => f.write_str("the store has no room for new mail"),
        }
    }
}

impl Node {
    /// What a load balancer need not know, and a person may want to.
    pub fn remark(&self) -> Option<String> {
        let remark = || {
            format!(
                "mail of a restored backup is held until an operator answers: {}, or with --deliver-since TIME instead of --hold",
                NextStep::StoreRestored
            )
        };
        self.store.holds_restored().then(remark)
    }

    /// `None`: it takes mail.
    pub fn not_ready(&self) -> Option<NotReady> {
        if let Some(error) = self.disowned.load_full() {
            return Some(NotReady::Disowned(error));
        }
        if self.is_drained() {
            return Some(NotReady::Drained);
        }
        if self.alive_until.load().as_ref().is_none_or(|until| until.is_over()) {
            return Some(NotReady::NotReported);
        }
        (self.store.room() == Room::Short).then_some(NotReady::NoRoom)
    }

    /// What the store has said of this node, in a report or a renewal. A store that cannot be asked says nothing.
    pub(crate) fn heard_from_store(&self, error: Option<&StoreError>) {
        let disowned = match error {
            Some(error) if error.disowns() => Some(Arc::new(error.clone())),
            Some(_) => return,
            None => None,
        };
        let before = self.disowned.swap(disowned.clone());
        match (before, disowned) {
            (None, Some(error)) => {
                tracing::error!(%error, "the store does not know this node: taking no mail, and delivering nothing more");
            }
            (Some(_), None) => tracing::info!("the store knows this node again: taking mail, and delivering it"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}
