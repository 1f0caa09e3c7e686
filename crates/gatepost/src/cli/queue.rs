//! `gatepost queue`: look at what waits, and act on it.

use std::{collections::HashSet, fs::File, io::Write, path::Path};

use anyhow::{Context, bail};
use store::{Command, Commanded, DeliveryRecord, QueueCount, QueueQuery, Selection, State, Store};
use uuid::Uuid;

use super::{
    arguments::{Filter, Format, QueueCommand, QueueState, Selected},
    incident, json, operator,
    screen::Screen,
    show,
    standing::{self, Standing},
    table::{Cell, Column, Table},
    trace::sender,
};
use crate::config::Config;

/// Deliveries read at a time, so that memory stays bounded however long the queue.
const PAGE: u32 = 500;

const COLUMNS: [Column; 8] = [
    Column::whole("ID"),
    Column::number("AGE"),
    Column::cut("SENDER", 12),
    Column::cut("RECIPIENT", 14),
    Column::cut("CONNECTOR", 9),
    Column::number("TRIES"),
    Column::cut("WAITS", 16),
    Column::cut("CAUSE", 20),
];

pub(crate) async fn run<S: Store>(
    command: &QueueCommand,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        QueueCommand::List { filter, output } => {
            let standing = Standing::read(store, config, screen.now).await?;
            match output.format {
                Format::Table => list_table(filter, store, &standing, screen, out).await,
                Format::Json => list_json(filter, store, &standing, out).await,
            }
        }
        QueueCommand::Show { id, output } => {
            let record = store.message(*id).await?.with_context(|| no_such_message(*id))?;
            let events = store.events(*id).await?;
            let standing = Standing::read(store, config, screen.now).await?;
            match output.format {
                Format::Table => show::write(&record, &events, &standing, screen, out)?,
                Format::Json => writeln!(out, "{}", json::text(&json::MessageView::new(&record, &standing, &events))?)?,
            }
            Ok(())
        }
        QueueCommand::Retry(selected) => act(Command::Retry, selected, store, screen, out).await,
        QueueCommand::Suspend(selected) => act(Command::Suspend, selected, store, screen, out).await,
        QueueCommand::Resume(selected) => act(Command::Resume, selected, store, screen, out).await,
        QueueCommand::Remove { selected, yes } => {
            if !yes {
                refuse_several(selected, store).await?;
            }
            act(Command::Remove, selected, store, screen, out).await
        }
        QueueCommand::Export { id, output } => export(*id, output.as_deref(), store, out).await,
    }
}

fn no_such_message(id: Uuid) -> String {
    format!("there is no message {id}")
}

/// Reads the queue page by page, by due time.
struct Pages<'a, S> {
    store: &'a S,
    query: Option<QueueQuery>,
}

impl<'a, S: Store> Pages<'a, S> {
    fn new(selection: Selection, store: &'a S) -> Self {
        Self { store, query: Some(QueueQuery { selection, limit: PAGE, after: None }) }
    }

    /// The next page; empty after the last.
    async fn next(&mut self) -> anyhow::Result<Vec<DeliveryRecord>> {
        let Some(query) = self.query.take() else {
            return Ok(Vec::new());
        };
        let page = self.store.list(query.clone()).await.context("failed to read the queue")?;
        if page.len() == PAGE as usize {
            let after = page.last().map(|record| (record.due, record.delivery.key));
            self.query = Some(QueueQuery { after, ..query });
        }
        Ok(page)
    }
}

async fn list_table<S: Store>(
    filter: &Filter,
    store: &S,
    standing: &Standing<'_>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut table = Table::new(&COLUMNS, screen);
    let mut pages = Pages::new(filter.selection(), store);
    let mut listed = 0;
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        listed += page.len();
        let rows: Vec<_> = page.iter().map(|record| row(record, standing, screen)).collect();
        table.write(&rows, out)?;
    }
    let counts = store.counts().await?;
    match (listed, counts.iter().map(|count| count.deliveries).sum::<u64>()) {
        (0, 0) => writeln!(out, "The queue is empty.")?,
        (0, all) => writeln!(out, "Nothing in the queue matches; it holds {}.", deliveries(all))?,
        (listed, all) => {
            writeln!(out, "\n{listed} of {} in the queue.", deliveries(all))?;
            write_counts(&counts, screen, out)?;
        }
    }
    if let Some(open) = incident::open_in_words(store).await? {
        writeln!(out, "\n{open}")?;
    }
    Ok(())
}

