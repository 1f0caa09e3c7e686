//! Where a conversation with a destination stands. The same words appear in logs, trace, console and diagnosis.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Phases of one delivery attempt, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Resolve,
    Connect,
    Banner,
    Ehlo,
    #[serde(rename = "starttls")]
    StartTls,
    Handshake,
    Mail,
    Rcpt,
    Data,
    /// After the final dot, before its reply: what is lost here may have been delivered, and is delivered again.
    EndOfData,
    Quit,
}

impl Phase {
    pub const ALL: [Phase; 11] = [
        Phase::Resolve,
        Phase::Connect,
        Phase::Banner,
        Phase::Ehlo,
        Phase::StartTls,
        Phase::Handshake,
        Phase::Mail,
        Phase::Rcpt,
        Phase::Data,
        Phase::EndOfData,
        Phase::Quit,
    ];

    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Handshake => "handshake",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::EndOfData => "end-of-data",
            Self::Quit => "quit",
        }
    }

    /// For people: reads on after "while ".
    pub fn doing(self) -> &'static str {
        match self {
            Self::Resolve => "looking up the destination",
            Self::Connect => "connecting",
            Self::Banner => "waiting for the banner",
            Self::Ehlo => "sending EHLO",
            Self::StartTls => "sending STARTTLS",
            Self::Handshake => "negotiating TLS",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt => "sending RCPT TO",
            Self::Data => "sending the message",
            Self::EndOfData => "waiting for the reply to the message",
            Self::Quit => "sending QUIT",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one phase of an attempt took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PhaseTime {
    pub phase: Phase,
    pub duration_us: u64,
    /// By this side; within TLS, before encryption.
    pub sent_bytes: u64,
    pub received_bytes: u64,
}
