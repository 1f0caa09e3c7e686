//! Reads the log of qmail-send (qmail-log(5)): deliveries by their number, messages by theirs, which are used again.
//!
//! ```text
//!   info msg 93869: bytes 2343 from <a@x> qp 18695 uid 49491
//!   starting delivery 392: msg 93869 to remote b@y
//!   delivery 392: deferral: Connected_to_192.0.2.1_but_connection_died._(#4.4.2)/
//!   end msg 93869
//! ```

use std::{
    io::{self, Read},
    net::IpAddr,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Letter},
    log_reader::{LogReader, Messages, Take},
    log_time::LogTimes,
    message_trace::{Column, Row},
    open_messages::OpenMessages,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "qmail-log",
    why_help: "Explain a log of qmail-send; may be repeated",
    trace_help: "Show messages of a log of qmail-send; may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("qmail"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count_passed_on(|line| find_record(line).is_some())
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(LogReader::passed_on(
        file,
        Log { messages: Messages::new(now, zone), deliveries: OpenMessages::new() },
    )))
}

struct Log {
    messages: Messages<Letter>,
    deliveries: OpenMessages<Delivery>,
}

#[derive(Default)]
struct Delivery {
    message: String,
    recipient: String,
    is_remote: bool,
}

/// What a line says, without its time.
enum Record<'a> {
    Message { id: &'a str, rest: &'a str },
    Starting { delivery: &'a str, message: &'a str, channel: &'a str, recipient: &'a str },
    Result { delivery: &'a str, result: &'a str, text: &'a str },
    End { id: &'a str },
}

/// The record of a line, and what stands before it.
fn find_record(line: &str) -> Option<(&str, Record<'_>)> {
    const BEGINS: [&str; 4] = ["info msg ", "starting delivery ", "delivery ", "end msg "];
    let (at, begin) = BEGINS.into_iter().find_map(|begin| Some((line.find(begin)?, begin)))?;
    let (head, body) = (line.get(..at)?, line.get(at + begin.len()..)?);
    let (number, rest) = body.split_once(": ").unwrap_or((body, ""));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let record = match begin {
        "info msg " => Record::Message { id: number, rest: rest.strip_prefix("bytes ")? },
        "end msg " => Record::End { id: number },
        "starting delivery " => {
            let (message, target) = rest.strip_prefix("msg ")?.split_once(" to ")?;
            let (channel, recipient) = target.split_once(' ')?;
            Record::Starting { delivery: number, message, channel, recipient }
        }
        _ => {
            let (result, text) = rest.split_once(": ")?;
            matches!(result, "success" | "deferral" | "failure").then_some(())?;
            Record::Result { delivery: number, result, text }
        }
    };
    Some((head, record))
}

/// `@4000000038c3ec…`, `2026-11-25 08:00:00.123`, or a syslog's time, behind which qmail's own may stand.
fn time(head: &str, times: &mut LogTimes) -> Option<Timestamp> {
    let head = head.trim_start_matches('\u{feff}').trim();
    let last = head.split_whitespace().next_back();
    if let Some(label) = last.and_then(|word| word.strip_prefix('@')) {
        return tai64n(label);
    }
    let own = last.and_then(|word| word.split_once('.'));
    if let Some((seconds, _)) =
        own.filter(|(seconds, _)| seconds.len() >= 9 && seconds.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    match head.as_bytes().first() {
        Some(b'0'..=b'9') => {
            let end = head.match_indices(' ').map(|(at, _)| at).find(|at| *at >= 19).unwrap_or(head.len());
            times.iso(head.get(..end)?)
        }
        _ => times.syslog(head),
    }
}

/// A label of TAI64N: seconds since 1970 in TAI, 10 ahead of UTC as qmail's tools count, and nanoseconds.
fn tai64n(label: &str) -> Option<Timestamp> {
    const LABEL_1970: u64 = 1 << 62;
    const TAI_AHEAD_S: i64 = 10;
    let seconds = u64::from_str_radix(label.get(..16)?, 16).ok()?.checked_sub(LABEL_1970)?;
    let nanoseconds = label.get(16..24).and_then(|digits| i32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    Timestamp::new(i64::try_from(seconds).ok()?.checked_sub(TAI_AHEAD_S)?, nanoseconds).ok()
}

impl Take for Log {
    fn take(&mut self, line: &str) -> bool {
        let Some((head, record)) = find_record(line) else { return false };
        let at = time(head, &mut self.messages.times);
        match record {
            Record::Message { id, rest } => {
                // The number may have been another message's.
                self.messages.open.remove(id);
                let letter = self.messages.open.entry(id);
                letter.begin(id, at);
                let sender = rest
                    .split_once("from <")
                    .and_then(|(_, rest)| rest.split_once('>'))
                    .map_or("", |(sender, _)| sender);
                letter.row.set(Column::SenderAddress, sender);
                letter.row.set(Column::TotalBytes, rest.split(' ').next().unwrap_or_default());
                // Message numbers are used again: the time makes an id of one.
                letter.row.set(
                    Column::NetworkMessageId,
                    at.map_or_else(|| id.to_owned(), |at| format!("{id}-{}", at.as_second())),
                );
            }
            Record::Starting { delivery, message, channel, recipient } => {
                *self.deliveries.entry(delivery) = Delivery {
                    message: message.to_owned(),
                    recipient: recipient.to_owned(),
                    is_remote: channel == "remote",
                };
            }
            Record::Result { delivery, result, text } => return self.result(delivery, result, text, at),
            Record::End { id } => self.messages.open.remove(id),
        }
        true
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }
}

impl Log {
    fn result(&mut self, number: &str, result: &str, text: &str, at: Option<Timestamp>) -> bool {
        let delivery = std::mem::take(self.deliveries.entry(number));
        self.deliveries.remove(number);
        // The log begins later.
        if delivery.message.is_empty() {
            return false;
        }
        let event = match result {
            "success" if delivery.is_remote => Event::Send,
            "success" => Event::Deliver,
            "deferral" => Event::Defer,
            _ => Event::Fail,
        };
        let letter = self.messages.open.entry(&delivery.message);
        letter.begin(&delivery.message, at);
        let (received, mut row) = letter.rows(event, at, &delivery.recipient);
        let text = in_words(text);
        if delivery.is_remote
            && let Some(address) = address_in(&text)
        {
            // qmail names the address only.
            row.set(Column::ServerHostname, address.to_string());
            row.set(Column::ServerIp, address.to_string());
        }
        row.set(Column::RecipientStatus, text);
        self.messages.ready.extend(received.into_iter().chain([row]));
        true
    }
}

/// `192.0.2.1_does_not_like_recipient./Remote_host_said:_550_no/` as it was before it was logged.
fn in_words(text: &str) -> String {
    text.replace('_', " ").trim_end_matches('/').replace("./Remote", ". Remote").replace("/Giving", " Giving")
}

fn address_in(text: &str) -> Option<IpAddr> {
    text.split(' ').find_map(|word| word.trim_matches(['.', ',', ':', '(', ')', '[', ']']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_forms() {
        let mut times = LogTimes::new("2026-11-25T08:00:00Z".parse().unwrap(), TimeZone::UTC);
        let table = [
            ("@400000004a32392b0aa21dac ", "2009-06-12T11:16:49.178396588Z"),
            ("2026-11-25 08:00:01.123456789 ", "2026-11-25T08:00:01.123456789Z"),
            ("Nov 25 07:00:01 mx qmail: 1764054001.123456 ", "2025-11-25T07:00:01Z"),
            ("Nov 25 07:00:01 mx qmail: ", "2026-11-25T07:00:01Z"),
        ];
        for (head, expected) in table {
            assert_eq!(time(head, &mut times), expected.parse().ok(), "{head}");
        }
    }
}
