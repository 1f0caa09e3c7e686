//! Signs: the yes-or-no facts that causes are told by. Whatever a source says, in its own words or in facts, comes down
//! to a set of signs, a phase and a reply code; so each cause is judged once for each such combination, not once for each
//! attempt.

mod failure;
mod handshake;
mod own_logs;
mod providers;
mod sign;
mod words;

pub use providers::{ProviderCode, Who, provider_code};
pub use sign::{Sign, Signs};
pub use words::{Speaker, Words};
