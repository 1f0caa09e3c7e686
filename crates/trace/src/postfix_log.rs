//! Reads Postfix's log as far as it tells what became of messages: lines of one queue id are put together.
//!
//! ```text
//!   line ──read_line──> time, process, body ──Record::read──> Client, MessageId, Active, Delivery, Tls, Removed
//!                                                               └──by queue id──> Reader ──> rows as of a message trace
//! ```

use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead},
    net::IpAddr,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::message_trace::{Column, Row};

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
        if let Some((trust, rest)) = body.split_once(" TLS connection established to ") {
            return tls(trust, rest);
        }
        let (queue_id, rest) = body.split_once(": ")?;
        let is_id = queue_id.len() >= 5 && queue_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id || queue_id == "NOQUEUE" {
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

/// Addresses may hold anything but end with `>, `; the text may hold anything.
fn delivery<'a>(queue_id: &'a str, rest: &'a str) -> Option<Delivery<'a>> {
    let (facts, said) = rest.split_once(" status=")?;
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
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(inner, _)| inner))
}

/// A line's time, and what its process says; `None` where it is not Postfix's.
///
/// Times are of the old syslog, which knows neither year nor zone, or of RFC 3339.
pub fn read_line<'a>(line: &'a str, now: Timestamp, zone: &TimeZone) -> Option<(Option<Timestamp>, &'a str)> {
    let (head, body) = line.split_once("]: ")?;
    let (head, process) = head.rsplit_once(' ')?;
    let (program, _) = process.split_once('[')?;
    if !program.starts_with("postfix") || !program.contains('/') {
        return None;
    }
    let stamp = head.trim_start_matches('\u{feff}');
    let first = stamp.split(' ').next().unwrap_or_default();
    let at = first.parse().ok().or_else(|| old_time(stamp, now, zone));
    Some((at, body))
}

/// `Jun 04 22:24:28 host`: in the last twelve months.
fn old_time(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_whitespace();
    let (month, day, time) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    let day: u8 = day.parse().ok()?;
    let year = now.to_zoned_datetime(zone.clone()).year();
    let in_year = |year: i16| {
        let local: DateTime = format!("{year:04}-{month:02}-{day:02}T{time}").parse().ok()?;
        Some(local.to_zoned_datetime(zone.clone()).ok()?.timestamp())
    };
    // A clock may be ahead of this one.
    let is_past = |at: &Timestamp| at.duration_since(now).as_hours() < 24;
    in_year(year).filter(is_past).or_else(|| in_year(year - 1))
}

/// Messages of which something is remembered at the same time. When there are more, the oldest are forgotten: their
/// deliveries are shown without sender and Message-ID.
const MESSAGES_MAX: usize = 200_000;

/// Reads a log, a row for each attempt, and one for the receipt before the first of each recipient.
pub struct Reader<R> {
    file: R,
    now: Timestamp,
    zone: TimeZone,
    line: Vec<u8>,
    messages: HashMap<String, Message>,
    order: VecDeque<String>,
    ready: VecDeque<Row>,
    /// Lines that were not Postfix's, or told nothing of a message.
    pub lines_skipped: u64,
}

#[derive(Default)]
struct Message {
    since: Option<Timestamp>,
    sender: String,
    message_id: String,
    client: String,
    size: String,
    recipients: Vec<String>,
}

impl<R: BufRead> Reader<R> {
    /// Times without a zone are in `zone`, and not after `now`.
    pub fn new(file: R, now: Timestamp, zone: TimeZone) -> Self {
        Self {
            file,
            now,
            zone,
            line: Vec::new(),
            messages: HashMap::new(),
            order: VecDeque::new(),
            ready: VecDeque::new(),
            lines_skipped: 0,
        }
    }

    fn message(&mut self, queue_id: &str, at: Option<Timestamp>) -> &mut Message {
        if !self.messages.contains_key(queue_id) {
            if self.messages.len() >= MESSAGES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.messages.remove(&oldest);
            }
            self.order.push_back(queue_id.to_owned());
        }
        let message = self.messages.entry(queue_id.to_owned()).or_default();
        message.since = message.since.or(at);
        message
    }

    fn take(&mut self, line: &str) -> bool {
        let Some((at, body)) = read_line(line, self.now, &self.zone) else { return false };
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
            Some(Record::Delivery(delivery)) => self.deliver(&delivery, at),
            Some(Record::Removed { queue_id }) => {
                self.messages.remove(queue_id);
            }
            Some(Record::Tls { .. }) | None => return false,
        }
        true
    }

    fn deliver(&mut self, delivery: &Delivery<'_>, at: Option<Timestamp>) {
        let message = self.message(delivery.queue_id, at);
        let mut row = Row::default();
        row.set(Column::Source, "SMTP");
        row.set(Column::NetworkMessageId, delivery.queue_id);
        row.set(Column::MessageId, message.message_id.as_str());
        row.set(Column::SenderAddress, message.sender.as_str());
        row.set(Column::RecipientAddress, delivery.recipient);
        row.set(Column::TotalBytes, message.size.as_str());
        row.set(Column::OriginalClientIp, message.client.as_str());
        let is_new = !message.recipients.iter().any(|known| known == delivery.recipient);
        let received = is_new.then(|| {
            message.recipients.push(delivery.recipient.to_owned());
            let mut received = row.clone();
            received.at = message.since;
            received.set(Column::EventId, "RECEIVE");
            received
        });
        row.at = at;
        row.set(Column::EventId, event(delivery.status));
        row.set(Column::RecipientStatus, format!("{} {}", delivery.dsn, delivery.text).trim());
        row.set(Column::ServerHostname, delivery.relay.split('[').next().unwrap_or_default());
        let address = between(delivery.relay, "[", "]").and_then(|address| address.parse::<IpAddr>().ok());
        row.set(Column::ServerIp, address.map(|address| address.to_string()).unwrap_or_default());
        self.ready.extend(received);
        self.ready.push_back(row);
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

impl<R: BufRead> Iterator for Reader<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Some(Ok(row));
            }
            let mut line = std::mem::take(&mut self.line);
            line.clear();
            match self.file.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Err(error) => return Some(Err(error)),
                Ok(_) => {}
            }
            if !self.take(String::from_utf8_lossy(&line).trim_end()) {
                self.lines_skipped += 1;
            }
            self.line = line;
        }
    }
}
