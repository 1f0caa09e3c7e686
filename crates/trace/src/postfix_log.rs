//! Reads Postfix's log as far as it tells what became of messages: lines of one queue id are put together.
//!
//! ```text
//!   line ──read_line──> time, process, body ──Record::read──> Client, MessageId, Active, Delivery, Tls, Removed
//!                                                               └──by queue id──> LogReader ──> rows as of a message trace
//! ```
//!
//! What smtp(8) says of TLS names no message: it goes with the process's next delivery to the same server.

use std::{
    io::{self, Read},
    net::IpAddr,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Detail, ForeignFormat, Rows, looks},
    log_reader::{LogReader, Messages, Take},
    log_time::LogTimes,
    message_trace::{Column, CustomData, Row},
    open_messages::{OpenMessages, Recipients},
    text::split_once,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "postfix-log",
    why_help: "Explain a Postfix log; may be repeated",
    trace_help: "Show messages of a Postfix log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("Postfix"),
    has_connectors: true,
    lines_of: looks::postfix,
};

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(reader(file, now, zone)))
}

/// What a line says, without its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// smtpd: who hands it in.
    Client { queue_id: &'a str, client: &'a str },
    /// cleanup.
    MessageId { queue_id: &'a str, message_id: &'a str },
    /// qmgr: it is in the queue.
    Active { queue_id: &'a str, sender: &'a str, size_bytes: u64 },
    /// smtp, lmtp, local, virtual, pipe, error: the result of an attempt.
    Delivery(Delivery<'a>),
    /// smtp: what was agreed on with a server.
    Tls { trust: &'a str, host: &'a str, address: &'a str, port: u16, version: &'a str, cipher: &'a str },
    /// smtp: what went wrong with TLS, as it says it, and with which server where it says so.
    TlsTrouble { relay: Option<&'a str>, text: &'a str },
    /// qmgr.
    Removed { queue_id: &'a str },
}

/// The result of one attempt for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery<'a> {
    pub queue_id: &'a str,
    pub recipient: &'a str,
    /// Such as `mail.example.com[192.0.2.1]:25`, or `none`.
    pub relay: &'a str,
    pub dsn: &'a str,
    /// `sent`, `deferred`, `bounced`, `expired` and others.
    pub status: &'a str,
    /// What stands behind it in parentheses.
    pub text: &'a str,
}

impl<'a> Record<'a> {
    /// Reads what follows `postfix/smtp[1234]: `; `None` for what tells nothing of a message.
    pub fn read(body: &'a str) -> Option<Self> {
        let id_length = body.bytes().position(|byte| !byte.is_ascii_alphanumeric())?;
        let (queue_id, rest) = body.split_at_checked(id_length)?;
        let Some(rest) = rest.strip_prefix(": ").filter(|_| queue_id != "warning") else {
            return match split_once(body, " TLS connection established to ") {
                Some((trust, rest)) => tls(trust, rest),
                None => tls_trouble(body),
            };
        };
        if queue_id.len() < 5 || queue_id == "NOQUEUE" {
            return None;
        }
        if rest == "removed" {
            return Some(Self::Removed { queue_id });
        }
        if let Some(client) = rest.strip_prefix("client=") {
            return Some(Self::Client { queue_id, client: client.split(',').next().unwrap_or_default() });
        }
        if let Some(message_id) = rest.strip_prefix("message-id=") {
            return Some(Self::MessageId { queue_id, message_id });
        }
        if rest.starts_with("to=<") {
            return delivery(queue_id, rest).map(Self::Delivery);
        }
        let sender = between(rest, "from=<", ">")?;
        let size_bytes = between(rest, "size=", ",").and_then(|size| size.parse().ok())?;
        Some(Self::Active { queue_id, sender, size_bytes })
    }
}

/// `mail.example.com[192.0.2.1]:25: TLSv1 with cipher RC4-SHA (128/128 bits)`
fn tls<'a>(trust: &'a str, rest: &'a str) -> Option<Record<'a>> {
    let (host, rest) = rest.split_once('[')?;
    let (address, rest) = rest.split_once("]:")?;
    let (port, rest) = rest.split_once(": ")?;
    let (version, rest) = rest.split_once(" with cipher ")?;
    let cipher = rest.split(' ').next().unwrap_or_default();
    // Newer ones say `25:SMTPUTF8` or the like.
    let port = port.split(':').next()?.parse().ok()?;
    Some(Record::Tls { trust: trust.trim(), host, address, port, version, cipher })
}

fn tls_trouble(body: &str) -> Option<Record<'_>> {
    if let Some(text) = body.strip_prefix("warning: ").filter(|text| text.starts_with("TLS library problem: ")) {
        return Some(Record::TlsTrouble { relay: None, text });
    }
    let (_, rest) =
        [" verification failed for ", "SSL_connect error to "].iter().find_map(|words| split_once(body, words))?;
    let (relay, _) = split_once(rest, ": ")?;
    Some(Record::TlsTrouble { relay: Some(relay), text: body })
}

