//! Findings: what keeps mail from flowing, for whom, how that is known, and what to do.

mod counter;
mod diagnose;
mod elsewhere;
mod everywhere;
pub mod experiment;
mod explained;
mod finding;
mod frequency;
mod group;
mod inbound;
mod judged;
mod noise;
mod overview;
mod plaintext;
mod provider;
mod refine;
mod sides;
mod situation;
mod state;
mod stories;
mod stuck;
mod trial;
mod unexplained;
mod wording;

pub use diagnose::{diagnose, explain};
pub use everywhere::Everywhere;
pub use explained::{Explained, Tally};
pub use finding::{Finding, Piece, Scope, Severity};
pub use overview::{OverviewRow, overview};
pub use sides::{Changed, Lane};
pub use state::{Change, Over, State};
pub use unexplained::unexplained;
