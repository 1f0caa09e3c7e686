//! Reads delivery status notifications (RFC 3464), and the bounces that came before them or never were any.
//!
//! Fields are read from the `message/delivery-status` part. Where there is none, the text for people is searched for
//! what Exchange, Exchange Online, Exim, Postfix and qmail write into it. The text alone will do, as it is copied out of a mail
//! program.

mod pasted;
mod prose;
mod rows;

use crate::text::decoded;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use protocol::smtp::EnhancedCode;

pub(crate) use pasted::is_pasted;

/// One notification.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Dsn {
    pub original_envelope_id: Option<String>,
    /// `Message-ID` of the mail that it is about, without the angle brackets, where that is returned with it.
    pub original_message_id: Option<String>,
    pub reporting_mta: Option<Typed>,
    pub dsn_gateway: Option<Typed>,
    pub received_from_mta: Option<Typed>,
    /// Dates are text: many are none.
    pub arrival_date: Option<String>,
    pub recipients: Vec<Recipient>,
    /// It was read from text for people, not from fields.
    pub from_prose: bool,
}

/// What became of one recipient.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Recipient {
    pub original_recipient: Option<Typed>,
    pub final_recipient: Option<Typed>,
    pub action: Option<Action>,
    pub status: Option<EnhancedCode>,
    pub remote_mta: Option<Typed>,
    pub diagnostic_code: Option<Typed>,
    pub last_attempt_date: Option<String>,
    pub final_log_id: Option<String>,
    pub will_retry_until: Option<String>,
    /// `X-Display-Name`, of Exchange.
    pub display_name: Option<String>,
}

/// `type; text`, with or without the space.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Typed {
    /// In lower case, such as `rfc822`, `dns`, `smtp`, `x-unix`; empty where there is none.
    pub kind: String,
    pub text: String,
}

impl Typed {
    fn read(value: &str) -> Self {
        let is_kind = |kind: &&str| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match value.split_once(';').map(|(kind, text)| (kind.trim(), text)).filter(|(kind, _)| is_kind(kind)) {
            Some((kind, text)) => Self { kind: kind.to_ascii_lowercase(), text: text.trim().to_owned() },
            None => Self { kind: String::new(), text: value.trim().to_owned() },
        }
    }
}

/// RFC 3464 section 2.3.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}

impl Action {
    /// Comments may follow, as in `failed (bad destination)`.
    fn read(value: &str) -> Option<Self> {
        let word = value.split(|c: char| !c.is_ascii_alphabetic()).next()?;
        Some(match word.to_ascii_lowercase().as_str() {
            "failed" => Self::Failed,
            "delayed" => Self::Delayed,
            "delivered" => Self::Delivered,
            "relayed" => Self::Relayed,
            "expanded" => Self::Expanded,
            _ => return None,
        })
    }
}

/// Reads a mail, or text that was copied from one; `None` if it names no recipient, which means that it is not such a
/// notification.
pub fn read(bytes: &[u8]) -> Option<Dsn> {
    read_mail(bytes).or_else(|| read_text(&decoded(bytes)))
}

/// Text without a header. What is quoted behind the bounce is a header of its own.
fn read_text(text: &str) -> Option<Dsn> {
    if !is_pasted(text) {
        return None;
    }
    let message_id = text.lines().find_map(|line| {
        let (name, id) = line.trim().split_once(':')?;
        name.eq_ignore_ascii_case("message-id").then(|| id.trim().trim_matches(['<', '>']).to_owned())
    });
    let mut dsn = prose::read(text);
    dsn.original_message_id = message_id.filter(|id| !id.is_empty());
    (!dsn.recipients.is_empty()).then_some(dsn)
}

fn read_mail(bytes: &[u8]) -> Option<Dsn> {
    let message = MessageParser::default().parse(bytes)?;
    let mut dsn = delivery_status(&message).map(|text| fields(&text)).unwrap_or_default();
    if dsn.recipients.is_empty() {
        let told = prose::read(&texts(&message));
        dsn = Dsn {
            recipients: told.recipients,
            from_prose: true,
            reporting_mta: dsn.reporting_mta.or(told.reporting_mta),
            ..dsn
        };
    }
    dsn.original_message_id = returned_message_id(&message);
    (!dsn.recipients.is_empty()).then_some(dsn)
}

/// Of the part that returns the mail, or its header only (RFC 3462 section 2).
fn returned_message_id(message: &Message<'_>) -> Option<String> {
    message.parts.iter().find_map(|part| match &part.body {
        PartType::Message(returned) => returned.message_id().map(str::to_owned),
        PartType::Text(header) if is_header(part) => {
            MessageParser::default().parse(header.as_bytes())?.message_id().map(str::to_owned)
        }
        _ => None,
    })
}

