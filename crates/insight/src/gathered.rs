//! Gathers evidence for diagnosis from its sources.

use diagnosis::{Clock, Evidence, Finding, Joined, overview, sources};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::{QueueQuery, Selection, State, Store, TraceQuery};
use trace::{Event, EventKind, foreign::Rows};

use crate::{
    Addresses, Pages, Received, WaitReasons, connector_evidence, excerpts,
    views::{FindingView, OverviewView},
    wording::{counted, moment},
};

/// Counts of what was read.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Read {
    pub attempts: u64,
    pub messages: u64,
    /// Lines or rows that were not recognised.
    pub rows_skipped: u64,
    /// Lines that were read, where a file has lines.
    pub lines: u64,
    /// Lines that were not recognised, by the program that wrote them.
    pub unread: Vec<Unread>,
    /// Attempts that several sources reported.
    pub attempts_joined: u64,
    /// Sessions of captures that missed packets of them.
    pub sessions_incomplete: u64,
    /// Clocks that differ by more than a second.
    pub clocks: Vec<Clock>,
}

/// A program, and how many of its lines were not recognised.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Unread {
    pub program: String,
    pub lines: u64,
}

impl Read {
    /// Counts the lines of a file that was read to its end.
    pub fn add_rows(&mut self, rows: &dyn Rows) {
        self.rows_skipped += rows.skipped();
        self.lines += rows.line();
        for (program, lines) in rows.unread() {
            match self.unread.iter_mut().find(|unread| unread.program == program) {
                Some(unread) => unread.lines += lines,
                None => self.unread.push(Unread { program, lines }),
            }
        }
        self.unread.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.program.cmp(&b.program)));
    }

    /// Lines that may be about mail and were not recognised.
    pub fn lines_unread(&self) -> u64 {
        let named = self.unread.iter().map(|unread| unread.lines).sum();
        if self.unread.is_empty() { self.rows_skipped } else { named }
    }

    /// True if most of the lines were recognised, so that silence means something.
    pub fn is_understood(&self) -> bool {
        self.lines_unread() * 2 <= self.lines
    }

    /// Such as `900 of 1,000 lines not recognised (postfix/smtpd 600, postfix/cleanup 300)`.
    pub fn unread_in_words(&self) -> String {
        const SHOWN_MAX: usize = 5;
        let programs = self.unread.iter().map(|unread| format!("{} {}", unread.program, unread.lines));
        let mut shown: Vec<String> = programs.take(SHOWN_MAX).collect();
        if self.unread.len() > SHOWN_MAX {
            shown.push(format!("{} more programs", self.unread.len() - SHOWN_MAX));
        }
        let shown = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) };
        format!("{} of {} not recognised{shown}", self.lines_unread(), counted(self.lines, "line"))
    }
}

