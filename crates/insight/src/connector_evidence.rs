//! Evidence on one connector: messages that wait after a failure, and the messages that finished last. Its size is
//! bounded, so that reading costs the same for any length of the queue.

use std::collections::HashSet;

use diagnosis::{Evidence, sources};
use jiff::Timestamp;
use store::{MessageKey, State, Store, TraceQuery};

/// Maximum number of waiting messages to read, and of finished ones.
const MESSAGES_MAX: u32 = 1000;
/// Maximum number of attempts of each kind, because a message may have a thousand recipients.
const ATTEMPTS_MAX: usize = 10_000;
/// Messages read at a time.
const PAGE: usize = 100;

/// Evidence on one connector.
pub struct OfConnector {
    pub evidence: Evidence,
    pub last_delivered: Option<Timestamp>,
}

pub async fn of_connector<S: Store>(store: &S, connector: &str, since: Timestamp) -> store::Result<OfConnector> {
    let deferred = store.deferred(connector, MESSAGES_MAX).await?;
    let query = TraceQuery {
        connector: Some(connector.to_owned()),
        states: Some(vec![State::Delivered, State::Failed]),
        since: Some(since),
        limit: MESSAGES_MAX,
        ..TraceQuery::default()
    };
    let finished = store.trace(query).await?;
    let delivered = finished.iter().filter(|record| record.state == State::Delivered);
    let last_delivered = delivered.filter_map(|record| record.settled).max();
    let mut seen: HashSet<MessageKey> = deferred.iter().copied().collect();
    let finished = finished.iter().map(|record| record.message.key).filter(|key| seen.insert(*key)).collect();
    let mut evidence = Evidence::default();
    add(store, &mut evidence, deferred).await?;
    add(store, &mut evidence, finished).await?;
    Ok(OfConnector { evidence, last_delivered })
}

async fn add<S: Store>(store: &S, evidence: &mut Evidence, messages: Vec<MessageKey>) -> store::Result<()> {
    let full = evidence.len() + ATTEMPTS_MAX;
    for page in messages.chunks(PAGE) {
        if evidence.len() >= full {
            break;
        }
        for history in store.histories(page.to_vec()).await? {
            sources::history::add_history(evidence, &history, None);
        }
    }
    Ok(())
}
