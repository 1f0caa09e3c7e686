//! Findings: what keeps mail from flowing, for whom, how that is known, and what to do.

mod diagnose;
mod elsewhere;
pub mod experiment;
mod explained;
mod finding;
mod overview;
mod state;
mod stuck;
mod trial;
mod unexplained;
mod wording;

pub use diagnose::{diagnose, explain};
pub use explained::{Explained, Tally};
pub use finding::{Finding, Piece, Scope};
pub use overview::{OverviewRow, overview};
pub use state::{Change, Over, State};
pub use unexplained::unexplained;
