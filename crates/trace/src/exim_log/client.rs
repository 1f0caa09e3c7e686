//! Lines of Exim's log about clients that failed to hand in mail, beside those that it rejected.

use protocol::smtp::Phase;

use super::fields::Facts;
use crate::text::split_once;

/// How a client's session ended before it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended<'a> {
    pub facts: Facts<'a>,
    pub phase: Phase,
    /// It came and handed in nothing; whether it said QUIT.
    pub quiet: Option<bool>,
}

/// What stands in a line before the client, and how far its session had come.
const ENDINGS: [(&str, Phase); 9] = [
    ("SMTP command timeout on connection from ", Phase::Ehlo),
    ("SMTP command timeout on TLS connection from ", Phase::Mail),
    ("SMTP data timeout (message abandoned) on connection from ", Phase::EndOfData),
    ("SMTP data timeout (message abandoned) on TLS connection from ", Phase::EndOfData),
    ("unexpected disconnection while reading SMTP command from ", Phase::Ehlo),
    ("SMTP syntax error in ", Phase::Ehlo),
    ("SMTP protocol synchronization error ", Phase::Ehlo),
    ("no MAIL in SMTP connection from ", Phase::Ehlo),
    ("no MAIL in TLS connection from ", Phase::Mail),
];

impl<'a> Ended<'a> {
    /// `None` for other lines.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("SMTP connection from ") {
            return lost(rest, text);
        }
        let (words, phase) = ENDINGS.into_iter().find(|(words, _)| text.contains(words))?;
        let (_, rest) = split_once(text, words)?;
        let mut facts = Facts { text, ..Facts::default() };
        // Lines about a command have the client as a field behind it.
        let client = if words.ends_with("from ") { rest } else { split_once(rest, "H=")?.1 };
        facts.take_host(until_address(client)?);
        let counts = split_once(rest, " C=").map(|(_, commands)| commands);
        let quiet = text.starts_with("no MAIL in ").then(|| counts.is_some_and(|commands| commands.contains("QUIT")));
        Some(Self { facts, phase, quiet })
    }
}

/// `host (helo) [192.0.2.9] lost while reading message data (header)`, or ` lost D=3s`.
fn lost<'a>(rest: &'a str, text: &'a str) -> Option<Ended<'a>> {
    let client = until_address(rest)?;
    let (_, how) = split_once(rest.get(client.len()..)?, " lost")?;
    let is_in_data = how.contains("while reading message data");
    let mut facts = Facts { text, ..Facts::default() };
    facts.take_host(client);
    Some(Ended { facts, phase: if is_in_data { Phase::EndOfData } else { Phase::Ehlo }, quiet: None })
}

/// A client up to its address: `host (helo) [192.0.2.9]`; what it says of itself may be in brackets too.
fn until_address(text: &str) -> Option<&str> {
    let start = if text.starts_with('[') { 0 } else { split_once(text, " [")?.0.len() + 1 };
    let end = start + text.get(start..)?.find(']')? + 1;
    text.get(..end)
}
