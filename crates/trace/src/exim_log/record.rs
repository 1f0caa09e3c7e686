//! What a line of Exim's log says, without its time.

use std::borrow::Cow;

use super::{
    client::Ended,
    fields::{Facts, Field, Fields, quoted_length, unescape},
};
use crate::text::split_once;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// `<=`: it is in the queue.
    Arrival(Arrival<'a>),
    /// `=>`, `->`, `>>`, `*>`, `==`, `**`: the result of an attempt for one recipient.
    Delivery(Delivery<'a>),
    /// What a client was refused.
    Rejection(Rejection<'a>),
    /// A handshake that failed, as a client's or with a server that was tried.
    TlsError(TlsError<'a>),
    /// What went wrong with TLS on the way to a server, before the outcome.
    TlsTrouble { id: &'a str, address: Option<&'a str>, text: &'a str },
    /// A client's session that ended early.
    Ended(Ended<'a>),
    /// Nothing is left to do.
    Completed { id: &'a str },
}

/// `<=`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival<'a> {
    pub id: &'a str,
    /// Empty for the null sender.
    pub sender: &'a str,
    pub facts: Facts<'a>,
    /// `S=`, in bytes.
    pub size: &'a str,
    /// `id=`, which has no angle brackets.
    pub message_id: &'a str,
    /// `T=`
    pub subject: Cow<'a, str>,
    /// With spaces between; only where the log names them.
    pub recipients: &'a str,
}

/// What became of one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery<'a> {
    pub id: &'a str,
    pub outcome: Outcome,
    /// To where it was delivered: an address, a local user, a file, a pipe.
    pub address: &'a str,
    /// The address that it was received for, where that is another one.
    pub original: Option<&'a str>,
    pub facts: Facts<'a>,
}

impl<'a> Delivery<'a> {
    /// An address in any case: local users are known by the one that they were reached under.
    pub fn recipient(&self) -> &'a str {
        let is_address = self.address.contains('@') && !self.address.starts_with(['|', '/']);
        self.original.filter(|_| !is_address).unwrap_or(self.address)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// `=>`, and `->` for those after the first.
    Delivered,
    /// `>>`: passed on while it was received.
    CutThrough,
    /// `*>`: delivery was forbidden by `-N`.
    Suppressed,
    /// `==`
    Deferred,
    /// `**`
    Failed,
}

/// `… rejected RCPT <…>: …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection<'a> {
    pub facts: Facts<'a>,
    /// `F=`; empty for the null sender, and where none is known.
    pub sender: &'a str,
    /// Such as `RCPT`, `EHLO`, `after DATA`, `connection`.
    pub what: &'a str,
    pub recipient: Option<&'a str>,
    pub is_temporary: bool,
}

/// `TLS error on connection …` of a connection that no message is known of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsError<'a> {
    /// A client failed, not this side.
    pub is_client: bool,
    pub facts: Facts<'a>,
}

impl<'a> Record<'a> {
    /// Reads what follows time and process; `None` for what tells nothing of a message.
    pub fn read(text: &'a str) -> Option<Self> {
        let Some((id, rest)) = split_id(text) else { return without_id(text, None) };
        if rest.starts_with("Completed") {
            return Some(Self::Completed { id });
        }
        let outcome = match rest.get(..3) {
            Some("<= ") => return Some(Self::Arrival(arrival(id, rest.get(3..)?)?)),
            Some("=> " | "-> ") => Outcome::Delivered,
            Some(">> ") => Outcome::CutThrough,
            Some("*> ") => Outcome::Suppressed,
            Some("== ") => Outcome::Deferred,
            Some("** ") => Outcome::Failed,
            _ => return without_id(rest, Some(id)),
        };
        delivery(id, outcome, rest.get(3..)?).map(Self::Delivery)
    }
}

/// Ids are `6-6-2` letters and digits, and `6-11-4` since Exim 4.97.
fn split_id(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let length = match (bytes.get(6)?, bytes.get(13), bytes.get(18)) {
        (b'-', Some(b'-'), _) => 16,
        (b'-', _, Some(b'-')) => 23,
        _ => return None,
    };
    let (id, rest) = text.split_at_checked(length)?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some((id, rest.strip_prefix(' ')?)).filter(|_| is_id)
}

/// Splits an address off, which is in angle brackets or not, and may begin with a quoted local part.
fn split_address(text: &str) -> Option<(&str, &str)> {
    let quoted = if text.starts_with('"') { quoted_length(text) } else { 0 };
    let end = memchr::memchr(b' ', text.as_bytes().get(quoted..)?).map_or(text.len(), |at| quoted + at);
    let (address, rest) = text.split_at_checked(end)?;
    Some((address, rest.trim_ascii_start()))
}

fn without_brackets(address: &str) -> &str {
    address.strip_prefix('<').map_or(address, |inner| inner.strip_suffix('>').unwrap_or(inner))
}

fn arrival<'a>(id: &'a str, text: &'a str) -> Option<Arrival<'a>> {
    let (sender, rest) = split_address(text)?;
    let mut arrival = Arrival {
        id,
        sender: without_brackets(sender),
        facts: Facts::default(),
        size: "",
        message_id: "",
        subject: Cow::Borrowed(""),
        recipients: "",
    };
    let mut fields = Fields::new(rest);
    while let Some(field) = fields.next() {
        match field {
            Field::Value("S", size) => arrival.size = size,
            Field::Value("id", id) => arrival.message_id = id,
            Field::Value("T", subject) => arrival.subject = unescape(subject),
            Field::Value(key, value) => drop(arrival.facts.take(key, value)),
            Field::Word("for") => {
                arrival.recipients = fields.rest.trim_ascii();
                break;
            }
            Field::Word(_) | Field::Reason(_) => {}
        }
    }
    Some(arrival)
}

fn delivery<'a>(id: &'a str, outcome: Outcome, text: &'a str) -> Option<Delivery<'a>> {
    let (address, rest) = split_address(text)?;
    // `** a@x.test: Unrouteable address`; but `:blackhole:` and its like are no addresses.
    let before_reason = address.strip_suffix(':').filter(|_| !address.starts_with(':'));
    let address = without_brackets(before_reason.unwrap_or(address));
    let mut delivery = Delivery { id, outcome, address, original: None, facts: Facts::default() };
    let fields = if before_reason.is_some() { Fields::reason(rest) } else { Fields::new(rest) };
    for field in fields {
        match field {
            Field::Value("C", confirmation) => delivery.facts.text = confirmation,
            Field::Value(key, value) => drop(delivery.facts.take(key, value)),
            Field::Reason(reason) => {
                delivery.facts.text = reason;
                delivery.facts.take_host_of_reason(reason);
            }
            // `defer (111): …`, and between them a host where one is to blame.
            Field::Word(word) if word.starts_with('(') && delivery.facts.errno.is_none() => {
                delivery.facts.errno = word.trim_matches(['(', ')']).parse().ok();
            }
            // Of several, the last is the one at the top.
            Field::Word(word) if word.starts_with('<') => delivery.original = Some(without_brackets(word)),
            Field::Word(_) => {}
        }
    }
    Some(delivery)
}

/// Lines about connections.
fn without_id<'a>(text: &'a str, id: Option<&'a str>) -> Option<Record<'a>> {
    if let Some(trouble) = id.and_then(|id| tls_trouble(id, text)) {
        return Some(trouble);
    }
    if let Some((before, after)) = split_once(text, "TLS error on connection") {
        let is_client = id.is_none() && after.trim_ascii_start().starts_with("from ");
        return Some(Record::TlsError(TlsError { is_client, facts: tls_error(before, after) }));
    }
    if let Some(ended) = Ended::read(text) {
        return Some(Record::Ended(ended));
    }
    let (before, after) = split_once(text, "rejected")?;
    rejection(before, after).map(Record::Rejection)
}

/// `[192.0.2.1] SSL verify error: depth=0 error=…`, `H=mx.y [192.0.2.1] TLS error on connection (SSL_connect): …`, or
/// `TLS session: (gnutls_handshake): …: delivering unencrypted to H=mx.y [192.0.2.1] (not in hosts_require_tls)`.
fn tls_trouble<'a>(id: &'a str, text: &'a str) -> Option<Record<'a>> {
    const WORDS: [&str; 5] =
        ["SSL verify error", "TLS session", "(SSL_connect)", "(gnutls_handshake)", "delivering unencrypted"];
    // What is received or sent over TLS later fails for other reasons.
    if !WORDS.iter().any(|words| text.contains(words)) || text.contains(" from ") {
        return None;
    }
    let inside = text.match_indices('[').filter_map(|(at, _)| text.get(at + 1..)?.split_once(']'));
    let address = inside.map(|(inside, _)| inside).find(|inside| inside.parse::<std::net::IpAddr>().is_ok());
    Some(Record::TlsTrouble { id, address, text })
}

/// `H=host [ip] ` before it, or ` to host [ip]`, ` from host (helo) [ip]:port` behind; then `(function): reason`.
fn tls_error<'a>(before: &'a str, after: &'a str) -> Facts<'a> {
    let mut facts = Facts::default();
    for field in Fields::new(before) {
        if let Field::Value(key, value) = field {
            facts.take(key, value);
        }
    }
    let (place, text) = after.split_once(": ").unwrap_or((after, ""));
    let host = place.trim_ascii_start().strip_prefix("from ").or(place.trim_ascii_start().strip_prefix("to "));
    if let Some(host) = host {
        let end = host.rfind(" (").filter(|at| host.get(..*at).is_some_and(|host| host.contains(']')));
        facts.take_host(end.and_then(|end| host.get(..end)).unwrap_or(host));
    }
    facts.text = text;
    facts
}

/// A line that begins with a host, and says what that one was refused.
fn rejection<'a>(before: &'a str, after: &'a str) -> Option<Rejection<'a>> {
    let mut facts = Facts::default();
    let mut sender = "";
    let mut is_temporary = false;
    for field in Fields::new(before) {
        match field {
            Field::Value("F", from) => sender = without_brackets(from),
            Field::Value(key, value) => drop(facts.take(key, value)),
            Field::Word("temporarily") => is_temporary = true,
            Field::Word(_) | Field::Reason(_) => {}
        }
    }
    facts.address?;
    let after = after.trim_ascii_start();
    let (what, text) = after.split_once(": ").unwrap_or((after, ""));
    facts.text = text;
    let (what, recipient) = match what.split_once(" <") {
        Some((command, address)) => (command, Some(address.trim_end_matches('>')).filter(|_| command == "RCPT")),
        None => (what, None),
    };
    Some(Rejection { facts, sender, what, recipient, is_temporary })
}
