//! Who spoke when, and how much at a time: that much is told even by a conversation that cannot be read.

use protocol::tls::{Side, record};
use serde::Serialize;

/// Turns of the client that are kept.
const TURNS_MAX: usize = 200;

/// The turns of a conversation behind encryption; of all of it where nothing is encrypted. What was sent again, and TLS
/// alerts, which say goodbye, are no part of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Turns {
    /// Bytes of each turn of the client, the first ones of many.
    pub client_bytes: Vec<u64>,
    /// How often the server had something to say.
    pub by_server: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Turn>,
    /// From the last word to the connection's end, or to the capture's; where nothing was said, from the beginning.
    pub silence_us: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Turn {
    pub by: Side,
    pub bytes: u64,
}

impl Turns {
    pub(crate) fn add(&mut self, by: Side, bytes: u64) {
        match &mut self.last {
            Some(turn) if turn.by == by => turn.bytes += bytes,
            _ => {
                self.end_turn();
                self.by_server += u64::from(by == Side::Server);
                self.last = Some(Turn { by, bytes });
            }
        }
    }

    /// The next one is the other side's, or nobody's.
    pub(crate) fn end_turn(&mut self) {
        if let Some(Turn { by: Side::Client, bytes }) = self.last
            && self.client_bytes.len() < TURNS_MAX
        {
            self.client_bytes.push(bytes);
        }
    }
}

/// Encrypted bytes that are an alert and nothing else.
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    /// Level, description and content type of TLS 1.3, and the tag of all its suites but those of CCM_8.
    const ENCRYPTED: u8 = 3 + 16;
    match bytes {
        [record::ALERT, 3, _, 0, length, body @ ..] => body.len() == usize::from(*length),
        [record::APPLICATION_DATA, 3, _, 0, ENCRYPTED, body @ ..] => body.len() == usize::from(ENCRYPTED),
        _ => false,
    }
}
