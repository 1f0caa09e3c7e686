//! What `gatepost why WHAT` is about: a message, an address, a domain, a connector, or a host.

use anyhow::{Context as _, bail};
use diagnosis::Evidence;
use jiff::Timestamp;
use store::{Store, TraceQuery};
use uuid::Uuid;

use crate::{Id, Pages};

/// Messages of a sender that are looked for, the newest first.
const MESSAGES_MAX: u32 = 10_000;

/// The question, and what is known of it beside the evidence.
#[derive(Default)]
pub struct Asked<'a> {
    pub what: Option<&'a str>,
    /// The configuration or the store has it, so a lack of evidence is not an error.
    is_known: bool,
    /// The connector of the message that it names, and when that was received.
    pub connector: Option<String>,
    received: Option<Timestamp>,
}

impl<'a> Asked<'a> {
    /// Everything that is added to the evidence from now on is matched with the question. `configured`: the names of
    /// connectors and domains.
    pub fn new<'n>(
        what: Option<&'a str>,
        mut configured: impl Iterator<Item = &'n str>,
        evidence: &mut Evidence,
    ) -> Self {
        evidence_about(evidence, what.map(str::to_owned));
        let is_known = what.is_some_and(|what| configured.any(|name| name.eq_ignore_ascii_case(what)));
        Self { what, is_known, ..Self::default() }
    }

    /// Looks in the store for the message or the sender.
    pub async fn look_in<S: Store>(
        &mut self,
        store: &S,
        since: Option<Timestamp>,
        evidence: &mut Evidence,
    ) -> anyhow::Result<()> {
        let Some(what) = self.what else { return Ok(()) };
        if let Some(id) = as_id(what) {
            let id = message(id, store).await?;
            let record = store.message(id).await.context("failed to read the message")?;
            let Some(record) = record else { bail!("there is no message {id}") };
            evidence_about(evidence, [id.to_string()]);
            // Gatepost compares the message with other mail of the same connector.
            self.connector = record.deliveries.first().map(|record| record.delivery.connector.clone());
            self.received = Some(record.message.received);
            self.is_known = true;
        } else if what.contains('@') {
            let wanted = |limit| TraceQuery { since, limit, ..TraceQuery::default() };
            let to = TraceQuery { recipient: Some(what.to_owned()), ..wanted(1) };
            let from = TraceQuery { sender: Some(what.to_owned()), ..wanted(MESSAGES_MAX) };
            self.is_known |= !store.trace(to).await.context("failed to read the history")?.is_empty();
            let mut pages = Pages::new(from);
            while let Some(page) = pages.read(store).await.context("failed to read the history")? {
                self.is_known |= !page.is_empty();
                evidence_about(evidence, page.iter().map(|record| record.message.network_message_id.to_string()));
            }
        }
        Ok(())
    }

    /// The history to read: mail since then, and a message that is named, whenever it was received.
    pub fn query(&self, since: Option<Timestamp>) -> TraceQuery {
        let since = match self.received {
            Some(received) => since.map(|since| since.min(received)),
            None => since,
        };
        TraceQuery { since, connector: self.connector.clone(), limit: u32::MAX, ..TraceQuery::default() }
    }

    /// What was asked about, if neither the evidence nor the store nor the configuration has it.
    pub fn unmatched(&self, evidence: &Evidence) -> Option<&'a str> {
        self.what.filter(|_| !self.is_known && !evidence.has_match())
    }
}

fn evidence_about(evidence: &mut Evidence, names: impl IntoIterator<Item = String>) {
    let mut names = names.into_iter().peekable();
    if names.peek().is_some() {
        evidence.ask_about(names);
    }
}

/// The message that an id names, or the only one whose id begins like that. A whole id is returned as it is.
pub async fn message<S: Store>(id: Id, store: &S) -> anyhow::Result<Uuid> {
    if let Some(id) = id.whole() {
        return Ok(id);
    }
    let ids = store.ids_between(id.first, id.last, 2).await.context("failed to find the message")?;
    match ids.as_slice() {
        [] => bail!("there is no message whose id begins with {id}"),
        [id] => Ok(*id),
        _ => bail!("several messages have ids that begin with {id}; give more digits of the id"),
    }
}

/// A message's id, or its beginning with dashes at their places: a host name rarely looks like that.
/// True if it names mail by an address or an id, which only those may ask for who may search for messages.
pub fn names_mail(what: &str) -> bool {
    what.contains('@') || as_id(what).is_some()
}

fn as_id(what: &str) -> Option<Id> {
    let id: Id = what.parse().ok()?;
    (id.whole().is_some() || what.as_bytes().get(8) == Some(&b'-')).then_some(id)
}
