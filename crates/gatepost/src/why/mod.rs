//! Evidence for diagnosis, gathered from where it lies, and what is written of it for others: reports and bundles.

mod addresses;
mod bundle;
mod connector;
mod excerpts;
mod files;
mod impact;
mod output;
mod probe;
mod report;
mod rollout;

use diagnosis::{Evidence, Finding, sources};
use serde_json::{Value, json};
use store::{Store, TraceQuery};

use crate::cli::Pages;
pub(crate) use addresses::Addresses;
pub(crate) use bundle::bundle;
pub(crate) use connector::of_connector;
pub(crate) use excerpts::{Excerpts, attempts};
pub(crate) use files::Files;
pub(crate) use impact::{Impact, impact};
pub(crate) use output::write as write_file;
pub(crate) use probe::Prober;
pub(crate) use report::Report;
pub(crate) use rollout::trouble_of;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub(crate) struct Read {
    pub attempts: u64,
    pub messages: u64,
    pub rows_skipped: u64,
    /// Sessions of protocol logs that captures had too.
    pub sessions_joined: u64,
}

/// The documented JSON of findings.
pub(crate) fn json(findings: &[&Finding], read: Read) -> Value {
    json!({ "findings": findings, "read": read })
}

/// Evidence, and where it is from.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub evidence: Evidence,
    pub read: Read,
    /// For people.
    pub sources: Vec<String>,
    pub addresses: Addresses,
}

impl Gathered {
    /// For findings alone.
    pub(crate) fn for_findings() -> Self {
        Self::new(Evidence::default(), Addresses::shown())
    }

    /// For a report as well, which shows some attempts in full.
    pub(crate) fn for_report(addresses: Addresses) -> Self {
        Self::new(Evidence::keeping(excerpts::ATTEMPTS_MAX), addresses)
    }

    fn new(evidence: Evidence, addresses: Addresses) -> Self {
        Self { evidence, read: Read::default(), sources: Vec::new(), addresses }
    }

    /// Adds the history of the messages that a query finds.
    pub(crate) async fn add_store<S: Store>(&mut self, store: &S, query: TraceQuery) -> store::Result<()> {
        let since = query.since.map(|since| format!(" since {}", report::moment(since))).unwrap_or_default();
        let mut pages = Pages::new(query);
        while let Some(records) = pages.read(store).await? {
            for record in &records {
                self.addresses.learn(record.message.sender.as_str());
                self.addresses.learn(record.delivery.recipient.as_str());
            }
            // Recipients of a message follow each other.
            let mut keys: Vec<_> = records.iter().map(|record| record.message.key).collect();
            keys.dedup();
            self.read.messages += keys.len() as u64;
            for history in store.histories(keys).await? {
                sources::store::add_history(&mut self.evidence, &history);
            }
        }
        self.read.attempts = self.evidence.len() as u64;
        self.sources
            .push(format!("the gateway's own history of {}{since}", report::counted(self.read.messages, "message")));
        Ok(())
    }
}
