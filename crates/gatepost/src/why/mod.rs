//! Evidence for diagnosis, gathered from where it lies.

mod files;

use diagnosis::{Evidence, sources};
use store::{Store, TraceQuery};

pub(crate) use files::Files;

/// Messages read at a time.
const PAGE_ROWS: u32 = 2000;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(crate) struct Read {
    pub attempts: u64,
    pub messages: u64,
    pub rows_skipped: u64,
}

/// Reads the history of the messages that a query finds.
pub(crate) async fn from_store<S: Store>(store: &S, mut query: TraceQuery) -> store::Result<(Evidence, Read)> {
    let (mut evidence, mut read) = (Evidence::default(), Read::default());
    query.limit = PAGE_ROWS;
    let mut before = None;
    loop {
        let records = store.trace(query.clone()).await?;
        let mut keys: Vec<_> = records.iter().map(|record| record.message.key).collect();
        keys.dedup();
        // Recipients of a message follow each other: only the first may have been read with the page before.
        if keys.first() == before.as_ref() {
            keys.remove(0);
        }
        before = keys.last().copied().or(before);
        read.messages += keys.len() as u64;
        for history in store.histories(keys).await? {
            sources::store::add_history(&mut evidence, &history);
        }
        match records.last() {
            Some(last) if records.len() == PAGE_ROWS as usize => query.after = Some(last.into()),
            _ => break,
        }
    }
    read.attempts = evidence.len() as u64;
    Ok((evidence, read))
}
