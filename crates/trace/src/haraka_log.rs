//! Reads Haraka's log: what came in by the id of the connection, and each delivery by that id with a number behind it.
//!
//! ```text
//!   [NOTICE] [D33D-….1] [core] recipient <b@y> code=OK msg="" sender=a@x         the message
//!   [INFO] [D33D-….1.1] [outbound] Looking up A records for: mx.y                  the host that is tried
//!   [INFO] [D33D-….1.1] [outbound] Attempting to deliver to: 192.0.2.1:25 (0) (0)
//!   [ERROR] [D33D-….1.1] [outbound] Ongoing connection failed to 192.0.2.1:25 : …  an attempt that failed
//!   [INFO] [D33D-….1.1] [outbound] Temp failing … for 64 seconds: Tried all MXs    the message waits
//!   [NOTICE] [D33D-….1.1] [outbound] delivered file=… host=mx.y ip=192.0.2.1 port=25 … response="…"
//! ```

use std::{
    io::{self, Read},
    net::SocketAddr,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Letter, Server},
    log_reader::{LogReader, Messages, Take},
    message_trace::{Column, CustomData, Row},
    open_messages::OpenMessages,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "haraka-log",
    why_help: "Explain a Haraka log; may be repeated",
    trace_help: "Show messages of a Haraka log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("Haraka"),
    has_connectors: false,
    lines_of,
};

const LEVELS: [&str; 8] =
    ["[NOTICE] ", "[INFO] ", "[ERROR] ", "[WARN] ", "[DEBUG] ", "[PROTOCOL] ", "[CRIT] ", "[DATA] "];

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count_passed_on(|line| Entry::read(line).is_some())
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    let log = Log { messages: Messages::new(now, zone), mails: OpenMessages::new() };
    Ok(Box::new(LogReader::passed_on(file, log)))
}

struct Log {
    /// Deliveries, by their id.
    messages: Messages<Delivery>,
    /// What came in, by its id.
    mails: OpenMessages<Mail>,
}

#[derive(Default, Clone)]
struct Mail {
    sender: String,
    recipients: Vec<String>,
    message_id: String,
    size: String,
    client: String,
}

#[derive(Default)]
struct Delivery {
    letter: Letter,
    recipients: Vec<String>,
    host: String,
    /// With the port.
    address: String,
    tls: Option<(String, String)>,
    /// An attempt was shown since the last pause, so that the pause is not another.
    has_failed: bool,
}

/// A line.
struct Entry<'a> {
    stamp: &'a str,
    id: &'a str,
    plugin: &'a str,
    text: &'a str,
}

