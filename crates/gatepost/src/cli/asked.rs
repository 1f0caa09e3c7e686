//! What `gatepost why WHAT` is about: a message, an address, a domain, a connector, or a host.

use anyhow::{Context as _, bail};
use diagnosis::Evidence;
use insight::{Id, Pages};
use jiff::Timestamp;
use node::config::Config;
use store::{Store, TraceQuery};

use super::{ids, similar::no_match};

/// Messages of a sender that are looked for, the newest first.
const MESSAGES_MAX: u32 = 10_000;

/// The question, and what is known of it beside the evidence.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub what: Option<&'a str>,
    /// The configuration or the store has it, so a lack of evidence is not an error.
    is_known: bool,
    /// The connector of the message that it names, and when that was received.
    pub connector: Option<String>,
    received: Option<Timestamp>,
}

impl<'a> Asked<'a> {
    /// Everything that is added to the evidence from now on is matched with the question.
    pub(super) fn new(what: Option<&'a str>, config: Option<&Config>, evidence: &mut Evidence) -> Self {
        evidence_about(evidence, what.map(str::to_owned));
        let is_configured = |what: &str, config: &Config| names(config).any(|name| name.eq_ignore_ascii_case(what));
        let is_known = what.zip(config).is_some_and(|(what, config)| is_configured(what, config));
        Self { what, is_known, ..Self::default() }
    }

    /// Looks in the store for the message or the sender.
    pub(super) async fn look_in<S: Store>(
        &mut self,
        store: &S,
        since: Option<Timestamp>,
        evidence: &mut Evidence,
    ) -> anyhow::Result<()> {
        let Some(what) = self.what else { return Ok(()) };
        if let Some(id) = as_id(what) {
            let id = ids::message(id, store).await?;
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
    pub(super) fn query(&self, since: Option<Timestamp>) -> TraceQuery {
        let since = match self.received {
            Some(received) => since.map(|since| since.min(received)),
            None => since,
        };
        TraceQuery { since, connector: self.connector.clone(), limit: u32::MAX, ..TraceQuery::default() }
    }

    /// # Errors
    ///
    /// Nothing matches: the error has the names that are most alike.
    pub(super) fn check(&self, config: Option<&Config>, evidence: &Evidence) -> anyhow::Result<()> {
        let Some(what) = self.what.filter(|_| !self.is_known && !evidence.has_match()) else { return Ok(()) };
        let configured = config.into_iter().flat_map(names);
        let known: Vec<&str> = evidence.names().into_iter().chain(configured).collect();
        Err(no_match("no message, address, domain, connector or host is named", what, known))
    }
}

fn evidence_about(evidence: &mut Evidence, names: impl IntoIterator<Item = String>) {
    let mut names = names.into_iter().peekable();
    if names.peek().is_some() {
        evidence.ask_about(names);
    }
}

fn names(config: &Config) -> impl Iterator<Item = &str> {
    let connectors = config.connectors.iter().map(|connector| connector.name.as_str());
    connectors.chain(config.accepted_domains.iter().map(|domain| domain.name.as_str()))
}

/// A message's id, or its beginning with dashes at their places: a host name rarely looks like that.
fn as_id(what: &str) -> Option<Id> {
    let id: Id = what.parse().ok()?;
    (id.whole().is_some() || what.as_bytes().get(8) == Some(&b'-')).then_some(id)
}
