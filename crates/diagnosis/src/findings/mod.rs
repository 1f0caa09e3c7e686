//! Findings: what keeps mail from flowing, for whom, how that is known, and what to do.

mod diagnose;
pub mod experiment;
mod explained;
mod finding;
mod sides;
mod trial;
mod unexplained;
mod wording;

pub use diagnose::{diagnose, explain};
pub use explained::{Explained, Tally};
pub use finding::{Finding, Piece, Scope};
pub use sides::{Changed, Lane};
pub use unexplained::unexplained;
