//! A message in a foreign log: what is the same in all its rows, and which recipients were shown already.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    message_trace::{Column, CustomData, Row},
    open_messages::Recipients,
};

/// What became of one attempt, or of a message, in Exchange's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Receive,
    Send,
    /// Into a mailbox of the same system.
    Deliver,
    Defer,
    Fail,
}

impl Event {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receive => "RECEIVE",
            Self::Send => "SEND",
            Self::Deliver => "DELIVER",
            Self::Defer => "DEFER",
            Self::Fail => "FAIL",
        }
    }
}

/// What a log has about one message.
#[derive(Default)]
pub(crate) struct Letter {
    /// What is the same in all its rows.
    pub(crate) row: Row,
    pub(crate) since: Option<Timestamp>,
    recipients: Recipients,
}

impl Letter {
    /// The message is named so in the log, and was there at that time.
    pub(crate) fn begin(&mut self, id: &str, at: Option<Timestamp>) {
        self.since = self.since.or(at);
        if self.row[Column::NetworkMessageId].is_empty() {
            self.row.set(Column::Source, "SMTP");
            self.row.set(Column::NetworkMessageId, id);
        }
    }

    /// Rows for one recipient: that of the receipt, where it was not shown, and what happened.
    pub(crate) fn rows(&mut self, event: Event, at: Option<Timestamp>, recipient: &str) -> (Option<Row>, Row) {
        let mut row = self.row.clone();
        row.set(Column::RecipientAddress, recipient);
        let received = (event != Event::Receive && self.recipients.insert(recipient)).then(|| {
            let mut received = row.clone();
            received.at = self.since;
            received.set(Column::EventId, Event::Receive.name());
            received
        });
        row.at = at;
        row.set(Column::EventId, event.name());
        (received, row)
    }
}

/// The server of an attempt as logs name it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Server<'a> {
    /// Never a part of a name.
    pub(crate) host: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

impl<'a> Server<'a> {
    /// `mx.dest.example[192.0.2.1]:25`, `mx.dest.example. [192.0.2.1]`, `[192.0.2.1]`, `mx.dest.example`
    pub(crate) fn read(text: &'a str) -> Self {
        let (host, rest) = text.split_once('[').map_or((text, None), |(host, rest)| (host, Some(rest)));
        let host = host.trim().trim_end_matches('.');
        let Some((address, behind)) = rest.and_then(|rest| rest.split_once(']')) else {
            return Self { host: if is_host(host) { host } else { "" }, ..Self::default() };
        };
        let written = address.trim_start_matches("IPv6:").trim_start_matches("ipv6:");
        let port = behind.strip_prefix(':').and_then(|port| digits(port).parse().ok());
        let host = if is_host(host) { host } else { written };
        Self { host, address: written.parse().ok(), port }
    }

    /// The first server that a sentence names, such as `host mx.dest.example[192.0.2.1] said: …`; `connect to mx[…]:25: …`.
    pub(crate) fn in_words(text: &'a str) -> Self {
        let found = text.match_indices('[').find_map(|(at, _)| {
            let end = at + text[at..].find(']')?;
            text[at + 1..end].trim_start_matches("IPv6:").parse::<IpAddr>().ok()?;
            let start = text[..at].rfind([' ', '(', '<', ':']).map_or(0, |before| before + 1);
            let behind = text[end + 1..].find([' ', ')', ',']).map_or(text.len(), |length| end + 1 + length);
            text.get(start..behind)
        });
        found.map(Self::read).unwrap_or_default()
    }

    pub(crate) fn set(&self, row: &mut Row) {
        row.set(Column::ServerHostname, self.host);
        row.set(Column::ServerIp, self.address.map(|address| address.to_string()).unwrap_or_default());
    }

    pub(crate) fn add_port(&self, data: &mut CustomData) {
        data.add_port(self.port);
    }
}

fn is_host(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || byte >= 0x80;
    !text.is_empty() && text.bytes().all(is_name) && !text.eq_ignore_ascii_case("none")
}

fn digits(text: &str) -> &str {
    &text[..text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_whole_or_not_at_all() {
        let address = "192.0.2.1".parse().ok();
        let of = |host, port| Server { host, address, port };
        let table = [
            ("mx.dest.example[192.0.2.1]:2525", of("mx.dest.example", Some(2525))),
            ("mx.dest.example. [192.0.2.1]", of("mx.dest.example", None)),
            ("[192.0.2.1]", of("192.0.2.1", None)),
            ("mx.dest.example", Server { host: "mx.dest.example", ..Server::default() }),
            ("none", Server::default()),
            ("", Server::default()),
            ("a b", Server::default()),
        ];
        for (text, expected) in table {
            assert_eq!(Server::read(text), expected, "{text}");
        }
        let table = [
            ("lost connection with mx.dest.example[192.0.2.1] while sending end of data", of("mx.dest.example", None)),
            ("connect to mx.dest.example[192.0.2.1]:25: Connection timed out", of("mx.dest.example", Some(25))),
            ("host mx.dest.example[192.0.2.1] said: 450 4.2.0 <a@b>: [x] later", of("mx.dest.example", None)),
            ("no [server] here", Server::default()),
        ];
        for (text, expected) in table {
            assert_eq!(Server::in_words(text), expected, "{text}");
        }
    }
}
