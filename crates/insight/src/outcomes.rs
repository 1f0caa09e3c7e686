//! Attempts that failed and that worked, counted from tallies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use store::{Result, Store, Tally, TallyBy, TallyOutcome, TallyQuery, TallyStep};

/// Attempts that have the same values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcomes {
    /// In the order of the dimensions that were asked for.
    pub values: Vec<String>,
    pub failed: u64,
    pub worked: u64,
}

/// Attempts since a time by these dimensions, in the order of their values. What ended without an attempt is left out.
pub async fn outcomes<S: Store>(
    store: &S,
    by: &[TallyBy],
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Outcomes>> {
    let asked = by.iter().copied().chain([TallyBy::TlsPolicy, TallyBy::Outcome]);
    let query = TallyQuery { since, until, step: TallyStep::Minute, by: asked.collect(), limit: None };
    Ok(count(&store.tallies(query).await?, by))
}

fn count(tallies: &[Tally], by: &[TallyBy]) -> Vec<Outcomes> {
    let mut counts: BTreeMap<Vec<&str>, (u64, u64)> = BTreeMap::new();
    for tally in tallies.iter().filter(|tally| !text(&tally.tls_policy).is_empty()) {
        let (failed, worked) = match tally.outcome {
            Some(TallyOutcome::Delivered) => (0, tally.deliveries),
            Some(TallyOutcome::Deferred | TallyOutcome::Failed) => (tally.deliveries, 0),
            Some(TallyOutcome::Accepted | TallyOutcome::Removed) | None => continue,
        };
        let count = counts.entry(by.iter().map(|by| value(tally, *by)).collect()).or_default();
        *count = (count.0 + failed, count.1 + worked);
    }
    let outcomes = counts.into_iter().map(|(values, (failed, worked))| Outcomes {
        values: values.into_iter().map(str::to_owned).collect(),
        failed,
        worked,
    });
    outcomes.collect()
}

fn value(tally: &Tally, by: TallyBy) -> &str {
    match by {
        TallyBy::Outcome => tally.outcome.map_or("", TallyOutcome::name),
        TallyBy::Connector => text(&tally.connector),
        TallyBy::Node => text(&tally.node),
        TallyBy::TlsPolicy => text(&tally.tls_policy),
        TallyBy::Tls => text(&tally.tls),
        TallyBy::Cause => text(&tally.cause),
    }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outcome: TallyOutcome, node: &str, tls_policy: &str, deliveries: u64) -> Tally {
        Tally {
            at: Timestamp::UNIX_EPOCH,
            outcome: Some(outcome),
            connector: None,
            node: Some(node.to_owned()),
            tls_policy: Some(tls_policy.to_owned()),
            tls: None,
            cause: None,
            deliveries,
            bytes: 0,
        }
    }

    #[test]
    fn only_attempts_count() {
        use TallyOutcome::{Accepted, Deferred, Delivered, Failed, Removed};
        let tallies = [
            tally(Delivered, "mx2", "legacy", 5),
            tally(Deferred, "mx1", "modern", 3),
            tally(Failed, "mx1", "modern", 1),
            tally(Delivered, "mx1", "modern", 2),
            tally(Accepted, "mx1", "", 9),
            tally(Removed, "mx1", "", 9),
            tally(Failed, "mx1", "", 9),
        ];
        let told = |by: &[TallyBy]| -> Vec<(String, u64, u64)> {
            count(&tallies, by).into_iter().map(|one| (one.values.join(" "), one.failed, one.worked)).collect()
        };
        let expected = [("legacy mx2".to_owned(), 0, 5), ("modern mx1".to_owned(), 4, 2)];
        assert_eq!(told(&[TallyBy::TlsPolicy, TallyBy::Node]), expected);
        assert_eq!(told(&[]), [(String::new(), 4, 7)]);
    }
}