fn row(record: &DeliveryRecord, standing: &Standing<'_>, screen: &Screen) -> Vec<Cell> {
    let waiting = standing.waiting(record).map(|waiting| standing::short(&waiting, screen));
    vec![
        Cell::new(record.message.network_message_id.to_string()),
        Cell::new(screen.age(record.message.received)),
        Cell::new(sender(record)),
        Cell::new(record.delivery.recipient.as_str()),
        Cell::new(&record.delivery.connector),
        Cell::new(record.delivery.attempts.to_string()),
        Cell::new(waiting.unwrap_or_default()),
        Cell::new(standing.cause(record).map(|failure| failure.summary()).unwrap_or_default()),
    ]
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

fn write_counts(counts: &[QueueCount], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::whole("CONNECTOR"), Column::whole("STATE"), Column::number("DELIVERIES"), Column::whole("NEXT DUE")];
    let rows = counts.iter().map(|count| {
        vec![
            Cell::new(&count.connector),
            Cell::new(standing::state_name(count.state)),
            Cell::new(count.deliveries.to_string()),
            Cell::new(count.due.map(|due| screen.until(due)).unwrap_or_default()),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
}

async fn list_json<S: Store>(
    filter: &Filter,
    store: &S,
    standing: &Standing<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut pages = Pages::new(filter.selection(), store);
    let mut list = json::List::open("deliveries", out)?;
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        page.iter().try_for_each(|record| list.push(&json::DeliveryView::new(record, standing)))?;
    }
    let counts = store.counts().await?;
    let counts = json::text(&counts.iter().map(json::CountView::from).collect::<Vec<_>>())?;
    Ok(list.close(&format!(",\n\"counts\": {counts}"))?)
}

async fn act<S: Store>(
    command: Command,
    selected: &Selected,
    store: &S,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let commanded = store.command(command, selected.selection()?, &operator(), screen.now).await?;
    if let (Commanded { changed: 0, leased: 0 }, Some(id)) = (commanded, selected.filter.message) {
        store.message(id).await?.with_context(|| no_such_message(id))?;
    }
    match selected.format {
        Format::Json => writeln!(out, "{}", json::text(&json::CommandedView::from(commanded))?)?,
        Format::Table => writeln!(out, "{}", describe(command, commanded))?,
    }
    Ok(())
}

fn describe(command: Command, Commanded { changed, leased }: Commanded) -> String {
    let done = match command {
        Command::Retry => "due now",
        Command::Suspend => "suspended",
        Command::Resume => "resumed",
        Command::Remove => "removed",
    };
    match (changed, leased) {
        (0, 0) => "Nothing in the queue was to be changed.".to_owned(),
        (changed, 0) => format!("{} {done}.", deliveries(changed)),
        (changed, leased) => {
            let left = deliveries(leased);
            format!("{} {done}; {left} left alone: a node is delivering at this moment.", deliveries(changed))
        }
    }
}

/// Removing cannot be undone: more than one message needs a second word.
async fn refuse_several<S: Store>(selected: &Selected, store: &S) -> anyhow::Result<()> {
    let mut pages = Pages::new(selected.selection()?, store);
    let mut messages = HashSet::new();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(());
        }
        messages.extend(page.iter().map(|record| record.message.network_message_id));
        if messages.len() > 1 {
            bail!("this means more than one message; look with queue list, then say --yes to remove them");
        }
    }
}

async fn export<S: Store>(id: Uuid, path: Option<&Path>, store: &S, out: &mut dyn Write) -> anyhow::Result<()> {
    let record = store.message(id).await?.with_context(|| no_such_message(id))?;
    if !record.body_present {
        bail!("the content of message {id} was deleted: none of its deliveries needs it any more");
    }
    let mut file = match path {
        Some(path) => Some(File::create(path).with_context(|| format!("failed to write {}", path.display()))?),
        None => None,
    };
    let mut sequence = 0;
    while let Some(piece) = store.read_body(record.message.key, sequence).await? {
        match &mut file {
            Some(file) => file.write_all(&piece).context("failed to write the message")?,
            None => out.write_all(&piece)?,
        }
        sequence += 1;
    }
    Ok(())
}

impl Filter {
    fn selection(&self) -> Selection {
        Selection {
            message: self.message,
            connector: self.connector.clone(),
            recipient: self.recipient.clone(),
            sender: self.sender.clone(),
            state: self.state.map(|state| match state {
                QueueState::Queued => State::Queued,
                QueueState::Leased => State::Leased,
                QueueState::Suspended => State::Suspended,
            }),
        }
    }
}

impl Selected {
    /// Refuses what selects nothing, so that nobody acts on the whole queue by mere omission.
    fn selection(&self) -> anyhow::Result<Selection> {
        let selection = self.filter.selection();
        if selection == Selection::default() && !self.all {
            bail!("name what to act on: --message, --connector, --recipient, --sender or --state; or --all");
        }
        Ok(selection)
    }
}
