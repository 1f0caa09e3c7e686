//! Messages of other systems, read from their files.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use anyhow::{Context as _, bail};
use diagnosis::Source;
use jiff::{Timestamp, tz::TimeZone};
use store::{AddressPattern, SubjectMatch};
use trace::{
    ForeignFormat, NextStep,
    message_trace::{self, Column as Field, Row},
};

use super::files::{Content, Opened, whole};
use crate::{Moment, Search, Status};

/// One message for one recipient, as far as the files show it.
pub struct ForeignMessage {
    pub received: Option<Timestamp>,
    last: Option<Timestamp>,
    pub status: Status,
    pub sender: String,
    pub recipient: String,
    pub subject: String,
    pub message_id: String,
    pub network_message_id: String,
    /// The last reply or failure.
    pub why: String,
    /// In the order of the files; empty unless they were asked for.
    pub events: Vec<Row>,
}

/// All messages of the files.
#[derive(Default)]
pub struct ForeignMessages {
    /// By message and recipient.
    places: HashMap<(String, String), usize>,
    pub messages: Vec<ForeignMessage>,
    pub rows: u64,
    /// Lines that were not recognised.
    pub skipped: u64,
}

/// The final status of a delivery. Other events show only how far the delivery came.
fn ending(event: &str) -> Option<Status> {
    message_trace::Status::after_event(event).map(Status::from)
}

/// The recipient of an event. The event that expands a list names the members, but is about the list.
fn concerned(row: &Row) -> &str {
    let is_expansion = ending(&row[Field::EventId]) == Some(Status::Expanded);
    let list = &row[Field::RelatedRecipientAddress];
    if is_expansion && !list.is_empty() { list } else { &row[Field::RecipientAddress] }
}

/// Events that show a message also where its recipients are not named.
fn settles_something(event: &str) -> bool {
    ending(event).is_some() || ["DEFER", "RECEIVE"].iter().any(|known| event.eq_ignore_ascii_case(known))
}

fn why(path: &Path) -> String {
    format!("`{}`", NextStep::WhyRecognised { file: path.display().to_string() })
}

/// A rejected message never got an id, so its time and sender identify it.
fn message_key(row: &Row) -> Option<String> {
    let id = [&row[Field::NetworkMessageId], &row[Field::MessageId]].into_iter().find(|id| !id.is_empty());
    let is_ending = ending(&row[Field::EventId]).is_some();
    let refused = || is_ending.then(|| format!("{:?} {}", row.at, &row[Field::SenderAddress]));
    id.map(str::to_ascii_lowercase).or_else(refused)
}

