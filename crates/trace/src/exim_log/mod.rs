//! Reads Exim's main log as far as it tells what became of messages: lines of one message id are put together.
//!
//! ```text
//!   line ──read_line──> time, text ──Record::read──> Arrival, Delivery, Rejection, Completed, …
//!                                      └──by message id──> LogReader ──> rows as of a message trace
//! ```
//!
//! Source: the chapter "Log files" of Exim's specification.

mod client;
mod fields;
mod record;

use std::io::{self, Read};

use jiff::{Timestamp, tz::TimeZone};
use protocol::smtp::Phase;

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows, looks::is_exim_id},
    log_reader::{LogReader, Messages, Take},
    log_time::LogTimes,
    message_trace::{Column, CustomData, Row},
    open_messages::{OpenMessages, Recipients},
    quiet_clients::{QuietClients, is_near},
};
pub use client::Ended;
pub use fields::{Facts, Tls};
pub use record::{Arrival, Delivery, Outcome, Record, Rejection, TlsError};

/// In a row's custom data: the handshake that had failed before mail was sent without TLS.
const PLAINTEXT_AFTER: &str = "PlaintextAfter";

/// One transport leads to all hosts.
pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "exim-log",
    why_help: "Explain an Exim main log; may be repeated",
    trace_help: "Show messages of an Exim main log; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("Exim"),
    has_connectors: false,
    lines_of,
};

/// A message id of either length with an arrow, or a word that Exim begins its lines with.
fn lines_of(beginning: &Beginning) -> usize {
    const WORDS: [&str; 10] =
        [" <= ", " => ", " -> ", " == ", " ** ", " Completed", " H=", " SMTP ", " TLS error on ", " Start queue run"];
    beginning.count_passed_on(|line| {
        let mut times = LogTimes::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
        let text = read_line(line, &mut times).map(|(_, text)| text);
        text.is_some_and(|text| {
            let has_id = text.split(' ').next().is_some_and(is_exim_id);
            has_id || (line.contains("exim") || WORDS[5..].iter().any(|word| text.starts_with(word.trim_start())))
        })
    })
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(reader(file, now, zone)))
}

/// A line's time, and what Exim says; `None` where the line is not Exim's.
///
/// The time is Exim's own, with milliseconds and zone or without, or that of a syslog, which both may stand before it.
pub fn read_line<'a>(line: &'a str, times: &mut LogTimes) -> Option<(Option<Timestamp>, &'a str)> {
    let line = line.trim_start_matches('\u{feff}');
    let Some((at, text)) = own_time(line, times) else { return syslog_line(line, times) };
    Some((at, without_process(text)))
}

/// `2026-11-25 08:00:01.250 +0100 `, of which only the first two words must be there.
fn own_time<'a>(line: &'a str, times: &mut LogTimes) -> Option<(Option<Timestamp>, &'a str)> {
    let bytes = line.as_bytes();
    if !(bytes.first()?.is_ascii_digit() && bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b' ')) {
        return None;
    }
    let mut end = 11 + line.get(11..)?.find(' ')?;
    let zone = line.get(end + 1..end + 6).map(str::as_bytes);
    if let Some([b'+' | b'-', digits @ ..]) = zone
        && digits.iter().all(u8::is_ascii_digit)
    {
        end += 6;
    }
    Some((times.iso(line.get(..end)?), line.get(end..)?.trim_start()))
}

/// `Jun 29 16:04:19 server exim[1234]: `, or with a time of ISO 8601; Exim's own time may follow.
fn syslog_line<'a>(line: &'a str, times: &mut LogTimes) -> Option<(Option<Timestamp>, &'a str)> {
    let (head, text) = line.split_once(": ")?;
    let (stamp, program) = head.rsplit_once(' ')?;
    if !program.starts_with("exim") {
        return None;
    }
    if let Some((at, text)) = own_time(text, times) {
        return Some((at, without_process(text)));
    }
    let at = times.stamp(stamp);
    Some((at, without_process(text)))
}

/// `[1234] ` stands there with `log_selector = +pid`.
fn without_process(text: &str) -> &str {
    let inner = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    inner.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())).map_or(text, |(_, rest)| rest)
}

