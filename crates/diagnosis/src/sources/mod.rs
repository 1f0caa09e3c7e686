//! Attempts from each kind of source.

pub mod capture;
pub mod dsn;
mod greeted;
pub mod history;
mod inbound_history;
mod inbound_rows;
mod joined;
mod next_address;
pub mod protocol_log;
pub mod protocol_log_inbound;
pub mod queues;
pub mod tls_report;
pub mod trace_rows;
mod words;
