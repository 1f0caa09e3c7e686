//! What one transaction counts, added up before it is written: one row for each key, whatever the number of deliveries.

use jiff::Timestamp;

use super::{TallyOutcome, cause::cause, minute};
use crate::{Outcome, Settlement, last_attempt::Note};

/// What is counted together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TallyKey<'a> {
    pub(crate) minute: i64,
    pub(crate) outcome: TallyOutcome,
    pub(crate) connector: &'a str,
    pub(crate) node: &'a str,
    pub(crate) tls_policy: &'a str,
    pub(crate) tls: &'a str,
    pub(crate) cause: &'a str,
}

/// One row to be added to the table.
#[derive(Debug)]
pub(crate) struct Count {
    minute: i64,
    outcome: TallyOutcome,
    connector: String,
    node: String,
    tls_policy: String,
    tls: String,
    cause: String,
    pub(crate) deliveries: i64,
    pub(crate) bytes: i64,
}

impl Count {
    fn new(key: TallyKey<'_>, bytes: i64) -> Self {
        Self {
            minute: key.minute,
            outcome: key.outcome,
            connector: key.connector.to_owned(),
            node: key.node.to_owned(),
            tls_policy: key.tls_policy.to_owned(),
            tls: key.tls.to_owned(),
            cause: key.cause.to_owned(),
            deliveries: 1,
            bytes,
        }
    }

    pub(crate) fn key(&self) -> TallyKey<'_> {
        TallyKey {
            minute: self.minute,
            outcome: self.outcome,
            connector: &self.connector,
            node: &self.node,
            tls_policy: &self.tls_policy,
            tls: &self.tls,
            cause: &self.cause,
        }
    }
}

/// Counts in the order of their keys, so that all who write them lock rows in one order. A key that is there already costs
/// a search and no memory.
#[derive(Debug, Default)]
pub(crate) struct Counts(Vec<Count>);

impl Counts {
    pub(crate) fn rows(&self) -> &[Count] {
        &self.0
    }

    /// A delivery of that size that is new in the queue.
    pub(crate) fn accepted(&mut self, now: Timestamp, node: &str, connector: &str, bytes: i64) {
        let none = Self::without_attempt(now, TallyOutcome::Accepted, connector);
        self.add(TallyKey { node, ..none }, bytes);
    }

    /// A delivery that an operator has removed.
    pub(crate) fn removed(&mut self, now: Timestamp, connector: &str, bytes: i64) {
        self.add(Self::without_attempt(now, TallyOutcome::Removed, connector), bytes);
    }

    /// A result that was recorded. Where no attempt was made and the delivery waits on, there is nothing to count.
    pub(crate) fn settled(
        &mut self,
        now: Timestamp,
        settlement: &Settlement,
        note: Option<&Note<'_>>,
        connector: &str,
        bytes: i64,
    ) {
        let (outcome, failure) = match &settlement.outcome {
            Outcome::Delivered { .. } => (TallyOutcome::Delivered, None),
            Outcome::Deferred { failure, .. } => (TallyOutcome::Deferred, Some(failure)),
            Outcome::Failed { failure, .. } => (TallyOutcome::Failed, Some(failure)),
            Outcome::Returned { .. } | Outcome::Postponed { .. } => return,
        };
        let cause = failure.map(|failure| cause(failure, note.and_then(|note| note.alert))).unwrap_or_default();
        let node = || settlement.events.last().map_or("", |new| new.event.node.as_str());
        self.add(
            TallyKey {
                node: note.map_or_else(node, |note| note.node),
                tls_policy: note.map_or("", |note| note.tls_policy),
                tls: note.map_or("", |note| &note.tls),
                cause: &cause,
                ..Self::without_attempt(now, outcome, connector)
            },
            bytes,
        );
    }

    fn without_attempt(now: Timestamp, outcome: TallyOutcome, connector: &str) -> TallyKey<'_> {
        TallyKey { minute: minute(now), outcome, connector, node: "", tls_policy: "", tls: "", cause: "" }
    }

    fn add(&mut self, key: TallyKey<'_>, bytes: i64) {
        match self.0.binary_search_by(|count| count.key().cmp(&key)) {
            Ok(place) => {
                let count = &mut self.0[place];
                count.deliveries += 1;
                count.bytes = count.bytes.saturating_add(bytes);
            }
            Err(place) => self.0.insert(place, Count::new(key, bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::smtp::Reply;

    use super::*;
    use crate::{DeliveryKey, LeaseNumber, MessageKey};

    fn settlement(outcome: Outcome) -> Settlement {
        Settlement {
            delivery: DeliveryKey(1),
            lease: LeaseNumber(1),
            message: MessageKey(1),
            outcome,
            events: vec![],
            notice: None,
            weak: None,
        }
    }

    #[test]
    fn equal_keys_are_one_row_and_rows_are_in_order() {
        let now = Timestamp::UNIX_EPOCH;
        let mut counts = Counts::default();
        let delivered = settlement(Outcome::Delivered { reply: Reply::new(250, None, "ok"), at: now });
        counts.settled(now, &delivered, None, "b", 5);
        counts.accepted(now + Duration::from_secs(59), "n", "b", 7);
        counts.accepted(now, "n", "b", 7);
        counts.accepted(now, "n", "a", 1);
        counts.accepted(now + Duration::from_secs(60), "n", "a", 1);
        counts.removed(now, "a", i64::MAX);
        counts.removed(now, "a", i64::MAX);
        let rows: Vec<_> = counts
            .rows()
            .iter()
            .map(|row| (row.minute / 60_000, row.outcome.name(), row.connector.as_str(), row.deliveries, row.bytes))
            .collect();
        let expected = [
            (0, "accepted", "a", 1, 1),
            (0, "accepted", "b", 2, 14),
            (0, "delivered", "b", 1, 5),
            (0, "removed", "a", 2, i64::MAX),
            (1, "accepted", "a", 1, 1),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn only_attempts_and_ends_count() {
        let mut counts = Counts::default();
        for outcome in [
            Outcome::Returned { review_in: None, delay_notified: false },
            Outcome::Postponed { due_in: Duration::ZERO, failure: None },
        ] {
            counts.settled(Timestamp::UNIX_EPOCH, &settlement(outcome), None, "c", 1);
        }
        assert!(counts.rows().is_empty());
    }
}
