//! Who says what in a text of a log, a trace or a notice: the text comes apart into what this side says and what it repeats
//! of the destination's replies, each with its codes and its phase.
//!
//! ```text
//!   host mx[192.0.2.1] said: 450 4.2.0 later (in reply to RCPT TO command)
//!   └──── this side ─────┘   └ the destination ┘          └── phase ──┘
//! ```

use std::borrow::Cow;

use protocol::smtp::{EnhancedCode, Phase};
use trace::exchange_error::{self, Container, Link};

use crate::evidence::{Sign, Signs, Speaker, Words};

/// Of an address as a source has it; `None` where it has none.
pub(super) fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}

/// What a text says of a failure.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub phase: Option<Phase>,
    pub signs: Signs,
    /// Of the destination's reply; a code in this side's own words is not a reply.
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
}

impl Said {
    /// `speaker` says what the text says without repeating anybody.
    pub(super) fn of(text: &str, speaker: Speaker) -> Self {
        let parts = parts(text, speaker);
        let phase = parts.iter().find_map(|part| part.phase);
        let reply = parts.iter().rev().find(|part| part.speaker != Speaker::ThisSide && part.code.is_some());
        let enhanced = parts.iter().find_map(|part| part.enhanced);
        let signs = parts.iter().fold(Signs::default(), |signs, part| signs.union(part.signs(phase)));
        Self {
            phase,
            signs,
            code: reply.and_then(|part| part.code),
            enhanced: reply.and_then(|part| part.enhanced).or(enhanced),
        }
    }

    /// Where a code is all that the server says of its own failure.
    pub(super) fn of_status(status: EnhancedCode) -> Self {
        let words = Words { enhanced: Some(status), ..Words::here("", None) };
        Self { signs: Signs::of_words(&words), enhanced: Some(status), ..Self::default() }
    }

    /// With what else is known of the handshake: this gateway's description, or lines of another system.
    pub(super) fn with_handshake(mut self, text: Option<&str>) -> Self {
        let Some(text) = text else { return self };
        let of_words = || Signs::of_words(&Words::here(text, Some(Phase::Handshake)));
        let more = Signs::of_own_log(text).unwrap_or_else(of_words);
        // "Not verified" has no other reason than the name only where none is told.
        let reasons =
            [Sign::CertificateUntrusted, Sign::CertificateExpired, Sign::CertificateNotYetValid, Sign::CertificateWeak];
        if more.any(&reasons) {
            self.signs = self.signs.without(Sign::CertificateNameMismatch);
        }
        // Exim's "attempt to start TLS failed" is the command or the handshake: where one was heard of, the latter.
        if !more.are_silent() {
            self.signs = self.signs.without(Sign::StartTlsRefused);
        }
        self.signs = self.signs.union(more);
        self.phase = self.phase.or(Some(Phase::Handshake));
        self
    }
}

/// What one of the two sides says.
#[derive(Clone, PartialEq, Debug)]
struct Part<'a> {
    speaker: Speaker,
    text: Cow<'a, str>,
    phase: Option<Phase>,
    code: Option<u16>,
    enhanced: Option<EnhancedCode>,
    /// Numbers of the operating system.
    signs: Signs,
}

impl<'a> Part<'a> {
    fn new(speaker: Speaker, text: &'a str) -> Self {
        Self {
            speaker,
            text: text.into(),
            phase: Signs::phase_of_text(text),
            code: None,
            enhanced: None,
            signs: Signs::default(),
        }
    }

    fn reply(speaker: Speaker, text: &'a str, reply: &Reply<'a>, phase: Option<Phase>) -> Self {
        let Reply { code, enhanced, .. } = *reply;
        Self { speaker, text: text.into(), phase, code: Some(code), enhanced, signs: Signs::default() }
    }

    /// A reply, or an own error in the form of one.
    fn reply_or_own(speaker: Speaker, text: &'a str, reply: &Reply<'a>) -> Self {
        if is_own(reply.code, reply.enhanced, reply.words) {
            let of_tls = (reply.code == SENDMAIL_TLS).then_some(Phase::Handshake);
            return Self::reply(Speaker::ThisSide, text, reply, Signs::phase_of_text(reply.words).or(of_tls));
        }
        // What a server's log shows without a name is the destination's.
        let speaker = if speaker == Speaker::ThisSide { Speaker::Destination } else { speaker };
        Self::reply(speaker, text, reply, phase_of_reply(text))
    }

    fn signs(&self, phase: Option<Phase>) -> Signs {
        let Self { speaker, text, code, enhanced, .. } = self;
        let words = Words { text, speaker: *speaker, phase: self.phase.or(phase), code: *code, enhanced: *enhanced };
        self.signs.union(Signs::of_words(&words))
    }
}

