//! What happened to mail: events, and (later) their readers and writers.

pub mod event;

pub use event::{Attempt, Event, EventKind, Received, Waiting};
