//! What happened to mail: events; protocol logs, message traces and Postfix logs with their readers and writers.

pub mod event;
pub mod message_trace;
pub mod postfix_log;
pub mod protocol_log;
mod text;

pub use event::{Attempt, Event, EventKind, Received, Waiting};
