//! Which side sent how much, and when. Even an encrypted session shows this.

use protocol::tls::{Side, record};
use serde::Serialize;

/// Maximum number of the client's turns that are kept.
const TURNS_MAX: usize = 200;

/// The turns of the encrypted part of a session, or of the whole session if nothing is encrypted. Retransmissions and
/// closing TLS alerts do not count.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Turns {
    /// Bytes of each turn of the client, for the first turns.
    pub client_bytes: Vec<u64>,
    /// Number of the server's turns.
    pub by_server: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Turn>,
    /// Time from the last payload, or from the beginning if there was none, to the end of the connection or of the
    /// capture.
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

    /// Ends the current turn.
    pub(crate) fn end_turn(&mut self) {
        if let Some(Turn { by: Side::Client, bytes }) = self.last
            && self.client_bytes.len() < TURNS_MAX
        {
            self.client_bytes.push(bytes);
        }
    }
}

/// True if the encrypted bytes are only an alert.
pub(crate) fn is_alert(bytes: &[u8]) -> bool {
    /// Level, description and content type of TLS 1.3, and the tag of all its suites except CCM_8.
    const ENCRYPTED: u8 = 3 + 16;
    match bytes {
        [record::ALERT, 3, _, 0, length, body @ ..] => body.len() == usize::from(*length),
        [record::APPLICATION_DATA, 3, _, 0, ENCRYPTED, body @ ..] => body.len() == usize::from(ENCRYPTED),
        _ => false,
    }
}
