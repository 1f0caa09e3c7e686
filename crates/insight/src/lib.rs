//! Questions to the history, to files and to the fleet, and their answers as views that can be serialised.
//!
//! ```text
//!   Search ──> store ──> views: deliveries, messages, incidents, rows of an export
//!   history, files, connectors ──> Gathered ──diagnosis──> findings ──> report, bundle
//! ```
//!
//! Nothing here parses a command line, serves HTTP or prints: callers decide what to show and where.

mod addresses;
mod asked;
mod bundle;
mod changes;
mod connector_evidence;
mod connectors;
mod destinations;
mod drawing;
mod effect;
mod event_words;
mod excerpts;
pub mod export;
mod files;
mod foreign_messages;
mod gathered;
mod id;
mod impact;
mod invitation;
pub mod json;
mod moment;
mod nodes;
mod outcomes;
mod pages;
mod picture;
mod queue_cause;
mod queue_choice;
mod queue_groups;
mod report;
mod restoration;
mod rollout;
mod search;
mod status;
mod traffic;
pub mod units;
pub mod views;
mod waiting;
mod waiting_by_age;
mod wording;

pub use addresses::Addresses;
pub use asked::{Asked, message, names_mail};
pub use bundle::bundle;
pub use changes::{ChangeSearch, change_cursor_text, changes, read_change_cursor};
pub use connector_evidence::{OfConnector, Received, of_connector};
pub use connectors::{ConnectorTls, Connectors};
pub use destinations::{LastAttempt, destinations, last_attempts};
pub use drawing::{Axis, Drawing, Mark, legend, percent};
pub use effect::Effect;
pub use event_words::deed;
pub use excerpts::{Elsewhere, Excerpts, attempts, dialogue, logged};
pub use files::{Files, Opened};
pub use foreign_messages::{ForeignFilter, ForeignMessage, ForeignMessages, NotForFiles};
pub use gathered::{Gathered, Read, Unread, findings_json};
pub use id::Id;
pub use impact::{Impact, impact};
pub use invitation::invite;
pub use moment::Moment;
pub use nodes::nodes;
pub use outcomes::{Outcomes, outcomes};
pub use pages::Pages;
pub use queue_choice::{Acted, Choice, ChosenPage, Totals};
pub use queue_groups::{By, Conditions, GroupView, Summary, Wanted};
pub use report::{Report, STYLE};
pub use restoration::unanswered;
pub use rollout::{Moved, trouble_of};
pub use search::{Search, SearchError, cursor_text, read_cursor, read_tls_version};
pub use status::{Status, state_name};
pub use traffic::{Traffic, TrafficRange};
pub use waiting::WaitReasons;
pub use waiting_by_age::WaitingByAge;
pub use wording::{
    capitalised, clock, closed_in_words, confidence, counted, difference, ending, grouped, later, moment, sentence,
    size, title,
};
