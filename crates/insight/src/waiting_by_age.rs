//! What waits, by connector and age: one table that shows where mail is stuck, and since when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use store::{QueueRow, Selection, Store};

use crate::queue_groups::AGES;

/// Deliveries of one connector that wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitingByAge {
    pub connector: String,
    /// By age, in the order of [`WaitingByAge::AGES`].
    pub deliveries: [u64; AGES.len()],
    /// When the oldest message was received.
    pub oldest: Timestamp,
}

impl WaitingByAge {
    /// The ages, the youngest first.
    pub const AGES: [&'static str; AGES.len()] = {
        let [a, b, c, d, e] = AGES;
        [a.what, b.what, c.what, d.what, e.what]
    };

    pub fn all(&self) -> u64 {
        self.deliveries.iter().sum()
    }

    /// By connector, those with the most deliveries first.
    pub async fn read<S: Store>(store: &S, now: Timestamp) -> store::Result<Vec<Self>> {
        let start = (now, BTreeMap::new());
        let (_, rows) = store.fold_queue(Selection::default(), start, add).await?;
        let mut rows: Vec<Self> = rows.into_values().collect();
        rows.sort_by(|a, b| b.all().cmp(&a.all()).then_with(|| a.connector.cmp(&b.connector)));
        Ok(rows)
    }
}

type Rows = (Timestamp, BTreeMap<String, WaitingByAge>);

fn add((now, rows): &mut Rows, row: &QueueRow<'_>) {
    let age = now.duration_since(row.received).as_secs();
    let span = AGES.iter().position(|span| span.is_under(age)).unwrap_or(AGES.len() - 1);
    // The name is made once for each connector, not for each row.
    if !rows.contains_key(row.connector) {
        let connector = row.connector.to_owned();
        let new = WaitingByAge { connector: connector.clone(), deliveries: [0; AGES.len()], oldest: row.received };
        rows.insert(connector, new);
    }
    if let Some(waiting) = rows.get_mut(row.connector) {
        if let Some(count) = waiting.deliveries.get_mut(span) {
            *count += 1;
        }
        waiting.oldest = waiting.oldest.min(row.received);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use store::{MessageKey, State};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn deliveries_are_counted_by_connector_and_age() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(48);
        let mut rows = (now, BTreeMap::new());
        for (connector, minutes) in [("a", 0), ("a", 4), ("a", 5), ("b", 60), ("b", 300), ("b", 1440), ("b", -3)] {
            let received = now - SignedDuration::from_mins(minutes);
            let row = QueueRow {
                delivery: store::DeliveryKey(1),
                message: MessageKey(1),
                network_message_id: Uuid::nil(),
                connector,
                state: State::Queued,
                received,
                due: now,
                failure: None,
            };
            add(&mut rows, &row);
        }
        let counts: Vec<_> = rows.1.values().map(|row| (row.connector.as_str(), row.deliveries, row.all())).collect();
        assert_eq!(counts, [("a", [2, 1, 0, 0, 0], 3), ("b", [1, 0, 1, 1, 1], 4)]);
        assert_eq!(rows.1["b"].oldest, now - SignedDuration::from_hours(24));
    }
}
