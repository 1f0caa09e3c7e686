//! Searching the history: a [`TraceQuery`] as SQL, one statement for the queue and one for each day.
//!
//! No statement holds a snapshot for long: the server ends it after two seconds, and the search goes on with half of the
//! time that the statement had looked at.

use std::collections::HashSet;

use tokio_postgres::types::ToSql;

use super::{
    error::is_timeout,
    keys,
    lane::Tx,
    partitions,
    row::{QUEUE, record, record_columns, text},
};
use crate::{
    AttemptMatch, Chosen, DeliveryRecord, EMBEDDED_KEYS_END, Result, Selection, StoreError, SubjectMatch, TraceQuery,
    address::AddressPattern,
    stored::{like, like_escaped, state_number},
};

/// SQL conditions with their parameters, in order.
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.values.len()
    }

    /// `$` in the condition stands for the value.
    fn push(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.sql.push_str(" AND ");
        self.sql.push_str(&sql.replace('$', &format!("${}", self.values.len())));
    }

    fn push_if<T: ToSql + Sync + Send + 'static>(&mut self, sql: &str, value: Option<T>) {
        if let Some(value) = value {
            self.push(sql, value);
        }
    }

    /// Suspended by that name, and received since then.
    pub(super) fn push_suspended(&mut self, by: &str, since: i64) {
        self.push("suspended_by = $", by.to_owned());
        self.push("received >= $", since);
    }

    fn push_text(&mut self, sql: &str, value: Option<&str>) {
        self.push_if(sql, value.map(|value| text(value).into_owned()));
    }

    /// Without regard to the case of ASCII letters: columns are compared byte by byte, so that lower() folds no others.
    fn push_folded(&mut self, sql: &str, value: Option<&str>) {
        self.push_if(sql, value.map(|value| text(value).to_ascii_lowercase()));
    }

    fn push_address(&mut self, column: &str, wanted: Option<&str>) {
        match wanted.map(AddressPattern::parse) {
            Some(AddressPattern::Is(address)) => {
                let hashed = format!("hashtextextended(lower({column}), 0) = hashtextextended($, 0)");
                self.push_folded(&hashed, Some(&address));
                self.push_folded(&format!("lower({column}) = $"), Some(&address));
            }
            Some(AddressPattern::Like(pattern)) => {
                self.push_folded(&format!("lower({column}) LIKE $"), Some(&like(&pattern)));
            }
            None => {}
        }
    }

    fn push_attempt(&mut self, wanted: &AttemptMatch) {
        self.push_if("remote = $", wanted.to_ip.map(|ip| ip.to_string()));
        self.push_folded("lower(node) = $", wanted.node.as_deref());
        self.push_folded("lower(tls_policy) = $", wanted.tls_policy.as_deref());
        // `TLSv1 RC4-SHA`; '' in plaintext.
        match wanted.tls_version.as_deref() {
            Some(none) if none.eq_ignore_ascii_case("none") => self.push_text("tls = $", Some("")),
            Some(version) => self.push_folded("lower(tls) LIKE $", Some(&like(&format!("{version} *")))),
            None => {}
        }
        let like_if =
            |value: &Option<String>, shape: fn(&str) -> String| value.as_deref().map(|value| like(&shape(value)));
        let cipher = like_if(&wanted.cipher, |cipher| format!("* {cipher}"));
        self.push_folded("lower(tls) LIKE $", cipher.as_deref());
        // ` 451 4.7.1 `
        let code = like_if(&wanted.code, |code| format!("* {code} *"));
        self.push_folded("lower(code) LIKE $", code.as_deref());
    }

    fn push_subject(&mut self, wanted: &SubjectMatch) {
        let pattern = match wanted {
            SubjectMatch::Contains(text) => format!("%{}%", like_escaped(text)),
            SubjectMatch::StartsWith(text) => format!("{}%", like_escaped(text)),
            SubjectMatch::EndsWith(text) => format!("%{}", like_escaped(text)),
        };
        self.push_folded("lower(subject) LIKE $", Some(&pattern));
    }

    pub(super) fn push_selection(&mut self, selection: &Selection) {
        self.push_if("network_message_id = $", selection.message);
        self.push_text("connector = $", selection.connector.as_deref());
        self.push_address("recipient", selection.recipient.as_deref());
        self.push_address("sender", selection.sender.as_deref());
        self.push_if("state = $", selection.state.map(state_number).map(i16::from));
        self.push_if("id = ANY($)", selection.chosen.as_ref().map(Chosen::keys));
    }

    /// Of the queue: messages that were accepted after this one.
    pub(super) fn push_message_after(&mut self, message: i64) {
        self.push("queue_delivery.message > $", message);
    }

    /// Rows after this one in the order of a list.
    pub(super) fn push_after(&mut self, due: i64, id: i64) {
        self.push("due >= $", due);
        self.push("(due > $", due);
        self.values.push(Box::new(id));
        self.sql.push_str(&format!(" OR id > ${})", self.values.len()));
    }

    fn push_query(&mut self, query: &TraceQuery) {
        self.push_address("sender", query.sender.as_deref());
        self.push_address("recipient", query.recipient.as_deref());
        let message_id = query.message_id.as_deref().map(|id| id.trim_matches(['<', '>']));
        self.push_text("hashtextextended(message_id, 0) = hashtextextended($, 0)", message_id);
        self.push_text("message_id = $", message_id);
        self.push_if("network_message_id = $", query.network_message_id);
        query.subjects.iter().for_each(|subject| self.push_subject(subject));
        let states = |states: &Vec<_>| states.iter().map(|state| i16::from(state_number(*state))).collect::<Vec<_>>();
        self.push_if("state = ANY($)", query.states.as_ref().map(states));
        self.push_if("received >= $", query.since.map(|at| at.as_millisecond()));
        self.push_if("received < $", query.until.map(|at| at.as_millisecond()));
        self.push_if("client = $", query.from_ip.map(|ip| ip.to_string()));
        self.push_if("size >= $", query.size_min.map(|size| size as i64));
        self.push_if("size <= $", query.size_max.map(|size| size as i64));
        self.push_text("connector = $", query.connector.as_deref());
        self.push_attempt(&query.last_attempt);
        if let Some(after) = query.after {
            let received = after.received.as_millisecond();
            self.push("received <= $", received);
            self.push("(received < $", received);
            self.values.push(Box::new(after.delivery.0));
            self.sql.push_str(&format!(" OR id > ${})", self.values.len()));
        }
    }
}

