//! Tallies: how many deliveries were accepted, delivered, deferred, bounced or removed, and their bytes, by minute. All
//! charts are drawn from them, because the history is too long to be counted for each chart.
//!
//! A tally is written in the transaction that changes the deliveries it counts. So neither is there without the other, and
//! a message that is accepted twice, or a result that comes too late, is counted once or not at all.
//!
//! A row of the table `tally` counts 1 minute or 60 (column `span`). A minute is one of the store's clock. Two days later
//! the minutes of an hour become one row. `span` tells which minutes are still to be merged, without a look at the hours of
//! months.

mod cause;
mod counts;

use std::{future::Future, time::Duration};

use jiff::Timestamp;

pub(crate) use self::{
    cause::alert,
    counts::{Count, Counts},
};
use crate::{Member, NewEvent, Result, clock::before, stored::time_from_millis};

pub trait Tallies {
    /// What was counted in a range of time, in order of time. Gives way to mail.
    fn tallies(&self, query: TallyQuery) -> impl Future<Output = Result<Vec<Tally>>> + Send;

    /// Merges minutes that are older than two days into hours, and deletes what is older than `keep`, about `limit` rows of
    /// each kind. Returns the number of rows that were merged or deleted; zero: nothing is left to do.
    fn tidy_tallies(&self, keep: Duration, limit: u32) -> impl Future<Output = Result<u64>> + Send;
}

/// What happened to the deliveries that a tally counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TallyOutcome {
    /// Put into the queue; notices of the gateway's own, too.
    Accepted,
    Delivered,
    /// An attempt failed, and Gatepost tries again.
    Deferred,
    /// Bounced: rejected for good, or expired.
    Failed,
    /// Removed by an operator.
    Removed,
}

impl TallyOutcome {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Delivered, Self::Deferred, Self::Failed, Self::Removed];

    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }

    /// In the table.
    pub(crate) fn number(self) -> i16 {
        match self {
            Self::Accepted => 0,
            Self::Delivered => 1,
            Self::Deferred => 2,
            Self::Failed => 3,
            Self::Removed => 4,
        }
    }

    pub(crate) fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.number() == number)
    }
}

/// A dimension by which deliveries are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TallyBy {
    Outcome,
    Connector,
    Node,
    TlsPolicy,
    Tls,
    Cause,
}

impl TallyBy {
    pub const ALL: [Self; 6] = [Self::Outcome, Self::Connector, Self::Node, Self::TlsPolicy, Self::Tls, Self::Cause];

    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Connector => "connector",
            Self::Node => "node",
            Self::TlsPolicy => "tls_policy",
            Self::Tls => "tls",
            Self::Cause => "cause",
        }
    }
}

/// How long the time is that one row covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TallyStep {
    Minute,
    Hour,
}

impl TallyStep {
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// The stable name, as in parameters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// In the column `span`.
    pub(crate) fn minutes(self) -> i64 {
        self.millis() / MINUTE
    }

    pub(crate) fn millis(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
        }
    }
}

/// Which tallies to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TallyQuery {
    /// From the step on that this time is in.
    pub since: Timestamp,
    /// Up to this time.
    pub until: Timestamp,
    /// What has been merged comes by the hour, whatever the step is.
    pub step: TallyStep,
    /// Rows that differ in none of these are added up.
    pub by: Vec<TallyBy>,
    /// Maximum number of rows, the first ones. `None`: all.
    pub limit: Option<u32>,
}

/// Deliveries that were counted together. A dimension is `None` if the query does not name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The start of the minute or hour.
    pub at: Timestamp,
    pub outcome: Option<TallyOutcome>,
    pub connector: Option<String>,
    /// The node that accepted the message or made the attempt. Empty: an operator's command.
    pub node: Option<String>,
    /// Of the attempt. Empty: there was none.
    pub tls_policy: Option<String>,
    /// Such as `TLSv1.3 TLS_AES_256_GCM_SHA384`. Empty: no TLS.
    pub tls: Option<String>,
    /// Why it was deferred or bounced: phase, kind, and code or alert, such as `rcpt rejected 451 4.7.1` or
    /// `handshake handshake-failed alert 40`.
    pub cause: Option<String>,
    pub deliveries: u64,
    /// Sizes of the messages, counted for each delivery.
    pub bytes: u64,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// How long minutes are kept apart.
