//! `postqueue -j`: a JSON object on each line for each message (postqueue(1), "JSON object format").

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::rows;
use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    json_values::{JsonReader, text},
    letter::Letter,
    message_trace::{Column, Row},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "postqueue-json",
    why_help: "Explain Postfix's queue as `postqueue -j` lists it; may be repeated",
    trace_help: "Show Postfix's queue as `postqueue -j` lists it; may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("Postfix's queue"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.all_if(beginning.has_keys(&["queue_name", "queue_id", "recipients"]))
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(JsonReader::new(file, Box::new(take))?))
}

fn take(value: &Value, ready: &mut VecDeque<Row>) -> bool {
    let (id, recipients) = (text(value, "queue_id"), value.get("recipients").and_then(Value::as_array));
    let Some(recipients) = recipients.filter(|_| !id.is_empty()) else { return false };
    let arrived = value.get("arrival_time").and_then(Value::as_i64).and_then(|at| Timestamp::from_second(at).ok());
    let mut letter = Letter::default();
    letter.begin(&id, arrived);
    letter.row.set(Column::SenderAddress, text(value, "sender"));
    letter.row.set(Column::TotalBytes, text(value, "message_size"));
    for recipient in recipients {
        // The time of the last attempt is not listed.
        ready.extend(rows(&mut letter, &text(recipient, "address"), &text(recipient, "delay_reason"), None));
    }
    true
}
