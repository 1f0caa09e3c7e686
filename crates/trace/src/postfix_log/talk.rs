//! What one process of smtp(8) said on its way to the result of an attempt: of TLS, and of the servers that it skipped.
//! None of that names a message, or a recipient; the next result of the same process does.

use jiff::{SignedDuration, Timestamp};

use super::{
    columns::{Numbered, set_server},
    record::{Delivery, Record, host_and_address, is_own_tls_trouble},
};
use crate::message_trace::{Column, CustomData, Row};

/// Nobody reads more of what went wrong.
const TROUBLE_BYTES_MAX: usize = 1000;
/// A message has fewer servers, as long as its results are in the log.
const PASSED_MAX: usize = 100;
/// Postfix goes on without TLS at once, but a connection that it keeps may serve others for a while.
const PLAINTEXT_WITHIN: SignedDuration = SignedDuration::from_secs(300);

/// What a result says where the process has no TLS.
const NO_ENGINE: &str = "TLS engine is unavailable";

#[derive(Default)]
pub(super) struct Talk {
    /// The server that TLS was spoken with.
    relay: String,
    /// Version and cipher that were agreed on.
    agreed: Option<(String, String)>,
    /// What went wrong, in words.
    trouble: String,
    /// The handshake failed: no doubts about a certificate.
    has_failed: bool,
    trouble_at: Option<Timestamp>,
    /// It went with a result: what follows is of another connection.
    is_told: bool,
    /// The warnings since the last result.
    warning: String,
    /// Why the process has no TLS at all. It says so once.
    without_tls: String,
    passed: Vec<Passed>,
}

/// A server that failed before the next one was tried.
pub(super) struct Passed {
    pub number: u64,
    pub at: Option<Timestamp>,
    pub queue_id: Option<Box<str>>,
    /// With the port, where the log names it.
    pub server: String,
    pub text: String,
    pub data: CustomData,
}

/// Adds to what went wrong, unless there is enough of it. A semicolon ends a value of custom data.
fn append(trouble: &mut String, text: &str) {
    if trouble.len() < TROUBLE_BYTES_MAX {
        let separator = if trouble.is_empty() { "" } else { ", " };
        *trouble += separator;
        trouble.extend(text.chars().take(TROUBLE_BYTES_MAX).map(|c| if c == ';' { ',' } else { c }));
    }
}

impl Talk {
    pub(super) fn agree(&mut self, relay: String, version: &str, cipher: &str) {
        self.begin(relay);
        self.agreed = Some((version.to_owned(), cipher.to_owned()));
    }

    pub(super) fn fail(&mut self, relay: Option<&str>, text: &str, at: Option<Timestamp>) {
        let is_new = relay.is_some_and(|relay| self.relay != relay);
        if is_new || self.is_told {
            self.begin(relay.unwrap_or(&self.relay).to_owned());
        }
        self.has_failed |= text.starts_with("SSL_connect error to ") || is_own_tls_trouble(text);
        self.trouble_at = at;
        append(&mut self.trouble, text);
    }

    fn begin(&mut self, relay: String) {
        if self.is_told || self.relay != relay {
            self.relay = relay;
            self.agreed = None;
            self.trouble.clear();
            (self.has_failed, self.is_told) = (false, false);
        }
    }

    pub(super) fn warn(&mut self, text: &str) {
        // The first says which file, table or setting; what follows may only repeat that it failed.
        if !text.starts_with("TLS policy lookup for ") {
            append(&mut self.warning, text);
        }
    }

    pub(super) fn go_without_tls(&mut self, text: &str) {
        self.without_tls.clear();
        self.without_tls.extend(text.chars().take(TROUBLE_BYTES_MAX).map(|c| if c == ';' { ',' } else { c }));
    }

    /// A server failed, and another one follows.
    pub(super) fn pass(&mut self, record: &Record<'_>, number: u64, at: Option<Timestamp>) {
        let Record::Passed { queue_id, server, text } = record else { return };
        let server = server.map_or_else(|| self.relay.clone(), |server| self.with_port(server));
        if self.passed.len() >= PASSED_MAX || server.is_empty() {
            return;
        }
        let mut data = CustomData::default();
        self.tell(&server, text, &mut data);
        let queue_id = queue_id.map(Box::from);
        self.passed.push(Passed { number, at, queue_id, server, text: (*text).to_owned(), data });
    }

