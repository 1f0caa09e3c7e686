//! Quotations for findings: the rows and sessions of the attempts that were kept in full. They are read again from their
//! sources, because keeping all of them would need too much memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use capture::Options;
use diagnosis::{Attempt, Explained, Place, Source};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use protocol::tls::Side;
use store::Store;
use trace::{
    ForeignFormat,
    foreign::Input,
    message_trace,
    protocol_log::{self, LogType, RowKind, Session, sessions},
};
use uuid::Uuid;

use crate::{export::row as event_row, views::DialogueLineView};

/// Failed attempts that are shown for each finding, and the same number that worked.
pub(crate) const ATTEMPTS_MAX: usize = 25;
/// Findings that are shown with attempts.
pub(crate) const FINDINGS_MAX: usize = 20;
/// Maximum number of rows of the message trace.
const ROWS_MAX: usize = 10_000;
/// Maximum number of lines of one session.
const LINES_MAX: usize = 400;
/// Bytes to read of a node's own protocol logs, the newest first.
const LOGS_BYTES_MAX: u64 = 256 << 20;
/// How long before the record of its attempt the last line of a session may be on disk: the store may be slow, the session
/// may continue in the next file, and clocks differ.
const LOG_MARGIN: Duration = Duration::from_secs(3600);

/// Rows and sessions, newest first.
#[derive(Debug, Default)]
pub struct Excerpts {
    pub rows: Vec<message_trace::Row>,
    pub sessions: Vec<Session>,
    /// Texts for people about parts that are missing.
    pub left_out: Vec<String>,
}

/// Sessions that this node's protocol logs do not have, by the node that made them.
#[derive(Debug, Default)]
pub struct Elsewhere {
    pub by_node: BTreeMap<String, Vec<String>>,
    /// When the oldest attempt was recorded.
    pub since: Option<Timestamp>,
}

/// The attempts of the first findings, without duplicates, the newest first.
pub fn attempts<'a>(findings: &[Explained<'a>]) -> Vec<&'a Attempt<'static>> {
    let of = |finding: &Explained<'a>| finding.failing().into_iter().chain(finding.working());
    let mut known = HashSet::new();
    let mut attempts: Vec<&Attempt<'_>> = findings.iter().take(FINDINGS_MAX).flat_map(of).collect();
    attempts.retain(|attempt| known.insert(std::ptr::from_ref(*attempt)));
    attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
    attempts
}