/// A server as smtp(8) names it: `mail.example.com[192.0.2.1]:25`.
fn relay(text: &str) -> (&str, Option<IpAddr>, Option<u16>) {
    let (host, rest) = text.split_once('[').unwrap_or((text, ""));
    let (address, port) = rest.split_once("]:").map_or((rest, None), |(address, port)| (address, port.parse().ok()));
    (host, address.trim_end_matches(']').parse().ok(), port)
}

/// Addresses may hold anything but end with `>, `; the text may hold anything.
fn delivery<'a>(queue_id: &'a str, rest: &'a str) -> Option<Delivery<'a>> {
    let (facts, said) = split_once(rest, " status=")?;
    let (status, text) = said.split_once(' ').unwrap_or((said, ""));
    let text = text.strip_prefix('(').unwrap_or(text);
    Some(Delivery {
        queue_id,
        recipient: between(facts, "to=<", ">")?,
        relay: between(facts, " relay=", ",").unwrap_or("none"),
        dsn: between(facts, " dsn=", ",").unwrap_or_default(),
        status,
        text: text.strip_suffix(')').unwrap_or(text),
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = split_once(text, before)?;
    Some(split_once(rest, after).map_or(rest, |(inner, _)| inner))
}

/// A line of one of Postfix's processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    pub at: Option<Timestamp>,
    /// Such as `1234`.
    pub process_id: &'a str,
    pub body: &'a str,
}

/// `None` where it is not Postfix's.
///
/// Times are of the old syslog, which knows neither year nor zone, or of RFC 3339.
pub fn read_line<'a>(line: &'a str, times: &mut LogTimes) -> Option<Line<'a>> {
    let (head, body) = split_once(line, "]: ")?;
    let (head, process) = head.rsplit_once(' ')?;
    let (program, process_id) = process.split_once('[')?;
    if !program.starts_with("postfix") || !program.contains('/') {
        return None;
    }
    let stamp = head.trim_start_matches('\u{feff}');
    Some(Line { at: times.stamp(stamp), process_id, body })
}

/// Reads a log. Times without a zone are in `zone`, those without a year not after `now`.
pub fn reader<R: Read>(file: R, now: Timestamp, zone: TimeZone) -> LogReader<R> {
    LogReader::new(file, Log { messages: Messages::new(now, zone), tls: OpenMessages::new() })
}

struct Log {
    messages: Messages<Message>,
    /// By process id.
    tls: OpenMessages<TlsTold>,
}

/// What a process said of TLS on its way to a server.
#[derive(Default)]
struct TlsTold {
    relay: String,
    /// Version and cipher that were agreed on.
    agreed: Option<(String, String)>,
    /// What went wrong, in words.
    trouble: String,
    /// It went with a delivery: what follows is of another connection.
    is_told: bool,
}

/// Nobody reads more of what went wrong.
const TROUBLE_BYTES_MAX: usize = 1000;

impl TlsTold {
    fn agree(&mut self, relay: String, version: &str, cipher: &str) {
        self.begin(relay);
        self.agreed = Some((version.to_owned(), cipher.to_owned()));
    }

    fn fail(&mut self, relay: Option<&str>, text: &str) {
        self.begin(relay.unwrap_or(&self.relay).to_owned());
        if self.trouble.len() < TROUBLE_BYTES_MAX {
            let separator = if self.trouble.is_empty() { "" } else { ", " };
            // It ends a value of custom data.
            self.trouble += &(separator.to_owned() + &text.replace(';', ","));
        }
    }

