//! Searching the history: a [`TraceQuery`] as SQL.
//!
//! Rows are found by one of four indexes (recipient, sender, Message-ID, time), and everything else is looked at row by
//! row; what the last attempt was stands in the delivery's own row for that.

use rusqlite::{Connection, ToSql};

use super::row::{Millis, records};
use crate::{
    AttemptMatch, DeliveryRecord, SubjectMatch, TraceQuery,
    address::AddressPattern,
    stored::{like, like_escaped, state_number},
};

/// SQL conditions with their parameters, in order.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) sql: String,
    pub(super) parameters: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn push(&mut self, sql: &str, value: impl ToSql + 'static) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.parameters.push(Box::new(value));
    }

    pub(super) fn push_if<T: ToSql + 'static>(&mut self, sql: &str, value: Option<T>) {
        if let Some(value) = value {
            self.push(sql, value);
        }
    }

    pub(super) fn push_address(&mut self, column: &str, wanted: Option<&str>) {
        match wanted.map(AddressPattern::parse) {
            Some(AddressPattern::Is(address)) => self.push(&format!("{column} = ? COLLATE NOCASE"), address),
            Some(AddressPattern::Like(pattern)) => {
                self.push(&format!("{column} LIKE ? ESCAPE '\\'"), like(&pattern));
            }
            None => {}
        }
    }

    fn push_attempt(&mut self, wanted: &AttemptMatch) {
        self.push_if("d.remote = ?", wanted.to_ip.map(|ip| ip.to_string()));
        self.push_if("d.node = ? COLLATE NOCASE", wanted.node.clone());
        self.push_if("d.tls_policy = ? COLLATE NOCASE", wanted.tls_policy.clone());
        // `TLSv1 RC4-SHA`; '' in plaintext.
        match wanted.tls_version.as_deref() {
            Some(none) if none.eq_ignore_ascii_case("none") => self.push("d.tls = ?", String::new()),
            Some(version) => self.push("d.tls LIKE ? ESCAPE '\\'", like(&format!("{version} *"))),
            None => {}
        }
        self.push_if("d.tls LIKE ? ESCAPE '\\'", wanted.cipher.as_ref().map(|cipher| like(&format!("* {cipher}"))));
        // ` 451 4.7.1 `
        self.push_if("d.code LIKE ? ESCAPE '\\'", wanted.code.as_ref().map(|code| like(&format!("* {code} *"))));
    }

    fn push_subject(&mut self, wanted: &SubjectMatch) {
        let pattern = match wanted {
            SubjectMatch::Contains(text) => format!("%{}%", like_escaped(text)),
            SubjectMatch::StartsWith(text) => format!("{}%", like_escaped(text)),
            SubjectMatch::EndsWith(text) => format!("%{}", like_escaped(text)),
        };
        self.push("m.subject LIKE ? ESCAPE '\\'", pattern);
    }
}

pub(super) fn trace(connection: &Connection, query: &TraceQuery) -> rusqlite::Result<Vec<DeliveryRecord>> {
    let (condition, parameters) = condition(query);
    records(connection, &condition, &parameters)
}

/// The whole of WHERE, with order and limit.
pub(super) fn condition(query: &TraceQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let mut all = Conditions::default();
    all.push_address("m.sender", query.sender.as_deref());
    all.push_address("d.recipient", query.recipient.as_deref());
    let message_id = query.message_id.as_ref().map(|id| id.trim_matches(['<', '>']).to_owned());
    all.push_if("m.message_id = ?", message_id);
    all.push_if("m.network_message_id = ?", query.network_message_id.map(|id| id.as_bytes().to_vec()));
    query.subjects.iter().for_each(|subject| all.push_subject(subject));
    if let Some(states) = &query.states {
        let states: Vec<String> = states.iter().map(|state| state_number(*state).to_string()).collect();
        all.sql.push_str(&format!(" AND d.state IN ({})", states.join(", ")));
    }
    all.push_if("d.received >= ?", query.since.map(Millis));
    all.push_if("d.received < ?", query.until.map(Millis));
    all.push_if("m.client = ?", query.from_ip.map(|ip| ip.to_string()));
    all.push_if("m.size >= ?", query.size_min.map(|size| size as i64));
    all.push_if("m.size <= ?", query.size_max.map(|size| size as i64));
    all.push_if("d.connector = ?", query.connector.clone());
    all.push_attempt(&query.last_attempt);
    if let Some(after) = query.after {
        // The first part is what the index is entered by.
        all.sql.push_str(" AND d.received <= ? AND (d.received < ? OR d.id > ?)");
        all.parameters.extend([
            Box::new(Millis(after.received)) as Box<dyn ToSql>,
            Box::new(Millis(after.received)),
            Box::new(after.delivery.0),
        ]);
    }
    all.parameters.push(Box::new(query.limit));
    (format!("1{} ORDER BY d.received DESC, d.id LIMIT ?", all.sql), all.parameters)
}
