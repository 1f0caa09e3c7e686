//! The envelope: who sends, and what was declared of the content. It goes with a message from server to server, so a new
//! parameter of MAIL is a field here; `command.rs` reads it, and `client/transaction.rs` says it.

use serde::{Deserialize, Serialize};

use super::{Address, Notify, Ret, ReversePath};

/// What MAIL says of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub sender: ReversePath,
    pub body_type: BodyType,
    /// `SMTPUTF8` on MAIL (RFC 6531): addresses or header fields may be UTF-8.
    pub smtputf8: bool,
    pub ret: Option<Ret>,
    /// `ENVID=` still in xtext, as it goes to the next server (RFC 3461 section 4.4).
    pub envid: Option<String>,
}

impl Envelope {
    /// From a sender of whom nothing else is known.
    pub fn from(sender: ReversePath) -> Self {
        Self { sender, body_type: BodyType::default(), smtputf8: false, ret: None, envid: None }
    }
}

/// A mail transaction: everything that MAIL and RCPT say, complete once DATA or BDAT begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    pub envelope: Envelope,
    /// `SIZE=` (RFC 1870), where it is declared.
    pub size_bytes: Option<u64>,
    /// At least one.
    pub recipients: Vec<Recipient>,
}

/// One RCPT command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    pub address: Address,
    /// `None`: the client said nothing, and nothing is said to the next server.
    pub notify: Option<Notify>,
    /// `ORCPT=`, `addr-type;xtext` in ASCII (RFC 3461 section 4.2, RFC 6533 section 3).
    pub orcpt: Option<String>,
}

/// `BODY=` on MAIL (RFC 6152).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBitMime,
}
