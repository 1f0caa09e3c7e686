//! Drives the protocol's state machines over sockets. OpenSSL and the name resolver live here.
//!
//! [`serve`] accepts mail and gives it to a [`serve::Reception`]. [`send`] opens one connection to a destination and
//! sends transactions over it. [`resolve`] finds addresses, and [`public`] decides which of them belong to the public
//! internet. [`probe`] finds out what a destination supports. [`webhook`] reports events to other systems over HTTPS.

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
