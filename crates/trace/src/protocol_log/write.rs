//! Writes protocol logs as Exchange does, so that its tools read them.

use jiff::{Timestamp, Unit};

use super::{FIELDS, LogType, Row};

/// The lines at the top of a file. `at`: when the file was begun.
pub fn header(log_type: LogType, at: Timestamp) -> String {
    format!(
        "#Software: Gatepost\r\n#Version: 15.0.0.0\r\n#Log-type: {log_type}\r\n#Date: {}\r\n#Fields: {}\r\n",
        time(at),
        FIELDS.join(",")
    )
}

/// One row with its line end. Line ends within a field become spaces: a row is a line.
pub fn row(row: &Row) -> String {
    let fields = [
        row.at.map(time).unwrap_or_default(),
        row.connector.clone(),
        row.session.clone(),
        row.sequence.to_string(),
        row.local.clone(),
        row.remote.clone(),
        row.kind.symbol().to_owned(),
        row.data.clone(),
        row.context.clone(),
    ];
    fields.each_ref().map(|field| quoted(field)).join(",") + "\r\n"
}

/// UTC with milliseconds: `2019-03-21T13:01:06.525Z`.
fn time(at: Timestamp) -> String {
    let at = at.round(Unit::Millisecond).unwrap_or(at);
    format!("{at:.3}")
}

fn quoted(field: &str) -> String {
    let field: String = field.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if field.contains([',', '"']) || field.starts_with('#') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}
