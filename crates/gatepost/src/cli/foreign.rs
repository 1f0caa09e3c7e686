//! `gatepost trace FILE…`: shows mail of other systems, read from their files, in the same tables.

use std::io::Write;

use anyhow::bail;
use insight::{ForeignFilter, ForeignMessage, ForeignMessages, json, views::ForeignMessageView};
use jiff::Timestamp;
use trace::message_trace::{Column as Field, Row};

use super::{
    arguments::{TraceArguments, TraceFormat},
    screen::{Screen, clean, counted, wrapped},
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
    Column::cut("ID", 12),
];

/// Reads the files and shows their messages, newest first.
pub(crate) fn run(arguments: &TraceArguments, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    if arguments.follow {
        bail!("--follow shows this gateway's history only");
    }
    let search = arguments.search.search();
    let filter = ForeignFilter::new(&search, screen.now)?;
    let mut files = ForeignMessages::default();
    let forced =
        arguments.logs.by_format().flat_map(|(format, paths)| paths.iter().map(move |path| (Some(format), path)));
    let named = arguments.files.iter().map(|path| (None, path));
    let mut is_usable = false;
    for (format, path) in named.chain(forced) {
        match files.read(format, path, screen.now, &screen.zone, arguments.detail) {
            Ok(()) => is_usable = true,
            Err(error) => {
                note!("gatepost: skipped {}: {}", clean(&path.display().to_string()), clean(&format!("{error:#}")))
            }
        }
    }
    if !is_usable {
        bail!("none of the files could be used");
    }
    let senders: Vec<String> = files.messages.iter().map(|message| message.sender.clone()).collect();
    let recipients: Vec<String> = files.messages.iter().map(|message| message.recipient.clone()).collect();
    files.select(&filter);
    if files.messages.is_empty() {
        unknown::refuse_absent("no message in the files is to", search.recipient.as_deref(), &recipients)?;
        unknown::refuse_absent("no message in the files is from", search.sender.as_deref(), &senders)?;
    }
    match arguments.format {
        TraceFormat::Json => {
            let mut list = json::List::open("messages", out)?;
            files.messages.iter().try_for_each(|message| list.push(&ForeignMessageView::from(message)))?;
            list.close(&format!(", \"rows\": {}, \"rows_skipped\": {}", files.rows, files.skipped))?;
        }
        TraceFormat::Table => write_table(&files, arguments.detail, screen, out)?,
        TraceFormat::Csv | TraceFormat::TrackingLog => {
            bail!("messages from files have the formats table and json only; use --format json")
        }
    }
    Ok(())
}

fn write_table(files: &ForeignMessages, detail: bool, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| Cell::new(""), |at| Cell::time(at, screen));
    let cells = |message: &ForeignMessage| {
        vec![
            time(message.received),
            Cell::coloured(message.status.name(), waiting::colour(message.status)),
            Cell::new(&message.sender),
            Cell::new(&message.recipient),
            Cell::new(&message.subject),
            Cell::new(&message.why),
            Cell::new(if message.network_message_id.is_empty() {
                &message.message_id
            } else {
                &message.network_message_id
            }),
        ]
    };
    if detail {
        for message in &files.messages {
            Table::records(&COLUMNS, screen).write(&[cells(message)], out)?;
            let mut events: Vec<&Row> = message.events.iter().collect();
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
        Table::new(&COLUMNS, screen).write(&files.messages.iter().map(cells).collect::<Vec<_>>(), out)?;
    }
    if files.messages.is_empty() {
        writeln!(out, "No messages match.")?;
    }
    let (read, skipped) = (counted(files.rows, "event", "events"), counted(files.skipped, "line", "lines"));
    writeln!(out, "{read} read, {skipped} not recognised.")?;
    Ok(())
}
