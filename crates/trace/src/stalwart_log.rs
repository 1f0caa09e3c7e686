//! Reads Stalwart's log in its text form: events by the id of their message.
//!
//! ```text
//!   TIME LEVEL Description (delivery.connect) queueId = 23…, hostname = "mx.y", remoteIp = 192.0.2.1, remotePort = 25
//! ```
//!
//! A failure is an attempt if nothing was delivered to the same host after it; else it went on in plaintext. Source: the
//! list of events in Stalwart's documentation.

use std::io::{self, Read};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Letter, Server},
    log_reader::{LogReader, Messages, Take},
    message_trace::{Column, CustomData, Row},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "stalwart-log",
    why_help: "Explain a Stalwart log; may be repeated",
    trace_help: "Show messages of a Stalwart log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("Stalwart"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count_passed_on(|line| Entry::read(line).is_some_and(|entry| !entry.name.is_empty()))
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(LogReader::passed_on(file, Messages::<Message>::new(now, zone))))
}

/// What is known of a message.
#[derive(Default)]
struct Message {
    letter: Letter,
    recipients: Vec<String>,
    /// Whose recipients are tried.
    domain: String,
    host: String,
    address: String,
    port: Option<u16>,
    tls: Option<(String, String)>,
    /// What failed on this connection, and when.
    trouble: Option<(Option<Timestamp>, String, Event)>,
}

/// A line.
struct Entry<'a> {
    stamp: &'a str,
    description: &'a str,
    /// Such as `delivery.connect`.
    name: &'a str,
    fields: &'a str,
}

impl<'a> Entry<'a> {
    fn read(line: &'a str) -> Option<Self> {
        // A syslog's or a container's stamp may stand before it.
        const LEVELS: [&str; 5] = [" INFO ", " WARN ", " ERROR ", " DEBUG ", " TRACE "];
        let (at, level) = LEVELS.iter().filter_map(|level| Some((line.find(level)?, level))).min()?;
        let stamp = line[..at].rsplit(' ').next()?;
        let rest = &line[at + level.len()..];
        let (description, rest) = rest.split_once(" (")?;
        let (name, fields) = rest.split_once(')')?;
        let is_name = name.contains('.') && name.bytes().all(|byte| byte.is_ascii_lowercase() || b".-".contains(&byte));
        (is_name && stamp.as_bytes().get(10) == Some(&b'T')).then_some(Self { stamp, description, name, fields })
    }

    /// A value as it stands there, without quotes.
    fn value(&self, key: &str) -> Option<&'a str> {
        split_fields(self.fields).find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"'))
    }

    fn list(&self, key: &str) -> Vec<String> {
        let list = self.value(key).unwrap_or_default().trim_matches(['[', ']']);
        list.split(", ").map(|item| item.trim_matches('"').to_owned()).filter(|item| !item.is_empty()).collect()
    }

    /// The reply, or the reason, behind what happened.
    fn words(&self) -> String {
        let reply = ["code", "details", "reason", "result"].iter().filter_map(|key| self.value(key));
        let reply = reply.collect::<Vec<_>>().join(" ");
        if self.value("code").is_some() { reply } else { format!("{}: {reply}", self.description) }
    }
}

/// `key = value, key = value`; commas inside quotes, brackets and braces are parts of values.
fn split_fields(fields: &str) -> impl Iterator<Item = (&str, &str)> {
    let (mut rest, mut is_over) = (fields.trim(), false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let (mut depth, mut is_quoted, mut end) = (0i32, false, rest.len());
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'[' | b'{' | b'(' if !is_quoted => depth += 1,
                b']' | b'}' | b')' if !is_quoted => depth -= 1,
                b',' if !is_quoted && depth <= 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let field = &rest[..end];
        is_over = end >= rest.len();
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(field.trim().split_once(" = ").unwrap_or((field.trim(), "")))
    })
}

impl Take for Messages<Message> {
    fn take(&mut self, line: &str) -> bool {
        let Some(entry) = Entry::read(line) else { return false };
        let at = entry.stamp.parse().ok();
        let Some(id) = entry.value("queueId") else { return false };
        let is_about_mail = entry.name.starts_with("delivery.") || entry.name.starts_with("queue.");
        if !is_about_mail {
            return false;
        }
        let message = self.open.entry(id);
        message.begin(id, at, &entry);
        match entry.name {
            "delivery.connect" => {
                self.ready.extend(message.give_up_host());
                message.connect(&entry);
            }
            "delivery.start-tls" => message.tls = entry.value("version").zip(entry.value("details")).map(owned),
            "delivery.delivered" => self.ready.extend(message.deliver(at, &entry)),
            "delivery.attempt-end" | "delivery.domain-delivery-end" | "queue.rescheduled" => {
                self.ready.extend(message.give_up_host())
            }
            "delivery.completed" => {
                self.ready.extend(message.give_up_host());
                self.open.remove(id);
            }
            name => message.note(at, name, &entry),
        }
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.ready.pop_front()
    }

