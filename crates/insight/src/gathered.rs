//! Gathers evidence for diagnosis from its sources.

use diagnosis::{Clock, Evidence, Finding, Joined, sources};
use serde_json::{Value, json};
use store::{Store, TraceQuery};
use trace::Event;

use crate::{
    Addresses, Pages, excerpts,
    views::FindingView,
    wording::{counted, moment},
};

/// Counts of what was read.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Read {
    pub attempts: u64,
    pub messages: u64,
    pub rows_skipped: u64,
    /// Attempts that several sources reported.
    pub attempts_joined: u64,
    /// Sessions of captures that missed packets of them.
    pub sessions_incomplete: u64,
    /// Clocks that differ by more than a second.
    pub clocks: Vec<Clock>,
}

/// The documented JSON of findings.
pub fn findings_json(findings: &[&Finding], read: &Read) -> Value {
    let views: Vec<FindingView> = findings.iter().map(|finding| FindingView::from(*finding)).collect();
    json!({ "findings": views, "read": read })
}

/// Evidence and its sources.
#[derive(Debug)]
pub struct Gathered {
    pub evidence: Evidence,
    pub read: Read,
    /// Texts for people.
    pub sources: Vec<String>,
    pub notes: Vec<String>,
    pub addresses: Addresses,
}

impl Gathered {
    /// For findings only.
    pub fn for_findings() -> Self {
        Self::new(Evidence::default(), Addresses::shown())
    }

    /// For findings and a report, which shows some attempts in full.
    pub fn for_report(addresses: Addresses) -> Self {
        Self::new(Evidence::keeping(excerpts::ATTEMPTS_MAX), addresses)
    }

    fn new(evidence: Evidence, addresses: Addresses) -> Self {
        Self { evidence, read: Read::default(), sources: Vec::new(), notes: Vec::new(), addresses }
    }

    /// Adds the history of the messages that a query finds.
    pub async fn add_store<S: Store>(&mut self, store: &S, query: TraceQuery) -> store::Result<()> {
        self.add_store_by(store, query, sources::history::add_history).await
    }

    /// The same; `add` adds the events of each message.
    pub(crate) async fn add_store_by<S: Store>(
        &mut self,
        store: &S,
        query: TraceQuery,
        mut add: impl FnMut(&mut Evidence, &[Event], Option<&str>),
    ) -> store::Result<()> {
        let since = query.since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
        let mut pages = Pages::new(query);
        while let Some(records) = pages.read(store).await? {
            for record in &records {
                self.addresses.learn(record.message.envelope.sender.as_str());
                self.addresses.learn(record.delivery.recipient.as_str());
            }
            // Recipients of a message follow each other.
            let mut messages: Vec<_> = records.iter().map(|record| &record.message).collect();
            messages.dedup_by_key(|message| message.key);
            let keys: Vec<_> = messages.iter().map(|message| message.key).collect();
            self.read.messages += keys.len() as u64;
            for (history, message) in store.histories(keys).await?.iter().zip(messages) {
                add(&mut self.evidence, history, message.message_id.as_deref());
            }
        }
        self.sources.push(format!("the gateway's own history: {}{since}", counted(self.read.messages, "message")));
        Ok(())
    }

    /// Completes the evidence after the last addition. Returns notes for people.
    pub fn finish(&mut self) -> Vec<String> {
        let Joined { attempts, alone, clocks } = self.evidence.joined();
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(clocks.iter().map(ToString::to_string));
        if alone > 0 {
            notes.push(format!(
                "{} not compared with other sources, because there are too many attempts",
                counted(alone, "attempt")
            ));
        }
        self.read = Read {
            attempts: self.evidence.len() as u64,
            attempts_joined: attempts,
            clocks,
            ..std::mem::take(&mut self.read)
        };
        notes
    }
}
