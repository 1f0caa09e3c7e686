//! `gatepost trace`: what happened to messages.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use insight::{
    Id, Pages, Search, Status, WaitReasons, cursor_text,
    export::{self, sender},
    json,
    views::TraceView,
};
use jiff::Timestamp;
use node::config::Config;
use store::{DeliveryKey, DeliveryRecord, State, Store, TraceCursor, TraceQuery};
use trace::{
    Event,
    message_trace::{Column as Field, Encoding, EventWriter, Layout, SummaryWriter},
};
use uuid::Uuid;

use super::{
    arguments::{TraceArguments, TraceEncoding, TraceFormat},
    event, ids,
    screen::{Screen, counted},
    table::{Cell, Column, Table},
    unknown, waiting,
};

const COLUMNS: [Column; 7] = [
    Column::whole("RECEIVED"),
    Column::whole("STATUS"),
    Column::cut("SENDER", 12).spare(1),
    Column::cut("RECIPIENT", 14),
    Column::cut("SUBJECT", 8).spare(2),
    Column::cut("WHY", 16),
    Column::whole("ID"),
];

const FAILED: &str = "failed to search the queue's history";

pub(crate) async fn run<S: Store>(
    arguments: &TraceArguments,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let message = ids::named(arguments.search.message, store).await?;
    let search = Search { message: message.map(Id::from), ..arguments.search.search() };
    let query = search.query(screen.now)?;
    if arguments.follow {
        return follow(arguments, query, store, config, screen, out).await;
    }
    unknown::refuse_search(&search, &query, store, config).await?;
    let reasons = WaitReasons::read(store, config, screen.now).await?;
    let mut pages = Pages::new(query);
    let mut page = Page { store, reasons, screen, events: HashMap::new() };
    match arguments.format {
        TraceFormat::Json => {
            let mut list = json::List::open("messages", out)?;
            while let Some(records) = pages.read(store).await.context(FAILED)? {
                if arguments.detail {
                    page.read_events(&records).await?;
                }
                for record in &records {
                    let events = arguments.detail.then(|| page.events_of(record).cloned().collect());
                    list.push(&TraceView::new(record, &page.reasons, events))?;
                }
            }
            let next = pages.next.map_or_else(|| "null".to_owned(), |next| format!("\"{}\"", cursor_text(next)));
            list.close(&format!(", \"next\": {next}"))?;
        }
        TraceFormat::Csv if !arguments.detail => {
            let mut writer = SummaryWriter::new(out, encoding(arguments))?;
            while let Some(records) = pages.read(store).await.context(FAILED)? {
                export::write_summaries(&records, &mut writer)?;
            }
            writer.flush()?;
        }
        TraceFormat::Csv | TraceFormat::TrackingLog => {
            let is_log = arguments.format == TraceFormat::TrackingLog;
            let layout = if is_log { Layout::TrackingLog } else { Layout::ExtendedReport };
            let mut writer = EventWriter::new(out, layout, encoding(arguments), screen.now)?;
            while let Some(records) = pages.read(store).await.context(FAILED)? {
                page.read_events(&records).await?;
                page.write_events(&records, &mut writer)?;
            }
            writer.flush()?;
        }
        TraceFormat::Table => {
            // Read all rows first: the width of the columns depends on them.
            let mut all = Vec::new();
            while let Some(records) = pages.read(store).await.context(FAILED)? {
                all.extend(records);
            }
            if arguments.detail {
                page.write_detail(&all, out).await?;
            } else {
                page.write_table(&all, out)?;
            }
            write_count(&all, pages.next, out)?;
        }
    }
    Ok(())
}

fn encoding(arguments: &TraceArguments) -> Encoding {
    match arguments.encoding {
        TraceEncoding::Utf8 => Encoding::Utf8,
        TraceEncoding::Utf16Le => Encoding::Utf16Le,
    }
}

