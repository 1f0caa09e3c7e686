//! Reads KumoMTA's log records (docs.kumomta.com, "Log Record"): a JSON object on each line for each event of a message.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::{
    foreign::{Beginning, Detail, ForeignFormat, Rows},
    json_values::{JsonReader, text},
    letter::Event,
    message_trace::{Column, CustomData, Row},
};

pub static FORMAT: ForeignFormat = ForeignFormat {
    name: "kumomta-log",
    why_help: "Explain log records of KumoMTA (JSON lines); may be repeated",
    trace_help: "Show messages of KumoMTA's log records (JSON lines); may be repeated",
    open,
    detail: Detail::Attempts,
    server: Some("KumoMTA"),
    has_connectors: false,
    lines_of,
};

fn lines_of(beginning: &Beginning) -> usize {
    beginning.count(|line| {
        line.contains("\"type\"")
            && line.contains("\"recipient\"")
            && (line.contains("\"site\"") || line.contains("\"queue\""))
    })
}

fn open<'a>(file: Box<dyn Read + 'a>, _: Timestamp, _: TimeZone) -> io::Result<Box<dyn Rows + 'a>> {
    Ok(Box::new(JsonReader::new(file, Box::new(take))?))
}

fn take(value: &Value, rows: &mut VecDeque<Row>) -> bool {
    let event = match text(value, "type").as_str() {
        "Reception" => Event::Receive,
        "Delivery" => Event::Send,
        "TransientFailure" => Event::Defer,
        "Bounce" | "Expiration" | "AdminBounce" => Event::Fail,
        // Reports of others, and what was rejected before it was a message.
        "OOB" | "Feedback" | "Rejection" | "AdminRebind" | "Delayed" | "XferOut" | "XferIn" => return true,
        _ => return false,
    };
    let mut row = Row::default();
    row.at = time(value);
    row.set(Column::Source, "SMTP");
    row.set(Column::EventId, event.name());
    for (column, name) in
        [(Column::NetworkMessageId, "id"), (Column::SenderAddress, "sender"), (Column::TotalBytes, "size")]
    {
        row.set(column, text(value, name));
    }
    let recipients = match value.get("recipient") {
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";"),
        _ => text(value, "recipient"),
    };
    row.set(Column::RecipientAddress, recipients);
    row.set(Column::RecipientStatus, value.get("response").map(reply).unwrap_or_default());
    row.set(Column::ClientIp, text(value, "source_address").split(':').next().unwrap_or_default());
    let header = |name: &str| value.get("headers").map(|headers| text(headers, name)).unwrap_or_default();
    row.set(Column::MessageId, header("Message-ID"));
    row.set(Column::MessageSubject, header("Subject"));
    set_peer(&mut row, value, event);
    rows.push_back(row);
    true
}

/// Since 2023 with a fraction in `event_time`.
fn time(value: &Value) -> Option<Timestamp> {
    let precise = text(value, "event_time").parse().ok();
    precise.or_else(|| Timestamp::from_second(value.get("timestamp")?.as_i64()?).ok())
}

/// `550 5.1.1 …`; a code of 400 with words of KumoMTA's own is not a reply of a server.
fn reply(response: &Value) -> String {
    let (code, content) = (text(response, "code"), text(response, "content"));
    let number =
        |part: &str| response.get("enhanced_code").map(|code| text(code, part)).filter(|part| !part.is_empty());
    let enhanced = match (number("class"), number("subject"), number("detail")) {
        (Some(class), Some(subject), Some(detail)) => format!("{class}.{subject}.{detail} "),
        _ => String::new(),
    };
    if content.starts_with("KumoMTA internal: ") {
        content
    } else {
        format!("{code} {enhanced}{content}").trim_end().to_owned()
    }
}

fn set_peer(row: &mut Row, value: &Value, event: Event) {
    let mut data = CustomData::default();
    let tls = (text(value, "tls_protocol_version"), text(value, "tls_cipher"));
    if !tls.0.is_empty() && !tls.1.is_empty() {
        data.add_tls(&tls.0, &tls.1);
    }
    if let Some(peer) = value.get("peer_address") {
        let socket: Option<std::net::SocketAddr> = text(peer, "addr").parse().ok();
        let address = socket.map(|socket| socket.ip()).or_else(|| text(peer, "addr").parse().ok());
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        if event == Event::Receive {
            row.set(Column::OriginalClientIp, address);
        } else {
            row.set(Column::ServerHostname, text(peer, "name").trim_end_matches('.'));
            row.set(Column::ServerIp, address);
            data.add_port(socket.map(|socket| socket.port()));
        }
    }
    row.set(Column::CustomData, data);
}
