//! Counts what has happened so far, read from the store as commands do.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use store::{DeliveryRecord, State, Store, TraceQuery};
use trace::{Attempt, Event, EventKind};

/// Before or after the repair of the destination.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Broken,
    Repaired,
}

/// The properties by which attempts are grouped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Group {
    pub stage: Stage,
    pub node: String,
    pub policy: String,
    /// TLS version and cipher suite; `None`: no handshake succeeded.
    pub tls: Option<(String, String)>,
}

#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Attempts {
    pub ok: u64,
    pub failed: u64,
    /// The last failure, for people.
    pub failure: Option<String>,
}

/// Wait and attempts of one delivered message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Way {
    pub waited: Duration,
    pub tries: u32,
}

#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Tally {
    pub taken: usize,
    pub queued: usize,
    pub attempts: BTreeMap<Group, Attempts>,
    /// Of the delivered messages.
    pub ways: Vec<Way>,
    /// Number of bounced messages.
    pub failed: usize,
}

/// The time while the destination restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repair {
    pub began: Timestamp,
    pub ended: Timestamp,
}

impl Repair {
    /// An attempt during the restart counts as repaired if it works. If it fails, the server was down.
    fn is_of(self, attempt_began: Timestamp, works: bool) -> bool {
        attempt_began >= if works { self.began } else { self.ended }
    }
}

impl Tally {
    pub(crate) async fn read<S: Store>(store: &S, repair: Option<Repair>) -> store::Result<Self> {
        let mut tally = Self::default();
        let records = store.trace(TraceQuery { limit: u32::MAX, ..TraceQuery::default() }).await?;
        let messages = records.iter().map(|record| record.message.key).collect();
        for (record, events) in records.iter().zip(store.histories(messages).await?) {
            tally.add(record, &events, repair);
        }
        Ok(tally)
    }

    fn add(&mut self, record: &DeliveryRecord, events: &[Event], repair: Option<Repair>) {
        self.taken += 1;
        let mut tries = 0;
        for event in events {
            let Some(attempt) = event.kind.attempt() else { continue };
            tries += 1;
            // The begin of an attempt decides its stage.
            let began = event.at - Duration::from_millis(attempt.duration_ms);
            let works = event.kind.failure().is_none();
            let stage = match repair {
                Some(repair) if repair.is_of(began, works) => Stage::Repaired,
                _ => Stage::Broken,
            };
            self.attempts.entry(group(stage, event, attempt)).or_default().add(&event.kind);
        }
        match (record.state, record.settled) {
            (State::Delivered, Some(settled)) => {
                let waited = settled.duration_since(record.message.received);
                self.ways.push(Way { waited: Duration::try_from(waited).unwrap_or_default(), tries });
            }
            (State::Queued | State::Leased | State::Suspended, _) => self.queued += 1,
            _ => self.failed += 1,
        }
    }

    pub(crate) fn delivered(&self) -> usize {
        self.ways.len()
    }
}

impl Attempts {
    fn add(&mut self, kind: &EventKind) {
        match kind.failure() {
            Some(failure) => {
                self.failed += 1;
                self.failure = Some(failure.summary());
            }
            None => self.ok += 1,
        }
    }
}

fn group(stage: Stage, event: &Event, attempt: &Attempt) -> Group {
    let tls = attempt.tls.as_ref().map(|tls| (tls.version.clone(), tls.cipher.clone()));
    Group { stage, node: event.node.clone(), policy: attempt.tls_policy.clone(), tls }
}
