//! A page of a search that ends within a budget, whatever is searched for: it says how far back it has looked, and the next
//! request goes on from there.
//!
//! The time before the newest message is searched in windows, from the newest to the oldest. Each one is as long as the store's
//! speed so far allows: an empty night costs nothing, a busy minute may cost all. So any store can be searched like this, and no
//! statement has to be stopped half-way.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use store::{DeliveryKey, DeliveryRecord, Result, Store, TraceCursor, TraceQuery};

/// The first window, and the shortest one. It is searched to its end whatever it costs, so that each request gets further.
const WINDOW_MIN: SignedDuration = SignedDuration::from_mins(1);
/// How much longer than the last window the next one may be: what is searched further back may be denser.
const GROWTH_MAX: f64 = 16.0;

/// A page of a search, as far as the budget went.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) records: Vec<DeliveryRecord>,
    /// Where the next request goes on. `None`: there is no more.
    pub(crate) next: Option<TraceCursor>,
    /// Everything that was received since then was looked at. `None`: everything that there is, or the page is full.
    pub(crate) searched_since: Option<Timestamp>,
}

/// The newest rows of a query, as many as its limit and the budget allow. `now`: nothing older than a minute before is in the
/// first window.
pub(crate) async fn page_within<S: Store>(
    store: &S,
    query: TraceQuery,
    budget: Duration,
    now: Timestamp,
) -> Result<Found> {
    let limit = query.limit as usize;
    let begin = Instant::now();
    let mut windows = Windows::new(&query, now);
    let mut records: Vec<DeliveryRecord> = Vec::new();
    while let Some(window) = windows.next(budget.saturating_sub(begin.elapsed())) {
        let left = (limit - records.len()).saturating_add(1);
        let began = Instant::now();
        let query = TraceQuery {
            since: window.since,
            until: window.until,
            limit: left.try_into().unwrap_or(u32::MAX),
            ..query.clone()
        };
        records.extend(store.trace(query).await?);
        windows.note(began.elapsed());
        if records.len() > limit {
            records.truncate(limit);
            let next = records.last().map(TraceCursor::from);
            return Ok(Found { records, next, searched_since: None });
        }
    }
    let next = windows.rest();
    Ok(Found { records, searched_since: next.map(|next| next.received), next })
}

/// Times of receipt: at or after the first, and before the second. `None`: without end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Debug)]
struct Windows {
    /// Of the whole search.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// All windows so far, from the newest: they began here. `None`: at the beginning of the search, which is over.
    reached: Option<Timestamp>,
    is_first: bool,
    length: SignedDuration,
    /// What the last window took.
    took: Duration,
}

impl Windows {
    fn new(query: &TraceQuery, now: Timestamp) -> Self {
        // One more than the row after which the page begins: others have the same time.
        let after = query.after.and_then(|after| after.received.checked_add(SignedDuration::from_millis(1)).ok());
        let newest = [query.until, after].into_iter().flatten().min();
        Self {
            since: query.since,
            until: query.until,
            reached: Some(newest.unwrap_or(now).min(now)),
            is_first: true,
            length: WINDOW_MIN,
            took: Duration::ZERO,
        }
    }

    fn next(&mut self, left: Duration) -> Option<Window> {
        let reached = self.reached?;
        if !self.is_first {
            if left.is_zero() {
                return None;
            }
            let growth = left.as_secs_f64() / 2.0 / self.took.as_secs_f64().max(1e-6);
            let length = self.length.as_secs_f64() * growth.min(GROWTH_MAX);
            self.length = SignedDuration::try_from_secs_f64(length).unwrap_or(SignedDuration::MAX).max(WINDOW_MIN);
        }
        // Messages of a node whose clock is ahead are in the first window.
        let until = if self.is_first { self.until } else { Some(reached) };
        self.is_first = false;
        let since = reached.checked_sub(self.length).ok().filter(|at| self.since.is_none_or(|since| since < *at));
        self.reached = since;
        Some(Window { since: since.or(self.since), until })
    }

    fn note(&mut self, took: Duration) {
        self.took = took;
    }

