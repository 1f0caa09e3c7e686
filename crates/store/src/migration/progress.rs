//! What the caller of a migration hears while it waits.

/// How far a migration is. Numbers are messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Copied {
        done: u64,
        total: u64,
    },
    Verified {
        done: u64,
        total: u64,
    },
    /// The folder is marked, and the server is not yet.
    FolderMarked,
}
