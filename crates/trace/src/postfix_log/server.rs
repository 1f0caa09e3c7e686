//! What smtpd, postscreen and cleanup say of clients, without the beginning of the line.

use protocol::smtp::Phase;

use super::{
    line::Program,
    record::{between, queue_id},
};
use crate::text::split_once;

/// What a line says of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said<'a> {
    Connect {
        client: &'a str,
    },
    /// `counts`: how often each command came, such as `ehlo=1 starttls=0/1`; older ones do not say it.
    Disconnect {
        client: &'a str,
        counts: &'a str,
    },
    /// It accepts a message of the client.
    Message {
        queue_id: &'a str,
        client: &'a str,
    },
    /// The connection ended before it should.
    Cut {
        phase: Phase,
        text: &'a str,
    },
    /// The handshake failed.
    AcceptError {
        client: &'a str,
        text: &'a str,
    },
    Tls {
        version: &'a str,
        cipher: &'a str,
    },
    TlsTrouble {
        text: &'a str,
    },
    Reject(Reject<'a>),
    /// It does not believe who the client claims to be.
    AuthenticationFailed {
        client: &'a str,
        text: &'a str,
    },
    /// It talks with no more clients, or not with this one.
    Limited {
        client: &'a str,
        text: &'a str,
    },
    /// Nothing of a delivery.
    Nothing,
}

/// What a client was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject<'a> {
    pub client: &'a str,
    pub phase: Phase,
    /// The reply, or the reason for one.
    pub reply: &'a str,
    pub sender: &'a str,
    pub recipient: &'a str,
}

impl<'a> Said<'a> {
    /// `None` for what is not understood.
    pub fn read(program: Program, body: &'a str) -> Option<Self> {
        if let Some((queue_id, rest)) = queue_id(body) {
            return Some(match rest.strip_prefix("client=") {
                Some(client) => Self::Message { queue_id, client: client.split(", ").next().unwrap_or_default() },
                None => reject(rest).map_or(Self::Nothing, Self::Reject),
            });
        }
        match program {
            Program::Screen => screen(body),
            Program::Server => server(body),
            _ => reject(body).map(Self::Reject),
        }
    }
}

fn server(body: &str) -> Option<Said<'_>> {
    if let Some(client) = body.strip_prefix("connect from ") {
        return Some(Said::Connect { client });
    }
    if let Some(rest) = body.strip_prefix("disconnect from ") {
        let (client, counts) = rest.split_once(' ').unwrap_or((rest, ""));
        return Some(Said::Disconnect { client, counts });
    }
    if let Some(rest) = body.strip_prefix("NOQUEUE: ").or_else(|| body.starts_with("proxy-reject: ").then_some(body)) {
        return Some(reject(rest).map_or(Said::Nothing, Said::Reject));
    }
    if let Some((_, rest)) = split_once(body, "TLS connection established from ") {
        let (version, cipher) = agreed(rest)?;
        return Some(Said::Tls { version, cipher });
    }
    if let Some(rest) = body.strip_prefix("SSL_accept error from ") {
        let (client, _) = split_once(rest, "]: ").unwrap_or((rest, ""));
        return Some(Said::AcceptError { client, text: body });
    }
    let cut = ["lost connection after ", "timeout after ", "too many errors after "];
    if let Some((_, after)) = cut.iter().find_map(|words| Some((words, body.strip_prefix(words)?))) {
        return Some(Said::Cut { phase: phase(after), text: body });
    }
    match body.strip_prefix("warning: ") {
        Some(text) => warning(text),
        None if ["fatal: ", "panic: ", "error: "].iter().any(|word| body.starts_with(word)) => None,
        None => Some(Said::Nothing),
    }
}

fn warning(text: &str) -> Option<Said<'_>> {
    if text.starts_with("TLS library problem: ") {
        return Some(Said::TlsTrouble { text });
    }
    if let Some((client, rest)) = split_once(text, ": SASL ")
        && rest.contains("authentication failed")
    {
        return Some(Said::AuthenticationFailed { client, text });
    }
    if let Some((_, rest)) = split_once(text, " limit exceeded: ") {
        let client = between(rest, " from ", " for ")?;
        return Some(Said::Limited { client, text });
    }
    let is_known =
        ["hostname ", "non-SMTP command from ", "Illegal address syntax from ", "numeric hostname", "valid_hostname"]
            .iter()
            .any(|words| text.starts_with(words));
    is_known.then_some(Said::Nothing)
}

