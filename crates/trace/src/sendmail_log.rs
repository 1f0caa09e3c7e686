//! Reads sendmail's log (`sendmail`, `sm-mta` and the like in maillog): lines of one queue id are put together.
//!
//! ```text
//!   xATA51: from=<a@x>, size=1201, …, msgid=<1@x>, relay=…          the message
//!   STARTTLS=client, relay=mx.y., version=TLSv1.3, …                TLS of the process's next delivery to that relay
//!   xATA51: to=<b@y>, …, relay=mx.y. [192.0.2.1], dsn=4.0.0, stat=Deferred: …   an attempt
//! ```
//!
//! Source: the sendmail Installation and Operation Guide, "Log Format".

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
    name: "sendmail-log",
    why_help: "Explain a sendmail log; may be repeated",
    trace_help: "Show messages of a sendmail log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("sendmail"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count_passed_on(|line| split_line(line).is_some())
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(LogReader::passed_on(file, Log { messages: Messages::new(now, zone), tls: OpenMessages::new() })))
}

struct Log {
    messages: Messages<Letter>,
    /// By process id.
    tls: OpenMessages<Tls>,
}

/// What a process said of TLS, and of which relay.
#[derive(Default)]
struct Tls {
    relay: String,
    agreed: Option<(String, String)>,
    failure: String,
}

/// Stamp, process id and what follows; `None` where the line is not sendmail's.
fn split_line(line: &str) -> Option<(&str, &str, &str)> {
    let (head, body) = line.split_once(": ")?;
    let (stamp, program) = head.rsplit_once(' ')?;
    let (name, process) = program.split_once('[').unwrap_or((program, ""));
    let is_sendmail = name.starts_with("sendmail") || name.starts_with("sm-");
    is_sendmail.then_some((stamp, process.trim_end_matches(']'), body))
}

/// `name=value` of a line, whose values end at `, ` and the next name. `stat` is the last, and may hold anything.
fn value<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let is_begin = |at: usize| at == 0 || body[..at].ends_with(", ") || body[..at].ends_with(": ");
    let key = format!("{name}=");
    let start = body.match_indices(&key).map(|(at, _)| at).find(|at| is_begin(*at))? + key.len();
    let rest = &body[start..];
    if name == "stat" {
        return Some(rest);
    }
    let is_end = |at: &usize| {
        let next = &rest[at + 2..];
        next.find('=').is_some_and(|equals| {
            equals > 0 && next[..equals].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    let end = rest.match_indices(", ").map(|(at, _)| at).find(is_end);
    Some(&rest[..end.unwrap_or(rest.len())])
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some((stamp, process, body)) = split_line(line) else { return false };
        let at = self.messages.times.stamp(stamp.trim_start_matches('\u{feff}'));
        if body.starts_with("STARTTLS=client") {
            self.note_tls(process, body);
            return false;
        }
        let Some((id, rest)) = body.split_once(": ") else { return false };
        if id.len() < 8 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return false;
        }
        if rest.starts_with("STARTTLS=client") {
            self.note_tls(process, rest);
            return false;
        }
        if let Some(sender) = value(rest, "from").filter(|_| rest.starts_with("from=")) {
            self.begin(id, at, sender, rest);
            return true;
        }
        let Some(to) = value(rest, "to").filter(|_| rest.starts_with("to=")) else { return false };
        let Some(status) = value(rest, "stat") else { return false };
        self.deliver(id, at, process, to, status, rest);
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Log {
    fn begin(&mut self, id: &str, at: Option<Timestamp>, sender: &str, rest: &str) {
        let letter = self.messages.open.entry(id);
        letter.begin(id, at);
        letter.row.set(Column::SenderAddress, bare(sender));
        letter.row.set(Column::TotalBytes, value(rest, "size").unwrap_or_default());
        letter.row.set(Column::MessageId, value(rest, "msgid").unwrap_or_default());
        let client = Server::read(value(rest, "relay").unwrap_or_default());
        letter.row.set(Column::OriginalClientIp, client.address.map(|ip| ip.to_string()).unwrap_or_default());
    }

    fn deliver(&mut self, id: &str, at: Option<Timestamp>, process: &str, to: &str, status: &str, rest: &str) {
        let dsn = value(rest, "dsn").unwrap_or_default();
        let Some(event) = event(dsn, status, value(rest, "mailer").unwrap_or_default()) else { return };
        let relay = value(rest, "relay").unwrap_or_default();
        let (server, mut data) = (Server::read(relay), CustomData::default());
        let tls = self.tls.entry(process);
        // A handshake that failed is told without the host; what the same process says next is about it.
        let is_nameless = tls.relay.is_empty() && !matches!(event, Event::Send | Event::Deliver);
        if is_nameless || (!tls.relay.is_empty() && tls.relay == server.host) {
            if let Some((version, cipher)) = tls.agreed.take() {
                data.add_tls(&version, &cipher);
            }
            let failure = std::mem::take(&mut tls.failure);
            if !failure.is_empty() {
                let is_plain = matches!(event, Event::Send | Event::Deliver);
                data.add(if is_plain { "PlaintextAfter" } else { "TlsHandshake" }, failure);
            }
        }
        let letter = self.messages.open.entry(id);
        letter.begin(id, at);
        for recipient in to.split(',').map(bare).filter(|recipient| !recipient.is_empty()) {
            let (received, mut row) = letter.rows(event, at, recipient);
            row.set(Column::RecipientStatus, format!("{dsn} {status}").trim());
            if event != Event::Deliver {
                server.set(&mut row);
            }
            row.set(Column::CustomData, &data);
            self.messages.ready.extend(received.into_iter().chain([row]));
        }
    }

    /// `STARTTLS=client, relay=…, version=…, cipher=…`, or `STARTTLS=client, error: …, reason=…, relay=…`.
    fn note_tls(&mut self, process: &str, body: &str) {
        let relay = value(body, "relay").unwrap_or_default();
        let tls = self.tls.entry(process);
        let host = Server::read(relay).host;
        if tls.relay != host {
            *tls = Tls { relay: host.to_owned(), ..Tls::default() };
        }
        match (value(body, "version"), value(body, "cipher")) {
            (Some(version), Some(cipher)) => tls.agreed = Some((version.to_owned(), cipher.to_owned())),
            _ if body.contains("error") || body.contains("fail") => {
                // It ends a value of custom data.
                tls.failure = body.replace(';', ",");
            }
            _ => {}
        }
    }
}

/// The first digit of the status says it; without one, the words do. `None` where nothing was tried.
fn event(dsn: &str, status: &str, mailer: &str) -> Option<Event> {
    let is_remote = !matches!(mailer, "local" | "prog" | "*file*" | "*include*");
    let sent = if is_remote { Event::Send } else { Event::Deliver };
    if status.starts_with("queued") {
        return None;
    }
    Some(match dsn.bytes().next() {
        Some(b'2') => sent,
        Some(b'4') => Event::Defer,
        Some(b'5') => Event::Fail,
        _ if status.starts_with("Sent") => sent,
        _ if status.starts_with("Deferred") => Event::Defer,
        _ => Event::Fail,
    })
}

fn bare(address: &str) -> &str {
    address.trim().trim_start_matches('<').trim_end_matches('>')
}
