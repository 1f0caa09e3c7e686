//! `gatepost trace --from-…`: shows mail of other systems, read from their files, in the same tables.

use std::{collections::HashMap, fs::File, io::Write, path::Path};

use anyhow::{Context as _, bail};
use insight::{Status, json};
use jiff::Timestamp;
use serde_json::json;
use trace::{
    ForeignFormat,
    message_trace::{self, Column as Field, Row},
};

use super::{
    arguments::{SearchArguments, TraceArguments, TraceFormat},
    screen::{Screen, counted, wrapped},
    table::{Cell, Column, Table},
    waiting,
};

/// One message for one recipient, as far as the files show it.
struct Traced {
    received: Option<Timestamp>,
    last: Option<Timestamp>,
    status: Status,
    sender: String,
    recipient: String,
    subject: String,
    message_id: String,
    network_message_id: String,
    why: String,
    events: Vec<Row>,
}

/// All messages of the files.
#[derive(Default)]
struct Files {
    /// By message and recipient.
    places: HashMap<(String, String), usize>,
    traced: Vec<Traced>,
    rows: u64,
    skipped: u64,
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

/// A rejected message never got an id, so its time and sender identify it.
fn message_key(row: &Row) -> Option<String> {
    let id = [&row[Field::NetworkMessageId], &row[Field::MessageId]].into_iter().find(|id| !id.is_empty());
    let is_ending = ending(&row[Field::EventId]).is_some();
    let refused = || is_ending.then(|| format!("{:?} {}", row.at, &row[Field::SenderAddress]));
    id.map(str::to_ascii_lowercase).or_else(refused)
}

impl Files {
    fn read(
        &mut self,
        format: &ForeignFormat,
        path: &Path,
        arguments: &TraceArguments,
        screen: &Screen,
    ) -> anyhow::Result<()> {
        let failed = || format!("failed to read {}", path.display());
        let file = File::open(path).with_context(failed)?;
        let mut rows = format.read(file, screen.now, &screen.zone).with_context(failed)?;
        let before = self.rows;
        for row in rows.by_ref() {
            self.rows += 1;
            self.add(&row.with_context(failed)?, arguments.detail);
        }
        self.skipped += rows.skipped();
        match format.server {
            Some(server) if self.rows == before => {
                bail!("{}: no deliveries of {server} found; check that it is a {server} log", path.display())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn add(&mut self, row: &Row, detail: bool) {
        let Some(id) = message_key(row) else { return };
        let mut recipients: Vec<&str> = concerned(row).split(';').collect();
        recipients.sort_unstable();
        recipients.dedup();
        for recipient in recipients.into_iter().filter(|recipient| !recipient.is_empty()) {
            let key = (id.clone(), recipient.to_ascii_lowercase());
            let place = *self.places.entry(key).or_insert_with(|| {
                self.traced.push(Traced::new(row, recipient));
                self.traced.len() - 1
            });
            if let Some(traced) = self.traced.get_mut(place) {
                traced.add(row, detail);
            }
        }
    }
}

impl Traced {
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
        let is_later = row.at >= self.last;
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

/// The filters that apply to files; others are errors.
struct Filter<'a> {
    arguments: &'a TraceArguments,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a TraceArguments, now: Timestamp) -> anyhow::Result<Self> {
        let SearchArguments { message, from_ip, size_min, size_max, connector, last_attempt, after, .. } =
            &arguments.search;
        let inapplicable = message.is_some()
            || from_ip.is_some()
            || size_min.is_some()
            || size_max.is_some()
            || connector.is_some()
            || after.is_some()
            || arguments.follow
            || *last_attempt != Default::default();
        if inapplicable {
            bail!(
                "only these options filter files: --sender, --recipient, --subject, --subject-starts-with, \
                 --subject-ends-with, --message-id, --status, --since and --until"
            );
        }
        let (since, until) = (arguments.search.since, arguments.search.until);
        Ok(Self {
            arguments,
            since: since.map(|since| since.timestamp(now)),
            until: until.map(|until| until.timestamp(now)),
        })
    }

    fn passes(&self, traced: &Traced) -> bool {
        let arguments = self.arguments;
        let lower = |text: &str| text.to_lowercase();
        let subject = lower(&traced.subject);
        let matches = |wanted: &Option<String>, test: &dyn Fn(&str) -> bool| {
            wanted.as_ref().is_none_or(|wanted| test(&lower(wanted)))
        };
        let id = traced.message_id.trim_matches(['<', '>']);
        matches(&arguments.search.sender, &|wanted| address_matches(wanted, &lower(&traced.sender)))
            && matches(&arguments.search.recipient, &|wanted| address_matches(wanted, &lower(&traced.recipient)))
            && matches(&arguments.search.subject, &|wanted| subject.contains(wanted))
            && matches(&arguments.search.subject_starts_with, &|wanted| subject.starts_with(wanted))
            && matches(&arguments.search.subject_ends_with, &|wanted| subject.ends_with(wanted))
            && matches(&arguments.search.message_id, &|wanted| lower(id) == wanted.trim_matches(['<', '>']))
            && (arguments.search.status.is_empty() || arguments.search.status.contains(&traced.status))
            && self.since.is_none_or(|since| traced.received.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| traced.received.is_some_and(|at| at < until))
    }
}

/// An address, `@domain`, or a pattern with `*`; both in lower case.
fn address_matches<'a>(wanted: &str, address: &'a str) -> bool {
    let wanted = wanted.trim_matches(['<', '>']);
    let pattern = if wanted.starts_with('@') { format!("*{wanted}") } else { wanted.to_owned() };
    let Some((first, rest)) = pattern.split_once('*') else { return address == pattern };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = address.strip_prefix(first).and_then(|address| address.strip_suffix(last));
    let find = |rest: &'a str, part: &str| rest.find(part).map(|at| &rest[at + part.len()..]);
    inner.is_some_and(|inner| middle.split('*').try_fold(inner, find).is_some())
}

const COLUMNS: [Column; 7] = [
    Column::whole("RECEIVED"),
    Column::whole("STATUS"),
    Column::cut("SENDER", 12).spare(1),
    Column::cut("RECIPIENT", 14),
    Column::cut("SUBJECT", 8).spare(2),
    Column::cut("WHY", 16),
    Column::cut("ID", 12),
];

/// Reads the files and shows their messages, newest first.
pub(crate) fn run(arguments: &TraceArguments, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let filter = Filter::new(arguments, screen.now)?;
    let mut files = Files::default();
    for (format, paths) in arguments.logs.by_format() {
        for path in paths {
            files.read(format, path, arguments, screen)?;
        }
    }
    files.traced.retain(|traced| filter.passes(traced));
    files.traced.sort_by(|a, b| b.received.cmp(&a.received).then_with(|| a.recipient.cmp(&b.recipient)));
    files.traced.truncate(arguments.search.limit as usize);
    match arguments.format {
        TraceFormat::Json => {
            let mut list = json::List::open("messages", out)?;
            for traced in &files.traced {
                list.push(&view(traced))?;
            }
            list.close(&format!(", \"rows\": {}, \"rows_skipped\": {}", files.rows, files.skipped))?;
        }
        TraceFormat::Table => write_table(&files, arguments.detail, screen, out)?,
        TraceFormat::Csv | TraceFormat::TrackingLog => {
            bail!("messages from files have the formats table and json only; use --format json")
        }
    }
    Ok(())
}

fn view(traced: &Traced) -> serde_json::Value {
    json!({
        "received": traced.received,
        "status": traced.status.name(),
        "sender": traced.sender,
        "recipient": traced.recipient,
        "subject": traced.subject,
        "message_id": traced.message_id,
        "network_message_id": traced.network_message_id,
        "why": traced.why,
    })
}

fn write_table(files: &Files, detail: bool, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| Cell::new(""), |at| Cell::time(at, screen));
    let cells = |traced: &Traced| {
        vec![
            time(traced.received),
            Cell::coloured(traced.status.name(), waiting::colour(traced.status)),
            Cell::new(&traced.sender),
            Cell::new(&traced.recipient),
            Cell::new(&traced.subject),
            Cell::new(&traced.why),
            Cell::new(if traced.network_message_id.is_empty() {
                &traced.message_id
            } else {
                &traced.network_message_id
            }),
        ]
    };
    if detail {
        for traced in &files.traced {
            Table::records(&COLUMNS, screen).write(&[cells(traced)], out)?;
            let mut events: Vec<&Row> = traced.events.iter().collect();
            events.sort_by_key(|event| event.at);
            for event in events {
                let parts =
                    [Field::Source, Field::EventId, Field::ServerHostname, Field::ConnectorId, Field::RecipientStatus];
                let said = parts.map(|part| &event[part]).into_iter().filter(|part| !part.is_empty());
                let at = event.at.map(|at| screen.time(at)).unwrap_or_default();
                let text = format!("{at}  {}", said.collect::<Vec<_>>().join("  "));
                wrapped(&text, "  ", "      ", screen, out)?;
            }
            writeln!(out)?;
        }
    } else {
        Table::new(&COLUMNS, screen).write(&files.traced.iter().map(cells).collect::<Vec<_>>(), out)?;
    }
    if files.traced.is_empty() {
        writeln!(out, "No messages match.")?;
    }
    let (read, skipped) = (counted(files.rows, "event", "events"), counted(files.skipped, "line", "lines"));
    writeln!(out, "{read} read, {skipped} not recognised.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_match_as_they_say() {
        let table = [
            ("a@x.test", "a@x.test", true),
            ("a@x.test", "ba@x.test", false),
            ("@x.test", "a@x.test", true),
            ("@x.test", "a@sub.x.test", false),
            ("a*", "abc@x.test", true),
            ("*@x.test", "a@x.test", true),
            ("a*@x.test", "abc@x.test", true),
            ("a*c@*.test", "abc@x.test", true),
            ("a*d@*.test", "abc@x.test", false),
            ("*x.test", "a@x.test.example", false),
            ("*", "a@x.test", true),
            ("a*b*b", "abb", true),
            ("a*b*b", "ab", false),
        ];
        for (wanted, address, expected) in table {
            assert_eq!(address_matches(wanted, address), expected, "{wanted} {address}");
        }
    }
}
