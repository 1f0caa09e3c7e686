//! What one packet completes, field by field, for filters: SMTP commands and replies, TLS records and handshake messages.

use protocol::tls::Side;

/// Values of one packet. Each may occur several times in it.
#[derive(Debug, Default)]
pub struct Fields {
    /// False: nobody asks, and nothing is gathered.
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

const RECORD_HEADER: usize = 5;
/// RFC 8446 section 5.2, with room for old expansions.
const RECORD_MAX: usize = (1 << 14) + 2048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const MESSAGE_MAX: usize = 256 * 1024;

/// Cuts both sides' bytes into records and messages.
#[derive(Debug, Default)]
pub(crate) struct Records([Stream; 2]);

#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    messages: Vec<u8>,
    is_encrypted: bool,
    is_foreign: bool,
    has_begun: bool,
}

impl Records {
    pub(crate) fn read(&mut self, side: Side, bytes: &[u8], fields: &mut Fields) {
        let stream = &mut self.0[usize::from(side == Side::Server)];
        if stream.is_foreign {
            return;
        }
        stream.bytes.extend_from_slice(bytes);
        let mut taken = stream.old_hello(fields);
        while let Some(record) = stream.bytes.get(taken..).filter(|rest| rest.len() >= RECORD_HEADER) {
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&record[0]) || record[1] != 3 || length > RECORD_MAX {
                stream.is_foreign = true;
                break;
            }
            let Some(body) = record.get(RECORD_HEADER..RECORD_HEADER + length) else { break };
            fields.record_versions.push(u16::from_be_bytes([record[1], record[2]]));
            let (kind, body) = (record[0], body.to_vec());
            taken += RECORD_HEADER + length;
            stream.record(kind, &body, fields);
        }
        stream.bytes.drain(..taken.min(stream.bytes.len()));
    }
}

impl Stream {
    /// A ClientHello in SSL 2.0's form (RFC 5246 appendix E.2): how long it is; 0 where it is none.
    fn old_hello(&mut self, fields: &mut Fields) -> usize {
        if std::mem::replace(&mut self.has_begun, true) {
            return 0;
        }
        let [length @ 0x80..=0xff, low, CLIENT_HELLO, major, minor, ..] = self.bytes[..] else { return 0 };
        fields.handshake_types.push(CLIENT_HELLO);
        fields.handshake_versions.push(u16::from_be_bytes([major, minor]));
        2 + usize::from(u16::from_be_bytes([length & 0x7f, low]))
    }

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
