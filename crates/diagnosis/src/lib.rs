//! From evidence of deliveries to findings: what keeps mail from flowing, for whom, how that is known, and what to do.
//!
//! ```text
//!   findings                      a cause with its confidence, scope, evidence and remedy; experiments
//!     │
//!   causes   comparison   sources one file a cause | which attempts fail, and which work | attempts from each kind of source
//!     │          │           │
//!   evidence                      one compact record an attempt; signs; several sources joined
//!
//!   foresight                     what another TLS policy would break
//!   tables                        tables by hash, below all
//! ```
//!
//! Imports point down only. Never reads a clock, a file or a socket. "Not observed" is never taken for "absent": what a
//! source does not tell is `None`, and takes no part in a comparison.

pub mod causes;
mod comparison;
mod evidence;
mod findings;
mod foresight;
pub mod sources;
mod tables;

pub use causes::{CauseId, Remedy, Side, cause_of};
pub use comparison::{Compared, Outcome, Split};
pub use evidence::{
    Attempt, Clock, Connection, Dimension, Direction, Evidence, Failed, Joined, LeftOut, Place, ProviderCode, Sign,
    Signs, Source, Speaker, Symptom, Who, Words, in_words, provider_code,
};
pub use findings::experiment::Experiment;
pub use findings::{
    Change, Changed, Everywhere, Explained, Finding, Lane, Lanes, Over, OverviewRow, Piece, Scope, Severity, Share,
    Shares, State, diagnose, experiment, explain, overview, unexplained,
};
pub use foresight::{Foresight, Offer, Server, Verdict, is_over_the_certificate};