impl Excerpts {
    /// Adds rows of the history and sessions of the protocol logs that this node writes into `folder`. Returns the sessions
    /// that are not there.
    pub async fn add_store<S: Store>(
        &mut self,
        store: &S,
        attempts: &[&Attempt<'_>],
        folder: &Path,
    ) -> store::Result<Elsewhere> {
        let ids = attempts.iter().filter_map(|attempt| attempt.message.as_ref()?.parse::<Uuid>().ok());
        for id in ids.collect::<BTreeSet<_>>() {
            let Some(record) = store.message(id).await? else { continue };
            for event in store.events(id).await? {
                let of = record.deliveries.iter().find(|delivery| {
                    event.recipient.as_ref().is_none_or(|recipient| *recipient == delivery.delivery.recipient)
                });
                self.rows.extend(of.and_then(|delivery| event_row(delivery, &event)));
            }
        }
        let of_history = attempts.iter().filter_map(|attempt| Some((history_session(attempt)?, attempt)));
        let wanted: HashMap<&str, &&Attempt<'_>> = of_history.collect();
        let ids: HashSet<&str> = wanted.keys().copied().collect();
        let since = attempts.iter().filter_map(|attempt| attempt.at).min();
        let found = own_sessions(folder, &ids, since);
        let mut elsewhere = Elsewhere { since, ..Elsewhere::default() };
        for (id, attempt) in wanted {
            if !found.iter().any(|session| session.id == id) {
                let node = attempt.node.as_deref().unwrap_or_default().to_owned();
                elsewhere.by_node.entry(node).or_default().push(id.to_owned());
            }
        }
        self.sessions.extend(found);
        self.bound();
        Ok(elsewhere)
    }

    /// Adds sessions that another node quoted from its protocol log, and forgets that they were missing.
    pub fn add_quoted(&mut self, node: &str, lines: &str, elsewhere: &mut Elsewhere) {
        let Some(missing) = elsewhere.by_node.get_mut(node) else { return };
        let wanted: HashSet<&str> = missing.iter().map(String::as_str).collect();
        let found = sessions(rows_of(lines.as_bytes(), &wanted));
        missing.retain(|id| !found.iter().any(|session| session.id == *id));
        self.sessions.extend(found);
        self.bound();
    }

    /// Says which sessions are still missing.
    pub fn leave_out(&mut self, elsewhere: &Elsewhere) {
        for (node, missing) in elsewhere.by_node.iter().filter(|(_, missing)| !missing.is_empty()) {
            let what = if missing.len() == 1 { "session" } else { "sessions" };
            let of = if node.is_empty() { "an unknown node".to_owned() } else { format!("node {node}") };
            self.left_out.push(format!(
                "{} {what} of {of}, because its protocol log does not have them, is off, or the node did not answer",
                missing.len()
            ));
        }
    }

    /// Adds rows and sessions from the files that attempts were read from.
    pub fn add_files(&mut self, attempts: &[&Attempt<'_>], now: Timestamp, zone: &TimeZone) {
        let mut rows = Vec::new();
        for ((source, file), wanted) in by_file(attempts) {
            let before = self.rows.len() + self.sessions.len() + rows.len();
            if let Ok(open) = File::open(file).and_then(Input::open) {
                let open = open.content;
                match source {
                    Source::ProtocolLog | Source::OwnProtocolLog => rows.extend(rows_of(open, &wanted.sessions)),
                    Source::Capture => self.capture(open, file, &wanted.numbers),
                    Source::Log(format) => self.log(format, open, now, zone, &wanted.numbers),
                    // Nothing of these can be quoted by rows or sessions.
                    Source::History | Source::Probe | Source::Dsn | Source::TlsReport => {}
                }
            }
            // The file is a pipe, or the log was rotated in the meantime.
            if self.rows.len() + self.sessions.len() + rows.len() == before {
                self.left_out.push(format!("all of {file}, because it could not be read a second time"));
            }
        }
        self.sessions.extend(sessions(rows));
        self.bound();
    }

    fn capture(&mut self, file: Box<dyn Read>, name: &str, wanted: &HashSet<u64>) {
        let Ok(packets) = capture::Packets::open(file) else { return };
        capture::sessions(packets, Options::default(), |session| {
            if wanted.contains(&session.stream) {
                self.sessions.push(log_of(&session, name));
            }
        });
    }

    fn log(
        &mut self,
        format: &ForeignFormat,
        file: Box<dyn Read>,
        now: Timestamp,
        zone: &TimeZone,
        wanted: &HashSet<u64>,
    ) {
        let Ok(mut rows) = format.read(file, now, zone) else { return };
        while let Some(Ok(row)) = rows.next() {
            if wanted.contains(&rows.line()) {
                self.rows.push(row);
            }
        }
    }

    fn bound(&mut self) {
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        if self.rows.len() > ROWS_MAX {
            let more = self.rows.len() - ROWS_MAX;
            self.left_out.push(format!("{more} rows of the message trace; only the newest {ROWS_MAX} are included"));
            self.rows.truncate(ROWS_MAX);
        }
        // The history and a file may contain the same row.
        self.rows.dedup();
        let mut known = HashSet::new();
        self.sessions.retain(|session| known.insert(session.id.clone()));
        self.sessions.sort_by_key(|session| std::cmp::Reverse(session.rows.first().and_then(|row| row.at)));
        for session in &mut self.sessions {
            if session.rows.len() > LINES_MAX {
                let more = session.rows.len() - LINES_MAX;
                self.left_out.push(format!("{more} lines of session {}", session.id));
                session.rows.truncate(LINES_MAX);
            }
        }
    }
}

/// The session of an attempt in the protocol log of the node that made it.
fn history_session<'a>(attempt: &'a Attempt<'_>) -> Option<&'a str> {
    attempt.places.iter().find_map(|(_, place)| match place {
        Place::Session { id, file: None } => Some(id.as_str()),
        _ => None,
    })
}

/// The wanted sessions in the protocol logs of a folder.
fn own_sessions(folder: &Path, wanted: &HashSet<&str>, since: Option<Timestamp>) -> Vec<Session> {
    let mut left = LOGS_BYTES_MAX;
    let mut rows = Vec::new();
    for path in newest_files(folder, written_since(since)) {
        let Ok(file) = File::open(&path) else { continue };
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        // The limit may cut the last line of a log.
        rows.extend(rows_of(file.take(left), wanted));
        left = left.saturating_sub(bytes);
    }
    // A session may continue in the next file.
    sessions(rows)
}

/// The lines of the wanted sessions in the protocol logs of a folder, in the format of a protocol log, at most `most` bytes.
pub fn logged(folder: &Path, wanted: &[String], since: Option<Timestamp>, most: usize) -> String {
    let wanted = wanted.iter().map(String::as_str).collect();
    let mut lines = protocol_log::header(LogType::Send, since.unwrap_or_default());
    for session in own_sessions(folder, &wanted, since) {
        for row in session.rows.iter().take(LINES_MAX) {
            let line = protocol_log::row(row);
            if lines.len() + line.len() > most {
                return lines;
            }
            lines.push_str(&line);
        }
    }
    lines
}

/// One session of such lines; empty if they do not have it.
pub fn dialogue(lines: &str, session: &str) -> Vec<DialogueLineView> {
    let rows = rows_of(lines.as_bytes(), &HashSet::from([session]));
    sessions(rows).into_iter().flat_map(|session| session.rows).map(DialogueLineView::from).collect()
}

/// The ids of an attempt's sessions among the excerpts, one per source.
pub(crate) fn session_ids(attempt: &Attempt<'_>) -> Vec<String> {
    let id = |(_, place): &(Source, Place)| match place {
        Place::Session { id, .. } => Some(id.clone()),
        // Stream numbers are unique only within one file.
        Place::Stream { .. } => Some(place.to_string()),
        Place::Line { .. } => None,
    };
    attempt.places.iter().filter_map(id).collect()
}

/// The wanted parts of a file: sessions by id, lines or streams by number.
#[derive(Default)]
struct Wanted<'a> {
    sessions: HashSet<&'a str>,
    numbers: HashSet<u64>,
}

/// The rows of the wanted sessions.
fn rows_of(file: impl Read, wanted: &HashSet<&str>) -> Vec<protocol_log::Row> {
    let Ok(reader) = protocol_log::Reader::new(file) else { return Vec::new() };
    let rows = reader.map_while(Result::ok).filter(|row| wanted.contains(row.session.as_str()));
    rows.map(|row| protocol_log::Row { data: without_credentials(row.data), ..row }).collect()
}

/// Removes credentials: some systems log the text after the mechanism of AUTH (RFC 4954).
fn without_credentials(line: String) -> String {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), Some(_)) if verb.eq_ignore_ascii_case("AUTH") => format!("{verb} {mechanism} …"),
        _ => line,
    }
}