/// How often the history is read for changes.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Shows a row when a message arrives, and again each time its state changes.
async fn follow<S: Store>(
    arguments: &TraceArguments,
    mut query: TraceQuery,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    query.since = Some(query.since.unwrap_or(screen.now));
    let mut known: HashMap<DeliveryKey, (State, u32)> = HashMap::new();
    let mut table = Table::new(&COLUMNS, screen);
    loop {
        let now = Screen { now: Timestamp::now(), ..screen.clone() };
        let mut records = store.trace(query.clone()).await.context(FAILED)?;
        // Oldest first: new rows appear at the bottom.
        records.reverse();
        let reasons = WaitReasons::read(store, config, now.now).await?;
        let page = Page { store, reasons, screen: &now, events: HashMap::new() };
        let mut seen = HashMap::with_capacity(records.len());
        let mut rows = Vec::new();
        for record in &records {
            // Print no row for a lease: it lasts too short a time.
            let state = if record.state == State::Leased { State::Queued } else { record.state };
            let current = (state, record.delivery.attempts);
            if known.get(&record.delivery.key) != Some(&current) {
                match arguments.format {
                    TraceFormat::Json => {
                        writeln!(out, "{}", json::text(&TraceView::new(record, &page.reasons, None))?)?;
                    }
                    TraceFormat::Table | TraceFormat::Csv | TraceFormat::TrackingLog => rows.push(page.row(record)),
                }
            }
            seen.insert(record.delivery.key, current);
        }
        known = seen;
        if !rows.is_empty() {
            table.write(&rows, out)?;
        }
        out.flush()?;
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

struct Page<'a, S> {
    store: &'a S,
    reasons: WaitReasons<'a>,
    screen: &'a Screen,
    /// Events of the current page, if they are shown.
    events: HashMap<Uuid, Vec<Event>>,
}

impl<S: Store> Page<'_, S> {
    /// Reads the events of all records in one query.
    async fn read_events(&mut self, records: &[DeliveryRecord]) -> anyhow::Result<()> {
        let mut messages: Vec<_> =
            records.iter().map(|record| (record.message.key, record.message.network_message_id)).collect();
        messages.dedup();
        let keys = messages.iter().map(|(key, _)| *key).collect();
        let histories = self.store.histories(keys).await.context("failed to read the events")?;
        self.events = messages.into_iter().map(|(_, id)| id).zip(histories).collect();
        Ok(())
    }

    /// The events of a record: its own and the events of the whole message.
    fn events_of<'b>(&'b self, record: &'b DeliveryRecord) -> impl Iterator<Item = &'b Event> {
        let events = self.events.get(&record.message.network_message_id).into_iter().flatten();
        events.filter(|event| event.recipient.as_ref().is_none_or(|to| *to == record.delivery.recipient))
    }

    /// Writes a row for each event. An event of the whole message gets one row.
    fn write_events<W: Write>(&self, records: &[DeliveryRecord], writer: &mut EventWriter<W>) -> io::Result<()> {
        for message in records.chunk_by(|a, b| a.message.key == b.message.key) {
            let recipients: Vec<&str> = message.iter().map(|record| record.delivery.recipient.as_str()).collect();
            for (index, record) in message.iter().enumerate() {
                for event in self.events_of(record) {
                    let concerns_all = event.recipient.is_none();
                    let Some(mut row) = export::row(record, event).filter(|_| index == 0 || !concerns_all) else {
                        continue;
                    };
                    if concerns_all {
                        row.set(Field::RecipientAddress, recipients.join(";"));
                    }
                    writer.write(&row)?;
                }
            }
        }
        Ok(())
    }

    fn write_table(&self, records: &[DeliveryRecord], out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = records.iter().map(|record| self.row(record)).collect();
        Table::new(&COLUMNS, self.screen).write(&rows, out)
    }

    async fn write_detail(&mut self, records: &[DeliveryRecord], out: &mut dyn Write) -> anyhow::Result<()> {
        self.read_events(records).await?;
        for record in records {
            Table::records(&COLUMNS, self.screen).write(&[self.row(record)], out)?;
            for event in self.events_of(record) {
                event::write(event, self.screen, out)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn row(&self, record: &DeliveryRecord) -> Vec<Cell> {
        let status = Status::from(record.state);
        vec![
            Cell::time(record.message.received, self.screen),
            Cell::coloured(status.name(), waiting::colour(status)),
            Cell::new(sender(record)),
            Cell::new(record.delivery.recipient.as_str()),
            Cell::new(record.message.subject.as_deref().unwrap_or_default()),
            Cell::new(self.why(record)),
            Cell::id(record.message.network_message_id),
        ]
    }

    /// Pending: what the delivery waits for and the original cause. Otherwise: how the delivery ended.
    fn why(&self, record: &DeliveryRecord) -> String {
        let waiting = self.reasons.waiting(record).map(|waiting| waiting::short(&waiting, self.screen));
        let failure = self.reasons.cause(record).map(|failure| failure.summary());
        let reply = record.reply.as_ref().map(|reply| reply.to_string());
        match Status::from(record.state) {
            Status::Delivered => reply.unwrap_or_default(),
            Status::Pending => [waiting, failure].into_iter().flatten().collect::<Vec<_>>().join(": "),
            Status::Failed => failure.unwrap_or_default(),
            Status::Removed => "removed from the queue by an operator".to_owned(),
            // Deliveries of this gateway never have these statuses.
            Status::Expanded | Status::Quarantined | Status::FilteredAsSpam | Status::GettingStatus => String::new(),
        }
    }
}

fn write_count(records: &[DeliveryRecord], next: Option<TraceCursor>, out: &mut dyn Write) -> io::Result<()> {
    match next {
        _ if records.is_empty() => writeln!(out, "No messages match."),
        Some(next) => {
            let rows = counted(records.len() as u64, "row", "rows");
            writeln!(out, "Showing {rows}; there are more. Next page: --after {}", cursor_text(next))
        }
        None => Ok(()),
    }
}
