//! The few header fields that the gateway itself reads or writes: Received, Message-ID and Subject (RFC 5322).

use jiff::{Timestamp, tz::TimeZone};
use mail_parser::{HeaderValue, MessageParser};
use net::serve::SessionFacts;
use protocol::text::steers;
use uuid::Uuid;

/// The header fields that the trace shows, and the ones that reveal a mail loop.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Decoded, at most [`SUBJECT_CHARACTERS_MAX`].
    pub subject: Option<String>,
    /// Number of Received fields: hosts that the message has passed (RFC 5321 section 6.3).
    pub hops: u32,
    /// True if the header has octets above 127 (RFC 6532).
    pub eight_bit: bool,
}

/// As many characters as Exchange Online's summary shows.
const SUBJECT_CHARACTERS_MAX: usize = 256;
/// Nobody searches for a longer Message-ID.
const MESSAGE_ID_CHARACTERS_MAX: usize = 998;
/// If the header is longer than this, the rest is not read.
const HEADER_BYTES_MAX: usize = 256 * 1024;

/// The header section of a message: everything before the first empty line.
pub(crate) fn section(message: &[u8]) -> &[u8] {
    let message = &message[..message.len().min(HEADER_BYTES_MAX)];
    if message.starts_with(b"\r\n") {
        return &[];
    }
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => &message[..end + 2],
        None => message,
    }
}

/// True once a message's header section has ended.
pub(crate) fn is_whole(message: &[u8]) -> bool {
    section(message).len() < message.len()
}

/// Reads a header section.
pub(crate) fn read(header: &[u8]) -> Seen {
    let mut seen = Seen { eight_bit: !header.is_ascii(), ..Seen::default() };
    for field in fields(header) {
        let Some(colon) = field.iter().take(64).position(|byte| *byte == b':') else { continue };
        let name = field[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"received") {
            seen.hops += 1;
        } else if name.eq_ignore_ascii_case(b"message-id") && seen.message_id.is_none() {
            seen.message_id = message_id(&field[colon + 1..]);
        } else if name.eq_ignore_ascii_case(b"subject") && seen.subject.is_none() {
            seen.subject = subject(field, &field[colon + 1..]);
        }
    }
    seen
}

/// Fields with their continuation lines.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            match rest[end..].iter().position(|byte| *byte == b'\n') {
                Some(line) => end += line + 1,
                None => end = rest.len(),
            }
            if end >= rest.len() || !matches!(rest[end], b' ' | b'\t') {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        Some(field)
    })
}

fn message_id(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value.trim_ascii());
    let text = text.trim_start_matches('<').trim_end_matches('>');
    let text: String = text.chars().filter(|c| !steers(*c)).take(MESSAGE_ID_CHARACTERS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

fn subject(field: &[u8], value: &[u8]) -> Option<String> {
    let decoded = if value.windows(2).any(|window| window == b"=?") {
        decode(field)?
    } else {
        String::from_utf8_lossy(value.trim_ascii()).into_owned()
    };
    let text: String = decoded.replace("\r\n", "").chars().filter(|c| !steers(*c) || *c == '\t').collect();
    Some(text.chars().take(SUBJECT_CHARACTERS_MAX).collect())
}

/// Decodes encoded words (RFC 2047).
fn decode(field: &[u8]) -> Option<String> {
    let message = MessageParser::new().parse_headers(field)?;
    match message.headers().first()?.value() {
        HeaderValue::Text(text) => Some(text.clone().into_owned()),
        HeaderValue::TextList(list) => Some(list.join(" ")),
        _ => None,
    }
}

/// The trace field that every server adds on top (RFC 5321 section 4.4).
pub(crate) fn received_field(
    facts: &SessionFacts,
    hostname: &str,
    id: Uuid,
    smtputf8: bool,
    only_recipient: Option<&str>,
    now: Timestamp,
) -> String {
    let protocol = match (smtputf8, facts.extended, facts.tls.is_some()) {
        (true, _, false) => "UTF8SMTP",
        (true, _, true) => "UTF8SMTPS",
        (false, true, false) => "ESMTP",
        (false, true, true) => "ESMTPS",
        (false, false, _) => "SMTP",
    };
    let client = match facts.client.ip().to_canonical() {
        std::net::IpAddr::V4(address) => format!("[{address}]"),
        std::net::IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let tls = match &facts.tls {
        Some(tls) => format!("\r\n\t(version={} cipher={})", tls.version, tls.cipher),
        None => String::new(),
    };
    let recipient = only_recipient.map(|address| format!("\r\n\tfor <{address}>")).unwrap_or_default();
    let date = jiff::fmt::rfc2822::to_string(&now.to_zoned_datetime(TimeZone::UTC)).unwrap_or_default();
    format!(
        "Received: from {hello} ({client})\r\n\tby {hostname} (Gatepost) with {protocol}\r\n\tid {id}{tls}{recipient};\r\n\t{date}\r\n",
        hello = facts.ehlo_name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_trace_shows() {
        let table: &[(&str, Option<&str>, Option<&str>, u32)] = &[
            ("Subject: hello\r\nMessage-ID: <a@b>\r\n\r\nSubject: body\r\n", Some("hello"), Some("a@b"), 0),
            ("subject:  folded\r\n line\r\nReceived: x\r\nRECEIVED : y\r\n\r\n", Some("folded line"), None, 2),
            ("Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n", Some("café"), None, 0),
            ("\r\nSubject: body\r\n", None, None, 0),
            ("no colon here\r\nSubject: x\r\n", Some("x"), None, 0),
            ("Subject: a\x1b[31mb\r\n\r\n", Some("a[31mb"), None, 0),
            ("Subject: a\u{202e}b\u{9b}c\r\nMessage-ID: <a\u{2066}@b>\r\n\r\n", Some("abc"), Some("a@b"), 0),
            ("Subject: =?utf-8?q?a=E2=80=AEb?=\r\n\r\n", Some("ab"), None, 0),
        ];
        for (message, subject, message_id, hops) in table {
            let seen = read(section(message.as_bytes()));
            assert_eq!(seen.subject.as_deref(), *subject, "{message:?}");
            assert_eq!(seen.message_id.as_deref(), *message_id, "{message:?}");
            assert_eq!(seen.hops, *hops, "{message:?}");
        }
    }
}
