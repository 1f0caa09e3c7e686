//! Reads the W3C log of IIS's SMTP service: what was said on each connection, by address. A refusal or an accepted message
//! is a row.
//!
//! ```text
//!   #Fields: date time c-ip cs-username … s-port cs-method cs-uri-stem cs-uri-query sc-status …
//!   OutboundConnectionCommand   the command is cs-method, its argument cs-uri-query
//!   OutboundConnectionResponse  the reply is cs-uri-query, with + for spaces
//!   anything else               a client's session: its name, with the status of our reply
//! ```

use std::io::{self, Read};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Server},
    log_reader::{LogReader, Messages, Take},
    message_trace::{Column, CustomData, Row},
    text::Decoder,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "iis-smtp-log",
    why_help: "Explain a W3C log of IIS's SMTP service; may be repeated",
    trace_help: "Show messages of a W3C log of IIS's SMTP service; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("IIS's SMTP service"),
    has_connectors: false,
    lines_of,
};

const FIELDS: [&str; 9] =
    ["date", "time", "c-ip", "cs-username", "s-computername", "s-port", "cs-method", "cs-uri-query", "sc-status"];

fn lines_of(beginning: &Beginning) -> usize {
    let is_w3c =
        beginning.header("fields").is_some_and(|fields| fields.contains("cs-method") && fields.contains("c-ip"));
    beginning
        .all_if(is_w3c && (beginning.text().contains("OutboundConnection") || beginning.text().contains(" SMTPSVC")))
}

/// IIS writes times in UTC.
fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    let log = Log { messages: Messages::new(now, TimeZone::UTC), order: [None; FIELDS.len()] };
    Ok(Box::new(LogReader::new(Decoder::new(file)?, log)))
}

struct Log {
    /// Sessions by address and direction.
    messages: Messages<Session>,
    order: [Option<usize>; FIELDS.len()],
}

#[derive(Default)]
struct Session {
    host: String,
    sender: String,
    recipients: Vec<String>,
    last_command: String,
    /// The end of the content was sent, as far as this log shows it.
    has_content: bool,
}

/// One line.
struct Said<'a> {
    at: Option<Timestamp>,
    address: &'a str,
    node: &'a str,
    port: Option<u16>,
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        if let Some(header) = line.trim_start_matches('\u{feff}').strip_prefix('#') {
            if let Some(names) = header.strip_prefix("Fields:") {
                let names: Vec<&str> = names.split_whitespace().collect();
                self.order = FIELDS.map(|field| names.iter().position(|name| *name == field));
            }
            return true;
        }
        let values: Vec<&str> = line.split_whitespace().collect();
        let order = self.order;
        let field = |index: usize| order[index].and_then(|at| values.get(at)).copied().unwrap_or_default();
        let (address, who, method) = (field(2), field(3), field(6));
        if address.is_empty() || who.is_empty() || method.is_empty() {
            return false;
        }
        let at = self.messages.times.iso(&format!("{} {}", field(0), field(1)));
        let said = Said { at, address, node: field(4), port: field(5).parse().ok() };
        let text = if field(7) == "-" { String::new() } else { field(7).replace('+', " ") };
        let is_outbound = who.starts_with("OutboundConnection");
        let session = self.messages.open.entry(&format!("{address} {is_outbound}"));
        let rows = match who {
            "OutboundConnectionCommand" => {
                session.command(method, &text);
                Vec::new()
            }
            "OutboundConnectionResponse" => session.reply(&said, &text),
            client => session.inbound(&said, client, method, &text, field(8)),
        };
        self.messages.ready.extend(rows);
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

/// `FROM:<a@x> SIZE=1` and `TO:<b@y>` are the address.
fn address(argument: &str) -> String {
    let inner = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(address, _)| address).to_owned()
}

impl Session {
    fn command(&mut self, method: &str, argument: &str) {
        match method {
            "EHLO" | "HELO" => *self = Self { host: std::mem::take(&mut self.host), ..Self::default() },
            "MAIL" => {
                self.sender = address(argument);
                self.recipients.clear();
                self.has_content = false;
            }
            "RCPT" => self.recipients.push(address(argument)),
            "BDAT" => self.has_content = true,
            _ => {}
        }
        method.clone_into(&mut self.last_command);
    }

    fn reply(&mut self, said: &Said<'_>, text: &str) -> Vec<Row> {
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).unwrap_or(0);
        match code {
            220 if self.last_command.is_empty() || self.last_command == "QUIT" => {
                // A new connection; the greeting has the name of the host.
                let host = text[3..].trim_start_matches(['-', ' ']).split(' ').next().unwrap_or_default();
                *self =
                    Self { host: if host.contains('.') { host.to_owned() } else { String::new() }, ..Self::default() };
                Vec::new()
            }
            354 => {
                self.has_content = true;
                Vec::new()
            }
            200..=299 if self.has_content && matches!(self.last_command.as_str(), "DATA" | "BDAT") => {
                self.has_content = false;
                self.rows(said, Event::Send, text)
            }
            400..=499 => self.refuse(said, Event::Defer, text),
            500..=599 if self.last_command != "EHLO" || text.contains("5.7.") => self.refuse(said, Event::Fail, text),
            _ => Vec::new(),
        }
    }

    /// A refused recipient is the last that was named, and has no part in what follows.
    fn refuse(&mut self, said: &Said<'_>, event: Event, text: &str) -> Vec<Row> {
        let others = self.recipients.len().saturating_sub(1);
        if self.last_command != "RCPT" || self.recipients.is_empty() {
            return self.rows(said, event, text);
        }
        let rest = self.recipients.drain(..others).collect();
        let rows = self.rows(said, event, text);
        self.recipients = rest;
        rows
    }

    fn rows(&self, said: &Said<'_>, event: Event, text: &str) -> Vec<Row> {
        let server = Server { host: &self.host, address: said.address.parse().ok(), port: said.port };
        let mut data = CustomData::default();
        server.add_port(&mut data);
        let recipients = self.recipients.join(";");
        let mut row = Row::default();
        row.at = said.at;
        row.set(Column::Source, "SMTP");
        row.set(Column::EventId, event.name());
        row.set(Column::SenderAddress, &self.sender);
        row.set(Column::RecipientAddress, recipients);
        row.set(Column::RecipientStatus, text);
        row.set(Column::ClientHostname, said.node);
        row.set(Column::CustomData, data);
        server.set(&mut row);
        vec![row]
    }

    /// A session of a client that we refused.
    fn inbound(&mut self, said: &Said<'_>, client: &str, method: &str, argument: &str, status: &str) -> Vec<Row> {
        self.command(method, argument);
        let event = match status.parse().unwrap_or(0) {
            400..=499 => Event::Defer,
            500..=599 => Event::Fail,
            _ => return Vec::new(),
        };
        let mut row = Row::default();
        row.at = said.at;
        row.set(Column::Source, "SMTP");
        row.set(Column::EventId, event.name());
        row.set(Column::Directionality, "Incoming");
        row.set(Column::ClientIp, said.address);
        row.set(Column::ClientHostname, client);
        row.set(Column::ServerHostname, said.node);
        row.set(Column::SenderAddress, &self.sender);
        row.set(Column::RecipientAddress, self.recipients.last().map(String::as_str).unwrap_or_default());
        row.set(Column::RecipientStatus, format!("{status} in reply to {method} {argument}").trim());
        vec![row]
    }
}
