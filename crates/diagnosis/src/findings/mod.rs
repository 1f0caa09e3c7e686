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
mod lanes;
mod noise;
mod overview;
mod plaintext;
mod provider;
mod refine;
mod shares;
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
pub use explained::Explained;
pub use finding::{Finding, Piece, Scope, Severity};
pub use lanes::{Lane, Lanes};
pub use overview::{OverviewRow, overview};
pub use shares::{Share, Shares};
pub use sides::Changed;
pub use state::{Change, Over, State};
pub use unexplained::unexplained;
