//! Lines of a log as other programs pass them on: as JSON of journald, Docker or a log shipper, or behind the name of a
//! container. What is inside is the line of a syslog, or is put together as one.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;

use crate::syslog::{self, Structured};

/// `service-1  | ` and `[pod/name/container] ` are no longer than this.
const NAME_BYTES_MAX: usize = 200;

/// The line inside a line, as the program's own file has it or as an old syslog has it: `TIME HOST PROGRAM[ID]: …`.
pub(crate) fn as_syslog(line: &str) -> Cow<'_, str> {
    match unwrapped(line) {
        Cow::Borrowed(line) => plain(line),
        Cow::Owned(line) => Cow::Owned(plain(&line).into_owned()),
    }
}

fn plain(line: &str) -> Cow<'_, str> {
    match syslog::priority(line) {
        Some((true, rest)) => syslog::structured(rest).map_or(Cow::Borrowed(rest), |fields| {
            let Structured { time, host, program, process_id, body, .. } = fields;
            let id = process_id.map(|id| format!("[{id}]")).unwrap_or_default();
            Cow::Owned(format!("{time} {} {program}{id}: {body}", host.unwrap_or_default()))
        }),
        Some((false, rest)) => Cow::Borrowed(rest),
        None => Cow::Borrowed(without_own_time(line)),
    }
}

/// Without the time that Docker or Kubernetes has of its own, where the line inside has one: `2026-11-25T07:00:00Z stdout F …`.
fn without_own_time(line: &str) -> &str {
    const STREAMS: [&str; 4] = ["stdout F ", "stderr F ", "stdout P ", "stderr P "];
    let Some((time, rest)) = line.split_once(' ').filter(|(time, _)| time.as_bytes().get(10) == Some(&b'T')) else {
        return line;
    };
    let inner = STREAMS.iter().find_map(|stream| rest.strip_prefix(stream)).unwrap_or(rest);
    if begins_with_time(time) && begins_with_time(inner) { inner } else { line }
}

/// `2026-11-25`, `Nov 25 07:`, `@40000000…`
fn begins_with_time(line: &str) -> bool {
    match line.as_bytes() {
        [a, b, c, d, b'-', ..] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        [b'@', label @ ..] => label.iter().take(24).filter(|byte| byte.is_ascii_hexdigit()).count() == 24,
        [month, _, _, b' ', _, _, b' ', _, _, b':', ..] => month.is_ascii_uppercase(),
        _ => false,
    }
}

/// The line of a syslog inside a line.
pub(crate) fn unwrapped(line: &str) -> Cow<'_, str> {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    match line.as_bytes().first() {
        Some(b'{') => json(line).map_or(Cow::Borrowed(line), Cow::Owned),
        Some(b'[') => Cow::Borrowed(without_pod(line)),
        Some(0x1b) => Cow::Owned(unwrapped(&without_colours(line)).into_owned()),
        // The line of a syslog begins with a month or a year; a name does as well, but then a bar follows.
        _ => Cow::Borrowed(without_name(line)),
    }
}

/// `postfix-mailcow-1  | Nov 25 …`, as Docker Compose writes it.
fn without_name(line: &str) -> &str {
    let Some(space) = memchr::memchr(b' ', line.as_bytes()).filter(|space| *space <= NAME_BYTES_MAX) else {
        return line;
    };
    let rest = line.get(space..).unwrap_or_default().trim_start_matches(' ');
    rest.strip_prefix("| ").map_or(line, |inner| without_name(inner.trim_start()))
}

/// `[pod/mail-0/postfix] Nov 25 …`, as `kubectl logs --prefix` writes it.
fn without_pod(line: &str) -> &str {
    let inner = line.strip_prefix("[pod/").and_then(|rest| rest.split_once("] "));
    inner.map_or(line, |(_, inner)| inner)
}

/// A terminal's colours around a name.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

/// Names of the same fact in journald, Docker, Fluentd and Logstash.
const MESSAGE: [&str; 4] = ["MESSAGE", "log", "message", "msg"];
const PROGRAM: [&str; 6] = ["SYSLOG_IDENTIFIER", "ident", "program", "appname", "app-name", "syslog_program"];
const PROCESS: [&str; 5] = ["SYSLOG_PID", "_PID", "pid", "procid", "syslog_pid"];
const HOST: [&str; 4] = ["_HOSTNAME", "host", "hostname", "syslog_hostname"];
const TIME: [&str; 5] = ["__REALTIME_TIMESTAMP", "time", "@timestamp", "timestamp", "_SOURCE_REALTIME_TIMESTAMP"];

fn json(line: &str) -> Option<String> {
    let fields: HashMap<Cow<'_, str>, Value> = serde_json::from_str(line).ok()?;
    let find = |names: &[&str]| names.iter().find_map(|name| text(fields.get(*name)?));
    let message = find(&MESSAGE)?.replace(['\n', '\r'], " ");
    let time = find(&TIME).map(readable).unwrap_or_default();
    let Some(program) = find(&PROGRAM) else {
        // A whole line, which Docker has a time of its own for.
        return Some(format!("{time} {}", message.trim()).trim_start().to_owned());
    };
    let host = find(&HOST).unwrap_or_default();
    let process = find(&PROCESS).map(|process| format!("[{process}]")).unwrap_or_default();
    Some(format!("{time} {host} {program}{process}: {message}"))
}

/// Text, a number, or the bytes of a text that is not UTF-8.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> = bytes.iter().map(|byte| byte.as_u64()?.try_into().ok()).collect();
            Some(String::from_utf8_lossy(&bytes?).into_owned())
        }
        _ => None,
    }
}

/// Microseconds since 1970 are journald's.
fn readable(time: String) -> String {
    let microseconds = time.parse::<i64>().ok().filter(|_| time.len() >= 15);
    let at = microseconds.and_then(|number| jiff::Timestamp::from_microsecond(number).ok());
    at.map_or(time, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_inside_is_found() {
        const LINE: &str = "Nov 25 07:00:00 mx postfix/smtp[4]: x | y";
        let table = [
            (LINE.to_owned(), LINE),
            (format!("postfix-mailcow-1  | {LINE}"), LINE),
            (format!("\u{1b}[36mmail-1  | \u{1b}[0m{LINE}"), LINE),
            (format!("[pod/mail-0/postfix] {LINE}"), LINE),
            (
                r#"{"__REALTIME_TIMESTAMP":"1772000000000000","_HOSTNAME":"mx","SYSLOG_IDENTIFIER":"postfix/smtp","_PID":"4","MESSAGE":"x"}"#.to_owned(),
                "2026-02-25T06:13:20Z mx postfix/smtp[4]: x",
            ),
            (
                r#"{"log":"Nov 25 07:00:00 mx postfix/smtp[4]: x\n","stream":"stdout","time":"2026-11-25T07:00:00.5Z"}"#.to_owned(),
                "2026-11-25T07:00:00.5Z Nov 25 07:00:00 mx postfix/smtp[4]: x",
            ),
            (r#"{"MESSAGE":[120,255],"SYSLOG_IDENTIFIER":"postfix/smtp"}"#.to_owned(), "  postfix/smtp: x\u{fffd}"),
            (r#"{"MESSAGE":null}"#.to_owned(), r#"{"MESSAGE":null}"#),
            ("{".to_owned(), "{"),
            ("[".to_owned(), "["),
            (String::new(), ""),
        ];
        for (line, expected) in table {
            assert_eq!(unwrapped(&line), expected, "{line}");
        }
    }
}
