//! `gatepost queue`: shows waiting deliveries and changes them.

use std::{collections::HashSet, fs::File, io::Write, path::Path};

use anyhow::{Context, bail};
use insight::{By, Summary, WaitReasons, Wanted, export::sender, json, views};
use node::config::Config;
use protocol::smtp::Failure;
use store::{Command, Commanded, DeliveryRecord, QueueCount, QueueQuery, Selection, State, Store};
use trace::NextStep;
use uuid::Uuid;

use super::{
    arguments::{Filter, Format, ListArguments, ListFilter, QueueCommand, QueueState, Selected},
    groups, ids, incident, operator,
    screen::{Screen, counted, grouped, paragraph},
    show,
    table::{Cell, Column, Table},
    unknown, waiting,
};

/// Deliveries that are read at a time, so that memory stays bounded for any length of the queue.
const PAGE: u32 = 500;

/// With more rows than this, suggest groups.
const ROWS_MANY: u64 = 20;

const COLUMNS: [Column; 8] = [
    Column::whole("ID"),
    Column::number("AGE"),
    Column::cut("SENDER", 12).spare(1),
    Column::cut("RECIPIENT", 12),
    Column::cut("CONNECTOR", 9).spare(2),
    Column::number("ATTEMPTS").spare(3),
    Column::cut("WAITS", 19),
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
        QueueCommand::List(arguments) => {
            let reasons = WaitReasons::read(store, config, screen.now).await?;
            let selection = arguments.filter.selection(store).await?;
            let conditions = arguments.more.conditions();
            let wanted = Wanted::new(&conditions, &reasons, screen.now);
            unknown::refuse_names(&selection, true, store, config).await?;
            unknown::refuse_conditions(&conditions, &wanted, store, screen.now).await?;
            let list = List { arguments, store, reasons, selection, wanted, screen };
            match (arguments.by, arguments.output.format) {
                (Some(by), format) => list.grouped(by.into(), format, out).await,
                (None, Format::Table) => list.table(out).await,
                (None, Format::Json) => list.json(out).await,
            }
        }
        QueueCommand::Show { id, output } => {
            let id = ids::message(*id, store).await?;
            let record = store.message(id).await?.with_context(|| unknown::no_such_message(id))?;
            let events = store.events(id).await?;
            let reasons = WaitReasons::read(store, config, screen.now).await?;
            match output.format {
                Format::Table => show::write(&record, &events, &reasons, screen, out)?,
                Format::Json => writeln!(out, "{}", json::text(&views::MessageView::new(&record, &reasons, events))?)?,
            }
            Ok(())
        }
        QueueCommand::Retry(selected) => act(Command::Retry, selected, store, config, out).await,
        QueueCommand::Suspend(selected) => act(Command::Suspend, selected, store, config, out).await,
        QueueCommand::Resume(selected) => act(Command::Resume, selected, store, config, out).await,
        QueueCommand::Remove { selected, yes } => {
            if !yes {
                refuse_several(selected, store).await?;
            }
            act(Command::Remove, selected, store, config, out).await
        }
        QueueCommand::Export { id, output } => {
            let id = ids::message(*id, store).await?;
            export(id, output.as_deref(), store, out).await
        }
    }
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

/// `queue list` and its inputs.
struct List<'a, S> {
    arguments: &'a ListArguments,
    store: &'a S,
    reasons: WaitReasons<'a>,
    selection: Selection,
    wanted: Wanted,
    screen: &'a Screen,
}

