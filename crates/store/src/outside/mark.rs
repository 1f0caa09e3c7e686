//! The mark of a place: it says that this is the place, and which database may delete there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ABOUT: &str = "The bodies of large messages of a fleet of Gatepost nodes are beside this file. Keep it.";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    about: String,
    pub(crate) owner: Owner,
    /// When the owner renewed the mark, in milliseconds by its clock.
    pub(crate) renewed: i64,
}

/// A database. A dump has the same store on another server; a copy of the files has the same server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) store: Uuid,
    /// Empty if its user may not know.
    pub(crate) server: String,
}

impl Mark {
    pub(crate) fn new(owner: Owner, renewed: i64) -> Self {
        Self { about: ABOUT.to_owned(), owner, renewed }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// What cannot be read is nobody's.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let of_nobody = || Self::new(Owner { store: Uuid::nil(), server: String::new() }, 0);
        serde_json::from_slice(bytes).unwrap_or_else(|_| of_nobody())
    }
}
