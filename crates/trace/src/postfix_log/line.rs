//! The beginning of a line: when, which host, and which of Postfix's programs.
//!
//! ```text
//!   Nov 25 07:00:00 mx postfix/smtp[4]: …                       syslog, with or without year, priority and process id
//!   2026-11-25T07:00:00.123+01:00 mx enforced-tls/smtp[4]: …    rsyslog, journalctl
//!   <22>1 2026-11-25T07:00:00Z mx postfix/smtp 4 - - …          RFC 5424
//! ```

use jiff::Timestamp;

use crate::{
    log_time::LogTimes,
    syslog::{self, Structured},
};

/// A line of one of Postfix's processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    pub at: Option<Timestamp>,
    pub host: Option<&'a str>,
    /// Such as `postfix/smtp`; the part before the slash is `syslog_name`, which is free to choose.
    pub service: &'a str,
    pub program: Program,
    /// The service with its process id, where that is known: `postfix/smtp[1234]`.
    pub process: &'a str,
    pub body: &'a str,
}

/// What a program does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// smtp, lmtp: makes attempts.
    Client,
    /// smtpd: talks with clients.
    Server,
    /// postscreen: talks with clients before smtpd.
    Screen,
    /// qmgr.
    Queue,
    Cleanup,
    /// error, retry: say for others that mail waits or bounces.
    Suspended,
    /// local, virtual, pipe, discard.
    Local,
    Master,
    /// Tells nothing about a delivery.
    Other,
}

impl Program {
    fn of(service: &str) -> Option<Self> {
        let (name, program) = rsplit_once(service, b'/')?;
        Some(match program {
            "smtp" | "lmtp" => Self::Client,
            "smtpd" => Self::Server,
            "postscreen" => Self::Screen,
            "qmgr" | "nqmgr" | "oqmgr" => Self::Queue,
            "cleanup" => Self::Cleanup,
            "error" | "retry" => Self::Suspended,
            "local" | "virtual" | "pipe" | "discard" => Self::Local,
            "master" => Self::Master,
            "anvil" | "bounce" | "defer" | "dnsblog" | "flush" | "pickup" | "postfix-script" | "postlog"
            | "postlogd" | "proxymap" | "proxywrite" | "qmqpd" | "scache" | "sendmail" | "showq" | "spawn"
            | "tlsmgr" | "tlsproxy" | "trace" | "trivial-rewrite" | "verify" => Self::Other,
            _ if name.starts_with("postfix") && !program.is_empty() => Self::Other,
            _ => return None,
        })
    }
}

/// `None` where it is not Postfix's.
pub fn read_line<'a>(line: &'a str, times: &mut LogTimes) -> Option<Line<'a>> {
    let text = line.trim_start_matches('\u{feff}');
    if let Some((is_structured, rest)) = syslog::priority(text) {
        return if is_structured { structured(rest, times) } else { plain(rest, times) };
    }
    plain(text, times)
}

fn structured<'a>(text: &'a str, times: &mut LogTimes) -> Option<Line<'a>> {
    let Structured { time, host, program: service, process, body, .. } = syslog::structured(text)?;
    let program = Program::of(service)?;
    Some(Line { at: times.stamp(time), host, service, program, process, body })
}

/// Colons that may stand before the program's: other programs pass lines on.
const NAMES_MAX: usize = 4;

fn plain<'a>(text: &'a str, times: &mut LogTimes) -> Option<Line<'a>> {
    for (start, end) in names(text).take(NAMES_MAX) {
        let process = text.get(start..end)?;
        let service = without_id(process);
        if let Some(program) = Program::of(service) {
            let head = text.get(..start)?.trim_ascii_end();
            let body = text.get(end + 1..)?.trim_ascii_start();
            return Some(Line { at: times.stamp(head), host: host(head), service, program, process, body });
        }
    }
    None
}

/// Words before a colon and a space.
fn names(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let is_end = |colon: &usize| bytes.get(colon + 1).is_none_or(|next| *next == b' ');
    memchr::memchr_iter(b':', bytes).filter(is_end).map(|colon| {
        let start = memchr::memrchr(b' ', &bytes[..colon]).map_or(0, |space| space + 1);
        (start, colon)
    })
}

/// `postfix/smtp` of `postfix/smtp[1234]`.
fn without_id(process: &str) -> &str {
    process.strip_suffix(']').and_then(|rest| rsplit_once(rest, b'[')).map_or(process, |(service, _)| service)
}

/// As the standard library's, which takes longer for a few letters.
pub(super) fn rsplit_once(text: &str, at: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == at)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The word before the program's, unless that belongs to the time or is a level.
fn host(head: &str) -> Option<&str> {
    let (_, word) = rsplit_once(head, b' ')?;
    let is_level = matches!(word, "INFO" | "WARN" | "WARNING" | "ERROR" | "DEBUG" | "NOTICE" | "F" | "P");
    (!is_level && !word.contains(':') && !word.is_empty()).then_some(word)
}

/// The program of a line that is not Postfix's: `sshd` of `Nov 25 07:00:00 mx sshd[12]: …`.
pub(super) fn other_program(text: &str) -> Option<&str> {
    let (start, end) = names(text).next()?;
    let name = without_id(text.get(start..end)?);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'@');
    (!name.is_empty() && name.len() <= 48 && start > 0 && name.bytes().all(is_name)).then_some(name)
}

/// Programs that write into the same logs and have nothing to do with the delivery of mail.
pub(super) fn is_about_mail(program: &str) -> bool {
    const OTHERS: [&str; 24] = [
        "CRON",
        "NetworkManager",
        "audit",
        "containerd",
        "cron",
        "crond",
        "dbus-daemon",
        "dhclient",
        "dockerd",
        "dovecot",
        "fail2ban",
        "kernel",
        "named",
        "nginx",
        "ntpd",
        "chronyd",
        "rsyslogd",
        "snapd",
        "sshd",
        "su",
        "sudo",
        "systemd",
        "systemd-logind",
        "unbound",
    ];
    !OTHERS.contains(&program) && !program.starts_with("systemd")
}
