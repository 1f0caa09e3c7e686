//! A search of the history. The command line reads it from arguments, the HTTP API from parameters and Graph from
//! `$filter`; its meaning is defined here only.

use std::net::IpAddr;

use jiff::Timestamp;
use store::{AttemptMatch, DeliveryKey, SubjectMatch, TraceCursor, TraceQuery};

use crate::{Id, Moment, Status, units::ByteSize};

/// Conditions of a search. All that are set must match.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// An address, `@domain`, `<>` for the null sender, or a pattern with `*`.
    pub sender: Option<String>,
    /// An address, `@domain`, or a pattern with `*`.
    pub recipient: Option<String>,
    /// The Message-ID field, with or without angle brackets.
    pub message_id: Option<String>,
    /// The network message id.
    pub message: Option<Id>,
    /// All must hold.
    pub subjects: Vec<SubjectMatch>,
    /// Empty: any.
    pub status: Vec<Status>,
    /// Received at or after.
    pub since: Option<Moment>,
    /// Received before.
    pub until: Option<Moment>,
    /// The client that sent the message.
    pub from_ip: Option<IpAddr>,
    pub size_min: Option<ByteSize>,
    pub size_max: Option<ByteSize>,
    pub connector: Option<String>,
    pub last_attempt: AttemptMatch,
    /// Maximum number of rows.
    pub limit: u32,
    pub after: Option<TraceCursor>,
}

/// Why a search is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the time range is reversed: --since is {since}, --until is {until}; exchange them")]
    Reversed { since: Timestamp, until: Timestamp },
    #[error("{option} '*' matches every message; leave it out, or add --since with at most {WILDCARD_DAYS_MAX}d")]
    Everything { option: &'static str },
    #[error("{0} is only the beginning of an id; give the whole id")]
    PartOfId(Id),
}

/// Over a longer time, a pattern that matches everything is probably a mistake.
const WILDCARD_DAYS_MAX: i64 = 90;

impl Default for Search {
    fn default() -> Self {
        Self {
            sender: None,
            recipient: None,
            message_id: None,
            message: None,
            subjects: Vec::new(),
            status: Vec::new(),
            since: None,
            until: None,
            from_ip: None,
            size_min: None,
            size_max: None,
            connector: None,
            last_attempt: AttemptMatch::default(),
            limit: Self::ROWS,
            after: None,
        }
    }
}

impl Search {
    /// Default number of rows, the same as for Get-MessageTraceV2 of Exchange Online.
    pub const ROWS: u32 = 1000;

    /// The query for the store.
    pub fn query(&self, now: Timestamp) -> Result<TraceQuery, SearchError> {
        let since = self.since.map(|since| since.timestamp(now));
        let until = self.until.map(|until| until.timestamp(now));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(SearchError::Reversed { since, until });
        }
        for (option, pattern) in [("--sender", &self.sender), ("--recipient", &self.recipient)] {
            let is_anything = pattern.as_ref().is_some_and(|pattern| pattern.trim_matches(['*', '@']).is_empty());
            let days = until.unwrap_or(now).duration_since(since.unwrap_or(Timestamp::UNIX_EPOCH)).as_hours() / 24;
            if is_anything && days > WILDCARD_DAYS_MAX {
                return Err(SearchError::Everything { option });
            }
        }
        let message = match self.message {
            Some(id) => Some(id.whole().ok_or(SearchError::PartOfId(id))?),
            None => None,
        };
        let states = self.status.iter().flat_map(|status| status.states()).copied();
        Ok(TraceQuery {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            message_id: self.message_id.clone(),
            network_message_id: message,
            subjects: self.subjects.clone(),
            states: (!self.status.is_empty()).then(|| states.collect()),
            since,
            until,
            from_ip: self.from_ip,
            size_min: self.size_min.map(ByteSize::bytes),
            size_max: self.size_max.map(ByteSize::bytes),
            connector: self.connector.clone(),
            last_attempt: self.last_attempt.clone(),
            limit: self.limit,
            after: self.after,
        })
    }
}

/// Reads a TLS version as people write it; returns the name that OpenSSL uses.
pub fn read_tls_version(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase().trim_start_matches("tls").trim_start_matches(['v', ' ']) {
        "1" | "1.0" => Ok("TLSv1".to_owned()),
        version @ ("1.1" | "1.2" | "1.3") => Ok(format!("TLSv{version}")),
        "none" => Ok("none".to_owned()),
        _ => Err(format!("\"{text}\" is not a TLS version; use 1.0, 1.1, 1.2, 1.3, or none for plaintext")),
    }
}

/// Reads the start of a page as [`cursor_text`] writes it.
pub fn read_cursor(text: &str) -> Result<TraceCursor, String> {
    let read = || {
        let (received, delivery) = text.split_once('-')?;
        let received = Timestamp::from_millisecond(received.parse().ok()?).ok()?;
        Some(TraceCursor { received, delivery: DeliveryKey(delivery.parse().ok()?) })
    };
    read().ok_or_else(|| format!("\"{text}\" is not the start of a page; copy it from the end of the previous page"))
}

/// Writes the start of a page for [`read_cursor`].
pub fn cursor_text(cursor: TraceCursor) -> String {
    format!("{}-{}", cursor.received.as_millisecond(), cursor.delivery.0)
}
