//! Evidence for diagnosis, gathered from where it lies.

mod connector;
mod files;

use diagnosis::{Evidence, sources};
use store::{Store, TraceQuery};

use crate::cli::Pages;
pub(crate) use connector::of_connector;
pub(crate) use files::Files;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(crate) struct Read {
    pub attempts: u64,
    pub messages: u64,
    pub rows_skipped: u64,
}

/// Reads the history of the messages that a query finds.
pub(crate) async fn from_store<S: Store>(store: &S, query: TraceQuery) -> store::Result<(Evidence, Read)> {
    let (mut evidence, mut read) = (Evidence::default(), Read::default());
    let mut pages = Pages::new(TraceQuery { limit: u32::MAX, ..query });
    while let Some(records) = pages.read(store).await? {
        // Recipients of a message follow each other.
        let mut keys: Vec<_> = records.iter().map(|record| record.message.key).collect();
        keys.dedup();
        read.messages += keys.len() as u64;
        for history in store.histories(keys).await? {
            sources::store::add_history(&mut evidence, &history);
        }
    }
    read.attempts = evidence.len() as u64;
    Ok((evidence, read))
}