impl ForeignMessages {
    /// Adds the messages of a file, whose kind its content shows if `forced` does not say it. Times without a zone are in
    /// `zone`, those without a year are not after `now`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is of another kind, or has no line of the server that its format is for.
    pub fn read(
        &mut self,
        forced: Option<&'static ForeignFormat>,
        path: &Path,
        now: Timestamp,
        zone: &TimeZone,
        detail: bool,
    ) -> anyhow::Result<()> {
        let Opened { source, content, .. } = Opened::new(path, forced.map(Source::Log))?;
        let format = match source {
            Source::Log(format) => format,
            Source::Dsn => return self.read_bounce(content, detail),
            Source::ProtocolLog | Source::OwnProtocolLog => {
                bail!("this is a protocol log, which does not say what became of messages; use {}", why(path))
            }
            Source::Capture => bail!("this is a packet capture, which has no messages to list; use {}", why(path)),
            _ => bail!("this is a TLS report, which has no messages to list; use {}", why(path)),
        };
        let mut rows = format.read(content, now, zone)?;
        let before = self.rows;
        for row in rows.by_ref() {
            self.rows += 1;
            self.add(&row?, detail);
        }
        self.skipped += rows.skipped();
        match format.server {
            Some(server) if self.rows == before => {
                bail!("no deliveries of {server} found; check that it is a file of {server}")
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read_bounce(&mut self, content: Content, detail: bool) -> anyhow::Result<()> {
        let dsn = trace::dsn::read(&whole(content)?).context("not a delivery status notification (bounce)")?;
        for row in dsn.rows() {
            self.rows += 1;
            self.add(&row, detail);
        }
        Ok(())
    }

    /// Keeps the messages that pass, newest first.
    pub fn select(&mut self, filter: &ForeignFilter<'_>) {
        // Some sources name the recipient in some events of a message only.
        let named: HashSet<&str> =
            self.places.keys().filter(|(_, recipient)| !recipient.is_empty()).map(|(id, _)| id.as_str()).collect();
        let of_others =
            self.places.iter().filter(|((id, recipient), _)| recipient.is_empty() && named.contains(id.as_str()));
        let of_others: HashSet<usize> = of_others.map(|(_, place)| *place).collect();
        let mut place = 0..;
        self.messages.retain(|_| place.next().is_some_and(|place| !of_others.contains(&place)));
        self.places.clear();
        self.messages.retain(|message| filter.passes(message));
        self.messages.sort_by(|a, b| b.received.cmp(&a.received).then_with(|| a.recipient.cmp(&b.recipient)));
        self.messages.truncate(filter.search.limit as usize);
    }

    fn add(&mut self, row: &Row, detail: bool) {
        let Some(id) = message_key(row) else { return };
        let mut recipients: Vec<&str> = concerned(row).split(';').collect();
        recipients.sort_unstable();
        recipients.dedup();
        recipients.retain(|recipient| !recipient.is_empty());
        if recipients.is_empty() && settles_something(&row[Field::EventId]) {
            recipients.push("");
        }
        for recipient in recipients {
            let key = (id.clone(), recipient.to_ascii_lowercase());
            let place = *self.places.entry(key).or_insert_with(|| {
                self.messages.push(ForeignMessage::new(row, recipient));
                self.messages.len() - 1
            });
            if let Some(message) = self.messages.get_mut(place) {
                message.add(row, detail);
            }
        }
    }
}

impl ForeignMessage {
    fn new(row: &Row, recipient: &str) -> Self {
        Self {
            received: None,
            last: None,
            status: Status::Pending,
            sender: row[Field::SenderAddress].to_owned(),
            recipient: recipient.to_owned(),
            subject: row[Field::MessageSubject].to_owned(),
            message_id: row[Field::MessageId].to_owned(),
            network_message_id: row[Field::NetworkMessageId].to_owned(),
            why: String::new(),
            events: Vec::new(),
        }
    }

    /// Rows may be in any order.
    fn add(&mut self, row: &Row, detail: bool) {
        self.received = [self.received, row.at].into_iter().flatten().min();
        // A listing does not say when it was tried last: later than it arrived.
        let is_later = row.at.is_none() || row.at >= self.last;
        let event = &row[Field::EventId];
        match ending(event) {
            Some(status) if is_later || self.status == Status::Pending => {
                self.status = status;
                row[Field::RecipientStatus].clone_into(&mut self.why);
            }
            None if event.eq_ignore_ascii_case("DEFER") && self.status == Status::Pending && is_later => {
                row[Field::RecipientStatus].clone_into(&mut self.why);
            }
            _ => {}
        }
        self.last = self.last.max(row.at);
        if detail {
            self.events.push(row.clone());
        }
    }
}

/// A condition that only the history of this gateway can answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "only these options filter files: --sender, --recipient, --subject, --subject-starts-with, --subject-ends-with, \
     --message-id, --status, --since and --until"
)]
pub struct NotForFiles;

/// The conditions of a search that apply to files.
pub struct ForeignFilter<'a> {
    search: &'a Search,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<'a> ForeignFilter<'a> {
    /// # Errors
    ///
    /// The search has conditions that files do not answer.
    pub fn new(search: &'a Search, now: Timestamp) -> Result<Self, NotForFiles> {
        let Search { message, from_ip, size_min, size_max, connector, last_attempt, after, .. } = search;
        let is_for_history = message.is_some()
            || from_ip.is_some()
            || size_min.is_some()
            || size_max.is_some()
            || connector.is_some()
            || after.is_some()
            || *last_attempt != Default::default();
        if is_for_history {
            return Err(NotForFiles);
        }
        let at = |moment: Option<Moment>| moment.map(|moment| moment.timestamp(now));
        Ok(Self { search, since: at(search.since), until: at(search.until) })
    }

    fn passes(&self, message: &ForeignMessage) -> bool {
        let Search { sender, recipient, subjects, message_id, status, .. } = self.search;
        let matches = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| {
            wanted.as_ref().is_none_or(|wanted| test(&wanted.to_lowercase()))
        };
        let id = message.message_id.trim_matches(['<', '>']).to_lowercase();
        let written = message.subject.to_lowercase();
        let subject_fits = subjects.iter().all(|wanted| match wanted {
            SubjectMatch::Contains(text) => written.contains(&text.to_lowercase()),
            SubjectMatch::StartsWith(text) => written.starts_with(&text.to_lowercase()),
            SubjectMatch::EndsWith(text) => written.ends_with(&text.to_lowercase()),
        });
        matches(sender, &|wanted| AddressPattern::parse(wanted).matches(&message.sender.to_lowercase()))
            && matches(recipient, &|wanted| AddressPattern::parse(wanted).matches(&message.recipient.to_lowercase()))
            && subject_fits
            && matches(message_id, &|wanted| id == wanted.trim_matches(['<', '>']))
            && (status.is_empty() || status.contains(&message.status))
            && self.since.is_none_or(|since| message.received.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| message.received.is_some_and(|at| at < until))
    }
}
