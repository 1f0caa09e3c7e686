//! The fields that one packet completes, for filters: SMTP commands and replies, TLS records and handshake messages.

use protocol::tls::{
    Side,
    record::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, Records},
};

/// Values of one packet. Each may occur several times in it.
#[derive(Debug, Default)]
pub struct Fields {
    /// False: no filter needs the fields, and nothing is collected.
    pub is_wanted: bool,
    pub commands: Vec<String>,
    pub parameters: Vec<String>,
    pub responses: Vec<u16>,
    pub record_versions: Vec<u16>,
    pub handshake_types: Vec<u8>,
    pub handshake_versions: Vec<u16>,
    pub cipher_suites: Vec<u16>,
    pub alert_levels: Vec<u8>,
    pub alert_descriptions: Vec<u8>,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        if !self.is_wanted {
            return;
        }
        self.commands.clear();
        self.parameters.clear();
        self.responses.clear();
        self.record_versions.clear();
        self.handshake_types.clear();
        self.handshake_versions.clear();
        self.cipher_suites.clear();
        self.alert_levels.clear();
        self.alert_descriptions.clear();
    }

    pub(crate) fn command(&mut self, verb: &str, parameter: &str) {
        if self.is_wanted {
            self.commands.push(verb.to_owned());
            if !parameter.is_empty() {
                self.parameters.push(parameter.to_owned());
            }
        }
    }

    pub(crate) fn response(&mut self, code: u16) {
        if self.is_wanted {
            self.responses.push(code);
        }
    }
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const MESSAGE_MAX: usize = 256 * 1024;

/// Both sides' handshake, field by field.
#[derive(Debug)]
pub(crate) struct TlsFields {
    client: Stream,
    server: Stream,
}

#[derive(Debug)]
struct Stream {
    records: Records,
    messages: Vec<u8>,
    is_encrypted: bool,
    is_foreign: bool,
}

impl Default for TlsFields {
    fn default() -> Self {
        let stream =
            |side| Stream { records: Records::new(side), messages: Vec::new(), is_encrypted: false, is_foreign: false };
        Self { client: stream(Side::Client), server: stream(Side::Server) }
    }
}

impl TlsFields {
    pub(crate) fn read(&mut self, side: Side, mut bytes: &[u8], fields: &mut Fields) {
        let stream = if side == Side::Client { &mut self.client } else { &mut self.server };
        while !bytes.is_empty() && !stream.is_foreign {
            let Some(record) = stream.records.take(&mut bytes) else { continue };
            fields.record_versions.extend(record.version().map(|version| version.0));
            if record.is_ssl2() {
                // A ClientHello in the old format: its type and its version (RFC 5246 appendix E.2).
                fields.handshake_types.extend(record.body().first());
                fields.handshake_versions.extend(number(record.body(), 1));
            } else {
                stream.record(record.content_type(), record.body(), fields);
            }
        }
    }
}

impl Stream {
    fn record(&mut self, kind: u8, body: &[u8], fields: &mut Fields) {
        match (kind, body) {
            (CHANGE_CIPHER_SPEC, _) => self.is_encrypted = true,
            (ALERT, [level, description]) if !self.is_encrypted => {
                fields.alert_levels.push(*level);
                fields.alert_descriptions.push(*description);
            }
            (HANDSHAKE, _) if !self.is_encrypted => self.messages(body, fields),
            _ => {}
        }
    }

    fn messages(&mut self, body: &[u8], fields: &mut Fields) {
        self.messages.extend_from_slice(body);
        let mut taken = 0;
        while let Some([kind, a, b, c, rest @ ..]) = self.messages.get(taken..) {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > MESSAGE_MAX {
                self.is_foreign = true;
                break;
            }
            let Some(message) = rest.get(..length) else { break };
            fields.handshake_types.push(*kind);
            match *kind {
                CLIENT_HELLO => client_hello(message, fields),
                SERVER_HELLO => server_hello(message, fields),
                _ => {}
            }
            taken += 4 + length;
        }
        self.messages.drain(..taken.min(self.messages.len()));
    }
}

/// RFC 8446 section 4.1.2: version, 32 random bytes, session id, cipher suites.
fn client_hello(message: &[u8], fields: &mut Fields) {
    fields.handshake_versions.extend(number(message, 0));
    let Some(session) = message.get(34) else { return };
    let at = 35 + usize::from(*session);
    let Some(length) = number(message, at) else { return };
    let suites = message.get(at + 2..at + 2 + usize::from(length)).unwrap_or_default();
    fields.cipher_suites.extend(suites.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
}

fn server_hello(message: &[u8], fields: &mut Fields) {
    fields.handshake_versions.extend(number(message, 0));
    let Some(session) = message.get(34) else { return };
    fields.cipher_suites.extend(number(message, 35 + usize::from(*session)));
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
