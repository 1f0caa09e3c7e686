//! From evidence of deliveries to findings: what keeps mail from flowing, for whom, how that is known, and what to do.
//!
//! ```text
//!   sources ──add──> Evidence ──symptoms──> causes ──contrast──> Finding
//!   (store, logs,    (one compact           (one file   (which attempts fail,
//!    captures, …)     record an attempt)     each)       and which work)
//! ```
//!
//! Never reads a clock, a file or a socket. "Not observed" is never taken for "absent": what a source does not tell is
//! `None`, and takes no part in a comparison.

mod attempt;
pub mod causes;
mod contrast;
mod diagnose;
mod evidence;
pub mod experiment;
mod explained;
mod finding;
mod foresight;
mod intern;
mod join;
mod signs;
pub mod sources;
mod statistics;
mod unexplained;

pub use attempt::{Attempt, Failed};
pub use contrast::{Dimension, Split};
pub use diagnose::{diagnose, explain};
pub use evidence::{Connection, Evidence, Observed, Outcome, Place, Source, Symptom, in_words};
pub use experiment::Experiment;
pub use explained::{Explained, Tally};
pub use finding::{Finding, Piece, Remedy, Scope, Side};
pub use foresight::{Foresight, Offer, Server, Verdict};
pub use join::{Clock, Joined};
pub use signs::{Sign, Signs};
pub use unexplained::unexplained;
