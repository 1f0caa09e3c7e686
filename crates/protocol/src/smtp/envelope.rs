//! The envelope: who sends, who receives, and what the client declared about the content.

use serde::{Deserialize, Serialize};

use super::{Address, Notify, Ret, ReversePath};

/// Everything that MAIL and RCPT said, complete once DATA or BDAT begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    pub sender: ReversePath,
    /// At least one.
    pub recipients: Vec<Recipient>,
    pub body: BodyType,
    /// `SMTPUTF8` on MAIL (RFC 6531): addresses or header fields may be UTF-8.
    pub smtputf8: bool,
    pub ret: Option<Ret>,
    /// `ENVID=` still in xtext, as it goes to the next server (RFC 3461 section 4.4).
    pub envid: Option<String>,
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
