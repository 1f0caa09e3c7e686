//! Builds delivery status notifications: multipart/report with a part for people, one for machines (RFC 3464, RFC 6533
//! for UTF-8 addresses), and a few header fields of the original. Anybody can forge a sender, so a notice is always
//! small: no content, few fields, and a bounded list of recipients.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use protocol::smtp::{
    Address, BodyType, Destination, EnhancedCode, Envelope, Failure, FailureKind, Phase, Reply, ReversePath,
};
use trace::event::NoticeAction;
use uuid::Uuid;

/// The content of a notice, and its receiver.
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
    /// The notice's own network message id. Message-ID and boundary come from it too.
    pub id: Uuid,
    pub recipients: Vec<NoticeRecipient<'a>>,
    /// Lines with CRLF. The bytes are foreign.
    pub original_headers: &'a [u8],
}

#[derive(Clone, Debug)]
pub struct NoticeRecipient<'a> {
    pub address: &'a Address,
    /// `ORCPT=`, `addr-type;xtext`.
    pub orcpt: Option<&'a str>,
    pub failure: Option<&'a Failure>,
    /// The destination's reply.
    pub reply: Option<&'a Reply>,
    pub destination: Option<&'a Destination>,
    /// `None` if there was no attempt.
    pub last_attempt: Option<Timestamp>,
    /// For a delay: until when Gatepost tries again.
    pub retry_until: Option<Timestamp>,
}

/// A notice ready to be queued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeMessage {
    /// From the null sender.
    pub envelope: Envelope,
    /// CRLF lines.
    pub bytes: Vec<u8>,
}

/// The header fields by which a sender recognises the original.
const ORIGINAL_FIELDS: [&str; 6] = ["from", "to", "cc", "subject", "date", "message-id"];
/// Maximum size of the original's header in a notice.
const ORIGINAL_BYTES_MAX: usize = 4 * 1024;
/// Maximum number of recipients that a notice lists. Of further ones it gives the number.
const RECIPIENTS_MAX: usize = 100;
/// Maximum number of characters of a destination's reply for one recipient.
const DIAGNOSTIC_CHARACTERS_MAX: usize = 400;

/// The characters that the parts may contain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// RFC 3464: everything is ASCII, so that every server on the way back accepts it.
    Ascii,
    /// RFC 6533: an address needs UTF-8.
    Global,
}

impl Form {
    fn encoding(self) -> &'static str {
        match self {
            Self::Ascii => "7bit",
            Self::Global => "8bit",
        }
    }

    /// Content types of the status part and the header part.
    fn types(self) -> (&'static str, &'static str) {
        match self {
            Self::Ascii => ("message/delivery-status", "text/rfc822-headers"),
            Self::Global => ("message/global-delivery-status", "message/global-headers"),
        }
    }

    fn fit(self, text: String) -> String {
        match self {
            Self::Ascii => ascii(&text),
            Self::Global => text,
        }
    }
}

