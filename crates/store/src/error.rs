//! Why the store did not do what it was asked.

use std::fmt;

use jiff::Timestamp;
use trace::NextStep;

use crate::{BodiesError, PostgresError, migration::fault::MigrationError};

/// Faults of any store, whatever its engine. Faults of the embedded store's files are apart.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room to write. Nothing was changed; the store works again as soon as there is room.
    #[error("the disk of {0} is full; make room there")]
    Full(Disk),
    /// The store cannot be reached, or takes no commands now. Nothing was changed.
    #[error("the store is not available ({detail})")]
    Unavailable { detail: String },
    /// The commit failed in a way that may have made it durable anyway: asking again tells.
    #[error("it is not known whether the store has recorded this ({detail})")]
    Unknown { detail: String },
    /// Another member of the store has this node's name.
    #[error(
        "another node named {name} is running (host {host}, process {process}, started {started}); stop it, or choose \
         another [node] name"
    )]
    NameInUse { name: String, host: String, process: u32, started: Timestamp },
    /// It was silent for too long, and another node has taken its name since, or it has left.
    #[error(
        "node {name} is not a member of the fleet any more, and takes and delivers no mail; restart it, under another \
         [node] name if another node has this one"
    )]
    NotAMember { name: String },
    /// Its row is gone: it was finished meanwhile, or the store has lost it.
    #[error("the message is no longer in the queue, and the store has no content for it")]
    NotQueued,
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Bodies(#[from] BodiesError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error("{0}")]
    Other(String),
}

impl StoreError {
    /// True if the store did not answer, and may do so later.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. } | Self::Postgres(_))
    }

    /// True if the store does not count this node as a member: another node has its name, or it is another store. Waiting does
    /// not help.
    pub fn disowns(&self) -> bool {
        matches!(
            self,
            Self::NameInUse { .. } | Self::NotAMember { .. } | Self::Postgres(PostgresError::Replaced { .. })
        )
    }
}

/// Whose disk it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    DataFolder,
    PostgresServer,
    /// Of the place of large bodies.
    Bodies,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DataFolder => "the data folder",
            Self::PostgresServer => "the PostgreSQL server",
            Self::Bodies => "the folder of [store] bodies",
        })
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What is wrong with the files of the embedded store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// Another process serves from this data folder.
    #[error("the data folder {folder} is held by another process ({holder}); stop it, or choose another [node] data")]
    Held { folder: String, holder: String },
    #[error("{file} has schema version {found}, and this program knows versions up to {known}; use a newer gatepost")]
    Newer { file: String, found: u32, known: u32 },
    #[error("{file} is damaged ({detail}); restore it from a backup, or move it away to start with an empty queue")]
    Damaged { file: String, detail: String },
    /// The file is not there and was not to be made.
    #[error("there is no store at {file}; start a node there first: {}", NextStep::Serve)]
    Missing { file: String },
    /// The folder had a store, and what is left of it is not all.
    #[error(
        "{what}; put it back, or restore a backup (gatepost restore FOLDER). To go on without it, and lose the mail \
         that was in it: gatepost serve --accept-loss"
    )]
    Lost { what: String },
    /// The files that this process has open are no longer those of the data folder.
    #[error(
        "{file} was moved, removed or replaced under the running process ({detail}); put it back, or restart the node"
    )]
    Gone { file: String, detail: String },
    #[error("{file} cannot be read ({detail}); run this command as the user that the node runs as")]
    Unreadable { file: String, detail: String },
}