/// Reads a log. Times without a zone are in `zone`, those without a year not after `now`.
pub fn reader<R: Read>(file: R, now: Timestamp, zone: TimeZone) -> LogReader<R> {
    let log = Log { messages: Messages::new(now, zone), quiet: QuietClients::new(), plaintext: OpenMessages::new() };
    LogReader::passed_on(file, log)
}

struct Log {
    messages: Messages<Message>,
    /// Clients that came and handed in nothing.
    quiet: QuietClients<Row>,
    /// By address of a server: why the last connection to it went on without TLS. Empty where it did not.
    plaintext: OpenMessages<String>,
}

#[derive(Default)]
struct Message {
    /// What is the same in all its rows.
    row: Row,
    since: Option<Timestamp>,
    /// Who handed it in, and over which TLS.
    client_name: String,
    client_tls: String,
    recipients: Recipients,
    trouble: Trouble,
}

/// What went wrong with TLS since the last outcome.
#[derive(Default)]
struct Trouble {
    address: String,
    text: String,
}

impl Trouble {
    /// Nobody reads more.
    const BYTES_MAX: usize = 1000;

    fn note(&mut self, address: Option<&str>, text: &str) {
        if address.is_some_and(|address| self.address != address) {
            *self = Self { address: address.unwrap_or_default().to_owned(), text: String::new() };
        }
        if self.text.len() < Self::BYTES_MAX {
            let separator = if self.text.is_empty() { "" } else { ", " };
            // A semicolon ends a value of custom data.
            self.text += &(separator.to_owned() + &text.replace(';', ","));
        }
    }

    /// Of the outcome at that server; mail that was delivered without TLS went on after it.
    fn take(&mut self, delivery: &Delivery<'_>) -> Option<(&'static str, String)> {
        let is_there = delivery.facts.address.is_none_or(|address| self.address.is_empty() || self.address == address);
        let has_worked = matches!(delivery.outcome, Outcome::Delivered | Outcome::CutThrough);
        if is_sent_in_plaintext(delivery) {
            // Further recipients of the message go with it, each in a line of its own.
            let is_sent_there = is_there && delivery.facts.address.is_some() && !self.text.is_empty();
            return is_sent_there.then(|| (PLAINTEXT_AFTER, self.text.clone()));
        }
        let Self { text, .. } = std::mem::take(self);
        (is_there && !has_worked && !text.is_empty()).then_some(("TlsHandshake", text))
    }
}

/// What Exim says with the first message of a connection holds for those that follow on it.
fn plaintext_before(delivery: &Delivery<'_>, plaintext: &mut OpenMessages<String>) -> Option<(&'static str, String)> {
    let address = delivery.facts.address.filter(|_| delivery.facts.is_reused && is_sent_in_plaintext(delivery))?;
    let text = plaintext.entry(address).clone();
    (!text.is_empty()).then_some((PLAINTEXT_AFTER, text))
}