impl Notice<'_> {
    pub fn build(&self) -> NoticeMessage {
        let global = self.to.needs_smtputf8() || self.listed().iter().any(|r| r.address.needs_smtputf8());
        let form = if global { Form::Global } else { Form::Ascii };
        let boundary = format!("=_{}", self.id.simple());
        let header = String::from_utf8_lossy(&clean_header(self.original_headers)).into_owned();
        let (status_type, header_type) = form.types();
        let mut text = self.header(&boundary, form);
        for (content_type, body) in [
            ("text/plain; charset=utf-8", self.human_part()),
            (status_type, self.status_part(form)),
            (header_type, header),
        ] {
            let encoding = form.encoding();
            let _ = write!(
                text,
                "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{}",
                form.fit(body)
            );
        }
        let _ = write!(text, "\r\n--{boundary}--\r\n");
        let envelope = Envelope {
            body_type: if text.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
            smtputf8: self.to.needs_smtputf8(),
            ..Envelope::from(ReversePath::Null)
        };
        NoticeMessage { envelope, bytes: text.into_bytes() }
    }

    fn listed(&self) -> &[NoticeRecipient<'_>] {
        self.recipients.get(..RECIPIENTS_MAX).unwrap_or(&self.recipients)
    }

    fn header(&self, boundary: &str, form: Form) -> String {
        let subject = match self.action {
            NoticeAction::Failed => "Undeliverable: your message could not be delivered",
            NoticeAction::Delayed => "Delayed: your message has not been delivered yet",
            NoticeAction::Relayed => "Relayed: your message was passed on",
        };
        let mta = ascii(&clean(self.reporting_mta));
        format!(
            "From: Mail Delivery System <MAILER-DAEMON@{mta}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{id}@{mta}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\nThis is a delivery report in MIME format.\r\n",
            encoding = form.encoding(),
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
            NoticeAction::Relayed => "Your message was passed on to a server that sends no delivery reports, for:\r\n",
        });
        for alike in self.listed().chunk_by(|one, next| one.details() == next.details()) {
            text.push_str("\r\n");
            for recipient in alike {
                let _ = write!(text, "    <{}>\r\n", recipient.address);
            }
            alike.iter().take(1).flat_map(NoticeRecipient::details).for_each(|line| paragraph(&mut text, &line));
        }
        match self.recipients.len() - self.listed().len() {
            0 => {}
            1 => text.push_str("\r\n    and 1 more recipient\r\n"),
            more => {
                let _ = write!(text, "\r\n    and {more} more recipients\r\n");
            }
        }
        text.push_str(match self.action {
            NoticeAction::Failed => {
                "\r\nThe gateway will not try again. Check the address. If it is correct, send this\r\n\
                 report to the administrator of the recipient's mail system.\r\n"
            }
            NoticeAction::Delayed => "\r\nYou do not need to do anything. Please do not send the message again.\r\n",
            NoticeAction::Relayed => "\r\nYou will get another report only if the delivery fails.\r\n",
        });
        text
    }

    fn status_part(&self, form: Form) -> String {
        let mut text = format!("Reporting-MTA: dns;{}\r\n", clean(self.reporting_mta));
        if let Some(envid) = self.envid {
            field(&mut text, "Original-Envelope-Id", &readable_xtext(envid));
        }
        field(&mut text, "Arrival-Date", &date(self.received));
        for recipient in self.listed() {
            text.push_str("\r\n");
            self.recipient_fields(&mut text, recipient, form);
        }
        text
    }

    fn recipient_fields(&self, text: &mut String, recipient: &NoticeRecipient, form: Form) {
        if let Some((kind, address)) = recipient.orcpt.and_then(|orcpt| orcpt.split_once(';')) {
            address_field(text, "Original-Recipient", &format!("{};{}", clean(kind), readable_xtext(address)));
        }
        let is_utf8 = form == Form::Global && recipient.address.needs_smtputf8();
        let kind = if is_utf8 { "utf-8" } else { "rfc822" };
        address_field(text, "Final-Recipient", &format!("{kind};{}", recipient.address));
        let action = match self.action {
            NoticeAction::Failed => "failed",
            NoticeAction::Delayed => "delayed",
            NoticeAction::Relayed => "relayed",
        };
        field(text, "Action", action);
        field(text, "Status", &self.status(recipient).to_string());
        if let Some(destination) = recipient.destination {
            field(text, "Remote-MTA", &format!("dns;{}", destination.host));
        }
        let diagnostic = match (recipient.said(), recipient.failure) {
            (Some(reply), _) => Some(format!("smtp;{reply}")),
            (None, Some(failure)) => Some(format!("X-Gatepost;{failure}")),
            (None, None) => None,
        };
        if let Some(diagnostic) = diagnostic {
            field(text, "Diagnostic-Code", &ascii(&shortened(&diagnostic)));
        }
        if let Some(at) = recipient.last_attempt {
            field(text, "Last-Attempt-Date", &date(at));
        }
        if let Some(until) = recipient.retry_until {
            field(text, "Will-Retry-Until", &date(until));
        }
    }

    /// The destination's own code if it fits the action, otherwise the code for the kind of failure (RFC 3463).
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
            (
                FailureKind::ConnectionReset
                | FailureKind::ConnectionClosed
                | FailureKind::TlsBroken { .. }
                | FailureKind::TimedOut { .. },
                _,
            ) => (4, 2),
            (
                FailureKind::HandshakeFailed { .. } | FailureKind::StartTlsNotOffered | FailureKind::StartTlsMasked,
                _,
            ) => (7, 5),
            (FailureKind::ExtensionMissing { extension }, _) if extension == "SMTPUTF8" => (6, 7),
            (FailureKind::ExtensionMissing { .. }, _) => (6, 3),
            (FailureKind::TooLarge { .. }, _) => (3, 4),
            (FailureKind::BadReply { .. }, _) => (5, 0),
            (FailureKind::Local { .. }, _) => (3, 0),
            (FailureKind::MailLoop, _) => (4, 6),
            // Unable to route.
            (FailureKind::AddressNotAllowed { .. }, _) => (4, 4),
            (FailureKind::Expired { .. }, _) => (4, 7),
        };
        let expired = recipient.failure.is_some_and(|failure| matches!(failure.kind, FailureKind::Expired { .. }));
        match (recipient.said().and_then(|reply| reply.enhanced), recipient.failure) {
            (Some(code), _) if code.class == class && !expired => code,
            (_, Some(failure)) => {
                let (subject, detail) = of_kind(failure);
                EnhancedCode::new(class, subject, detail)
            }
            (_, None) => EnhancedCode::new(class, 0, 0),
        }
    }
}

