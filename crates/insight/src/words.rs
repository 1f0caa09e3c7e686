//! Counts and times in sentences.

use jiff::{Timestamp, tz::TimeZone};

/// `1 attempt`, `2 attempts`
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default() + letters.as_str()
}

/// In UTC: a report is read in other time zones than it is made in.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Without the day where that is the same.
pub(crate) fn later(first: Timestamp, last: Timestamp) -> String {
    let (from, to) = (moment(first), moment(last));
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((before, _)), Some((day, time))) if day == before => time.to_owned(),
        _ => to,
    }
}