/// The documented JSON of findings: a row for each cause, and all of them.
pub fn findings_json(findings: &[&Finding], read: &Read) -> Value {
    let views: Vec<FindingView> = findings.iter().map(|finding| FindingView::from(*finding)).collect();
    let rows: Vec<OverviewView> = overview(findings.iter().copied()).iter().map(OverviewView::from).collect();
    json!({ "overview": rows, "findings": views, "read": read })
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

    /// For findings and their pictures, with this number of attempts of each kind in full.
    pub fn for_pictures(attempts: usize) -> Self {
        Self::new(Evidence::keeping(attempts), Addresses::shown())
    }

    /// For findings and a report, which shows some attempts in full.
    pub fn for_report(addresses: Addresses) -> Self {
        Self::new(Evidence::keeping(excerpts::ATTEMPTS_MAX), addresses)
    }

    /// The same about senders that deliver mail to this side.
    pub fn inbound(self) -> Self {
        Self { evidence: self.evidence.inbound(), ..self }
    }

    fn new(evidence: Evidence, addresses: Addresses) -> Self {
        Self { evidence, read: Read::default(), sources: Vec::new(), notes: Vec::new(), addresses }
    }

    /// Adds the history of the messages that a query finds.
    pub async fn add_store<S: Store>(&mut self, store: &S, query: TraceQuery) -> store::Result<()> {
        self.add_store_while(store, query, || true).await.map(drop)
    }

    /// The same for as long as `goes_on` says so, from the newest message on. Returns the time since when all messages were
    /// read, if not all were.
    pub async fn add_store_while<S: Store>(
        &mut self,
        store: &S,
        query: TraceQuery,
        goes_on: impl Fn() -> bool,
    ) -> store::Result<Option<Timestamp>> {
        self.add_store_by(store, query, goes_on, sources::history::add_history).await
    }

    /// The same; `add` adds the events of each message.
    pub(crate) async fn add_store_by<S: Store>(
        &mut self,
        store: &S,
        query: TraceQuery,
        goes_on: impl Fn() -> bool,
        mut add: impl FnMut(&mut Evidence, &[Event], Option<&str>),
    ) -> store::Result<Option<Timestamp>> {
        let since = query.since.map(|since| format!(" since {}", moment(since))).unwrap_or_default();
        let mut pages = Pages::new(query);
        let mut read_since = None;
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
            if !goes_on() {
                read_since = records.last().map(|record| record.message.received);
                break;
            }
        }
        self.sources.push(format!("the gateway's own history: {}{since}", counted(self.read.messages, "message")));
        Ok(read_since)
    }

    /// Adds what [`of_connector`](crate::of_connector) reads. Returns the time since when all messages were read, if not all
    /// were.
    pub async fn add_connector<S: Store>(
        &mut self,
        store: &S,
        connector: &str,
        received: Received,
    ) -> store::Result<Option<Timestamp>> {
        let Self { evidence, addresses, .. } = self;
        let add = |events: &[Event]| {
            for event in events {
                if let EventKind::Received(received) = &event.kind {
                    addresses.learn(received.sender.as_str());
                }
                event.recipient.iter().for_each(|recipient| addresses.learn(recipient.as_str()));
            }
            sources::history::add_history(evidence, events, None);
            evidence.len()
        };
        let seen = connector_evidence::read(store, connector, received, add).await?;
        self.read.messages += seen.messages;
        let messages = counted(seen.messages, "message");
        self.sources.push(format!("the gateway's own history of the connector {connector}: {messages}"));
        Ok(seen.read_since)
    }

    /// Adds the mail that waits without an attempt, because its connector is paused. `connector`: only mail of this one.
    pub async fn add_paused<S: Store>(
        &mut self,
        store: &S,
        reasons: &WaitReasons<'_>,
        connector: Option<&str>,
    ) -> store::Result<()> {
        const PAGE: u32 = 500;
        let paused = reasons.paused().iter().filter(|(name, _)| connector.is_none_or(|wanted| wanted == *name));
        for (name, failure) in paused {
            let Some(since) = reasons.paused_since(name) else { continue };
            let selection =
                Selection { connector: Some(name.clone()), state: Some(State::Queued), ..Selection::default() };
            let mut next = Some(QueueQuery { selection, limit: PAGE, after: None });
            while let Some(query) = next.take() {
                let page = store.list(query.clone()).await?;
                let untried = page.iter().filter(|record| record.delivery.failure.is_none());
                let untried: Vec<_> =
                    untried.map(|record| (record.message.network_message_id.to_string(), record)).collect();
                let deliveries = untried.iter().map(|(message, record)| {
                    (message.as_str(), record.delivery.recipient.as_str(), record.message.received)
                });
                if !untried.is_empty() {
                    sources::history::add_paused(&mut self.evidence, name, failure, since, deliveries);
                }
                if page.len() == PAGE as usize {
                    let after = page.last().map(|record| (record.due, record.delivery.key));
                    next = Some(QueueQuery { after, ..query });
                }
            }
        }
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
