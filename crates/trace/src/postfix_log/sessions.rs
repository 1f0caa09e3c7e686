//! Sessions of clients: from what smtpd and postscreen say to rows about senders who failed.
//!
//! ```text
//!   connect ── SSL_accept error, reject, lost connection … ── disconnect ──> a row for each thing that failed
//!      └── nothing but a greeting and its answer ──> a row from the third such session of one client on
//! ```
//!
//! A session that brought mail has a row of its own where that message is received.

use protocol::smtp::Phase;

use super::{
    columns::Numbered,
    line::{Line, Program},
    record::host_and_address,
    server::{Reject, Said, count},
};
use crate::{
    message_trace::{Column, CustomData, Row},
    open_messages::OpenMessages,
    quiet_clients::{QuietClients, is_near},
};

/// Nobody reads more of what went wrong.
const TROUBLE_BYTES_MAX: usize = 1000;

#[derive(Default)]
struct Session {
    host: String,
    /// Empty where it is not known.
    address: String,
    tls: Option<(String, String)>,
    /// What the TLS library said.
    trouble: String,
    /// How it failed, as far as it did.
    failure: Option<(Phase, Numbered)>,
    /// It failed in a way that is told already.
    is_told: bool,
    /// It began to hand a message in.
    has_brought: bool,
}

pub(super) struct Sessions {
    /// By process; those of postscreen, which has one process for all, by client.
    open: OpenMessages<Session>,
    quiet: QuietClients<Numbered>,
    ready: Vec<Numbered>,
}

/// Who brought a message, and over which TLS.
#[derive(Default)]
pub(super) struct Client {
    pub host: String,
    /// Empty where it is not known.
    pub address: String,
    pub tls: Option<(String, String)>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { open: OpenMessages::new(), quiet: QuietClients::new(), ready: Vec::new() }
    }

    /// Rows that are complete.
    pub(super) fn take_ready(&mut self) -> impl Iterator<Item = Numbered> {
        self.ready.drain(..)
    }

    /// Takes what a line says of its client.
    pub(super) fn take(&mut self, line: &Line<'_>, number: u64, said: &Said<'_>) {
        let key = |client| if line.program == Program::Screen { client } else { line.process };
        match said {
            Said::Connect { client } => {
                let key = key(client);
                self.close(key, line, number, "");
                self.open.entry(key).begin(client);
            }
            Said::Disconnect { client, counts } => {
                let key = key(client);
                self.open.entry(key).begin(client);
                self.close(key, line, number, counts);
            }
            Said::Tls { version, cipher } => {
                self.open.entry(line.process).tls = Some(((*version).to_owned(), (*cipher).to_owned()));
            }
            Said::TlsTrouble { text } => self.open.entry(line.process).blame(text),
            Said::AcceptError { client, text } => {
                let session = self.open.entry(line.process);
                session.begin(client);
                let row = session.row(line, "DEFER", Phase::Handshake, text);
                session.failure = Some((Phase::Handshake, (number, row)));
            }
            Said::Cut { phase, text } => {
                let session = self.open.entry(line.process);
                session.begin(text.rsplit_once(" from ").map_or("", |(_, client)| client));
                let row = session.row(line, "DEFER", *phase, text);
                session.failure.get_or_insert((*phase, (number, row)));
            }
            Said::Reject(reject) => self.reject(line, number, reject, key(reject.client)),
            Said::AuthenticationFailed { client, text } => {
                self.fail(line, number, client, Phase::Ehlo, &format!("535 5.7.8 {text}"));
            }
            Said::Limited { client, text } => {
                self.fail(line, number, client, Phase::Banner, &format!("421 4.7.0 {text}"))
            }
            Said::Message { .. } | Said::Nothing => {}
        }
    }

    /// The client that hands in a message in this process.
    pub(super) fn bring(&mut self, process: &str, client: &str) -> Client {
        let session = self.open.entry(process);
        session.begin(client);
        session.has_brought = true;
        let client = Client { host: session.host.clone(), address: session.address.clone(), tls: session.tls.clone() };
        self.quiet.forget(&client.address);
        client
    }

    fn reject(&mut self, line: &Line<'_>, number: u64, reject: &Reject<'_>, key: &str) {
        let session = self.open.entry(key);
        session.begin(reject.client);
        session.is_told = true;
        if session.is_nobodys() {
            return;
        }
        let is_temporary = reject.reply.starts_with('4');
        let mut row = session.row(line, if is_temporary { "DEFER" } else { "FAIL" }, reject.phase, reject.reply);
        row.set(Column::SenderAddress, reject.sender);
        row.set(Column::RecipientAddress, reject.recipient);
        self.ready.push((number, row));
    }

    fn fail(&mut self, line: &Line<'_>, number: u64, client: &str, phase: Phase, text: &str) {
        let session = self.open.entry(line.process);
        session.begin(client);
        session.is_told = true;
        if !session.is_nobodys() {
            let row = session.row(line, "DEFER", phase, text);
            self.ready.push((number, row));
        }
    }

    /// The session is over.
    fn close(&mut self, key: &str, line: &Line<'_>, number: u64, counts: &str) {
        let session = std::mem::take(self.open.entry(key));
        // A process serves the next client soon; a client's port does not come again.
        if line.program == Program::Screen {
            self.open.remove(key);
        }
        let has_said_mail = session.has_brought || count(counts, "mail").is_some_and(|(_, all)| all > 0);
        if session.is_told || session.address.is_empty() || (has_said_mail && !session.is_interrupted()) {
            return;
        }
        match session.failure {
            // A scanner also comes as far as the greeting.
            Some((phase, row)) if phase > Phase::Ehlo => self.ready.extend([row]),
            Some((_, row)) => self.ready.extend(self.quiet.add(&session.address, row)),
            // Where nothing is counted, nothing is known of what it did.
            None if counts.is_empty() || session.is_monitor(counts) => {}
            None => {
                let did = if count(counts, "starttls").is_some() { "STARTTLS" } else { "EHLO" };
                let text = format!("the client left after {did} and handed in no mail ({counts})");
                let phase = if did == "EHLO" { Phase::Ehlo } else { Phase::Mail };
                let row = session.row(line, "DEFER", phase, &text);
                self.ready.extend(self.quiet.add(&session.address, (number, row)));
            }
        }
    }

    /// The log is over: sessions that were not closed failed as far as is known.
    pub(super) fn end(&mut self) {
        for session in std::mem::replace(&mut self.open, OpenMessages::new()).into_values() {
            let is_failure = !session.is_told && !session.is_nobodys() && session.is_interrupted();
            if let Some((_, row)) = session.failure.filter(|(phase, _)| is_failure && *phase > Phase::Ehlo) {
                self.ready.push(row);
            }
        }
    }
}

