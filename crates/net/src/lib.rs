//! Drives the protocol's state machines over sockets. OpenSSL and the name resolver live here.
//!
//! [`serve`] takes mail in and hands it to a [`serve::Reception`]; [`send`] takes one connection to a destination and
//! passes transactions over it; [`resolve`] finds addresses, [`public`] tells which of them are strangers' own; [`probe`] finds out what a destination supports;
//! [`webhook`] tells other systems of events over HTTPS.

pub mod probe;
pub mod public;
pub mod resolve;
pub mod send;
pub mod serve;
mod stream;
pub mod tls;
mod transcript;
pub mod webhook;

pub use transcript::{Disconnected, Line, Transcript};
