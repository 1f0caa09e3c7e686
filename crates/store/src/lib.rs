//! The durable queue, the history of its mail and the fleet's state. All SQL is in this crate.
//!
//! ```text
//!   Queue      accept, claim, lease, settle: the life of a delivery     queue.rs     states in state.rs
//!   Bodies     content of messages                                     bodies.rs    elsewhere in outside/
//!   History    what happened to each message, and searching it         history.rs
//!   Fleet      nodes, plans, ledger, inquiries, restores               fleet.rs, configuration.rs, restoration.rs
//!   Tallies    deliveries counted by minute, for charts                tally/
//!   Incidents  stuck mail, and the webhook's calls about it            incidents.rs
//!   Access     people who may use the console                          access.rs
//!   Tokens     programs that may use the HTTP API                      tokens.rs
//!   ChangeLog  what was changed, by whom, and about destinations       change_log.rs
//! ```
//!
//! Each of these files has a trait with its types; an engine has files of the same names that implement them. Rules that
//! are not SQL are beside the traits, once for all engines. Users of a store name the traits, or [`Backend`].
//!
//! Invariants: what `accept` returned for is durable. Only the holder of a delivery's current lease settles it. Every
//! change of state is written in one transaction with its events. A body exists as long as one of its deliveries may
//! still be sent, or its sender is still to be notified of one.

mod access;
mod actor;
mod address;
mod backend;
mod bodies;
mod change_log;
mod clock;
mod configuration;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod durations;
mod error;
mod fault_log;
mod fleet;
mod folder;
mod history;
mod incidents;
mod key;
mod last_attempt;
mod lease;
mod migration;
mod new_event;
mod outside;
mod password;
mod postgres;
mod queue;
mod restoration;
mod right;
mod secret;
mod shares;
mod sqlite;
mod state;
mod stored;
mod tally;
mod tls;
mod tokens;
mod withhold;

pub use access::{
    Access, INVITATION_VALID, Invitation, NewInvitation, NewSession, Proof, SESSION_AGE_MAX, SESSION_IDLE_MAX, Session,
    User, UserName,
};
pub use actor::Actor;
pub use address::AddressPattern;
pub use backend::Backend;
pub use bodies::*;
pub use change_log::{ChangeCursor, ChangeLog, ChangeQuery, KnownDestination, NewChange, SeenDestination, by_node};
pub use clock::Clock;
pub use configuration::*;
pub use durations::{Counted, Durations, StoreTimes};
pub use error::*;
pub use fleet::*;
pub use folder::FolderLock;
pub use history::*;
pub use incidents::*;
pub use key::*;
pub use last_attempt::LastAttempt;
pub use lease::{Drained, Epoch, Holding, Lease, LeaseNumber, MEMBER_VALID, Member, MemberRecord};
pub use migration::{Migration, MigrationError, Moved, Progress as MigrationProgress};
pub use new_event::NewEvent;
pub use outside::{BodiesError, BodiesSettings, BodyPlace, Origin, S3Key, S3Settings};
pub use password::PasswordHash;
pub use postgres::{
    BodiesHealth, PostgresError, PostgresSettings, PostgresStore, PostgresTls, ServerHealth, Standby, TableHealth,
    WITNESS_FILE, without_password,
};
pub use queue::*;
pub use restoration::{Answered, Restoration, RestorationAnswer, RestorationDecision};
pub use right::Right;
pub use secret::{Secret, SecretHash};
pub use shares::{Demand, SHARE_VALID, SLOTS_AHEAD, Share};
pub use sqlite::{Restored, SqliteStore};
pub use state::{Command, Outcome, State};
pub use tally::{Tallies, Tally, TallyBy, TallyOutcome, TallyQuery, TallyStep};
pub use tokens::{Grant, NewToken, TokenRecord, Tokens};

/// All that a store does, for code that does not care which.
pub trait Store:
    Queue + Bodies + History + Tallies + Fleet + Incidents + Access + Tokens + ChangeLog + Clone + Send + Sync + 'static
{
}

impl<S> Store for S where
    S: Queue
        + Bodies
        + History
        + Tallies
        + Fleet
        + Incidents
        + Access
        + Tokens
        + ChangeLog
        + Clone
        + Send
        + Sync
        + 'static
{
}