const MINUTES_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// The minute of a time, as in the table.
fn minute(at: Timestamp) -> i64 {
    floor(at, MINUTE)
}

fn floor(at: Timestamp, step: i64) -> i64 {
    at.as_millisecond().div_euclid(step) * step
}

/// The node that accepts a message: who holds its deliveries, or who saw it come.
pub(crate) fn accepting_node<'a>(holder: Option<&'a Member>, events: &'a [NewEvent]) -> &'a str {
    holder.map(Member::name).or_else(|| events.first().map(|new| &*new.event.node)).unwrap_or_default()
}

/// Minutes before this time are merged: whole hours, so that a row of an hour is complete at once.
pub(crate) fn merged_before(now: Timestamp) -> i64 {
    floor(before(now, MINUTES_KEPT), HOUR)
}

/// Rows before this time are deleted.
pub(crate) fn deleted_before(now: Timestamp, keep: Duration) -> i64 {
    floor(before(now, keep), HOUR)
}

impl TallyQuery {
    /// The same SQL for both engines. Its columns are the time, deliveries, bytes, and all dimensions in order; one that is
    /// not asked for is NULL.
    pub(crate) fn sql(&self) -> String {
        let step = self.step.millis();
        let (since, until) = (floor(self.since, step), self.until.as_millisecond());
        let limit = self.limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        let (mut columns, mut groups) = (String::new(), String::from("1"));
        for (index, by) in TallyBy::ALL.into_iter().enumerate() {
            if self.by.contains(&by) {
                columns += &format!(", {}", by.name());
                groups += &format!(", {}", index + 4);
            } else {
                let kind = if by == TallyBy::Outcome { "smallint" } else { "text" };
                columns += &format!(", CAST(NULL AS {kind})");
            }
        }
        format!(
            "SELECT minute - minute % {step}, CAST(sum(deliveries) AS bigint), CAST(sum(bytes) AS bigint){columns}
             FROM tally WHERE span IN (1, 60) AND minute >= {since} AND minute < {until}
             GROUP BY {groups} ORDER BY {groups}{limit}"
        )
    }
}

/// The columns that a query reads, as both engines have them.
pub(crate) struct TallyColumns {
    pub(crate) at: i64,
    pub(crate) deliveries: i64,
    pub(crate) bytes: i64,
    pub(crate) outcome: Option<i16>,
    pub(crate) connector: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) tls_policy: Option<String>,
    pub(crate) tls: Option<String>,
    pub(crate) cause: Option<String>,
}

impl From<TallyColumns> for Tally {
    fn from(columns: TallyColumns) -> Self {
        let TallyColumns { at, deliveries, bytes, outcome, connector, node, tls_policy, tls, cause } = columns;
        Self {
            at: time_from_millis(at),
            outcome: outcome.and_then(TallyOutcome::from_number),
            connector,
            node,
            tls_policy,
            tls,
            cause,
            deliveries: deliveries.max(0) as u64,
            bytes: bytes.max(0) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_outcomes_are_read_again() {
        for outcome in TallyOutcome::ALL {
            assert_eq!(TallyOutcome::from_number(outcome.number()), Some(outcome));
        }
        assert_eq!(TallyOutcome::from_number(5), None);
    }

    #[test]
    fn only_whole_hours_are_merged() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let edge = at("2026-11-28T06:00:00Z").as_millisecond();
        for now in ["2026-11-30T06:00:00Z", "2026-11-30T06:59:59.999Z"] {
            assert_eq!(merged_before(at(now)), edge, "{now}");
        }
        // A retention that reaches back before all time deletes nothing.
        assert!(deleted_before(at("2026-11-30T06:59:00Z"), Duration::MAX) <= Timestamp::MIN.as_millisecond());
    }
}
