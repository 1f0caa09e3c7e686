//! Views: answers as JSON, which the command line prints, the API sends, and programs read.

mod delivery;
mod finding;
mod foreign_message;
mod incident;
pub mod schema;

pub use delivery::{CommandedView, CountView, DeliveryView, MessageView, TraceView};
pub use finding::{ExperimentView, FindingView, PieceView, RemedyView, StepView};
pub use foreign_message::ForeignMessageView;
pub use incident::IncidentView;
