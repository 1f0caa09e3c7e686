//! What happened to mail: events; protocol logs and message traces with their readers and writers.

pub mod event;
pub mod message_trace;
pub mod protocol_log;
mod text;

pub use event::{Attempt, Event, EventKind, Received, Waiting};
