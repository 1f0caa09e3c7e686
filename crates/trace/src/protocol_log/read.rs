//! Reads protocol logs as they come: cut, in UTF-8 or UTF-16, with fields missing at the end, several files in one. What
//! cannot be read is counted, and the rest goes on.

use super::{FIELDS, LogType, Row, RowKind};
use crate::text;

/// What a file held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// As the last `#Log-type` says.
    pub log_type: Option<LogType>,
    pub rows: Vec<Row>,
    /// Rows that are none: too few fields, or an event of another kind of log.
    pub rows_skipped: u64,
}

/// Reads a whole file.
pub fn read(bytes: &[u8]) -> Log {
    let text = text::decode(bytes);
    let mut log = Log::default();
    let mut order: Vec<Option<usize>> = (0..FIELDS.len()).map(Some).collect();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    for record in reader.records() {
        let Ok(record) = record else {
            log.rows_skipped += 1;
            continue;
        };
        let first = record.get(0).unwrap_or_default().trim_start_matches('\u{feff}');
        if let Some(header) = first.strip_prefix('#') {
            let rest = record.iter().skip(1);
            read_header(header, rest, &mut log, &mut order);
        } else {
            match row(&record, &order) {
                Some(row) => log.rows.push(row),
                None => log.rows_skipped += 1,
            }
        }
    }
    log
}

fn read_header<'a>(first: &str, rest: impl Iterator<Item = &'a str>, log: &mut Log, order: &mut Vec<Option<usize>>) {
    let Some((name, value)) = first.split_once(':') else { return };
    match (name.trim().to_ascii_lowercase().as_str(), value.trim().to_ascii_lowercase()) {
        ("fields", field) => {
            let names: Vec<String> =
                std::iter::once(field).chain(rest.map(|name| name.trim().to_ascii_lowercase())).collect();
            *order = FIELDS.iter().map(|field| names.iter().position(|name| name == field)).collect();
        }
        ("log-type", kind) if kind.contains("send") => log.log_type = Some(LogType::Send),
        ("log-type", kind) if kind.contains("receive") => log.log_type = Some(LogType::Receive),
        _ => {}
    }
}

fn row(record: &csv::StringRecord, order: &[Option<usize>]) -> Option<Row> {
    let field = |index: usize| order.get(index).copied().flatten().and_then(|at| record.get(at));
    let text = |index: usize| field(index).unwrap_or_default().trim_end_matches(['\r', '\n']).to_owned();
    Some(Row {
        at: field(0)?.trim_start_matches('\u{feff}').trim().parse().ok(),
        connector: text(1),
        session: field(2).filter(|id| !id.is_empty())?.to_owned(),
        sequence: field(3)?.trim().parse().ok()?,
        local: text(4),
        remote: text(5),
        kind: RowKind::of(field(6)?.trim())?,
        data: text(7),
        context: text(8),
    })
}
