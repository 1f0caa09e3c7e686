//! What Exchange and Exchange Online print and export beside their logs: queues, tracking results, details and summaries
//! of message traces, Graph's JSON, and connectivity logs. Lists and tables are of one family: see [`crate::named`].

mod connectivity;
mod graph;
mod queue;
mod summary;
mod trace_detail;
mod tracking;

pub use connectivity::FORMAT as CONNECTIVITY;
pub use graph::FORMAT as GRAPH;
pub use queue::FORMAT as QUEUE;
pub use summary::FORMAT as SUMMARY;
pub use trace_detail::FORMAT as TRACE_DETAIL;
pub use tracking::FORMAT as TRACKING;