fn by_file<'a>(attempts: &[&'a Attempt<'_>]) -> HashMap<(Source, &'a str), Wanted<'a>> {
    let mut files: HashMap<_, Wanted<'_>> = HashMap::new();
    for (source, place) in attempts.iter().flat_map(|attempt| &attempt.places) {
        match place {
            Place::Session { id, file: Some(file) } => {
                files.entry((*source, file.as_str())).or_default().sessions.insert(id);
            }
            Place::Line { file, line: number } | Place::Stream { file, stream: number } => {
                files.entry((*source, file.as_str())).or_default().numbers.insert(*number);
            }
            Place::Session { file: None, .. } => {}
        }
    }
    files
}

/// The earliest time at which the log of the oldest attempt was written. An attempt is recorded when it has finished, often
/// after its last line is on disk.
fn written_since(oldest: Option<Timestamp>) -> SystemTime {
    let since = oldest.and_then(|oldest| SystemTime::try_from(oldest).ok()?.checked_sub(LOG_MARGIN));
    since.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Files last written at or after a time, the newest first.
fn newest_files(folder: &Path, since: SystemTime) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let modified = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut files: Vec<_> = entries.filter_map(modified).filter(|(modified, _)| *modified >= since).collect();
    files.sort();
    files.into_iter().rev().map(|(_, path)| path).collect()
}

/// Converts a session of a capture to a session of a protocol log.
fn log_of(session: &capture::Session, file: &str) -> Session {
    let id = Place::Stream { file: file.to_owned(), stream: session.stream }.to_string();
    let mut log = Session { id: id.clone(), rows: Vec::new() };
    let mut row = |at, kind, data: &str, context: String| {
        log.rows.push(protocol_log::Row {
            at: Some(at),
            session: id.clone(),
            sequence: log.rows.len() as u32,
            local: session.client.to_string(),
            remote: session.server.to_string(),
            kind,
            data: data.to_owned(),
            context,
            ..protocol_log::Row::default()
        });
    };
    row(session.first, RowKind::Connect, "", String::new());
    for line in &session.lines {
        let at = Timestamp::from_nanosecond(i128::from(line.at_ns)).unwrap_or(session.first);
        let kind = if line.side == Side::Client { RowKind::Sent } else { RowKind::Received };
        row(at, kind, &line.text, String::new());
    }
    if let Some(facts) = &session.handshake {
        let after = SignedDuration::from_micros(session.handshake_at_us.unwrap_or(0).try_into().unwrap_or(0));
        let at = session.first.checked_add(after).unwrap_or(session.last);
        row(at, RowKind::Information, "", format!("TLS: {facts}"));
    }
    row(session.last, RowKind::Disconnect, "", session.ended.map(|ended| ended.to_string()).unwrap_or_default());
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_sessions_are_quoted_without_credentials() {
        let log = "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n\
                   2026-11-25T12:00:00.000Z,out,A,0,,192.0.2.1:25,>,AUTH PLAIN AGFsaWNlAHNlY3JldA==,\r\n\
                   2026-11-25T12:00:00.000Z,out,B,0,,192.0.2.1:25,>,EHLO other,\r\n\
                   2026-11-25T12:00:01.000Z,out,A,1,,192.0.2.1:25,>,AUTH LOGIN,\r\n";
        let rows = rows_of(log.as_bytes(), &HashSet::from(["A"]));
        let said: Vec<&str> = rows.iter().map(|row| row.data.as_str()).collect();
        assert_eq!(said, ["AUTH PLAIN …", "AUTH LOGIN"]);
    }

    #[test]
    fn a_log_written_before_its_attempt_was_noted_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let noted = Timestamp::now();
        let write = |name: &str, seconds_before: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::try_from(noted).unwrap() - Duration::from_secs(seconds_before)).unwrap();
        };
        write("SEND2026112508-1.LOG", 2);
        write("SEND2026112408-1.LOG", 86_400);
        let files = newest_files(folder.path(), written_since(Some(noted)));
        assert_eq!(files, [folder.path().join("SEND2026112508-1.LOG")]);
    }
}