/// `451 4.7.1 later`
#[derive(Clone, Copy)]
struct Reply<'a> {
    code: u16,
    enhanced: Option<EnhancedCode>,
    words: &'a str,
}

impl<'a> Reply<'a> {
    fn at_start(text: &'a str) -> Option<Self> {
        let text = text.trim_start().trim_start_matches('#');
        let (code, rest) = text.split_at_checked(3)?;
        let code: u16 = code.parse().ok().filter(|code| (400..600).contains(code))?;
        if !(rest.is_empty() || rest.starts_with([' ', '-', '#', ';', ','])) {
            return None;
        }
        let rest = rest.trim_start_matches([' ', '-', '#', ';', ',']);
        let (enhanced, words) = enhanced_at_start(rest);
        Some(Self { code, enhanced, words })
    }
}

/// `4.7.1 later`, `#4.7.1: later`
fn enhanced_at_start(text: &str) -> (Option<EnhancedCode>, &str) {
    let plain = text.trim_start_matches(['#', '(', '[']);
    let end = plain.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(plain.len());
    let (word, rest) = plain.split_at(end);
    // An address looks much the same.
    match EnhancedCode::parse_prefix(word).filter(|(code, _)| code.subject < 10) {
        Some((code, _)) => (Some(code), rest.trim_start_matches([':', ')', ']', ' ', ';', ','])),
        None => (None, text),
    }
}

fn parts(text: &str, speaker: Speaker) -> Vec<Part<'_>> {
    let links = links(text);
    if !links.is_empty() {
        return links.iter().flat_map(of_link).collect();
    }
    if let Some(reply) = Reply::at_start(text) {
        return vec![Part::reply_or_own(speaker, text, &reply)];
    }
    // Postfix's status, and what it is about.
    let (status, rest) = enhanced_at_start(text);
    of_repeated(text, status, rest).unwrap_or_else(|| vec![Part { enhanced: status, ..Part::new(speaker, rest) }])
}

/// What this side says, and the reply that it repeats; `None`: it repeats none. `text` is the whole of it, `rest` what
/// follows the status.
fn of_repeated<'a>(text: &'a str, status: Option<EnhancedCode>, rest: &'a str) -> Option<Vec<Part<'a>>> {
    let (own, said, reply) = repeated(rest)?;
    let phase = phase_of_reply(text).or_else(|| Signs::phase_of_text(own));
    if reply.code == SENDMAIL_TLS {
        return Some(vec![Part::reply_or_own(Speaker::ThisSide, said, &reply)]);
    }
    let mut reply = Part::reply(Speaker::Destination, said, &reply, phase);
    // A status without a meaning was made up for a reply that has none.
    reply.enhanced = reply.enhanced.or(status.filter(|code| (code.subject, code.detail) != (0, 0)));
    Some(vec![Part::new(Speaker::ThisSide, own), reply])
}

/// Postfix's `(in reply to RCPT TO command)`.
fn phase_of_reply(text: &str) -> Option<Phase> {
    text.rfind("in reply to ").and_then(|at| Signs::phase_of_text(&text[at..]))
}

/// A reply that this side repeats behind its own words: `host mx said: 450 …`, `… after RCPT TO:<a@b>: 550 …`.
fn repeated(text: &str) -> Option<(&str, &str, Reply<'_>)> {
    text.match_indices(": ").find_map(|(at, colon)| {
        let said = &text[at + colon.len()..];
        let said = said.rfind(" (in reply to ").map_or(said, |end| &said[..end]);
        Some((&text[..at], said, Reply::at_start(said)?))
    })
}

/// Exchange's chain of causes, where the text is one.
fn links(text: &str) -> Vec<Link<'_>> {
    match Container::read(text) {
        Some(container) => container.links(),
        None if text.contains("[Message=") || text.contains("responded with: ") => exchange_error::links(text),
        None => Vec::new(),
    }
}

/// A link without a code has this gateway's words, which may repeat a reply.
fn of_link<'a>(one: &Link<'a>) -> Vec<Part<'a>> {
    let repeated = one.code.is_none().then(|| of_repeated(one.text, None, one.text)).flatten();
    repeated.unwrap_or_else(|| vec![link(one)])
}

fn link<'a>(link: &Link<'a>) -> Part<'a> {
    let message = link.detail("Message").unwrap_or_default();
    let text: Cow<'a, str> =
        if message.is_empty() { link.text.into() } else { format!("{} {message}", link.text).into() };
    let code = link.code.unwrap_or_default();
    let speaker = match is_own(code, link.enhanced, link.text) {
        true => Speaker::ThisSide,
        false if link.code.is_none() => Speaker::ThisSide,
        false => Speaker::Destination,
    };
    let numbers = [link.winsock, link.win32].into_iter().flatten().filter_map(of_system_error);
    let phase = Signs::phase_of_text(&text).filter(|_| speaker == Speaker::ThisSide);
    Part {
        speaker,
        phase,
        code: link.code,
        enhanced: link.enhanced,
        signs: numbers.fold(Signs::default(), Signs::and),
        text,
    }
}

