//! What a line says of a message on its way out, without its beginning.

use std::net::IpAddr;

use super::line::Program;
use crate::text::split_once;

/// Seconds to connect and to send after which the log is worth a look at where they went.
const SLOW_SECONDS: f64 = 60.0;

/// What a line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// cleanup.
    MessageId { queue_id: &'a str, message_id: &'a str },
    /// qmgr: it is in the queue.
    Active { queue_id: &'a str, sender: &'a str, size_bytes: u64 },
    /// smtp, lmtp, local, virtual, pipe, error: the result of an attempt.
    Delivery(Delivery<'a>),
    /// smtp: one server failed, and the next one is tried.
    Passed { queue_id: Option<&'a str>, server: Option<&'a str>, text: &'a str },
    /// smtp: what was agreed on with a server.
    Tls { trust: &'a str, host: &'a str, address: &'a str, port: u16, version: &'a str, cipher: &'a str },
    /// smtp: what went wrong with TLS, as it says it, and with which server where it says so.
    TlsTrouble { relay: Option<&'a str>, text: &'a str },
    /// A program of this side warns of itself.
    Warning { text: &'a str },
    /// smtp: a file that its TLS needs cannot be used, so this process goes on without TLS.
    WithoutTls { text: &'a str },
    /// smtp: the process ends, and mail waits until another one does better.
    Crash { text: &'a str },
    /// qmgr: the message is too old, and its recipients that still wait bounce.
    Expired { queue_id: &'a str },
    /// qmgr.
    Removed { queue_id: &'a str },
    /// Nothing of a delivery.
    Nothing,
}

/// The result of one attempt for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery<'a> {
    pub queue_id: &'a str,
    pub recipient: &'a str,
    /// Such as `mail.example.com[192.0.2.1]:25`, or `none`.
    pub relay: &'a str,
    pub dsn: &'a str,
    /// `sent`, `deferred`, `bounced`, `expired` and others.
    pub status: &'a str,
    /// What stands behind it in parentheses.
    pub text: &'a str,
    /// Seconds before the queue manager, in the queue, to set up the connection, and to send: `0.1/0/30/0.5`.
    pub delays: &'a str,
    /// The connection had served other messages before.
    pub is_reused: bool,
}

impl<'a> Record<'a> {
    /// Reads what follows `postfix/smtp[1234]: `; `None` for what is not understood.
    pub fn read(program: Program, body: &'a str) -> Option<Self> {
        let Some((queue_id, rest)) = queue_id(body) else {
            return match program {
                Program::Client => client(body),
                _ => warning(program, body),
            };
        };
        if rest == "removed" {
            return Some(Self::Removed { queue_id });
        }
        if let Some(message_id) = rest.strip_prefix("message-id=").or_else(|| rest.strip_prefix("resent-message-id=")) {
            return Some(Self::MessageId { queue_id, message_id });
        }
        if rest.starts_with("to=<") {
            return delivery(queue_id, rest).map(Self::Delivery);
        }
        match program {
            Program::Client => Some(passed(Some(queue_id), rest).unwrap_or(Self::Nothing)),
            Program::Queue => queue(queue_id, rest),
            _ => Some(Self::Nothing),
        }
    }
}

/// `4F00A1: rest`; ids are letters and digits, and those of other things are shorter.
pub(super) fn queue_id(body: &str) -> Option<(&str, &str)> {
    const LENGTH_MIN: usize = 5;
    let length = body.bytes().position(|byte| !byte.is_ascii_alphanumeric())?;
    let (id, rest) = body.split_at_checked(length)?;
    let rest = rest.strip_prefix(": ")?;
    let is_id = length >= LENGTH_MIN && !matches!(id, "warning" | "fatal" | "panic" | "error" | "NOQUEUE");
    is_id.then_some((id, rest))
}

fn queue<'a>(queue_id: &'a str, rest: &'a str) -> Option<Record<'a>> {
    let (sender, facts) = address(rest.strip_prefix("from=<")?)?;
    if let Some(size) = facts.strip_prefix("size=") {
        let size_bytes = size.split(',').next()?.parse().ok()?;
        return Some(Record::Active { queue_id, sender, size_bytes });
    }
    let is_expired = rest.contains("status=expired") || rest.contains("status=force-expired");
    Some(if is_expired { Record::Expired { queue_id } } else { Record::Nothing })
}

/// Lines of smtp that name no message.
fn client(body: &str) -> Option<Record<'_>> {
    if body.starts_with("connect to ") {
        return passed(None, body);
    }
    if let Some((trust, rest)) = split_once(body, " TLS connection established to ") {
        return tls(trust, rest);
    }
    if body.contains("disabling TLS support") || body.starts_with("warning: error opening chain file: ") {
        return Some(Record::WithoutTls { text: body.strip_prefix("warning: ").unwrap_or(body) });
    }
    if body.starts_with("fatal: ") || body.starts_with("panic: ") {
        return Some(Record::Crash { text: body });
    }
    tls_trouble(body).or_else(|| own_tls_trouble(body)).or_else(|| warning(Program::Client, body))
}

/// Only warnings of known programs are understood.
fn warning(program: Program, body: &str) -> Option<Record<'_>> {
    let severe = ["warning: ", "fatal: ", "panic: ", "error: "].iter().find_map(|word| body.strip_prefix(word));
    match severe {
        None => Some(Record::Nothing),
        Some(text) if matches!(program, Program::Client | Program::Queue | Program::Master) => {
            Some(Record::Warning { text })
        }
        Some(_) => None,
    }
}

/// Why smtp(8) left a server for the next one.
fn passed<'a>(queue_id: Option<&'a str>, text: &'a str) -> Option<Record<'a>> {
    let server = server_of(text);
    let is_failure = server.is_some()
        || ["Cannot start TLS", "TLS is required", "Server certificate ", "SASL authentication failed"]
            .iter()
            .any(|words| text.starts_with(words));
    is_failure.then_some(Record::Passed { queue_id, server, text })
}

/// The server that a failure is about.
pub(super) fn server_of(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("connect to ") {
        return split_once(rest, ": ").map(|(server, _)| server);
    }
    if let Some(rest) = text.strip_prefix("host ") {
        let said = [" said: ", " refused to talk to me: "];
        return said.iter().find_map(|words| split_once(rest, words)).map(|(server, _)| server);
    }
    let rest = text.strip_prefix("lost connection with ").or_else(|| text.strip_prefix("conversation with "));
    if let Some(rest) = rest {
        return rest.split(' ').next().filter(|server| server.contains('['));
    }
    let (_, rest) = split_once(text, "SASL authentication failed; server ")?;
    split_once(rest, " said: ").map(|(server, _)| server)
}

/// `mail.example.com[192.0.2.1]:25: TLSv1 with cipher RC4-SHA (128/128 bits)`
fn tls<'a>(trust: &'a str, rest: &'a str) -> Option<Record<'a>> {
    let (host, rest) = rest.split_once('[')?;
    let (address, rest) = rest.split_once("]:")?;
    let (port, rest) = rest.split_once(": ")?;
    let (version, rest) = rest.split_once(" with cipher ")?;
    let cipher = rest.split(' ').next().unwrap_or_default();
    // Newer ones say `25:SMTPUTF8` or the like.
    let port = port.split(':').next()?.parse().ok()?;
    Some(Record::Tls { trust: trust.trim(), host, address, port, version, cipher })
}

pub(super) fn tls_trouble(body: &str) -> Option<Record<'_>> {
    if let Some(text) = body.strip_prefix("warning: ").filter(|text| text.starts_with("TLS library problem: ")) {
        return Some(Record::TlsTrouble { relay: None, text });
    }
    let (_, rest) =
        [" verification failed for ", "SSL_connect error to "].iter().find_map(|words| split_once(body, words))?;
    let (relay, _) = split_once(rest, ": ")?;
    Some(Record::TlsTrouble { relay: Some(relay), text: body })
}

/// A setting of this side keeps TLS from beginning: `warning: mx.test[192.0.2.1]:25: invalid cipher grade: "x"`.
fn own_tls_trouble(body: &str) -> Option<Record<'_>> {
    let (relay, text) = split_once(body.strip_prefix("warning: ")?, ": ")?;
    is_own_tls_trouble(text).then_some(Record::TlsTrouble { relay: Some(relay), text })
}

pub(super) fn is_own_tls_trouble(text: &str) -> bool {
    let own = ["invalid cipher grade", "error setting cipher grade", "Invalid TLS protocol list"];
    own.iter().any(|words| text.starts_with(words))
}

/// A server or a client as Postfix names it: `mail.example.com[192.0.2.1]:25`. A socket's path is not an address.
pub(super) fn host_and_address(text: &str) -> (&str, Option<&str>, Option<u16>) {
    let (host, rest) = text.split_once('[').unwrap_or((text, ""));
    let (address, port) = rest.split_once(']').unwrap_or((rest, ""));
    let address = address.strip_prefix("IPv6:").unwrap_or(address);
    let is_address = address.parse::<IpAddr>().is_ok();
    (host, Some(address).filter(|_| is_address), port.strip_prefix(':').and_then(|port| port.parse().ok()))
}

/// Addresses may hold anything but end with `>, `; the text may hold anything.
fn delivery<'a>(queue_id: &'a str, rest: &'a str) -> Option<Delivery<'a>> {
    let (recipient, mut rest) = address(rest.strip_prefix("to=<")?)?;
    let mut delivery =
        Delivery { queue_id, recipient, relay: "none", dsn: "", status: "", text: "", delays: "", is_reused: false };
    // One fact after the other: this is most of a log, and searches take longer.
    loop {
        if let Some(said) = rest.strip_prefix("status=") {
            let (status, text) = said.split_once(' ').unwrap_or((said, ""));
            let text = text.strip_prefix('(').unwrap_or(text);
            (delivery.status, delivery.text) = (status, text.strip_suffix(')').unwrap_or(text));
            return Some(delivery);
        }
        let comma = memchr::memchr(b',', rest.as_bytes())?;
        let fact = rest.get(..comma)?;
        match fact.split_once('=') {
            Some(("relay", relay)) => delivery.relay = relay,
            Some(("dsn", dsn)) => delivery.dsn = dsn,
            Some(("delays", delays)) => delivery.delays = delays,
            Some(("conn_use", _)) => delivery.is_reused = true,
            _ => {}
        }
        rest = rest.get(comma + 1..)?.trim_ascii_start();
    }
}

/// An address up to `>, `, and what follows.
fn address(text: &str) -> Option<(&str, &str)> {
    let ends = memchr::memchr_iter(b'>', text.as_bytes());
    ends.filter_map(|at| Some((text.get(..at)?, text.get(at + 1..)?.strip_prefix(", ")?))).next()
}

pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = split_once(text, before)?;
    Some(split_once(rest, after).map_or(rest, |(inner, _)| inner))
}

impl<'a> Delivery<'a> {
    /// That which was tried, also where none was reached.
    pub(super) fn server(&self) -> &'a str {
        if self.relay == "none" { server_of(self.cause()).unwrap_or(self.relay) } else { self.relay }
    }

    /// True if it failed in another attempt, which has a line of its own: mail to that server is not tried for a while.
    pub(super) fn is_of_another_attempt(&self) -> bool {
        let is_suspended = self.cause().len() < self.text.len();
        is_suspended && (server_of(self.cause()).is_some() || self.cause().starts_with("Cannot start TLS"))
    }

    /// Why it failed, without the words that another attempt failed so.
    pub(super) fn cause(&self) -> &'a str {
        self.text.strip_prefix("delivery temporarily suspended: ").unwrap_or(self.text)
    }

    /// Where the time went, where that says something: it failed, or took long.
    pub(super) fn telling_delays(&self) -> Option<&'a str> {
        let seconds = |step: &str| step.parse::<f64>().unwrap_or(0.0);
        let steps = self.delays.split('/').skip(2).map(seconds);
        let is_slow = self.status != "sent" || steps.sum::<f64>() >= SLOW_SECONDS;
        Some(self.delays).filter(|delays| is_slow && !delays.is_empty())
    }
}
