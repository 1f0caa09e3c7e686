//! Builds delivery status notifications: multipart/report with a part for people, one for machines (RFC 3464, RFC 6533
//! for UTF-8 addresses), and the header of the original. Only the header is ever returned: content would make every
//! forged sender the target of somebody else's attachments.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use protocol::smtp::{Address, Destination, EnhancedCode, Failure, FailureKind, Phase, Reply};
use trace::event::NoticeAction;
use uuid::Uuid;

/// What a notice tells, and to whom.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    pub action: NoticeAction,
    /// Host name of the gateway.
    pub reporting_mta: &'a str,
    /// The sender of the original.
    pub to: &'a Address,
    /// `ENVID=` in xtext.
    pub envid: Option<&'a str>,
    pub received: Timestamp,
    pub now: Timestamp,
    /// The notice's own network message id; also makes Message-ID and boundary.
    pub id: Uuid,
    pub recipients: Vec<NoticeRecipient<'a>>,
    /// CRLF lines, foreign bytes.
    pub original_headers: &'a [u8],
}

#[derive(Clone, Debug)]
pub struct NoticeRecipient<'a> {
    pub address: &'a Address,
    /// `ORCPT=`, `addr-type;xtext`.
    pub orcpt: Option<&'a str>,
    pub failure: Option<&'a Failure>,
    /// The destination's answer.
    pub reply: Option<&'a Reply>,
    pub destination: Option<&'a Destination>,
    /// Until when it will be tried, for a delay.
    pub retry_until: Option<Timestamp>,
}

/// A notice ready to be queued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeMessage {
    /// CRLF lines.
    pub bytes: Vec<u8>,
    pub eight_bit: bool,
    pub smtputf8: bool,
}

/// More of the original's header than this helps nobody.
const ORIGINAL_BYTES_MAX: usize = 16 * 1024;

