//! Reads OpenSMTPD's log (`smtpd[…]` in maillog): sessions by their id, messages by their envelope id.
//!
//! ```text
//!   5df87c9f mta connecting address=smtp://192.0.2.1:25 host=mx.y           the server of a session
//!   5df87c9f mta tls ciphers=TLSv1.3:TLS_AES_256_GCM_SHA384:256             what it agreed on
//!   5df87c9f mta delivery evpid=… from=<a@x> to=<b@y> … relay="192.0.2.1 (mx.y)" result="TempFail" stat="421 …"
//!   5df87c9f mta error reason=Connection refused                            a connection that no message has
//!   smtp-out: Error on session 5df87c9f: opportunistic TLS failed, downgrading to plain
//! ```
//!
//! Source: smtpd(8) and its published logs, since version 6.0.

use std::io::{self, Read};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Letter, Server},
    log_reader::{LogReader, Messages, Take},
    message_trace::{Column, CustomData, Row},
    open_messages::OpenMessages,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "opensmtpd-log",
    why_help: "Explain an OpenSMTPD log; may be repeated",
    trace_help: "Show messages of an OpenSMTPD log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("OpenSMTPD"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count_passed_on(|line| split_line(line).is_some_and(|(_, body)| split_event(body).is_some()))
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(LogReader::passed_on(file, Log { messages: Messages::new(now, zone), sessions: OpenMessages::new() })))
}

struct Log {
    messages: Messages<Letter>,
    sessions: OpenMessages<Session>,
}

/// A connection to a server, or of a client.
#[derive(Default)]
struct Session {
    host: String,
    /// With the port.
    address: String,
    tls: Option<(String, String)>,
    message_bytes: String,
    has_result: bool,
    /// Why it connects once more, without TLS.
    plaintext_after: Option<String>,
}

/// Stamp and text; `None` where the line is not smtpd's.
fn split_line(line: &str) -> Option<(&str, &str)> {
    let (head, body) = line.split_once(": ")?;
    let (stamp, program) = head.rsplit_once(' ')?;
    let name = program.split('[').next()?;
    (name == "smtpd").then_some((stamp, body))
}

/// `5df87c9b982c840c mta delivery …` is the session, `mta`, `delivery` and the rest.
fn split_event(body: &str) -> Option<(&str, &str, &str, &str)> {
    let mut words = body.splitn(4, ' ');
    let (session, side, event) = (words.next()?, words.next()?, words.next()?);
    let is_session = session.len() == 16 && session.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_session && matches!(side, "mta" | "smtp" | "mda")).then_some((
        session,
        side,
        event,
        words.next().unwrap_or_default(),
    ))
}

/// `smtp-out: TLS Error on session 5df87c9f982c840c: TLS failed, downgrading to plain`: the session, and the words.
fn split_downgrade(body: &str) -> Option<(&str, &str)> {
    let (_, rest) = body.strip_prefix("smtp-out: ")?.split_once("rror on session ")?;
    rest.split_once(": ").filter(|(_, words)| words.ends_with("downgrading to plain"))
}

/// `key=value`, `key="a value"` or `key=<an address>`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let key = format!("{key}=");
    let is_begin = |at: usize| at == 0 || text[..at].ends_with(' ');
    let start = text.match_indices(&key).map(|(at, _)| at).find(|at| is_begin(*at))? + key.len();
    let rest = &text[start..];
    if let Some(quoted) = rest.strip_prefix('"') {
        // A reply may have quotes in it, so the last that ends a value counts.
        let end = quoted
            .match_indices('"')
            .map(|(at, _)| at)
            .find(|at| quoted[at + 1..].is_empty() || is_next(&quoted[at + 1..]));
        return Some(&quoted[..end.unwrap_or(quoted.len())]);
    }
    if let Some(address) = rest.strip_prefix('<') {
        return Some(address.split('>').next().unwrap_or_default());
    }
    // A reason is the last, and has spaces.
    let end = if key == "reason=" { rest.find(" messages=") } else { rest.find(' ') };
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// ` key=`
fn is_next(text: &str) -> bool {
    let Some(text) = text.strip_prefix(' ') else { return false };
    text.split_once('=').is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some((stamp, body)) = split_line(line) else { return false };
        let at = self.messages.times.stamp(stamp.trim_start_matches('\u{feff}'));
        if let Some((id, words)) = split_downgrade(body) {
            self.sessions.entry(id).plaintext_after = Some(words.to_owned());
            return true;
        }
        let Some((id, side, event, rest)) = split_event(body) else { return false };
        let session = self.sessions.entry(id);
        match (side, event) {
            ("smtp", "connected") | ("mta", "connecting") => session.begin(rest),
            ("smtp", "message") => value(rest, "size").unwrap_or_default().clone_into(&mut session.message_bytes),
            ("smtp", "envelope") => self.receive(id, at, rest),
            ("mta", "tls") => session.agree(rest),
            ("mta" | "mda", "delivery") => self.deliver(id, side, at, rest),
            ("mta", "error") => self.fail(id, at, rest),
            (_, "disconnected") => self.sessions.remove(id),
            _ => return false,
        }
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Session {
    /// `address=smtp+tls://192.0.2.1:25 host=mx.y`
    fn begin(&mut self, rest: &str) {
        let address = value(rest, "address").unwrap_or_default();
        *self = Self {
            host: value(rest, "host").unwrap_or_default().to_owned(),
            address: address.split_once("://").map_or(address, |(_, address)| address).to_owned(),
            plaintext_after: self.plaintext_after.take(),
            ..Self::default()
        };
    }

    /// `ciphers=TLSv1.2:ECDHE-RSA-CHACHA20-POLY1305:256`
    fn agree(&mut self, rest: &str) {
        let mut parts = value(rest, "ciphers").unwrap_or_default().split(':');
        if let (Some(version), Some(cipher)) = (parts.next(), parts.next()) {
            self.tls = Some((version.to_owned(), cipher.to_owned()));
            self.plaintext_after = None;
        }
    }

    fn server(&self) -> Server<'_> {
        let socket: Option<std::net::SocketAddr> = self.address.parse().ok();
        let address = socket.map(|socket| socket.ip()).or_else(|| self.address.parse().ok());
        let host = if self.host.is_empty() {
            Server::read(self.address.split(':').next().unwrap_or_default()).host
        } else {
            &self.host
        };
        Server { host, address, port: socket.map(|socket| socket.port()) }
    }
}

