//! Evidence on one connector: messages that wait after a failure, and the messages that finished last. Its size is
//! bounded, so that reading costs the same for any length of the queue.

use std::collections::HashSet;

use diagnosis::{Evidence, sources};
use jiff::Timestamp;
use store::{MessageKey, State, Store, TraceQuery};
use trace::Event;

/// Maximum number of waiting messages to read, and of finished ones.
const MESSAGES_MAX: u32 = 1000;
/// Maximum number of attempts of each kind, because a message may have a thousand recipients.
const ATTEMPTS_MAX: usize = 10_000;
/// Messages read at a time.
const PAGE: usize = 100;
/// Attempts of each kind that are kept in full, for pictures.
const KEPT: usize = 10;

/// Evidence on one connector.
pub struct OfConnector {
    pub evidence: Evidence,
    pub last_delivered: Option<Timestamp>,
    /// Messages that were received earlier were not all read. `None`: all were.
    pub read_since: Option<Timestamp>,
}

/// When messages were received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub since: Timestamp,
    /// `None`: until now.
    pub until: Option<Timestamp>,
}

/// Of finished messages that were received in that time, and of all that wait after a failure.
pub async fn of_connector<S: Store>(store: &S, connector: &str, received: Received) -> store::Result<OfConnector> {
    let mut evidence = Evidence::keeping(KEPT);
    let add = |events: &[Event]| {
        sources::history::add_history(&mut evidence, events, None);
        evidence.len()
    };
    let Seen { last_delivered, read_since, .. } = read(store, connector, received, add).await?;
    Ok(OfConnector { evidence, last_delivered, read_since })
}

/// What was read of a connector.
pub(crate) struct Seen {
    pub(crate) messages: u64,
    last_delivered: Option<Timestamp>,
    pub(crate) read_since: Option<Timestamp>,
}

/// `add` gets the history of each message, and returns the number of attempts so far.
pub(crate) async fn read<S: Store>(
    store: &S,
    connector: &str,
    Received { since, until }: Received,
    mut add: impl FnMut(&[Event]) -> usize,
) -> store::Result<Seen> {
    let deferred = store.deferred(connector, MESSAGES_MAX).await?;
    let query = TraceQuery {
        connector: Some(connector.to_owned()),
        states: Some(vec![State::Delivered, State::Failed]),
        since: Some(since),
        until,
        limit: MESSAGES_MAX,
        ..TraceQuery::default()
    };
    let finished = store.trace(query).await?;
    let delivered = finished.iter().filter(|record| record.state == State::Delivered);
    let last_delivered = delivered.filter_map(|record| record.settled).max();
    let is_cut = finished.len() >= MESSAGES_MAX as usize;
    let read_since = finished.iter().map(|record| record.message.received).min().filter(|_| is_cut);
    let mut seen: HashSet<MessageKey> = deferred.iter().copied().collect();
    let finished: Vec<_> = finished.iter().map(|record| record.message.key).filter(|key| seen.insert(*key)).collect();
    let messages = (deferred.len() + finished.len()) as u64;
    let mut attempts = 0;
    for messages in [deferred, finished] {
        let full = attempts + ATTEMPTS_MAX;
        for page in messages.chunks(PAGE) {
            if attempts >= full {
                break;
            }
            for history in store.histories(page.to_vec()).await? {
                attempts = add(&history);
            }
        }
    }
    Ok(Seen { messages, last_delivered, read_since })
}
