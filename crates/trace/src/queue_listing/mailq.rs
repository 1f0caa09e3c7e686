//! `mailq` and `postqueue -p`, as Postfix, sendmail and Exim print them for people.
//!
//! ```text
//!   Postfix                               sendmail                          Exim
//!   F1C9BCA0*  66234 Fri Apr  6 16:05:29  a@corp.example   (one line, or id, size, time, <sender>)   2h 2.9K 1aBcDe-… <a@corp.example>
//!   (reason, before its recipients)       (reason, before its recipients)   –
//!            b@dest.example               <b@dest.example>                  b@dest.example
//! ```

use std::io::{self, Read};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::rows;
use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows, looks::is_exim_id},
    letter::Letter,
    log_reader::{LogReader, Messages, Take},
    message_trace::{Column, Row},
    text::Decoder,
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "mailq",
    why_help: "Explain what mailq or postqueue -p lists: Postfix, sendmail, Exim; may be repeated",
    trace_help: "Show what mailq or postqueue -p lists: Postfix, sendmail, Exim; may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("a queue listing"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    let is_header = |line: &str| {
        let line = line.to_ascii_lowercase();
        line.contains("sender/recipient") && (line.contains("-queue id-") || line.contains("q-id"))
    };
    if beginning.lines().any(is_header) {
        return beginning.all_if(true);
    }
    // Entries without the header; lines between them are reasons and recipients.
    let entries = beginning.count(|line| exim_entry(line).is_some() || entry(line).is_some());
    beginning.all_if(entries > 0 && entries * 6 >= beginning.lines().count())
}

fn open<'a>(file: Box<dyn Read + 'a>, now: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    let listing = Listing { messages: Messages::new(now, zone), now, letter: None, reason: String::new() };
    Ok(Box::new(LogReader::new(Decoder::new(file)?, listing)))
}

struct Listing {
    messages: Messages<()>,
    now: Timestamp,
    /// The message whose recipients follow.
    letter: Option<Letter>,
    /// The reason of the recipients that follow.
    reason: String,
}

/// The first line of a message.
struct Entry<'a> {
    id: &'a str,
    size: &'a str,
    arrived: Arrived<'a>,
    sender: &'a str,
}

enum Arrived<'a> {
    /// `Apr  6 16:05:29` or without seconds.
    Time(&'a str),
    /// `2h`
    Ago(SignedDuration),
}

/// Of Postfix and sendmail: id, size, time, sender.
fn entry(line: &str) -> Option<Entry<'_>> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let (id, rest) = line.split_once(char::is_whitespace)?;
    let id = id.trim_end_matches(['*', '!', '#', '-', 'X']);
    let (size, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let is_entry = id.len() >= 5
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && size.bytes().all(|byte| byte.is_ascii_digit())
        && DAYS.contains(&day);
    if !is_entry {
        return None;
    }
    // Month, day, time: the time ends at the next space.
    let rest = rest.trim_start();
    let clock = rest.find(':')?;
    let end = clock + rest.get(clock..)?.find(' ')?;
    let sender = rest.get(end..)?.split_whitespace().next_back().unwrap_or_default();
    Some(Entry { id, size, arrived: Arrived::Time(rest.get(..end)?), sender })
}

/// ` 2h  2.9K 1aBcDe-000001-AB <a@corp.example> *** frozen ***`
fn exim_entry(line: &str) -> Option<Entry<'_>> {
    let mut words = line.split_whitespace();
    let (age, size, id, sender) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let unit = match age.bytes().next_back()? {
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => return None,
    };
    let number: i64 = age.get(..age.len() - 1)?.parse().ok()?;
    let arrived = Arrived::Ago(SignedDuration::from_secs(number.checked_mul(unit)?));
    (is_exim_id(id) && sender.starts_with('<')).then_some(Entry { id, size, arrived, sender })
}

impl Take for Listing {
    fn take(&mut self, line: &str) -> bool {
        if let Some(entry) = exim_entry(line).or_else(|| entry(line)) {
            self.end();
            self.begin(&entry);
            return true;
        }
        let text = line.trim();
        if text.is_empty() {
            return true;
        }
        let Some(letter) = &mut self.letter else { return is_ornament(text) };
        if let Some(reason) = text.strip_prefix('(') {
            reason.strip_suffix(')').unwrap_or(reason).clone_into(&mut self.reason);
            return true;
        }
        // `D` stands before those who have it already.
        if text.starts_with("D ") || is_ornament(text) {
            return true;
        }
        let recipient = text.trim_matches(['<', '>']);
        let is_recipient = !recipient.contains(char::is_whitespace);
        if is_recipient {
            self.messages.ready.extend(rows(letter, recipient, &self.reason, None));
        }
        is_recipient
    }

    fn next_row(&mut self) -> Option<Row> {
        self.messages.ready.pop_front()
    }

    fn end(&mut self) {
        self.letter = None;
        self.reason.clear();
    }
}

impl Listing {
    fn begin(&mut self, entry: &Entry<'_>) {
        let at = match entry.arrived {
            Arrived::Time(time) if time.matches(':').count() == 1 => self.messages.times.syslog(&format!("{time}:00")),
            Arrived::Time(time) => self.messages.times.syslog(time),
            Arrived::Ago(age) => self.now.checked_sub(age).ok(),
        };
        let mut letter = Letter::default();
        letter.begin(entry.id, at);
        letter.row.set(Column::SenderAddress, entry.sender.trim_matches(['<', '>']));
        letter.row.set(Column::TotalBytes, entry.size);
        self.letter = Some(letter);
    }
}

/// Headers and totals: `-- 65 Kbytes in 1 Request.`, `/var/spool/mqueue (2 requests)`, `Total requests: 2`.
fn is_ornament(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.starts_with("--")
        || text.starts_with("-Queue ID-")
        || lower.starts_with("total requests")
        || lower.contains(" request")
        || lower.contains("8bitmime")
}
