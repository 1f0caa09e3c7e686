//! What happened to mail: events; readers and writers of protocol logs and message traces; readers of what other mail
//! servers write: logs, delivery status notifications, TLS reports, and errors as Exchange words them.

mod cell;
pub mod change;
mod container;
mod culture_time;
pub mod dsn;
pub mod event;
pub mod exchange_error;
pub mod exchange_output;
pub mod exim_log;
mod field_names;
pub mod foreign;
pub mod haraka_log;
pub mod iis_smtp_log;
mod json_values;
pub mod kumomta_log;
mod letter;
mod limit;
mod lines;
mod log_reader;
mod log_time;
pub mod message_trace;
mod named;
pub mod next_step;
mod open_messages;
pub mod opensmtpd_log;
pub mod postfix_log;
pub mod protocol_log;
pub mod qmail_log;
pub mod queue_listing;
mod quiet_clients;
mod records;
pub mod sendmail_log;
pub mod stalwart_log;
mod syslog;
mod text;
pub mod tls_report;

pub use change::{Change, ChangeKind};
pub use event::{Attempt, Doing, Event, EventKind, Received, Waiting};
pub use foreign::ForeignFormat;
pub use limit::Limit;
pub use log_reader::LogReader;
pub use log_time::LogTimes;
pub use next_step::NextStep;