impl NoticeRecipient<'_> {
    /// The destination's reply, from the result or from the failure.
    fn said(&self) -> Option<&Reply> {
        self.reply.or(self.failure.and_then(|failure| failure.reply.as_ref()))
    }

    /// The text for people, without the address.
    fn details(&self) -> Vec<String> {
        [
            self.destination.map(|destination| format!("Server: {destination}")),
            self.failure.map(|failure| format!("Reason: {}", reason(failure))),
            self.said().map(|reply| format!("The server replied: {}", shortened(&reply.to_string()))),
            self.retry_until.map(|until| format!("The gateway will try again until {}.", date(until))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Shortens a text, so that one recipient's part of a notice is always small.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(DIAGNOSTIC_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The reason of a failure, without destination and reply, which have their own lines.
fn reason(failure: &Failure) -> String {
    Failure { destination: None, reply: None, ..failure.clone() }.to_string()
}

/// Writes an address unchanged: in a quoted local part, each space matters.
fn address_field(text: &mut String, name: &str, value: &str) {
    if value.len() > 900 || value.contains(char::is_control) {
        return field(text, name, value);
    }
    let _ = write!(text, "{name}: {value}\r\n");
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

/// Replaces control characters, so that foreign text cannot start a new line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::to_string(&at.to_zoned_datetime(TimeZone::UTC)).unwrap_or_else(|_| at.to_string())
}

/// Decodes xtext if the result is printable ASCII, otherwise returns it unchanged. `+3D` means `=` (RFC 3461 section
/// 4).
fn readable_xtext(text: &str) -> String {
    let decoded = decode_xtext(text).filter(|decoded| decoded.bytes().all(|byte| (32..127).contains(&byte)));
    decoded.unwrap_or_else(|| text.to_owned())
}

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

/// The first of each of the [`ORIGINAL_FIELDS`], as far as there is room, with text, tabs and CRLF only. The lines
/// after the first empty line are content.
fn clean_header(header: &[u8]) -> Vec<u8> {
    let lines = header.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<&[u8]> = lines.take_while(|line| !line.is_empty()).collect();
    let mut wanted = ORIGINAL_FIELDS.to_vec();
    let mut cleaned = Vec::new();
    for field in lines.chunk_by(|_, next| next.starts_with(b" ") || next.starts_with(b"\t")) {
        let Some(known) = wanted.iter().position(|name| has_name(field[0], name)) else { continue };
        wanted.remove(known);
        let bytes = field.iter().map(|line| line.len() + 2).sum::<usize>();
        if field.iter().any(|line| line.len() > 998) || cleaned.len() + bytes > ORIGINAL_BYTES_MAX {
            continue;
        }
        for line in field {
            cleaned
                .extend(line.iter().map(|byte| if byte.is_ascii_control() && *byte != b'\t' { b' ' } else { *byte }));
            cleaned.extend_from_slice(b"\r\n");
        }
    }
    cleaned
}

/// White space before the colon is obsolete syntax (RFC 5322 section 4.5).
fn has_name(line: &[u8], name: &str) -> bool {
    let colon = line.iter().position(|byte| *byte == b':');
    colon.is_some_and(|colon| line[..colon].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
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
                last_attempt: None,
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
        assert_eq!(built.envelope, Envelope::from(ReversePath::Null));
    }

    #[test]
    fn the_status_tells_what_happened() {
        let table = [
            (Failure::new(Phase::Connect, FailureKind::ConnectionRefused), "5.4.1"),
            (Failure::new(Phase::Connect, FailureKind::Expired { cause: None }), "5.4.7"),
            (Failure { kind: FailureKind::Expired { cause: None }, ..rejected("x") }, "5.4.7"),
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

    /// The worst case for a forged sender: one message to very many recipients, which the destination refuses with long
    /// replies.
    #[test]
    fn a_notice_is_small_whatever_it_is_about() {
        let failure = rejected(&"nobody here, ".repeat(1000));
        let (to, address) = (Address::parse("s@out.test").unwrap(), Address::parse("user@onprem.test").unwrap());
        let recipient = NoticeRecipient {
            address: &address,
            orcpt: None,
            failure: Some(&failure),
            reply: None,
            destination: failure.destination.as_ref(),
            last_attempt: None,
            retry_until: None,
        };
        let header = format!("X-Filler: y\r\n{}Subject: hello\r\nReceived: x\r\n", "To: a@b\r\n".repeat(10_000));
        let built = Notice {
            action: NoticeAction::Failed,
            reporting_mta: "edge.test",
            to: &to,
            envid: None,
            received: Timestamp::UNIX_EPOCH,
            now: Timestamp::UNIX_EPOCH,
            id: Uuid::from_u128(7),
            recipients: vec![recipient; 1000],
            original_headers: header.as_bytes(),
        }
        .build();
        let text = String::from_utf8(built.bytes).unwrap();
        assert!(text.len() < 64 * 1024, "{} bytes", text.len());
        let count = |what: &str| text.matches(what).count();
        assert_eq!((count("Final-Recipient:"), count("and 900 more recipients"), count("Reason:")), (100, 1, 1));
        assert_eq!(
            (count("\r\nTo: a@b"), count("\r\nSubject: hello"), count("X-Filler"), count("Received:")),
            (1, 1, 0, 0)
        );
    }
}
