//! What happened to mail: events; readers and writers of protocol logs and message traces; readers of what other mail
//! servers write: logs, delivery status notifications, TLS reports, and errors as Exchange words them.

mod cell;
pub mod dsn;
pub mod event;
pub mod exchange_error;
pub mod exim_log;
pub mod foreign;
mod limit;
mod lines;
mod log_reader;
mod log_time;
pub mod message_trace;
pub mod next_step;
mod open_messages;
pub mod postfix_log;
pub mod protocol_log;
mod quiet_clients;
mod records;
mod text;
pub mod tls_report;

pub use event::{Attempt, Doing, Event, EventKind, Received, Waiting};
pub use foreign::ForeignFormat;
pub use limit::Limit;
pub use log_reader::LogReader;
pub use log_time::LogTimes;
pub use next_step::NextStep;
