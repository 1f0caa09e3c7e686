//! `gatepost trace`: what happened to messages.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use anyhow::Context;
use jiff::Timestamp;
use store::{DeliveryRecord, Store, TraceQuery};
use trace::Event;
use uuid::Uuid;

use super::{
    arguments::{Format, Status, TraceArguments},
    event, json,
    screen::Screen,
    standing::{self, Standing},
    table::{Cell, Column, Table},
};
use crate::config::Config;

const COLUMNS: [Column; 7] = [
    Column::whole("RECEIVED"),
    Column::whole("STATUS"),
    Column::cut("SENDER", 12),
    Column::cut("RECIPIENT", 14),
    Column::cut("SUBJECT", 8),
    Column::cut("WHY", 24),
    Column::whole("ID"),
];

pub(crate) async fn run<S: Store>(
    arguments: &TraceArguments,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let records = find(arguments, store, screen.now).await.context("failed to search the queue's history")?;
    let standing = Standing::read(store, config, screen.now).await?;
    let mut page = Page { store, standing, screen, events: HashMap::new() };
    match arguments.output.format {
        Format::Json => {
            let mut list = json::List::open("messages", out)?;
            for record in &records {
                let events = if arguments.detail { Some(page.events_of(record).await?) } else { None };
                list.push(&json::TraceView::new(record, &page.standing, events.as_deref()))?;
            }
            list.close("")?;
        }
        Format::Table if arguments.detail => page.write_detail(&records, out).await?,
        Format::Table => page.write_table(&records, out)?,
    }
    if arguments.output.format == Format::Table {
        write_count(&records, arguments.limit, out)?;
    }
    Ok(())
}

/// The newest records that match, newest first.
async fn find<S: Store>(arguments: &TraceArguments, store: &S, now: Timestamp) -> store::Result<Vec<DeliveryRecord>> {
    let message_id = arguments.message_id.as_ref();
    let query = TraceQuery {
        sender: arguments.sender.clone(),
        recipient: arguments.recipient.clone(),
        message_id: message_id.map(|id| id.trim_start_matches('<').trim_end_matches('>').to_owned()),
        network_message_id: arguments.message,
        state: None,
        since: arguments.since.map(|since| since.timestamp(now)),
        until: arguments.until.map(|until| until.timestamp(now)),
        limit: arguments.limit,
    };
    let Some(status) = arguments.status else {
        return store.trace(query).await;
    };
    let mut records = Vec::new();
    for state in status.states() {
        records.extend(store.trace(TraceQuery { state: Some(*state), ..query.clone() }).await?);
    }
    records.sort_by_key(|record| (std::cmp::Reverse(record.message.key), record.delivery.key));
    records.truncate(arguments.limit as usize);
    Ok(records)
}

struct Page<'a, S> {
    store: &'a S,
    standing: Standing<'a>,
    screen: &'a Screen,
    /// Of the message read last: its recipients mostly follow each other.
    events: HashMap<Uuid, Vec<Event>>,
}

impl<S: Store> Page<'_, S> {
    /// The events of a record: its own, and those of the whole message.
    async fn events_of(&mut self, record: &DeliveryRecord) -> anyhow::Result<Vec<Event>> {
        let id = record.message.network_message_id;
        if !self.events.contains_key(&id) {
            let events = self.store.events(id).await.with_context(|| format!("failed to read the events of {id}"))?;
            self.events = HashMap::from([(id, events)]);
        }
        let concerns = |event: &&Event| event.recipient.as_ref().is_none_or(|to| *to == record.delivery.recipient);
        Ok(self.events.get(&id).into_iter().flatten().filter(concerns).cloned().collect())
    }

    fn write_table(&self, records: &[DeliveryRecord], out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = records.iter().map(|record| self.row(record)).collect();
        Table::new(&COLUMNS, self.screen).write(&rows, out)
    }

    async fn write_detail(&mut self, records: &[DeliveryRecord], out: &mut dyn Write) -> anyhow::Result<()> {
        for record in records {
            Table::records(&COLUMNS, self.screen).write(&[self.row(record)], out)?;
            for event in self.events_of(record).await? {
                event::write(&event, self.screen, out)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn row(&self, record: &DeliveryRecord) -> Vec<Cell> {
        let status = Status::from(record.state);
        vec![
            Cell::new(self.screen.time(record.message.received)),
            Cell::coloured(status.name(), status.colour()),
            Cell::new(sender(record)),
            Cell::new(record.delivery.recipient.as_str()),
            Cell::new(record.message.subject.as_deref().unwrap_or_default()),
            Cell::new(self.why(record)),
            Cell::new(record.message.network_message_id.to_string()),
        ]
    }

    /// Pending: what it waits for, and the original cause. Otherwise how it ended.
    fn why(&self, record: &DeliveryRecord) -> String {
        let waiting = self.standing.waiting(record).map(|waiting| standing::short(&waiting, self.screen));
        let failure = record.delivery.failure.as_ref().map(|failure| failure.summary());
        let reply = record.reply.as_ref().map(|reply| reply.to_string());
        match Status::from(record.state) {
            Status::Delivered => reply.unwrap_or_default(),
            Status::Pending => [waiting, failure].into_iter().flatten().collect::<Vec<_>>().join(": "),
            Status::Failed => failure.unwrap_or_default(),
            Status::Removed => "removed from the queue by an operator".to_owned(),
        }
    }
}

/// The sender for people: `<>` where it is the null sender.
pub(crate) fn sender(record: &DeliveryRecord) -> &str {
    record.message.sender.address().map_or("<>", |address| address.as_str())
}

fn write_count(records: &[DeliveryRecord], limit: u32, out: &mut dyn Write) -> io::Result<()> {
    match records.len() {
        0 => writeln!(out, "No message matches."),
        count if count >= limit as usize => {
            writeln!(out, "These are the newest {count}. For more: --limit, or another --since and --until.")
        }
        _ => Ok(()),
    }
}