impl Session {
    /// `host[192.0.2.9]`, `unknown[192.0.2.9]`, `[192.0.2.9]:4711`, or nothing that is new. Another client than before:
    /// lines between are not in the log.
    fn begin(&mut self, client: &str) {
        if client.is_empty() {
            return;
        }
        let (host, address, _) = host_and_address(client);
        let address = address.unwrap_or_default();
        if self.address != address {
            if !self.address.is_empty() {
                *self = Self::default();
            }
            address.clone_into(&mut self.address);
        }
        if host != "unknown" && self.host.is_empty() {
            host.clone_into(&mut self.host);
        }
    }

    fn blame(&mut self, text: &str) {
        if self.trouble.len() < TROUBLE_BYTES_MAX {
            let separator = if self.trouble.is_empty() { "" } else { ", " };
            // A semicolon ends a value of custom data.
            self.trouble += &(separator.to_owned() + &text.replace(';', ","));
            if let Some((_, (_, row))) = self.failure.as_mut().filter(|(phase, _)| *phase == Phase::Handshake) {
                row.set(Column::CustomData, custom_data(Phase::Handshake, None, &self.trouble));
            }
        }
    }

    fn row(&self, line: &Line<'_>, event: &str, phase: Phase, text: &str) -> Row {
        let mut row = Row::default();
        row.at = line.at;
        row.set(Column::Source, "SMTP");
        row.set(Column::Directionality, "Incoming");
        row.set(Column::EventId, event);
        row.set(Column::ClientHostname, &self.host);
        row.set(Column::ClientIp, &self.address);
        row.set(Column::ServerHostname, line.host.unwrap_or_default());
        row.set(Column::RecipientStatus, text);
        row.set(Column::CustomData, custom_data(phase, self.tls.as_ref(), &self.trouble));
        row
    }

    /// Nothing names the client: `unknown[unknown]` had left before it was looked at.
    fn is_nobodys(&self) -> bool {
        self.host.is_empty() && self.address.is_empty()
    }

    /// It failed before what it had begun was complete: after a message, a client may just leave.
    fn is_interrupted(&self) -> bool {
        let is_half = |phase: Phase| matches!(phase, Phase::Rcpt | Phase::Data);
        self.failure.as_ref().is_some_and(|(phase, _)| !self.has_brought || is_half(*phase))
    }

    /// A monitor of one's own says EHLO and QUIT all day.
    fn is_monitor(&self, counts: &str) -> bool {
        let is_polite = count(counts, "quit").is_some();
        is_polite && self.address.parse().is_ok_and(is_near)
    }
}

fn custom_data(phase: Phase, tls: Option<&(String, String)>, trouble: &str) -> CustomData {
    let mut data = CustomData::default();
    data.add("Phase", phase.name());
    if let Some((version, cipher)) = tls {
        data.add_tls(version, cipher);
    }
    if !trouble.is_empty() {
        data.add("TlsHandshake", trouble);
    }
    data
}

/// The row of a message's receipt says who brought it, unless that was this machine itself.
pub(super) fn set_client(row: &mut Row, client: &Client) {
    if client.address.is_empty() {
        return;
    }
    row.set(Column::ClientIp, &client.address);
    row.set(Column::ClientHostname, &client.host);
    row.set(Column::Directionality, "Incoming");
    if let Some((version, cipher)) = &client.tls {
        let mut data = CustomData::default();
        data.add_tls(version, cipher);
        row.set(Column::CustomData, data);
    }
}
