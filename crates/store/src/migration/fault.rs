//! Why mail is not moved from one store to another, and what to do about it.

use jiff::Timestamp;
use trace::NextStep;

/// Why a migration is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MigrationError {
    /// The folder's mail is on a server.
    #[error(
        "the mail of {folder} was moved to {server} on {at}; name that server in [store] url. As long as nothing has \
         changed there, this moves it back: {}",
        NextStep::MigrateBack { folder: folder.clone(), server: server.clone() }
    )]
    Moved { folder: String, server: String, at: Timestamp },
    /// A node was to use the server, and its folder has mail of its own.
    #[error(
        "{folder} has {deliveries} {} that {} not in the database. Move mail there before this node starts: {}. Or \
         deliver it first: start the node without [store]",
        if *deliveries == 1 { "delivery" } else { "deliveries" },
        if *deliveries == 1 { "is" } else { "are" },
        NextStep::Migrate { folder: folder.clone(), server: server.clone() }
    )]
    LeftBehind { folder: String, server: String, deliveries: u64 },
    /// The database is still being filled.
    #[error("mail is being moved to {server} from {folder} on {host}; let that finish first: run there {}",
        NextStep::Migrate { folder: folder.clone(), server: server.clone() })]
    Unfinished { server: String, host: String, folder: String },
    /// Another folder's mail is there.
    #[error("the database at {server} has the mail of {folder} on {host}; name an empty database")]
    Taken { server: String, host: String, folder: String },
    #[error("the database at {server} is not empty (it has rows in {table}); name an empty database")]
    NotEmpty { server: String, table: String },
    #[error("node {node} runs on {server}; stop it first. If it has died, wait for 30 seconds after its last report")]
    InUse { server: String, node: String },
    #[error("{folder} changed while its mail was moved: a command wrote to it; run this again")]
    FolderChanged { folder: String },
    /// What is on the server is not what was read.
    #[error("{what} on {server} differ from what was read from {folder}. The folder is unchanged and can be used; to \
        empty the database: {}",
        NextStep::MigrateBack { folder: folder.clone(), server: server.clone() })]
    Differs { server: String, folder: String, what: String },
    /// Undoing would lose or repeat something.
    #[error(
        "{what} on {server} have changed since the mail was moved there. The folder does not know of it, and would lose \
         mail or deliver it twice: this migration cannot be undone any more. Go on with the server"
    )]
    ChangedSince { server: String, what: String },
    #[error("the database at {server} has no copy of {folder}; name the server that it was moved to")]
    NoCopy { server: String, folder: String },
    #[error("no migration of {folder} was begun: there is nothing to undo")]
    NothingToUndo { folder: String },
    #[error("{folder} has the key {key}, which keys of the server may have too; such a store cannot be moved")]
    KeyTooLarge { folder: String, key: i64 },
}
