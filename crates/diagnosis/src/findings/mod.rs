//! Findings: what keeps mail from flowing, for whom, how that is known, and what to do.

mod counter;
mod diagnose;
mod everywhere;
pub mod experiment;
mod explained;
mod finding;
mod judged;
mod noise;
mod plaintext;
mod refine;
mod sides;
mod situation;
mod stories;
mod trial;
mod unexplained;
mod wording;

pub use diagnose::{diagnose, explain};
pub use everywhere::Everywhere;
pub use explained::{Explained, Tally};
pub use finding::{Finding, Piece, Scope, Severity};
pub use sides::{Changed, Lane};
pub use unexplained::unexplained;
