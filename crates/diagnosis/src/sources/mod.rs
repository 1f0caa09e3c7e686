//! Attempts from each kind of source.

pub mod capture;
pub mod protocol_log;
pub mod rows;
pub mod store;
