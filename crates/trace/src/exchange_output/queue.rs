//! Queues as `Get-Queue | Format-List`, its CSV and Queue Viewer's export have them. A queue is one row: the last error
//! holds for all of its messages, whose number is in the row.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    culture_time::CultureTimes,
    exchange_error::Container,
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    letter::{Event, Server},
    message_trace::{Column, CustomData, Row},
    named::{NamedReader, Record},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "exchange-queue",
    why_help: "Explain the output of Get-Queue | Format-List, or an export of Queue Viewer; may be repeated",
    trace_help: "Show the queues in the output of Get-Queue | Format-List, or in an export of Queue Viewer; may be repeated",
    open,
    detail: Detail::Summaries,
    server: Some("Exchange's queues"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    let has_queue = beginning.has_names(&["nexthopdomain", "status"]) || beginning.has_names(&["nexthop", "status"]);
    beginning.all_if(has_queue && beginning.has_names(&["messagecount"]))
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, zone: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(NamedReader::new(file, zone, Box::new(take))?))
}

fn take(record: &Record, times: &mut CultureTimes, rows: &mut VecDeque<Row>) -> bool {
    let either =
        |a: &str, b: &str| if record.get(a).is_empty() { record.get(b).to_owned() } else { record.get(a).to_owned() };
    let next_hop = either("nexthopdomain", "nexthop");
    let count: u64 = record.get("messagecount").parse().unwrap_or(0);
    let (error, identity) = (record.get("lasterror"), either("identity", "queueidentity"));
    if next_hop.is_empty() && identity.is_empty() {
        return false;
    }
    // An idle queue says nothing.
    if count == 0 && error.is_empty() {
        return true;
    }
    let mut row = Row::default();
    row.at = times.read(&either("lastretrytime", "lastretry"));
    let event = if error.is_empty() { Event::Receive } else { Event::Defer };
    row.set(Column::EventId, event.name());
    row.set(Column::Source, "QUEUE");
    row.set(Column::NetworkMessageId, if identity.is_empty() { &next_hop } else { &identity });
    row.set(Column::ClientHostname, identity.split_once('\\').map_or("", |(server, _)| server));
    row.set(Column::RecipientCount, count.to_string());
    row.set(Column::MessageSubject, if count == 1 { "1 message".to_owned() } else { format!("{count} messages") });
    let status = record.get("status");
    row.set(Column::RecipientStatus, if error.is_empty() { status } else { error });
    let mut data = CustomData::default();
    data.add("QueuedMessages", count);
    row.set(Column::CustomData, data);
    set_next_hop(&mut row, record.get("deliverytype"), &next_hop, error);
    rows.push_back(row);
    true
}

/// A queue by DNS is that of a domain, and one to a smart host that of a server. The error names the server that was tried.
fn set_next_hop(row: &mut Row, delivery_type: &str, next_hop: &str, error: &str) {
    let tried = Container::read(error).is_some_and(|container| container.host.is_some_and(|host| !host.is_empty()));
    let is_smart_host = delivery_type.to_ascii_lowercase().contains("smarthost") || next_hop.starts_with('[');
    if is_smart_host {
        let first = next_hop.split([',', ';']).next().unwrap_or_default();
        if !tried {
            Server::read(first).set(row);
        }
    } else if next_hop.contains('.') {
        row.set(Column::RecipientAddress, format!("*@{next_hop}"));
    }
}
