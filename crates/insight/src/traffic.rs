//! Mail over time, from tallies: how many deliveries were accepted, delivered, deferred and bounced, and with which TLS.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use store::{Result, Store, Tally, TallyBy, TallyOutcome, TallyQuery, TallyStep};

/// A time range to look at, until now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrafficRange {
    Hour,
    #[default]
    Day,
    Week,
}

impl TrafficRange {
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// The stable name, as in parameters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// Reads on after "last".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
        }
    }

    fn length(self) -> SignedDuration {
        SignedDuration::from_hours(match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
        })
    }

    /// What one column covers, in seconds.
    fn column(self) -> i64 {
        match self {
            Self::Hour => 60,
            Self::Day => 15 * 60,
            Self::Week => 2 * 3600,
        }
    }

    fn step(self) -> TallyStep {
        match self {
            Self::Hour | Self::Day => TallyStep::Minute,
            Self::Week => TallyStep::Hour,
        }
    }
}

/// Deliveries over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Traffic {
    pub range: TrafficRange,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Deliveries by outcome and column. Each outcome has all columns.
    series: BTreeMap<TallyOutcome, Vec<u64>>,
    /// Delivered mail by protection, the most frequent first: such as `TLS 1.3`, `TLS 1.0 RC4-SHA` or `plaintext`.
    pub tls: Vec<(String, u64)>,
    /// Delivered per minute by node, over the last whole minutes.
    pub per_minute: BTreeMap<String, f64>,
}

/// Minutes over which the rate of a node is counted.
const RATE_MINUTES: i64 = 5;

impl Traffic {
    pub async fn read<S: Store>(store: &S, range: TrafficRange, now: Timestamp) -> Result<Self> {
        let end = floor(now, range.column()) + range.column();
        let begin = end - range.length().as_secs();
        let (since, until) = (seconds(begin), seconds(end));
        let query = |step, by: &[TallyBy]| TallyQuery { since, until, step, by: by.to_vec(), limit: None };
        let minute = floor(now, 60);
        let recent = TallyQuery {
            since: seconds(minute - RATE_MINUTES * 60),
            until: seconds(minute),
            step: TallyStep::Minute,
            by: vec![TallyBy::Outcome, TallyBy::Node],
            limit: None,
        };
        let (over_time, by_tls, by_node) = tokio::try_join!(
            store.tallies(query(range.step(), &[TallyBy::Outcome])),
            store.tallies(query(TallyStep::Hour, &[TallyBy::Outcome, TallyBy::Tls])),
            store.tallies(recent),
        )?;
        let columns = (range.length().as_secs() / range.column()) as usize;
        Ok(Self {
            range,
            since,
            until,
            series: series(&over_time, begin, range.column(), columns),
            tls: protection(by_tls),
            per_minute: rates(by_node),
        })
    }

    /// Deliveries of one outcome in each column.
    pub fn counts(&self, outcome: TallyOutcome) -> &[u64] {
        self.series.get(&outcome).map_or(&[], Vec::as_slice)
    }

    pub fn total(&self, outcome: TallyOutcome) -> u64 {
        self.counts(outcome).iter().sum()
    }
}

fn series(tallies: &[Tally], begin: i64, column: i64, columns: usize) -> BTreeMap<TallyOutcome, Vec<u64>> {
    let mut series: BTreeMap<TallyOutcome, Vec<u64>> =
        TallyOutcome::ALL.into_iter().map(|outcome| (outcome, vec![0; columns])).collect();
    for tally in tallies {
        let place = usize::try_from((tally.at.as_second() - begin).div_euclid(column)).unwrap_or(usize::MAX);
        let counts = tally.outcome.and_then(|outcome| series.get_mut(&outcome));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(place)) {
            *count += tally.deliveries;
        }
    }
    series
}

fn protection(tallies: Vec<Tally>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for tally in tallies.into_iter().filter(|tally| tally.outcome == Some(TallyOutcome::Delivered)) {
        *counts.entry(in_words(tally.tls.as_deref().unwrap_or_default())).or_default() += tally.deliveries;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// The version; of versions before TLS 1.2, with the cipher suite.
fn in_words(tls: &str) -> String {
    let (version, cipher) = tls.split_once(' ').unwrap_or((tls, ""));
    match version {
        "" => "plaintext".to_owned(),
        "TLSv1.3" | "TLSv1.2" => version.replace("TLSv", "TLS "),
        "TLSv1" => format!("TLS 1.0 {cipher}").trim_end().to_owned(),
        other => format!("{} {cipher}", other.replace("TLSv", "TLS ")).trim_end().to_owned(),
    }
}

fn rates(tallies: Vec<Tally>) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for tally in tallies.into_iter().filter(|tally| tally.outcome == Some(TallyOutcome::Delivered)) {
        *counts.entry(tally.node.unwrap_or_default()).or_default() += tally.deliveries as f64 / RATE_MINUTES as f64;
    }
    counts
}

fn floor(at: Timestamp, step: i64) -> i64 {
    at.as_second().div_euclid(step) * step
}

fn seconds(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(minute: i64, outcome: TallyOutcome, tls: &str, deliveries: u64) -> Tally {
        Tally {
            at: seconds(minute * 60),
            outcome: Some(outcome),
            connector: None,
            node: None,
            tls_policy: None,
            tls: Some(tls.to_owned()),
            cause: None,
            deliveries,
            bytes: 0,
        }
    }

    #[test]
    fn tallies_fall_into_columns() {
        let all = [
            tally(0, TallyOutcome::Accepted, "", 1),
            tally(14, TallyOutcome::Accepted, "", 2),
            tally(15, TallyOutcome::Accepted, "", 4),
            // Before the first column, and after the last.
            tally(-1, TallyOutcome::Accepted, "", 8),
            tally(45, TallyOutcome::Accepted, "", 16),
        ];
        let series = series(&all, 0, 15 * 60, 3);
        assert_eq!(series[&TallyOutcome::Accepted], [3, 4, 0]);
        assert_eq!(series[&TallyOutcome::Failed], [0, 0, 0]);
    }

    #[test]
    fn old_versions_are_named_with_their_cipher_suite() {
        let all = vec![
            tally(0, TallyOutcome::Delivered, "TLSv1.3 TLS_AES_256_GCM_SHA384", 5),
            tally(1, TallyOutcome::Delivered, "TLSv1.3 TLS_AES_128_GCM_SHA256", 2),
            tally(1, TallyOutcome::Delivered, "TLSv1 RC4-SHA", 3),
            tally(1, TallyOutcome::Delivered, "", 1),
            tally(1, TallyOutcome::Deferred, "", 100),
        ];
        let expected = [("TLS 1.3", 7), ("TLS 1.0 RC4-SHA", 3), ("plaintext", 1)];
        assert_eq!(protection(all), expected.map(|(words, count)| (words.to_owned(), count)));
    }
}