impl<S: Store> List<'_, S> {
    /// The next page of matching deliveries; `None` after the last page.
    async fn page(&self, pages: &mut Pages<'_, S>) -> anyhow::Result<Option<Vec<DeliveryRecord>>> {
        let mut page = pages.next().await?;
        if page.is_empty() {
            return Ok(None);
        }
        page.retain(|record| {
            let DeliveryRecord { message, delivery, .. } = record;
            self.wanted.includes(&delivery.connector, message.received, delivery.failure.as_ref())
        });
        Ok(Some(page))
    }

    fn row(&self, record: &DeliveryRecord) -> Vec<Cell> {
        let waiting = self.reasons.waiting(record).map(|waiting| waiting::short(&waiting, self.screen));
        let delivery = &record.delivery;
        // A delivery without an attempt waits because of the failure of its connector.
        let failure = self.wanted.failure(&delivery.connector, delivery.failure.as_ref());
        let cause = failure.map(Failure::summary).unwrap_or_default();
        let short =
            failure.map(|failure| Failure { destination: None, ..failure.clone() }.summary()).unwrap_or_default();
        vec![
            Cell::id(record.message.network_message_id),
            Cell::new(self.screen.age(record.message.received)),
            Cell::new(sender(record)),
            Cell::new(delivery.recipient.as_str()),
            Cell::new(&delivery.connector),
            Cell::new(delivery.attempts.to_string()),
            Cell::new(waiting.unwrap_or_default()),
            Cell::new(cause).or_short(short),
        ]
    }

    /// The selected deliveries, read in one pass.
    async fn summary(&self, by: Option<By>) -> anyhow::Result<Summary> {
        let (selection, wanted) = (self.selection.clone(), self.wanted.clone());
        Summary::read(self.store, selection, wanted, by, self.screen.now).await.context("failed to read the queue")
    }

    async fn table(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut table = Table::new(&COLUMNS, self.screen);
        let mut pages = Pages::new(self.selection.clone(), self.store);
        let mut listed = 0;
        while let Some(page) = self.page(&mut pages).await? {
            listed += page.len() as u64;
            let rows: Vec<_> = page.iter().map(|record| self.row(record)).collect();
            table.write(&rows, out)?;
        }
        let all = self.all().await?;
        match (listed, all) {
            (0, 0) => writeln!(out, "The queue is empty.")?,
            (0, all) => writeln!(out, "No deliveries match; the queue has {}.", deliveries(all))?,
            (listed, all) => {
                writeln!(out, "\n{} of {} in the queue.", grouped(listed), deliveries(all))?;
                write_counts(&self.summary(None).await?.counts, self.screen, out)?;
            }
        }
        if listed > ROWS_MANY {
            writeln!(out, "\nTo show one row per cause: {}", NextStep::QueueListBy("cause"))?;
        }
        self.write_what_is_open(out).await
    }

    async fn grouped(&self, by: By, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
        let summary = self.summary(Some(by)).await?;
        let conditions = groups::conditions(&self.arguments.filter, &self.arguments.more);
        if format == Format::Json {
            return Ok(groups::write_json(&summary.views(&conditions), by, out)?);
        }
        match (summary.counts.is_empty(), self.all().await?) {
            (true, 0) => writeln!(out, "The queue is empty.")?,
            (true, all) => writeln!(out, "No deliveries match; the queue has {}.", deliveries(all))?,
            (false, _) => groups::write(&summary.views(&conditions), by, self.screen, out)?,
        }
        self.write_what_is_open(out).await
    }

    /// Number of deliveries in the whole queue.
    async fn all(&self) -> store::Result<u64> {
        Ok(self.store.counts().await?.iter().map(|count| count.deliveries).sum())
    }

    /// What waits for an operator.
    async fn write_what_is_open(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        if let Some(restored) = insight::unanswered(self.store).await? {
            writeln!(out)?;
            paragraph(&format!("Restored: {restored}."), "", self.screen, out)?;
        }
        if let Some(open) = incident::open_in_words(self.store).await? {
            writeln!(out, "\n{open}")?;
        }
        Ok(())
    }

    async fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut pages = Pages::new(self.selection.clone(), self.store);
        let mut list = json::List::open("deliveries", out)?;
        while let Some(page) = self.page(&mut pages).await? {
            page.iter().try_for_each(|record| list.push(&views::DeliveryView::new(record, &self.reasons)))?;
        }
        let counts = self.summary(None).await?.counts;
        let counts = json::text(&counts.iter().map(views::CountView::from).collect::<Vec<_>>())?;
        Ok(list.close(&format!(",\n\"counts\": {counts}"))?)
    }
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}

fn write_counts(counts: &[QueueCount], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: [Column; 4] =
        [Column::cut("CONNECTOR", 9), Column::whole("STATE"), Column::number("DELIVERIES"), Column::whole("NEXT DUE")];
    let rows = counts.iter().map(|count| {
        vec![
            Cell::new(&count.connector),
            Cell::new(insight::state_name(count.state)),
            Cell::new(grouped(count.deliveries)),
            Cell::new(count.due.map(|due| screen.until(due)).unwrap_or_default()),
        ]
    });
    Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
}

async fn act<S: Store>(
    command: Command,
    selected: &Selected,
    store: &S,
    config: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let selection = selected.selection(store).await?;
    let commanded = store.command(command, selection.clone(), &operator()).await?;
    if commanded == (Commanded { changed: 0, leased: 0 }) {
        unknown::refuse_selection(&selection, store, config).await?;
    }
    match selected.format {
        Format::Json => writeln!(out, "{}", json::text(&views::CommandedView::from(commanded))?)?,
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
        (0, 0) => "No deliveries match.".to_owned(),
        (changed, 0) => format!("{} {done}.", deliveries(changed)),
        (changed, leased) => {
            let left = deliveries(leased);
            format!("{} {done}; {left} not changed, because a node is sending now.", deliveries(changed))
        }
    }
}

/// Removing cannot be undone, so more than one message needs `--yes`.
async fn refuse_several<S: Store>(selected: &Selected, store: &S) -> anyhow::Result<()> {
    let mut pages = Pages::new(selected.selection(store).await?, store);
    let mut messages = HashSet::new();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(());
        }
        messages.extend(page.iter().map(|record| record.message.network_message_id));
        if messages.len() > 1 {
            let list = NextStep::QueueList(groups::conditions(&selected.filter, &ListFilter::default()));
            bail!("this would remove more than one message: check with `{list}`, then add --yes");
        }
    }
}

async fn export<S: Store>(id: Uuid, path: Option<&Path>, store: &S, out: &mut dyn Write) -> anyhow::Result<()> {
    let record = store.message(id).await?.with_context(|| unknown::no_such_message(id))?;
    if !record.body_present {
        bail!("the content of message {id} is deleted, because no delivery needs it any more");
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
    async fn selection<S: Store>(&self, store: &S) -> anyhow::Result<Selection> {
        Ok(Selection {
            message: ids::named(self.message, store).await?,
            connector: self.connector.clone(),
            recipient: self.recipient.clone(),
            sender: self.sender.clone(),
            chosen: None,
            state: self.state.map(|state| match state {
                QueueState::Queued => State::Queued,
                QueueState::Leased => State::Leased,
                QueueState::Suspended => State::Suspended,
            }),
        })
    }
}

impl Selected {
    /// Rejects a command without conditions, so that nobody changes the whole queue by accident.
    async fn selection<S: Store>(&self, store: &S) -> anyhow::Result<Selection> {
        let selection = self.filter.selection(store).await?;
        if selection == Selection::default() && !self.all {
            bail!("no deliveries selected; add --message, --connector, --recipient, --sender or --state, or --all");
        }
        Ok(selection)
    }
}