fn note_plaintext(
    delivery: &Delivery<'_>,
    trouble: Option<&(&'static str, String)>,
    plaintext: &mut OpenMessages<String>,
) {
    let Some(address) = delivery.facts.address else { return };
    match trouble {
        Some((PLAINTEXT_AFTER, text)) => plaintext.entry(address).clone_from(text),
        _ if delivery.facts.is_reused => {}
        _ => plaintext.remove(address),
    }
}

fn is_sent_in_plaintext(delivery: &Delivery<'_>) -> bool {
    matches!(delivery.outcome, Outcome::Delivered | Outcome::CutThrough) && delivery.facts.tls.is_none()
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some((at, text)) = read_line(line, &mut self.messages.times) else { return false };
        match Record::read(text) {
            Some(Record::Arrival(arrival)) => {
                self.messages.arrive(&arrival, at);
                if let Some(client) = arrival.facts.address {
                    self.quiet.forget(client);
                }
            }
            Some(Record::Delivery(delivery)) => self.messages.deliver(&delivery, at, &mut self.plaintext),
            Some(Record::Rejection(rejection)) => self.messages.ready.push_back(rejection_row(&rejection, at)),
            Some(Record::Ended(ended)) => self.end_session(&ended, at),
            Some(Record::TlsError(error)) if error.is_client => {
                self.messages.ready.push_back(client_row(&error.facts, Phase::Handshake, at));
            }
            Some(Record::TlsTrouble { id, address, text }) => self.messages.open.entry(id).trouble.note(address, text),
            Some(Record::Completed { id }) => self.messages.open.remove(id),
            Some(Record::TlsError(_)) | None => return false,
        }
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Log {
    /// A session that ended before it handed in mail.
    fn end_session(&mut self, ended: &Ended<'_>, at: Option<Timestamp>) {
        let row = client_row(&ended.facts, ended.phase, at);
        if ended.phase > Phase::Ehlo && ended.quiet.is_none() {
            self.messages.ready.push_back(row);
            return;
        }
        let Some(client) = ended.facts.address else { return };
        // A monitor of one's own says EHLO and QUIT all day.
        if !(ended.quiet == Some(true) && client.parse().is_ok_and(is_near)) {
            self.messages.ready.extend(self.quiet.add(client, row));
        }
    }
}

impl Messages<Message> {
    fn arrive(&mut self, arrival: &Arrival<'_>, at: Option<Timestamp>) {
        let message = self.open.entry(arrival.id);
        message.since = at;
        message.row = message_row(arrival);
        arrival.facts.host.unwrap_or_default().trim_matches(['(', ')', '[', ']']).clone_into(&mut message.client_name);
        let mut data = CustomData::default();
        arrival.facts.tls.as_ref().inspect(|tls| data.add_tls(tls.version, tls.cipher));
        data.as_ref().clone_into(&mut message.client_tls);
        for recipient in arrival.recipients.split_ascii_whitespace() {
            self.ready.extend(message.receive(recipient, at));
        }
    }

    fn deliver(&mut self, delivery: &Delivery<'_>, at: Option<Timestamp>, plaintext: &mut OpenMessages<String>) {
        let message = self.open.entry(delivery.id);
        message.since = message.since.or(at);
        if message.row[Column::NetworkMessageId].is_empty() {
            message.row = id_row(delivery.id);
        }
        let trouble = message.trouble.take(delivery).or_else(|| plaintext_before(delivery, plaintext));
        note_plaintext(delivery, trouble.as_ref(), plaintext);
        let since = message.since;
        let recipient = delivery.recipient();
        self.ready.extend(message.receive(delivery.original.unwrap_or(recipient), since));
        if let Some(expanded) = message.expand(delivery, at) {
            self.ready.extend([expanded]);
            self.ready.extend(message.receive(recipient, since));
        }
        let mut row = message.row.clone();
        row.at = at;
        row.set(Column::EventId, event(delivery));
        set_delivery(&mut row, delivery, trouble);
        self.ready.push_back(row);
    }
}

/// What a client was refused.
fn rejection_row(rejection: &Rejection<'_>, at: Option<Timestamp>) -> Row {
    let mut row = client_row(&rejection.facts, phase(rejection.what), at);
    row.set(Column::EventId, if rejection.is_temporary { "DEFER" } else { "FAIL" });
    row.set(Column::SenderAddress, rejection.sender);
    row.set(Column::RecipientAddress, rejection.recipient.unwrap_or_default());
    row.set(Column::OriginalClientIp, rejection.facts.address.unwrap_or_default());
    row
}

/// A client that failed in this phase.
fn client_row(facts: &Facts<'_>, phase: Phase, at: Option<Timestamp>) -> Row {
    let mut row = Row::default();
    row.at = at;
    row.set(Column::Source, "SMTP");
    row.set(Column::EventId, "DEFER");
    set_client(&mut row, facts);
    row.set(Column::RecipientStatus, facts.text);
    let mut data = CustomData::default();
    data.add("Phase", phase.name());
    if let Some(tls) = &facts.tls {
        data.add_tls(tls.version, tls.cipher);
    }
    row.set(Column::CustomData, data);
    row
}

fn set_client(row: &mut Row, facts: &Facts<'_>) {
    if let Some(address) = facts.address {
        row.set(Column::Directionality, "Incoming");
        row.set(Column::ClientIp, address);
        row.set(Column::ClientHostname, facts.host.unwrap_or_default().trim_matches(['(', ')', '[', ']']));
    }
}

/// The phase of what a client was refused, such as `RCPT` or `after DATA`.
fn phase(what: &str) -> Phase {
    match what.split(' ').next().unwrap_or_default() {
        "connection" => Phase::Banner,
        "EHLO" | "HELO" | "AUTH" => Phase::Ehlo,
        "STARTTLS" => Phase::StartTls,
        "MAIL" => Phase::Mail,
        "DATA" => Phase::Data,
        "after" | "during" => Phase::EndOfData,
        _ => Phase::Rcpt,
    }
}

impl Message {
    /// The row of its receipt, where that has not been shown for this recipient.
    fn receive(&mut self, recipient: &str, at: Option<Timestamp>) -> Option<Row> {
        if !self.recipients.insert(recipient) {
            return None;
        }
        let mut row = self.row.clone();
        row.at = at;
        row.set(Column::EventId, "RECEIVE");
        let client = row[Column::OriginalClientIp].to_owned();
        if !client.is_empty() {
            row.set(Column::Directionality, "Incoming");
            row.set(Column::ClientIp, client);
            row.set(Column::ClientHostname, &self.client_name);
            row.set(Column::CustomData, &self.client_tls);
        }
        row.set(Column::RecipientAddress, recipient);
        Some(row)
    }

    /// The row that says that an alias or a list stands for another address, where that is new.
    fn expand(&mut self, delivery: &Delivery<'_>, at: Option<Timestamp>) -> Option<Row> {
        let recipient = delivery.recipient();
        let original = delivery.original.filter(|original| !original.eq_ignore_ascii_case(recipient))?;
        if self.recipients.contains(recipient) {
            return None;
        }
        let mut row = self.row.clone();
        row.at = at;
        row.set(Column::EventId, "EXPAND");
        row.set(Column::Source, "ROUTING");
        row.set(Column::RecipientAddress, recipient);
        row.set(Column::RelatedRecipientAddress, original);
        Some(row)
    }
}

fn id_row(id: &str) -> Row {
    let mut row = Row::default();
    row.set(Column::Source, "SMTP");
    row.set(Column::NetworkMessageId, id);
    row
}

fn message_row(arrival: &Arrival<'_>) -> Row {
    let mut row = id_row(arrival.id);
    row.set(Column::SenderAddress, arrival.sender);
    if !arrival.message_id.is_empty() {
        row.set(Column::MessageId, format!("<{}>", arrival.message_id));
    }
    row.set(Column::MessageSubject, &arrival.subject);
    row.set(Column::TotalBytes, arrival.size);
    row.set(Column::OriginalClientIp, arrival.facts.address.unwrap_or_default());
    row
}

fn set_delivery(row: &mut Row, delivery: &Delivery<'_>, trouble: Option<(&str, String)>) {
    let recipient = delivery.recipient();
    row.set(Column::RecipientAddress, recipient);
    if let Some(original) = delivery.original.filter(|original| *original != recipient) {
        row.set(Column::RelatedRecipientAddress, original);
    }
    row.set(Column::RecipientStatus, delivery.facts.text);
    row.set(Column::ServerHostname, delivery.facts.host.unwrap_or_default());
    row.set(Column::ServerIp, delivery.facts.address.unwrap_or_default());
    row.set(Column::ConnectorId, delivery.facts.transport.unwrap_or_default());
    let mut data = CustomData::default();
    if let Some(tls) = &delivery.facts.tls {
        data.add_tls(tls.version, tls.cipher);
    }
    if let Some((name, text)) = trouble {
        data.add(name, text);
    }
    data.add_port(delivery.facts.port);
    row.set(Column::CustomData, data);
}

/// Exchange's name for it: what a local transport took is in a mailbox.
fn event(delivery: &Delivery<'_>) -> &'static str {
    match delivery.outcome {
        Outcome::Deferred => "DEFER",
        Outcome::Failed => "FAIL",
        Outcome::Suppressed => "DROP",
        Outcome::Delivered | Outcome::CutThrough if delivery.facts.address.is_none() => "DELIVER",
        Outcome::Delivered | Outcome::CutThrough => "SEND",
    }
}