/// A part of a table: the rows with values of a column from the first to before the last.
#[derive(Clone, Copy, Debug)]
struct Slice {
    by: By,
    from: i64,
    to: i64,
}

/// A column that ascends in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// In milliseconds.
    Received,
    /// The key in the queue.
    Message,
    /// The same of mail from a store that was moved here: small numbers one after the other.
    MovedMessage,
}

impl By {
    fn column(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Message | Self::MovedMessage => "queue_delivery.message",
        }
    }

    /// Nothing shorter is searched on its own.
    fn length_min(self) -> i64 {
        match self {
            Self::Received => 60_000,
            Self::Message => keys::PER_MILLISECOND * 60_000,
            Self::MovedMessage => 1000,
        }
    }
}

impl Slice {
    fn halves(self) -> Option<[Self; 2]> {
        let length = self.to.checked_sub(self.from).filter(|length| *length > self.by.length_min())?;
        let middle = self.from + length / 2;
        Some([Self { to: middle, ..self }, Self { from: middle, ..self }])
    }
}

/// All of the queue; nothing if it is empty.
async fn queue(tx: &Tx) -> Result<Vec<(String, Option<Slice>)>> {
    let sql = "SELECT min(message), max(message) FROM queue_message WHERE message >= $1 AND message < $2";
    let mut slices = Vec::new();
    for (by, from, to) in [(By::MovedMessage, i64::MIN, EMBEDDED_KEYS_END), (By::Message, EMBEDDED_KEYS_END, i64::MAX)]
    {
        let row = tx.query_one(sql, &[&from, &to]).await?;
        if let Some((from, last)) = row.try_get::<_, Option<i64>>(0)?.zip(row.try_get::<_, Option<i64>>(1)?) {
            slices.push((QUEUE.to_owned(), Some(Slice { by, from, to: last + 1 })));
        }
    }
    Ok(slices)
}

pub(super) async fn trace(tx: Tx, query: &TraceQuery) -> Result<Vec<DeliveryRecord>> {
    let (since, until) = (
        query.since.map_or(i64::MIN, |at| at.as_millisecond()),
        query.until.or(query.after.map(|after| after.received)).map_or(i64::MAX, |at| at.as_millisecond()),
    );
    let queue = queue(&tx).await?;
    let days = partitions::days(&tx).await?;
    let mut slices: Vec<(String, Option<Slice>)> = days
        .into_iter()
        .filter(|day| day.from <= until && day.to > since)
        .map(|day| (day.table(), Some(Slice { by: By::Received, from: day.from.max(since), to: day.to })))
        .collect();
    // The last is taken first: the queue, since what leaves it meanwhile is then found in the history, or twice; what is on
    // no day, which may be of any time; then the newest day.
    slices.push((partitions::OTHER.to_owned(), None));
    slices.extend(queue);
    let mut found: Vec<DeliveryRecord> = Vec::new();
    while let Some((table, slice)) = slices.pop() {
        let is_enough = |from: i64| {
            let newer = found.iter().filter(|row| row.message.received.as_millisecond() >= from);
            newer.map(|row| row.delivery.key).collect::<HashSet<_>>().len() >= query.limit as usize
        };
        if slice.is_some_and(|slice| slice.by == By::Received && is_enough(slice.to)) {
            break;
        }
        match select(&tx, &table, query, slice).await? {
            Ok(rows) => found.extend(rows),
            Err(error) if is_timeout(&error) => {
                let halves = slice.and_then(Slice::halves).ok_or_else(too_much)?;
                slices.extend(halves.map(|half| (table.clone(), Some(half))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(newest(found, query.limit))
}

fn too_much() -> StoreError {
    StoreError::Unavailable { detail: "the search takes too long; narrow it by time or address".to_owned() }
}

/// Each delivery once, as the history has it.
fn newest(found: Vec<DeliveryRecord>, limit: u32) -> Vec<DeliveryRecord> {
    let mut known = HashSet::new();
    let mut rows: Vec<DeliveryRecord> = found.into_iter().rev().filter(|row| known.insert(row.delivery.key)).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.message.received), row.delivery.key));
    rows.truncate(limit as usize);
    rows
}

async fn select(
    tx: &Tx,
    table: &str,
    query: &TraceQuery,
    slice: Option<Slice>,
) -> Result<Result<Vec<DeliveryRecord>, tokio_postgres::Error>> {
    let mut all = Conditions::default();
    all.push_query(query);
    if let Some(slice) = slice {
        let column = slice.by.column();
        all.push(&format!("{column} >= $"), slice.from);
        all.push(&format!("{column} < $"), slice.to);
    }
    let columns = record_columns();
    let sql =
        format!("SELECT {columns} FROM {table} WHERE true{} ORDER BY received DESC, id LIMIT {}", all.sql, query.limit);
    match tx.query_once(&sql, &all.parameters()).await {
        Ok(rows) => rows.iter().map(record).collect::<Result<_>>().map(Ok),
        Err(error) => Ok(Err(error)),
    }
}
