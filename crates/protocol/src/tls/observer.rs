//! Reads a handshake from the bytes on the wire, in both directions, however TCP has split them.
//!
//! The bytes of each side become records, handshake records become messages, and messages become facts. Facts are only
//! added: the first observation stays. After the handshake, nothing more is counted or kept.
//!
//! ```text
//! client  hello                    key exchange, ChangeCipherSpec, Finished
//! server         hello … done                                               ChangeCipherSpec, Finished   up to TLS 1.2
//! client  hello                                 application data (Finished)
//! server         hello, application data                                                                TLS 1.3
//! ```

use std::time::Duration;

use super::{
    Alert, Ended, Ending, HandshakeFacts, Side, WireVersion,
    message::{self, ServerAnswer},
    record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Record, Records},
};

/// Much longer than any handshake message in use.
const MESSAGE_MAX: usize = 256 * 1024;
/// Maximum number of alerts kept: a peer may send any number of warnings.
const ALERTS_MAX: usize = 8;
/// Minimum length of a Finished in TLS 1.3: header, SHA-256, content type, the short tag of a CCM_8 suite.
const FINISHED_MIN: usize = 4 + 32 + 1 + 8;

/// Length of a client's Certificate message without a certificate in TLS 1.3: header, empty context, empty list,
/// content type. No other message in a handshake has this length.
const NO_CERTIFICATE: usize = 4 + 1 + 3 + 1;

/// Observes one handshake.
#[derive(Debug)]
pub struct Observer {
    facts: HandshakeFacts,
    client: Stream,
    server: Stream,
    /// The side whose bytes `facts.malformed` describes.
    fault_by: Option<Side>,
    /// A HelloRetryRequest was seen.
    retried: bool,
    server_done: bool,
    over: bool,
}

/// State of one side.
#[derive(Debug)]
struct Stream {
    records: Records,
    /// Handshake bytes that are not a complete message yet.
    messages: Vec<u8>,
    change_cipher_spec: bool,
    /// Sent a handshake record under the new keys: its Finished.
    finished: bool,
    application_data: bool,
    closed: bool,
}

impl Stream {
    fn new(side: Side) -> Self {
        Self {
            records: Records::new(side),
            messages: Vec::new(),
            change_cipher_spec: false,
            finished: false,
            application_data: false,
            closed: false,
        }
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            facts: HandshakeFacts::default(),
            client: Stream::new(Side::Client),
            server: Stream::new(Side::Server),
            fault_by: None,
            retried: false,
            server_done: false,
            over: false,
        }
    }
}

impl Observer {
    /// Reads bytes that `side` sent. `at` is the time since the handshake began.
    pub fn observe(&mut self, side: Side, mut bytes: &[u8], at: Duration) {
        if self.over || bytes.is_empty() {
            return;
        }
        self.facts.duration_ms = millis(at);
        while !self.over && !bytes.is_empty() {
            let before = bytes.len();
            let record = self.stream(side).records.take(&mut bytes);
            *self.counter(side) += (before - bytes.len()) as u64;
            match record {
                Some(record) => self.record(side, &record),
                None => self.note_foreign(side),
            }
        }
    }

    /// `side` ended the connection within the handshake. Ignored after the handshake.
    pub fn end(&mut self, side: Side, how: Ending, at: Duration) {
        if self.over {
            return;
        }
        if self.facts.ended.is_none() {
            self.facts.ended = Some(Ended { by: side, how });
            self.facts.duration_ms = millis(at);
        }
        self.stream(side).closed = true;
        // After the FIN of one side, the opposite side may still send.
        if how != Ending::Fin || (self.client.closed && self.server.closed) {
            self.finish();
        }
    }

    /// True if no later bytes can change the facts.
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn facts(&self) -> &HandshakeFacts {
        &self.facts
    }