    /// Where a search goes on that is not over.
    fn rest(&self) -> Option<TraceCursor> {
        self.reached.map(|received| TraceCursor { received, delivery: DeliveryKey(i64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use protocol::smtp::{Address, Envelope, ReversePath};
    use store::{Content, History as _, NewDelivery, NewMessage, Queue as _, SqliteStore};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    async fn accept(store: &SqliteStore, received: Timestamp, recipients: usize) {
        let delivery = |number| NewDelivery {
            recipient: Address::parse(&format!("user{number}@onprem.test")).unwrap(),
            notify: None,
            orcpt: None,
            connector: "onprem".to_owned(),
            due_in: Duration::ZERO,
            review_in: Duration::from_secs(60),
        };
        let message = NewMessage {
            network_message_id: Uuid::now_v7(),
            received,
            envelope: Envelope::from(ReversePath::Null),
            message_id: None,
            subject: None,
            size_bytes: 2,
            client: None,
            content: Content::Inline("\r\n".into()),
            withhold_addresses: false,
            deliveries: (0..recipients).map(delivery).collect(),
        };
        store.accept(message, None, vec![]).await.unwrap();
    }

    /// Minutes before now at which messages were received, one of them by a node whose clock is ahead.
    const MINUTES: [i64; 12] = [-3, 0, 0, 1, 2, 2, 9, 30, 31, 31, 55, 59];

    async fn filled(folder: &std::path::Path) -> SqliteStore {
        let store = SqliteStore::open(folder, "mx1").unwrap();
        for (number, minutes) in MINUTES.into_iter().enumerate() {
            accept(&store, NOW - SignedDuration::from_mins(minutes), 1 + number % 3).await;
        }
        store
    }

    fn keys(records: &[DeliveryRecord]) -> Vec<DeliveryKey> {
        records.iter().map(|record| record.delivery.key).collect()
    }

    /// Whatever the budget and the size of a page, the pages together are what a search without a budget finds.
    #[tokio::test]
    async fn pages_go_on_where_the_budget_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let since = NOW - SignedDuration::from_mins(58);
        let ranges = [(Some(since), None), (Some(since), Some(NOW)), (None, None)];
        for (budget, limit, (since, until)) in [Duration::ZERO, Duration::from_secs(60)]
            .into_iter()
            .flat_map(|budget| [1, 4, 1000].map(|limit| (budget, limit)))
            .flat_map(|(budget, limit)| ranges.map(|range| (budget, limit, range)))
            // Without a budget, the beginning of time is reached minute by minute.
            .filter(|(budget, _, (since, _))| since.is_some() || !budget.is_zero())
        {
            let mut query = TraceQuery { since, until, limit, ..TraceQuery::default() };
            let all = store.trace(TraceQuery { limit: 1000, ..query.clone() }).await.unwrap();
            let (mut found, mut requests) = (Vec::new(), 0);
            loop {
                let page = page_within(&store, query.clone(), budget, NOW).await.unwrap();
                requests += 1;
                assert!(page.records.len() <= limit as usize && requests < 200);
                let is_full = page.records.len() == limit as usize;
                assert!(is_full || page.searched_since == page.next.map(|next| next.received));
                found.extend(page.records);
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(keys(&found), keys(&all), "{budget:?} {limit} {since:?} {until:?}");
            assert!(!budget.is_zero() || requests >= 57, "each request looks at one minute: {requests}");
        }
    }

    #[test]
    fn windows_become_longer_where_they_cost_little() {
        let mut windows = Windows::new(&TraceQuery::default(), NOW);
        let budget = Duration::from_millis(400);
        let mut count = 0;
        while windows.next(budget).is_some() {
            windows.note(Duration::from_micros(50));
            count += 1;
        }
        assert!(count < 15, "{count}");
        assert_eq!(windows.rest(), None);
    }

    #[test]
    fn a_window_that_costs_the_budget_is_the_last() {
        let mut windows = Windows::new(&TraceQuery::default(), NOW);
        assert!(windows.next(Duration::ZERO).is_some());
        windows.note(Duration::from_secs(3));
        assert_eq!(windows.next(Duration::ZERO), None);
        let rest = windows.rest().unwrap();
        assert_eq!(rest.received, NOW - SignedDuration::from_mins(1));
    }
}
