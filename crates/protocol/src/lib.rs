//! The protocols that Gatepost speaks, as state machines without I/O.
//!
//! Bytes go in; bytes, facts and verdicts come out. No sockets, no clock, no runtime: a ten-minute time-out is tested
//! in microseconds, and every dialogue can be replayed at every split of its bytes.

pub mod kept;
pub mod smtp;
pub mod text;
pub mod tls;