    pub fn into_facts(self) -> HandshakeFacts {
        self.facts
    }

    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn counter(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Client => &mut self.facts.client_bytes,
            Side::Server => &mut self.facts.server_bytes,
        }
    }

    fn record(&mut self, side: Side, record: &Record) {
        let body = record.body();
        match record.content_type() {
            _ if record.is_ssl2() => self.client_hello(message::ssl2_client_hello(body)),
            CHANGE_CIPHER_SPEC => self.change_cipher_spec(side),
            ALERT => self.alert(side, body),
            HANDSHAKE if self.is_encrypted(side) => {
                self.stream(side).finished = true;
                if self.client.finished && self.server.finished {
                    self.complete();
                }
            }
            HANDSHAKE => self.messages(side, body),
            APPLICATION_DATA => self.application_data(side, body.len()),
            _ => {}
        }
    }

    /// In TLS 1.3, ChangeCipherSpec means nothing: it is sent only for middleboxes (RFC 8446 appendix D.4).
    fn is_encrypted(&mut self, side: Side) -> bool {
        !self.is_tls13() && self.stream(side).change_cipher_spec
    }

    fn is_tls13(&self) -> bool {
        // 0x7fxx: drafts.
        let is_13 = |version: WireVersion| version >= WireVersion::TLS13 && matches!(version.0 >> 8, 0x03 | 0x7f);
        self.retried || self.facts.server_hello.as_ref().is_some_and(|hello| is_13(hello.version))
    }

    /// RFC 5246 section 7.3: a server that resumes a session sends this in place of its certificate, its key exchange
    /// and ServerHelloDone.
    fn change_cipher_spec(&mut self, side: Side) {
        let stream = self.stream(side);
        stream.change_cipher_spec = true;
        if side == Side::Server && self.facts.server_hello.is_some() && !self.is_tls13() && !self.server_done {
            self.facts.resumed = true;
        }
    }

    fn alert(&mut self, by: Side, body: &[u8]) {
        if self.is_encrypted(by) && body.len() != 2 {
            return self.push_alert(Alert { by, description: None, fatal: false });
        }
        for pair in body.chunks_exact(2) {
            self.push_alert(Alert { by, description: Some(pair[1]), fatal: pair[0] == 2 });
        }
    }

    fn push_alert(&mut self, alert: Alert) {
        if self.facts.alerts.len() < ALERTS_MAX {
            self.facts.alerts.push(alert);
        }
    }

    /// In TLS 1.3, application data has the rest of the handshake. If the client sends first, it is early data.
    fn application_data(&mut self, by: Side, length: usize) {
        let Some(hello) = self.facts.server_hello.as_ref().filter(|_| self.is_tls13()) else { return };
        // Level, description and content type: nothing else in a handshake is as short, so this is an alert.
        let tag = hello.cipher_suite.tag_bytes();
        if length == 3 + tag && (by == Side::Server || self.server.application_data) {
            return self.push_alert(Alert { by, description: None, fatal: false });
        }
        match by {
            Side::Server => self.server.application_data = true,
            Side::Client if !self.server.application_data => {}
            Side::Client if length >= FINISHED_MIN => self.complete(),
            Side::Client => self.facts.client_certificate_requested |= length == NO_CERTIFICATE + tag,
        }
    }

    /// Extracts the messages from the records.
    fn messages(&mut self, side: Side, fragment: &[u8]) {
        let mut messages = std::mem::take(&mut self.stream(side).messages);
        messages.extend_from_slice(fragment);
        let mut rest = messages.as_slice();
        while let [kind, l0, l1, l2, body @ ..] = rest {
            let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
            if length > MESSAGE_MAX {
                return self.close(side, format!("the {side} sent a handshake message of {length} bytes"));
            }
            let Some((body, after)) = body.split_at_checked(length) else { break };
            self.message(side, *kind, body);
            rest = after;
        }
        let left = messages.len() - rest.len();
        messages.drain(..left);
        self.stream(side).messages = messages;
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8]) {
        match (side, kind) {
            (Side::Client, message::CLIENT_HELLO) => self.client_hello(message::client_hello(body)),
            (Side::Server, message::SERVER_HELLO) => self.server_hello(body),
            (Side::Server, message::CERTIFICATE) if self.facts.certificates.is_empty() => {
                self.facts.certificates = message::certificates(body);
            }
            (Side::Server, message::SERVER_KEY_EXCHANGE) => {
                if let Some(hello) = &mut self.facts.server_hello {
                    hello.key_exchange =
                        hello.key_exchange.or_else(|| message::server_key_exchange(hello.cipher_suite, body));
                }
            }
            (Side::Server, message::CERTIFICATE_REQUEST) => self.facts.client_certificate_requested = true,
            (Side::Server, message::SERVER_HELLO_DONE) => self.server_done = true,
            _ => {}
        }
    }

    /// The first hello shows what the client offers. A second hello answers a HelloRetryRequest.
    fn client_hello(&mut self, hello: Option<super::ClientHello>) {
        match hello {
            Some(_) if self.facts.client_hello.is_some() => {}
            Some(hello) => self.facts.client_hello = Some(hello),
            None => self.note_fault("the client's hello does not parse"),
        }
    }

    fn server_hello(&mut self, body: &[u8]) {
        match message::server_hello(body) {
            Some(ServerAnswer::Retry) => self.retried = true,
            Some(ServerAnswer::Hello { mut hello, resumed }) if self.facts.server_hello.is_none() => {
                hello.retried = self.retried;
                self.facts.resumed = resumed;
                self.facts.server_hello = Some(hello);
            }
            Some(ServerAnswer::Hello { .. }) => {}
            None => self.note_fault("the server's hello does not parse"),
        }
    }

    /// Stops reading a side that sent something that no TLS implementation sends.
    fn close(&mut self, side: Side, fault: String) {
        self.note_fault(&fault);
        self.stream(side).records.close();
    }

    fn note_fault(&mut self, fault: &str) {
        self.facts.malformed.get_or_insert_with(|| fault.to_owned());
    }

    /// Describes the first fault only, with more of its bytes as they arrive.
    fn note_foreign(&mut self, side: Side) {
        let Some(fault) = self.stream(side).records.fault() else { return };
        if self.facts.malformed.is_none() {
            self.fault_by = Some(side);
        }
        if self.fault_by == Some(side) {
            self.facts.malformed = Some(fault);
        }
    }

    fn complete(&mut self) {
        self.facts.completed = true;
        self.finish();
    }

    /// Releases the buffers.
    fn finish(&mut self) {
        self.over = true;
        self.client = Stream::new(Side::Client);
        self.server = Stream::new(Side::Server);
    }
}

fn millis(at: Duration) -> u64 {
    at.as_millis().try_into().unwrap_or(u64::MAX)
}