    /// Failures name a server without its port. That of a result before may be another one.
    fn with_port(&self, server: &str) -> String {
        let is_it = !self.is_told && self.relay.strip_prefix(server).is_some_and(|port| port.starts_with(':'));
        if is_it { self.relay.clone() } else { server.to_owned() }
    }

    /// What was said of TLS with a server, and in the result.
    fn tell(&mut self, server: &str, result: &str, data: &mut CustomData) {
        if result.contains(NO_ENGINE) && !self.without_tls.is_empty() {
            data.add("TlsHandshake", &self.without_tls);
            return;
        }
        if self.relay != server {
            return;
        }
        self.is_told = true;
        if let Some((version, cipher)) = &self.agreed {
            data.add_tls(version, cipher);
        }
        if !self.trouble.is_empty() {
            data.add("TlsHandshake", &self.trouble);
        }
    }

    /// The same of a result.
    pub(super) fn tell_result(&mut self, delivery: &Delivery<'_>, at: Option<Timestamp>, data: &mut CustomData) {
        let server = delivery.server();
        if delivery.status == "sent" && !self.without_tls.is_empty() && host_and_address(server).1.is_some() {
            data.add("PlaintextAfter", &self.without_tls);
            return;
        }
        let is_in_plaintext = delivery.status == "sent" && self.has_failed && self.agreed.is_none();
        if self.relay != server || !is_in_plaintext {
            return self.tell(server, delivery.text, data);
        }
        self.is_told = true;
        let apart = self.trouble_at.zip(at).map(|(failed, at)| at.duration_since(failed));
        if delivery.is_reused || apart.is_none_or(|apart| apart <= PLAINTEXT_WITHIN) {
            data.add("PlaintextAfter", &self.trouble);
        }
    }

    /// The servers that were skipped on the way to a result, without the one that the result is about.
    pub(super) fn take_passed(&mut self, delivery: &Delivery<'_>) -> Vec<Passed> {
        if self.passed.is_empty() {
            return Vec::new();
        }
        let is_of_message =
            |passed: &Passed| passed.queue_id.as_deref().is_none_or(|queue_id| queue_id == delivery.queue_id);
        let (mut passed, others) =
            std::mem::take(&mut self.passed).into_iter().partition(|passed| is_of_message(passed));
        self.passed = others;
        let server = delivery.server();
        let is_same = |passed: &Passed| is_server(&passed.server, server) && passed.text == delivery.text;
        // Mail that went on to the same server without TLS did not fail.
        let went_on = |passed: &Passed| {
            delivery.status == "sent"
                && is_server(&passed.server, server)
                && passed.text.starts_with("Cannot start TLS")
        };
        Vec::retain(&mut passed, |passed: &Passed| !is_same(passed) && !went_on(passed));
        passed
    }

    /// Those that no result followed.
    pub(super) fn end(self) -> Vec<Passed> {
        self.passed
    }

    /// What its process said before it failed without a server.
    pub(super) fn take_warning(&mut self) -> String {
        std::mem::take(&mut self.warning)
    }
}

/// One of the two may lack the port.
fn is_server(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

impl Passed {
    /// The servers of one delivery have one port.
    pub(super) fn at_port(mut self, port: Option<u16>) -> Self {
        if let (Some(port), (_, Some(_), None)) = (port, host_and_address(&self.server)) {
            self.server = format!("{}:{port}", self.server);
        }
        self
    }

    /// The attempt as a row; `row` has what is known of the message.
    pub(super) fn row(self, row: &Row, node: &str) -> Numbered {
        let mut row = row.clone();
        row.at = self.at;
        row.set(Column::EventId, "DEFER");
        row.set(Column::ClientHostname, node);
        row.set(Column::RecipientStatus, &self.text);
        set_server(&mut row, &self.server, self.data);
        (self.number, row)
    }
}
