//! The protocols that Gatepost speaks, as state machines without I/O.
//!
//! Bytes go in; bytes, facts and decisions come out. There are no sockets, no clock and no runtime. So a test of a
//! ten-minute timeout takes microseconds, and tests replay every dialogue with its bytes split at every place.

pub mod host_port;
pub mod kept;
pub mod proxy;
pub mod smtp;
pub mod text;
pub mod tls;