    /// The log ends, perhaps in the midst of an attempt.
    fn end(&mut self) {
        let messages = std::mem::replace(&mut self.open, crate::open_messages::OpenMessages::new());
        for mut message in messages.into_values() {
            self.ready.extend(message.give_up_host());
        }
    }
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

impl Message {
    fn begin(&mut self, id: &str, at: Option<Timestamp>, entry: &Entry<'_>) {
        self.letter.begin(id, at);
        if let Some(sender) = entry.value("from") {
            self.letter.row.set(Column::SenderAddress, sender.trim_matches(['<', '>']));
        }
        if let Some(size) = entry.value("size") {
            self.letter.row.set(Column::TotalBytes, size);
        }
        if let Some(domain) = entry.value("domain") {
            domain.clone_into(&mut self.domain);
        }
        let recipients = entry.list("to");
        if !recipients.is_empty() {
            self.recipients =
                recipients.iter().map(|recipient| recipient.trim_matches(['<', '>']).to_owned()).collect();
        }
    }

    fn connect(&mut self, entry: &Entry<'_>) {
        self.name_host(entry);
        self.tls = None;
    }

    fn name_host(&mut self, entry: &Entry<'_>) {
        if let Some(host) = entry.value("hostname") {
            host.trim_end_matches('.').clone_into(&mut self.host);
        }
        if let Some(address) = entry.value("remoteIp") {
            address.clone_into(&mut self.address);
            self.port = entry.value("remotePort").and_then(|port| port.parse().ok());
        }
    }

    /// What fails is kept until it is known whether the mail went nevertheless.
    fn note(&mut self, at: Option<Timestamp>, name: &str, entry: &Entry<'_>) {
        const FAILURES: [&str; 7] =
            ["-error", "-failed", "-rejected", "-exceeded", "null-mx", "delivery.failed", "-perm-fail"];
        if !FAILURES.iter().any(|end| name.ends_with(end))
            || name.contains("policy-fetch")
            || name.contains("tlsa-not-found")
        {
            return;
        }
        self.name_host(entry);
        let code = entry.value("code").unwrap_or_default();
        let is_final = code.starts_with('5') || name.ends_with("null-mx") || name.ends_with("-perm-fail");
        // The first failure of a connection is the cause of those that follow.
        if self.trouble.is_none() || is_final {
            self.trouble = Some((at, entry.words(), if is_final { Event::Fail } else { Event::Defer }));
        }
    }

    fn deliver(&mut self, at: Option<Timestamp>, entry: &Entry<'_>) -> Vec<Row> {
        self.name_host(entry);
        let after = self.trouble.take().map(|(_, words, _)| words).filter(|_| self.tls.is_none());
        self.rows(at, Event::Send, &entry.words(), after.as_deref())
    }

    /// The connection is over: what failed on it was an attempt.
    fn give_up_host(&mut self) -> Vec<Row> {
        let Some((at, words, event)) = self.trouble.take() else { return Vec::new() };
        self.rows(at, event, &words, None)
    }

    fn rows(&mut self, at: Option<Timestamp>, event: Event, words: &str, plaintext_after: Option<&str>) -> Vec<Row> {
        let mut data = CustomData::default();
        if let Some((version, cipher)) = &self.tls {
            data.add_tls(version, cipher);
        }
        if let Some(words) = plaintext_after {
            data.add("PlaintextAfter", words.replace(';', ","));
        }
        data.add_port(self.port);
        let server = Server { host: &self.host, address: self.address.parse().ok(), port: self.port };
        let mut rows = Vec::new();
        let is_tried = |recipient: &&String| {
            recipient.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(&self.domain))
        };
        let tried: Vec<&String> = self.recipients.iter().filter(is_tried).collect();
        let tried = if tried.is_empty() { self.recipients.iter().collect() } else { tried };
        for recipient in tried {
            let (received, mut row) = self.letter.rows(event, at, recipient);
            row.set(Column::RecipientStatus, words);
            row.set(Column::CustomData, &data);
            server.set(&mut row);
            rows.extend(received.into_iter().chain([row]));
        }
        rows
    }
}
