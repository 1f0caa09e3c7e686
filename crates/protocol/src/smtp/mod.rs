//! SMTP (RFC 5321) and the extensions that the gateway offers and uses.

pub mod address;
pub mod client;
pub mod command;
pub mod data;
pub mod dsn;
pub mod envelope;
pub mod failure;
mod failure_read;
pub mod phase;
pub mod reply;
pub mod server;

pub use address::{Address, ReversePath};
pub use dsn::{Notify, Ret};
pub use envelope::{BodyType, Envelope, Recipient, Transaction};
pub use failure::{Destination, Failure, FailureKind, Scope, TlsSummary};
pub use phase::{Phase, PhaseTime};
pub use reply::{EnhancedCode, Reply};
