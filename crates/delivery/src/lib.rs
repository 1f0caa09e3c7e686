//! Who, when, and whether again: pure decisions about deliveries. No clock, no randomness, no I/O; both come in as
//! arguments.

pub mod backoff;
pub mod notice;
pub mod route;
pub mod schedule;
pub mod verdict;
pub mod waiting;
