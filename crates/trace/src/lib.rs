//! What happened to mail: events, and protocol logs with their reader and writer.

pub mod event;
pub mod protocol_log;

pub use event::{Attempt, Event, EventKind, Received, Waiting};