    fn begin(&mut self, relay: String) {
        if self.is_told || self.relay != relay {
            *self = Self { relay, ..Self::default() };
        }
    }

    fn tell(&mut self, data: &mut CustomData) {
        self.is_told = true;
        if let Some((version, cipher)) = &self.agreed {
            data.add_tls(version, cipher);
        }
        if !self.trouble.is_empty() {
            data.add("TlsHandshake", &self.trouble);
        }
    }
}

#[derive(Default)]
struct Message {
    since: Option<Timestamp>,
    sender: String,
    message_id: String,
    client: String,
    size: String,
    recipients: Recipients,
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some(Line { at, process_id, body }) = read_line(line, &mut self.messages.times) else { return false };
        match Record::read(body) {
            Some(Record::Client { queue_id, client }) => {
                self.message(queue_id, at).client = between(client, "[", "]").unwrap_or(client).to_owned();
            }
            Some(Record::MessageId { queue_id, message_id }) => {
                message_id.clone_into(&mut self.message(queue_id, at).message_id);
            }
            Some(Record::Active { queue_id, sender, size_bytes }) => {
                let message = self.message(queue_id, at);
                sender.clone_into(&mut message.sender);
                message.size = size_bytes.to_string();
            }
            Some(Record::Delivery(delivery)) => self.deliver(&delivery, process_id, at),
            Some(Record::Removed { queue_id }) => {
                self.messages.open.remove(queue_id);
            }
            Some(Record::Tls { host, address, port, version, cipher, .. }) => {
                self.tls.entry(process_id).agree(format!("{host}[{address}]:{port}"), version, cipher);
                return false;
            }
            Some(Record::TlsTrouble { relay, text }) => {
                self.tls.entry(process_id).fail(relay, text);
                return false;
            }
            None => return false,
        }
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Log {
    fn message(&mut self, queue_id: &str, at: Option<Timestamp>) -> &mut Message {
        let message = self.messages.open.entry(queue_id);
        message.since = message.since.or(at);
        message
    }

    fn deliver(&mut self, delivery: &Delivery<'_>, process_id: &str, at: Option<Timestamp>) {
        let message = self.message(delivery.queue_id, at);
        let mut row = Row::default();
        row.set(Column::Source, "SMTP");
        row.set(Column::NetworkMessageId, delivery.queue_id);
        row.set(Column::MessageId, message.message_id.as_str());
        row.set(Column::SenderAddress, message.sender.as_str());
        row.set(Column::RecipientAddress, delivery.recipient);
        row.set(Column::TotalBytes, message.size.as_str());
        row.set(Column::OriginalClientIp, message.client.as_str());
        let received = message.recipients.insert(delivery.recipient).then(|| {
            let mut received = row.clone();
            received.at = message.since;
            received.set(Column::EventId, "RECEIVE");
            received
        });
        row.at = at;
        row.set(Column::EventId, event(delivery.status));
        row.set(Column::RecipientStatus, format!("{} {}", delivery.dsn, delivery.text).trim());
        let (host, address, port) = relay(delivery.server());
        // No server was reached, nor even found: this is not a host of that name.
        if host != "none" {
            row.set(Column::ServerHostname, host);
        }
        row.set(Column::ServerIp, address.map(|address| address.to_string()).unwrap_or_default());
        let (told, mut data) = (self.tls.entry(process_id), CustomData::default());
        if told.relay == delivery.server() {
            told.tell(&mut data);
        }
        data.add_port(port);
        row.set(Column::CustomData, data);
        self.messages.ready.extend(received);
        self.messages.ready.push_back(row);
    }
}

impl<'a> Delivery<'a> {
    /// That which was tried, also where none was reached.
    fn server(&self) -> &'a str {
        let connecting = self.text.strip_prefix("connect to ").and_then(|rest| split_once(rest, ": "));
        match connecting {
            Some((server, _)) if self.relay == "none" => server,
            _ => self.relay,
        }
    }
}

/// Exchange's name for it.
fn event(status: &str) -> &'static str {
    match status {
        "sent" => "SEND",
        "deferred" => "DEFER",
        _ => "FAIL",
    }
}