/// Winsock's numbers.
fn of_system_error(number: u32) -> Option<Sign> {
    match number {
        10051 | 10065 => Some(Sign::Unreachable),
        10054 => Some(Sign::ConnectionReset),
        10060 => Some(Sign::TimedOut),
        10061 => Some(Sign::ConnectionRefused),
        _ => None,
    }
}

/// Sending servers word their own errors as replies: Exchange, Exchange Online with codes from 300 on, and Sendmail.
fn is_own(code: u16, enhanced: Option<EnhancedCode>, words: &str) -> bool {
    let is_online = enhanced.is_some_and(|code| matches!((code.subject, code.detail), (4, 300..=399) | (7, 320..=329)));
    let begins = |own: &str| words.get(..own.len()).is_some_and(|start| start.eq_ignore_ascii_case(own));
    code == SENDMAIL_TLS || is_online || OWN_ERRORS.iter().any(|own| begins(own))
}

/// No server replies so.
const SENDMAIL_TLS: u16 = 403;

/// How errors begin that Exchange's sending side writes.
const OWN_ERRORS: [&str; 22] = [
    "primary target ip address responded with",
    "connection dropped due to",
    "connection refused",
    "connection timed out",
    "unable to connect",
    "failed to connect",
    "cannot connect to remote server",
    "starttls is required to send mail",
    "cannot achieve exchange server authentication",
    "certificate validation failed",
    "certificate validation failure, reason",
    "the certificate specified in",
    "tls negotiation failed",
    "a tls session is required",
    "dns query failed",
    "dns failure",
    "domain does not exist",
    "error encountered while communicating with",
    "the remote server returned",
    "message expired",
    "delivery not authorized, message refused",
    "smtpsend.",
];

#[cfg(test)]
mod tests {
    use super::*;

    type Told = (Option<Phase>, Option<u16>, Option<(u8, u16, u16)>);

    #[test]
    fn a_text_comes_apart_by_who_says_it() {
        use Phase::{Banner, Connect, Handshake, Rcpt, Resolve};
        let table: [(&str, Told); 13] = [
            (
                "[{LED=mail.a.test:25 [192.0.2.1]: rejected while sending RCPT TO: 451 4.3.0 Temporary lookup failure};{MSG=};{FQDN=mail.a.test};{IP=192.0.2.1}]",
                (Some(Rcpt), Some(451), Some((4, 3, 0))),
            ),
            ("451 4.7.1 later", (None, Some(451), Some((4, 7, 1)))),
            (
                "4.2.0 host a[192.0.2.1] said: 450 4.2.0 x (in reply to RCPT TO command)",
                (Some(Rcpt), Some(450), Some((4, 2, 0))),
            ),
            ("4.0.0 host a[192.0.2.1] refused to talk to me: 421 busy", (Some(Banner), Some(421), None)),
            ("took 450 ms to 10.0.0.1", (None, None, None)),
            ("rejected while sending RCPT TO: 550 No such person", (Some(Rcpt), Some(550), None)),
            (
                "SMTP error from remote mail server after RCPT TO:<a@b>: 550 5.1.1 User unknown",
                (Some(Rcpt), Some(550), Some((5, 1, 1))),
            ),
            ("Deferred: 451 4.7.1 <a@b>: Greylisted", (None, Some(451), Some((4, 7, 1)))),
            ("4.4.1 connect to a[192.0.2.1]:25: Connection timed out", (Some(Connect), None, Some((4, 4, 1)))),
            ("403 4.7.0 TLS handshake failed.", (Some(Handshake), None, Some((4, 7, 0)))),
            (
                "[{LRT=x};{LED=451 4.4.0 Primary target IP address responded with: \"452 4.3.1 Insufficient system resources.\" Attempted failover};{FQDN=a};{IP=192.0.2.1}]",
                (None, Some(452), Some((4, 3, 1))),
            ),
            (
                "[{LED=450 4.4.316 Connection refused [Message=Socket error code 10061]};{MSG=};{FQDN=a}]",
                (None, None, Some((4, 4, 316))),
            ),
            ("[{LRT=x};{LED=451 4.4.0 DNS query failed};{FQDN=};{IP=}]", (Some(Resolve), None, Some((4, 4, 0)))),
        ];
        for (text, expected) in table {
            let said = Said::of(text, Speaker::ThisSide);
            let enhanced = said.enhanced.map(|code| (code.class, code.subject, code.detail));
            assert_eq!((said.phase, said.code, enhanced), expected, "{text}");
        }
    }
}