impl Notice<'_> {
    pub fn build(&self) -> NoticeMessage {
        let global = self.to.needs_smtputf8() || self.recipients.iter().any(|r| r.address.needs_smtputf8());
        let boundary = format!("=_{}", self.id.simple());
        let mut text = self.header(&boundary);
        part(&mut text, &boundary, "text/plain; charset=utf-8", &self.human_part());
        let status_type = if global { "message/global-delivery-status" } else { "message/delivery-status" };
        part(&mut text, &boundary, status_type, &self.status_part(global));
        let mut bytes = text.into_bytes();
        let header = clean_header(self.original_headers);
        let header_type = if header.is_ascii() { "text/rfc822-headers" } else { "message/global-headers" };
        bytes.extend_from_slice(part_header(&boundary, header_type).as_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        NoticeMessage { eight_bit: !bytes.is_ascii(), smtputf8: self.to.needs_smtputf8(), bytes }
    }

    fn header(&self, boundary: &str) -> String {
        let subject = match self.action {
            NoticeAction::Failed => "Undeliverable: your message could not be delivered",
            NoticeAction::Delayed => "Delayed: your message has not been delivered yet",
            NoticeAction::Relayed => "Relayed: your message was passed on",
        };
        let mta = clean(self.reporting_mta);
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{mta}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{id}@{mta}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\nThis is a delivery report in MIME format.\r\n",
            to = self.to,
            date = date(self.now),
            id = self.id,
        )
    }

    fn human_part(&self) -> String {
        let mut text = format!("This is the mail gateway {}.\r\n\r\n", clean(self.reporting_mta));
        text.push_str(match self.action {
            NoticeAction::Failed => "Your message could not be delivered to:\r\n",
            NoticeAction::Delayed => "Your message has not been delivered yet to:\r\n",
            NoticeAction::Relayed => {
                "Your message was passed on to a server that sends no reports of its own, for:\r\n"
            }
        });
        for recipient in &self.recipients {
            let _ = write!(text, "\r\n    <{}>\r\n", recipient.address);
            if let Some(destination) = recipient.destination {
                paragraph(&mut text, &format!("Server: {destination}"));
            }
            if let Some(failure) = recipient.failure {
                paragraph(&mut text, &format!("Reason: {} while {}", failure.kind, failure.phase.doing()));
            }
            if let Some(reply) = recipient.reply.or(recipient.failure.and_then(|failure| failure.reply.as_ref())) {
                paragraph(&mut text, &format!("The server said: {reply}"));
            }
            if let Some(until) = recipient.retry_until {
                paragraph(&mut text, &format!("It will be tried until {}.", date(until)));
            }
        }
        text.push_str(match self.action {
            NoticeAction::Failed => {
                "\r\nIt will not be tried again. Check the address; if it is right, show this report to\r\n\
                 the administrator of the recipient's mail system.\r\n"
            }
            NoticeAction::Delayed => "\r\nYou need not do anything: do not send it again.\r\n",
            NoticeAction::Relayed => "\r\nYou will hear no more about it unless it fails.\r\n",
        });
        text
    }

    fn status_part(&self, global: bool) -> String {
        let mut text = format!("Reporting-MTA: dns;{}\r\n", clean(self.reporting_mta));
        if let Some(envid) = self.envid.and_then(decode_xtext) {
            field(&mut text, "Original-Envelope-Id", &envid);
        }
        field(&mut text, "Arrival-Date", &date(self.received));
        for recipient in &self.recipients {
            text.push_str("\r\n");
            self.recipient_fields(&mut text, recipient, global);
        }
        text
    }

    fn recipient_fields(&self, text: &mut String, recipient: &NoticeRecipient, global: bool) {
        if let Some((kind, address)) = recipient.orcpt.and_then(|orcpt| orcpt.split_once(';')) {
            let address = decode_xtext(address).unwrap_or_else(|| address.to_owned());
            field(text, "Original-Recipient", &format!("{};{address}", clean(kind)));
        }
        let kind = if global && recipient.address.needs_smtputf8() { "utf-8" } else { "rfc822" };
        field(text, "Final-Recipient", &format!("{kind};{}", recipient.address));
        let action = match self.action {
            NoticeAction::Failed => "failed",
            NoticeAction::Delayed => "delayed",
            NoticeAction::Relayed => "relayed",
        };
        field(text, "Action", action);
        field(text, "Status", &self.status(recipient).to_string());
        if let Some(destination) = recipient.destination {
            field(text, "Remote-MTA", &format!("dns;{}", clean(&destination.host)));
        }
        let reply = recipient.reply.or(recipient.failure.and_then(|failure| failure.reply.as_ref()));
        match (reply, recipient.failure) {
            (Some(reply), _) => field(text, "Diagnostic-Code", &format!("smtp;{}", ascii(&reply.to_string()))),
            (None, Some(failure)) => {
                field(text, "Diagnostic-Code", &format!("X-Gatepost;{}", ascii(&failure.to_string())));
            }
            (None, None) => {}
        }
        field(text, "Last-Attempt-Date", &date(self.now));
        if let Some(until) = recipient.retry_until {
            field(text, "Will-Retry-Until", &date(until));
        }
    }

    /// The destination's own code where it gave one that fits the action, else one for what happened (RFC 3463).
    fn status(&self, recipient: &NoticeRecipient) -> EnhancedCode {
        let class = match self.action {
            NoticeAction::Failed => 5,
            NoticeAction::Delayed => 4,
            NoticeAction::Relayed => 2,
        };
        let of_kind = |failure: &Failure| match (&failure.kind, failure.phase) {
            (FailureKind::Rejected, Phase::Rcpt) => (1, 1),
            (FailureKind::Rejected, _) => (0, 0),
            (FailureKind::HostNotFound, _) => (1, 2),
            (FailureKind::NullMx, _) => (1, 10),
            (FailureKind::DnsFailure { .. }, _) => (4, 3),
            (FailureKind::ConnectionRefused | FailureKind::NetworkUnreachable, _) => (4, 1),
            (FailureKind::ConnectionReset | FailureKind::ConnectionClosed | FailureKind::TimedOut { .. }, _) => (4, 2),
            (FailureKind::HandshakeFailed { .. } | FailureKind::StartTlsNotOffered, _) => (7, 5),
            (FailureKind::ExtensionMissing { extension }, _) if extension == "SMTPUTF8" => (6, 7),
            (FailureKind::ExtensionMissing { .. }, _) => (6, 3),
            (FailureKind::TooLarge { .. }, _) => (3, 4),
            (FailureKind::BadReply { .. }, _) => (5, 0),
            (FailureKind::Local { .. }, _) => (3, 0),
            (FailureKind::Expired, _) => (4, 7),
        };
        let expired = recipient.failure.is_some_and(|failure| failure.kind == FailureKind::Expired);
        let reply = recipient.reply.or(recipient.failure.and_then(|failure| failure.reply.as_ref()));
        match (reply.and_then(|reply| reply.enhanced), recipient.failure) {
            (Some(code), _) if code.class == class && !expired => code,
            (_, Some(failure)) => {
                let (subject, detail) = of_kind(failure);
                EnhancedCode::new(class, subject, detail)
            }
            (_, None) => EnhancedCode::new(class, 0, 0),
        }
    }
}

fn part(text: &mut String, boundary: &str, content_type: &str, body: &str) {
    text.push_str(&part_header(boundary, content_type));
    text.push_str(body);
}

fn part_header(boundary: &str, content_type: &str) -> String {
    format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
}

/// One field of the machine-readable part, folded at spaces.
fn field(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(':');
    let mut width = name.len() + 1;
    for word in clean(value).split_whitespace() {
        if width > name.len() + 1 && width + word.len() >= 78 {
            text.push_str("\r\n\t");
            width = 8;
        } else {
            text.push(' ');
            width += 1;
        }
        push_word(text, word, &mut width);
    }
    text.push_str("\r\n");
}

/// No line may pass 998 bytes, whatever a destination says.
fn push_word(text: &mut String, word: &str, width: &mut usize) {
    for c in word.chars() {
        if *width > 900 {
            text.push_str("\r\n\t");
            *width = 8;
        }
        text.push(c);
        *width += c.len_utf8();
    }
}