fn is_header(part: &mail_parser::MessagePart<'_>) -> bool {
    part.content_type().and_then(|kind| kind.subtype()).is_some_and(|kind| kind.eq_ignore_ascii_case("rfc822-headers"))
}

fn delivery_status(message: &Message<'_>) -> Option<String> {
    const SUBTYPES: [&str; 2] = ["delivery-status", "global-delivery-status"];
    let is_status = |subtype: &str| SUBTYPES.iter().any(|known| subtype.eq_ignore_ascii_case(known));
    let part = message.parts.iter().find(|part| {
        part.content_type()
            .is_some_and(|kind| kind.ctype().eq_ignore_ascii_case("message") && kind.subtype().is_some_and(is_status))
    })?;
    Some(String::from_utf8_lossy(part.contents()).into_owned())
}

/// The text for people: plain where there is some, or what HTML says.
fn texts(message: &Message<'_>) -> String {
    let has_plain =
        message.parts.iter().any(|part| matches!(&part.body, PartType::Text(text) if !text.trim().is_empty()));
    let mut all = String::new();
    for part in &message.parts {
        match &part.body {
            PartType::Text(text) => all.push_str(text),
            PartType::Html(html) if !has_plain => all.push_str(&mail_parser::decoders::html::html_to_text(html)),
            _ => continue,
        }
        all.push('\n');
    }
    all
}

/// Blocks of fields, with empty lines between: the first is about the message, each other about a recipient.
fn fields(text: &str) -> Dsn {
    let mut dsn = Dsn::default();
    for block in blocks(text) {
        let mut recipient = Recipient::default();
        for (name, value) in &block {
            if !read_recipient(&mut recipient, name, value) {
                read_message(&mut dsn, name, value);
            }
        }
        if recipient.final_recipient.is_some() || recipient.original_recipient.is_some() {
            dsn.recipients.push(recipient);
        } else if recipient != Recipient::default() {
            continue_recipient(&mut dsn, recipient);
        }
    }
    dsn
}

/// A block without an address: some servers put an empty line in the midst of a recipient's fields.
fn continue_recipient(dsn: &mut Dsn, rest: Recipient) {
    let Some(last) = dsn.recipients.last_mut() else { return };
    last.action = last.action.or(rest.action);
    last.status = last.status.or(rest.status);
    last.remote_mta = last.remote_mta.take().or(rest.remote_mta);
    last.diagnostic_code = last.diagnostic_code.take().or(rest.diagnostic_code);
}

/// Names in lower case, and values with their folds undone.
fn blocks(text: &str) -> Vec<Vec<(String, String)>> {
    let mut blocks = vec![Vec::new()];
    for line in text.lines() {
        let last = blocks.last_mut();
        if line.trim().is_empty() {
            blocks.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = last.and_then(|block: &mut Vec<(String, String)>| block.last_mut()) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let (Some(block), Some((name, value))) = (last, line.split_once(':')) {
            block.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    blocks
}

fn read_message(dsn: &mut Dsn, name: &str, value: &str) {
    let typed = || Some(Typed::read(value));
    match name {
        "original-envelope-id" => dsn.original_envelope_id = Some(value.to_owned()),
        "reporting-mta" => dsn.reporting_mta = typed(),
        "dsn-gateway" => dsn.dsn_gateway = typed(),
        "received-from-mta" => dsn.received_from_mta = typed(),
        "arrival-date" => dsn.arrival_date = Some(value.to_owned()),
        _ => {}
    }
}

/// False where the field is not about a recipient.
fn read_recipient(recipient: &mut Recipient, name: &str, value: &str) -> bool {
    let typed = || Some(Typed::read(value));
    let text = || Some(value.to_owned());
    match name {
        "original-recipient" => recipient.original_recipient = typed(),
        "final-recipient" => recipient.final_recipient = typed(),
        "action" => recipient.action = Action::read(value),
        "status" => recipient.status = EnhancedCode::parse_prefix(value).map(|(code, _)| code),
        "remote-mta" => recipient.remote_mta = typed(),
        "diagnostic-code" => recipient.diagnostic_code = typed(),
        "last-attempt-date" => recipient.last_attempt_date = text(),
        "final-log-id" => recipient.final_log_id = text(),
        "will-retry-until" => recipient.will_retry_until = text(),
        "x-display-name" => recipient.display_name = text(),
        _ => return false,
    }
    true
}