impl<'a> Entry<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (at, level) = LEVELS.iter().filter_map(|level| Some((line.find(level)?, level))).min()?;
        let (id, rest) = line[at + level.len()..].strip_prefix('[')?.split_once("] ")?;
        let (plugin, text) = rest.strip_prefix('[')?.split_once(']')?;
        Some(Self { stamp: line[..at].trim(), id, plugin, text: text.trim() })
    }

    /// `key=value` or `key="a value"`.
    fn value(&self, key: &str) -> Option<&'a str> {
        let key = format!("{key}=");
        let is_begin = |at: usize| at == 0 || self.text[..at].ends_with(' ');
        let start = self.text.match_indices(&key).map(|(at, _)| at).find(|at| is_begin(*at))? + key.len();
        let rest = &self.text[start..];
        match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find("\" delay=").or_else(|| quoted.find('"'));
                Some(&quoted[..end.unwrap_or(quoted.len())])
            }
            None => rest.split(' ').next(),
        }
    }
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some(entry) = Entry::read(line) else { return false };
        // A syslog's stamp may stand before Haraka's own, or in its place.
        let own = entry.stamp.rsplit(' ').next().and_then(|word| word.parse().ok());
        let at = own.or_else(|| self.messages.times.stamp(entry.stamp));
        match entry.plugin {
            "core" if entry.id != "-" => self.note_mail(&entry),
            "outbound" if entry.id != "-" => self.outbound(&entry, at),
            _ => false,
        }
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Log {
    fn note_mail(&mut self, entry: &Entry<'_>) -> bool {
        let address = |text: &str| text.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
        let (kind, rest) = entry.text.split_once(' ').unwrap_or((entry.text, ""));
        match kind {
            // The connection's own id has no number yet.
            "connect" => {
                let client = entry.value("ip").unwrap_or_default();
                client.clone_into(&mut self.mails.entry(entry.id).client);
            }
            "sender" => {
                let connection = entry.id.rsplit_once('.').map_or("", |(connection, _)| connection);
                let client = self.mails.entry(connection).client.clone();
                *self.mails.entry(entry.id) = Mail { sender: address(rest), client, ..Mail::default() };
            }
            "recipient" if entry.value("code") != Some("DENY") => {
                self.mails.entry(entry.id).recipients.push(address(rest))
            }
            "message" => {
                let mail = self.mails.entry(entry.id);
                entry.value("mid").unwrap_or_default().clone_into(&mut mail.message_id);
                entry.value("size").unwrap_or_default().clone_into(&mut mail.size);
            }
            _ => return false,
        }
        true
    }

    fn outbound(&mut self, entry: &Entry<'_>, at: Option<Timestamp>) -> bool {
        let mail = entry.id.rsplit_once('.').map_or("", |(mail, _)| mail);
        let mail = self.mails.entry(mail).clone();
        let delivery = self.messages.open.entry(entry.id);
        delivery.begin(entry.id, at, &mail);
        let text = entry.text;
        if let Some(host) = text.strip_prefix("Looking up A records for: ") {
            host.trim_end_matches('.').clone_into(&mut delivery.host);
        } else if let Some(target) = text.strip_prefix("Attempting to deliver to: ") {
            target.split(' ').next().unwrap_or_default().clone_into(&mut delivery.address);
            delivery.tls = None;
        } else if text.starts_with("secured ") {
            delivery.tls = entry.value("version").zip(entry.value("cipher")).map(|(a, b)| (a.to_owned(), b.to_owned()));
        } else if text.starts_with("delivered ") {
            delivery.name_server(entry);
            let reply = entry.value("response").unwrap_or_default();
            self.messages.ready.extend(delivery.rows(at, Event::Send, reply));
        } else if let Some(rest) = text.strip_prefix("Temp failing ") {
            let reason = rest.split_once(": ").map_or(rest, |(_, reason)| reason);
            if !std::mem::take(&mut delivery.has_failed) {
                self.messages.ready.extend(delivery.rows(at, Event::Defer, reason));
            }
        } else if text.starts_with("bounce") || text.starts_with("Bouncing") {
            self.messages.ready.extend(delivery.rows(at, Event::Fail, text));
        } else if is_failure(text) {
            delivery.has_failed = true;
            self.messages.ready.extend(delivery.rows(at, Event::Defer, text));
        } else {
            return false;
        }
        true
    }
}

/// What an attempt ends with, in the words of Haraka's code.
fn is_failure(text: &str) -> bool {
    const WORDS: [&str; 7] = [
        "connection failed to",
        "closed connection while",
        "Failed to get socket",
        "Failed to get pool entry",
        "recipient ",
        "Error talking to",
        "rejected",
    ];
    WORDS.iter().any(|word| text.contains(word))
}

impl Delivery {
    fn begin(&mut self, id: &str, at: Option<Timestamp>, mail: &Mail) {
        let is_new = self.letter.since.is_none() && self.recipients.is_empty();
        self.letter.begin(id, at);
        if is_new {
            self.letter.row.set(Column::SenderAddress, &mail.sender);
            self.letter.row.set(Column::MessageId, &mail.message_id);
            self.letter.row.set(Column::TotalBytes, &mail.size);
            self.letter.row.set(Column::OriginalClientIp, &mail.client);
            self.recipients.clone_from(&mail.recipients);
        }
    }

    fn name_server(&mut self, entry: &Entry<'_>) {
        entry.value("host").unwrap_or(&self.host).to_owned().clone_into(&mut self.host);
        if let (Some(ip), Some(port)) = (entry.value("ip"), entry.value("port")) {
            self.address = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
        }
    }

    fn rows(&mut self, at: Option<Timestamp>, event: Event, words: &str) -> Vec<Row> {
        let socket: Option<SocketAddr> = self.address.parse().ok();
        let server = Server {
            host: &self.host,
            address: socket.map(|socket| socket.ip()),
            port: socket.map(|socket| socket.port()),
        };
        let mut data = CustomData::default();
        if let Some((version, cipher)) = &self.tls {
            data.add_tls(version, cipher);
        }
        server.add_port(&mut data);
        let mut rows = Vec::new();
        // Without the lines of the core, recipients are unknown.
        let nobody = [String::new()];
        for recipient in if self.recipients.is_empty() { nobody.as_slice() } else { &self.recipients } {
            let (received, mut row) = self.letter.rows(event, at, recipient);
            row.set(Column::RecipientStatus, words);
            row.set(Column::CustomData, &data);
            server.set(&mut row);
            rows.extend(received.into_iter().chain([row]));
        }
        rows
    }
}