impl Log {
    fn receive(&mut self, session: &str, at: Option<Timestamp>, rest: &str) {
        let Some(id) = value(rest, "evpid") else { return };
        let session = self.sessions.entry(session);
        let letter = self.messages.open.entry(id);
        letter.begin(id, at);
        letter.row.set(Column::SenderAddress, value(rest, "from").unwrap_or_default());
        letter.row.set(Column::TotalBytes, &session.message_bytes);
        letter.row.set(Column::OriginalClientIp, session.server().address.map(|ip| ip.to_string()).unwrap_or_default());
    }

    fn deliver(&mut self, session: &str, side: &str, at: Option<Timestamp>, rest: &str) {
        let Some(id) = value(rest, "evpid") else { return };
        let event = match value(rest, "result").unwrap_or_default() {
            "Ok" | "Delivered" if side == "mda" => Event::Deliver,
            "Ok" | "Delivered" => Event::Send,
            "TempFail" => Event::Defer,
            _ => Event::Fail,
        };
        let session = self.sessions.entry(session);
        session.has_result = true;
        let letter = self.messages.open.entry(id);
        letter.begin(id, at);
        if letter.row[Column::SenderAddress].is_empty() {
            letter.row.set(Column::SenderAddress, value(rest, "from").unwrap_or_default());
        }
        let (received, mut row) = letter.rows(event, at, value(rest, "to").unwrap_or_default());
        row.set(Column::RecipientStatus, value(rest, "stat").unwrap_or_default());
        row.set(Column::ClientIp, value(rest, "source").filter(|source| *source != "-").unwrap_or_default());
        let relay = value(rest, "relay").unwrap_or_default();
        let (address, host) = relay.split_once(" (").unwrap_or((relay, ""));
        let known = session.server();
        let server = Server {
            host: Some(host.trim_end_matches(')')).filter(|host| !host.is_empty()).unwrap_or(known.host),
            address: address.parse().ok().or(known.address),
            port: known.port,
        };
        let mut data = CustomData::default();
        if side == "mta" {
            server.set(&mut row);
            server.add_port(&mut data);
        }
        if let Some((version, cipher)) = &session.tls {
            data.add_tls(version, cipher);
        }
        if let Some(words) = session.plaintext_after.as_ref().filter(|_| event == Event::Send) {
            data.add("PlaintextAfter", words);
        }
        row.set(Column::CustomData, data);
        self.messages.ready.extend(received.into_iter().chain([row]));
    }

    /// A connection that failed before a message was its own.
    fn fail(&mut self, session: &str, at: Option<Timestamp>, rest: &str) {
        let session = self.sessions.entry(session);
        let server = session.server();
        if session.has_result || server == Server::default() {
            return;
        }
        let mut row = Row::default();
        row.at = at;
        row.set(Column::Source, "SMTP");
        row.set(Column::EventId, Event::Defer.name());
        row.set(Column::RecipientStatus, value(rest, "reason").unwrap_or(rest));
        server.set(&mut row);
        let mut data = CustomData::default();
        server.add_port(&mut data);
        row.set(Column::CustomData, data);
        self.messages.ready.push_back(row);
    }
}
