//! Reads the results of a search page by page.

use std::mem;

use store::{DeliveryRecord, Result, Store, TraceCursor, TraceQuery};

/// Records that are read at a time, so that memory does not grow with the length of an export.
const PAGE_ROWS: u32 = 2000;

/// The rows of a query, and the start of the next page if there is one.
async fn page<S: Store>(store: &S, query: TraceQuery) -> Result<(Vec<DeliveryRecord>, Option<TraceCursor>)> {
    let limit = query.limit as usize;
    // Read one row more to see if there is a next page.
    let mut records = store.trace(TraceQuery { limit: query.limit.saturating_add(1), ..query }).await?;
    let is_more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| is_more).map(TraceCursor::from);
    Ok((records, next))
}

/// All rows of a query, in pages that never divide a message.
pub struct Pages {
    query: TraceQuery,
    /// Number of rows still to read.
    left: u32,
    /// The last message of the previous page, which may continue in the next page.
    carried: Vec<DeliveryRecord>,
    /// The start of the rows beyond the limit; `None` while reading, and if there are none.
    pub next: Option<TraceCursor>,
}

impl Pages {
    pub fn new(query: TraceQuery) -> Self {
        Self { left: query.limit, query, carried: Vec::new(), next: None }
    }

    pub async fn read<S: Store>(&mut self, store: &S) -> Result<Option<Vec<DeliveryRecord>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let limit = self.left.min(PAGE_ROWS);
        let (records, next) = page(store, TraceQuery { limit, ..self.query.clone() }).await?;
        self.query.after = next;
        self.left = if next.is_some() { self.left - limit } else { 0 };
        let mut whole = mem::take(&mut self.carried);
        whole.extend(records);
        if self.left == 0 {
            self.next = next;
        } else {
            self.carried = whole.split_off(last_message(&whole));
        }
        Ok(Some(whole))
    }
}

/// The index of the first record of the last message.
fn last_message(records: &[DeliveryRecord]) -> usize {
    let Some(last) = records.last() else { return 0 };
    let other = records.iter().rposition(|record| record.message.key != last.message.key);
    other.map_or(0, |other| other + 1)
}