/// postscreen names the client by address and port.
fn screen(body: &str) -> Option<Said<'_>> {
    if let Some(rest) = body.strip_prefix("CONNECT from ") {
        return Some(Said::Connect { client: rest.split(" to ").next().unwrap_or(rest) });
    }
    if let Some(client) = body.strip_prefix("DISCONNECT ") {
        return Some(Said::Disconnect { client, counts: "" });
    }
    if let Some(rest) = body.strip_prefix("NOQUEUE: ") {
        return Some(reject(rest).map_or(Said::Nothing, Said::Reject));
    }
    let is_severe = ["warning: ", "fatal: ", "panic: ", "error: "].iter().any(|word| body.starts_with(word));
    (!is_severe).then_some(Said::Nothing)
}

/// `host[192.0.2.9]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`
fn agreed(rest: &str) -> Option<(&str, &str)> {
    let (version, rest) = split_once(split_once(rest, "]: ")?.1, " with cipher ")?;
    Some((version, rest.split(' ').next().unwrap_or_default()))
}

/// `reject: RCPT from host[192.0.2.9]: 554 5.7.1 …; from=<a@b> to=<c@d> proto=ESMTP helo=<host>`
fn reject(text: &str) -> Option<Reject<'_>> {
    let rest = ["reject: ", "milter-reject: ", "proxy-reject: "].iter().find_map(|words| text.strip_prefix(words))?;
    // What is in a header may hold anything: its reason comes last.
    if rest.starts_with("header ") || rest.starts_with("body ") {
        let (head, facts) = rest.rsplit_once("; from=<")?;
        let (_, client) = head.rsplit_once(" from ")?;
        let (envelope, reply) = facts.rsplit_once(">: ").or_else(|| facts.rsplit_once(": "))?;
        let (sender, recipient) = (envelope.split('>').next()?, between(envelope, "to=<", ">").unwrap_or_default());
        return Some(Reject { client, phase: Phase::EndOfData, reply, sender, recipient });
    }
    let (stage, rest) = rest.split_once([' ', ':'])?;
    let (client, rest) = match rest.strip_prefix("from ") {
        Some(rest) => split_once(rest, ": ")?,
        None => ("", rest.trim_start()),
    };
    let (reply, facts) = envelope(rest);
    let (sender, recipient) = (between(facts, "from=<", ">"), between(facts, "to=<", ">"));
    let (sender, recipient) = (sender.unwrap_or_default(), recipient.unwrap_or_default());
    Some(Reject { client, phase: phase(stage), reply, sender, recipient })
}

/// Reply and envelope, which stands behind the last semicolon that it can stand behind.
fn envelope(text: &str) -> (&str, &str) {
    let at = memchr::memmem::rfind(text.as_bytes(), b"; from=<")
        .or_else(|| memchr::memmem::rfind(text.as_bytes(), b"; to=<"));
    at.or_else(|| memchr::memmem::rfind(text.as_bytes(), b"; proto="))
        .and_then(|at| text.split_at_checked(at))
        .unwrap_or((text, ""))
}

/// The phase that a command belongs to, as smtpd names it in the log.
fn phase(stage: &str) -> Phase {
    match stage.split([' ', ':', '(']).next().unwrap_or_default() {
        "CONNECT" | "UNKNOWN" => Phase::Banner,
        "EHLO" | "HELO" | "AUTH" => Phase::Ehlo,
        "STARTTLS" => Phase::StartTls,
        "RCPT" | "VRFY" => Phase::Rcpt,
        "DATA" | "BDAT" => Phase::Data,
        "END-OF-MESSAGE" => Phase::EndOfData,
        "QUIT" => Phase::Quit,
        _ => Phase::Mail,
    }
}

/// How often a command came: `ehlo` in `ehlo=1 starttls=0/1`, accepted and in all.
pub(super) fn count(counts: &str, command: &str) -> Option<(u32, u32)> {
    let value = counts.split(' ').find_map(|word| word.strip_prefix(command)?.strip_prefix('='))?;
    let (accepted, all) = value.split_once('/').unwrap_or((value, value));
    Some((accepted.parse().ok()?, all.parse().ok()?))
}
