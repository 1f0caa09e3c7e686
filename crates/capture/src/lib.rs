//! Packet captures to flows, SMTP dialogues and TLS handshake facts.
//!
//! ```text
//!   file (pcap, pcapng, gzip) ──> Packet ──link, ip──> Segment ──tcp──> Flow ──in order──> Dialogue ──> Session
//!                                    └──────────────filter: which packets pass──────────────┘
//! ```
//!
//! Reading never fails because of a file's content: everything that can be read is read, and [`Notes`] list the rest.
//! Memory is limited. It does not grow with the length of a file or with the number of closed connections.

mod capture;
pub mod dialogue;
pub mod fields;
pub mod file;
pub mod filter;
mod icmp;
mod ip;
mod link;
mod note;
mod open;
mod session;
mod tcp;
mod write;

pub use capture::{Capture, Options, TcpFacts, sessions};
pub use file::{OpenError, Packet, Packets};
pub use filter::Filter;
pub use icmp::IcmpError;
pub use link::LinkType;
pub use note::{Note, Notes};
pub use session::Session;
pub use tcp::{
    Analysis,
    analysis::Counts,
    turns::{Turn, Turns},
};
pub use write::Writer;