/// Indented lines of at most 78 columns for the human part.
fn paragraph(text: &mut String, content: &str) {
    let mut width = 4;
    text.push_str("    ");
    for word in clean(content).split_whitespace() {
        if width > 4 && width + word.len() >= 78 {
            text.push_str("\r\n      ");
            width = 6;
        } else if width > 4 {
            text.push(' ');
            width += 1;
        }
        push_word(text, word, &mut width);
    }
    text.push_str("\r\n");
}

/// Without control characters: foreign text must not begin a line of its own.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::to_string(&at.to_zoned_datetime(TimeZone::UTC)).unwrap_or_else(|_| at.to_string())
}

/// `+3D` stands for `=` (RFC 3461 section 4).
fn decode_xtext(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'+' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whole lines of the original's header up to the limit, with nothing in it but text, tabs and CRLF.
fn clean_header(header: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(header.len().min(ORIGINAL_BYTES_MAX));
    for line in header.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.len() > 998 {
            continue;
        }
        if cleaned.len() + line.len() + 2 > ORIGINAL_BYTES_MAX {
            break;
        }
        cleaned.extend(line.iter().map(|byte| if *byte < 32 && *byte != b'\t' || *byte == 127 { b' ' } else { *byte }));
        cleaned.extend_from_slice(b"\r\n");
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders};
    use proptest::prelude::*;

    use super::*;

    fn build(failure: &Failure, reporting_mta: &str, header: &[u8]) -> NoticeMessage {
        let to = Address::parse("sender@out.test").unwrap();
        let address = Address::parse("user@onprem.test").unwrap();
        Notice {
            action: NoticeAction::Failed,
            reporting_mta,
            to: &to,
            envid: Some("id+3D1"),
            received: Timestamp::UNIX_EPOCH,
            now: Timestamp::from_second(60).unwrap(),
            id: Uuid::from_u128(7),
            recipients: vec![NoticeRecipient {
                address: &address,
                orcpt: Some("rfc822;old+2Buser@onprem.test"),
                failure: Some(failure),
                reply: None,
                destination: failure.destination.as_ref(),
                retry_until: None,
            }],
            original_headers: header,
        }
        .build()
    }

    fn rejected(text: &str) -> Failure {
        let reply = Reply::new(550, Some(EnhancedCode::new(5, 1, 1)), text);
        let destination = Destination { host: "mail.onprem.test".into(), port: 25, address: None };
        Failure::rejected(Phase::Rcpt, reply).at(&destination)
    }

    #[test]
    fn a_failure_notice_reads_as_rfc_3464_says() {
        let built = build(&rejected("no such user"), "edge.test", b"Subject: hello\r\nFrom: a@b\r\n");
        let message = MessageParser::new().parse(&built.bytes).unwrap();
        assert_eq!(message.content_type().unwrap().ctype(), "multipart");
        assert_eq!(message.content_type().unwrap().subtype(), Some("report"));
        assert_eq!(message.parts.len(), 4);
        let text = String::from_utf8(built.bytes.clone()).unwrap();
        for line in [
            "Reporting-MTA: dns;edge.test\r\n",
            "Original-Envelope-Id: id=1\r\n",
            "Original-Recipient: rfc822;old+user@onprem.test\r\n",
            "Final-Recipient: rfc822;user@onprem.test\r\n",
            "Action: failed\r\n",
            "Status: 5.1.1\r\n",
            "Remote-MTA: dns;mail.onprem.test\r\n",
            "Diagnostic-Code: smtp;550 5.1.1 no such user\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "Subject: hello\r\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(!built.eight_bit && !built.smtputf8);
    }

    #[test]
    fn the_status_tells_what_happened() {
        let table = [
            (Failure::new(Phase::Connect, FailureKind::ConnectionRefused), "5.4.1"),
            (Failure::new(Phase::Connect, FailureKind::Expired), "5.4.7"),
            (Failure { kind: FailureKind::Expired, ..rejected("x") }, "5.4.7"),
            (Failure::new(Phase::Mail, FailureKind::ExtensionMissing { extension: "SMTPUTF8".into() }), "5.6.7"),
            (Failure::new(Phase::Resolve, FailureKind::NullMx), "5.1.10"),
        ];
        for (failure, status) in table {
            let text = String::from_utf8(build(&failure, "edge.test", b"").bytes).unwrap();
            assert!(text.contains(&format!("Status: {status}\r\n")), "{failure}: {text}");
        }
    }

    proptest! {
        #[test]
        fn foreign_text_stays_where_it_belongs(reply in "\\PC{0,80}|(.|\r|\n){0,200}|x{1500}", header in any::<Vec<u8>>()) {
            let built = build(&rejected(&reply), "edge.test", &header);
            prop_assert!(built.bytes.split(|b| *b == b'\n').all(|line| line.len() < 1000));
            prop_assert!(!built.bytes.windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'));
            let message = MessageParser::new().parse(&built.bytes).unwrap();
            prop_assert_eq!(message.parts.len(), 4);
            prop_assert_eq!(message.header_values("Subject").count(), 1);
        }
    }
}
