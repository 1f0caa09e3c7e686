//! Events in the form of `exchangeMessageTraceDetail` of Graph.

use std::fmt::Write;

use insight::export::{message_id as message_id_field, row as event_row};
use jiff::Timestamp;
use protocol::text::steers;
use serde::Serialize;
use store::DeliveryRecord;
use trace::{
    Event, EventKind,
    message_trace::{Column, Row},
};
use uuid::Uuid;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Detail {
    /// Network message id.
    id: Uuid,
    /// Message-ID header field.
    message_id: String,
    date_time: Timestamp,
    event: &'static str,
    /// Text for people.
    description: String,
    /// Always empty, because the gateway has no rules that act on messages.
    action: &'static str,
    /// `<root><MEP Name="…" String="…"/>…</root>`, with the values of a message tracking log.
    data: String,
}

impl Detail {
    /// `None` if the event is about another recipient, or if Exchange has no such event.
    pub(super) fn new(record: &DeliveryRecord, event: &Event) -> Option<Self> {
        if event.recipient.as_ref().is_some_and(|recipient| *recipient != record.delivery.recipient) {
            return None;
        }
        let row = event_row(record, event)?;
        Some(Self {
            id: record.message.network_message_id,
            message_id: message_id_field(record),
            date_time: event.at,
            event: name(&event.kind),
            description: describe(event, &row),
            action: "",
            data: xml(&row),
        })
    }
}

/// In the words of Exchange Online's message trace.
fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Received(_) => "Receive",
        EventKind::Delivered { .. } => "Send external",
        EventKind::Deferred { .. } | EventKind::HostFailed { .. } => "Defer",
        EventKind::Failed { .. } | EventKind::Removed { .. } => "Fail",
        _ => "Submit",
    }
}

fn describe(event: &Event, row: &Row) -> String {
    let status = &row[Column::RecipientStatus];
    let server = &row[Column::ServerHostname];
    match &event.kind {
        EventKind::Received(received) => {
            let tls = received.tls.as_ref().map(|tls| format!(" using {} with {}", tls.version, tls.cipher));
            format!("Message received by: {}{}", event.node, tls.unwrap_or_default())
        }
        EventKind::Delivered { .. } => format!("Message sent to {server} by {}: {status}", event.node),
        EventKind::Deferred { .. } | EventKind::HostFailed { .. } | EventKind::Failed { .. } => {
            format!("Reason: {status}")
        }
        EventKind::Notified { .. } => "The gateway created a notice to the sender".to_owned(),
        _ => row[Column::SourceContext].to_owned(),
    }
}

/// XML that clients parse as Microsoft documents it.
fn xml(row: &Row) -> String {
    const SHOWN: [(Column, &str); 9] = [
        (Column::ClientIp, "ClientIP"),
        (Column::ClientHostname, "ClientName"),
        (Column::ServerIp, "ServerIP"),
        (Column::ServerHostname, "ServerHostName"),
        (Column::SourceContext, "SourceContext"),
        (Column::ConnectorId, "ConnectorId"),
        (Column::Reference, "Reference"),
        (Column::RecipientStatus, "RecipientStatus"),
        (Column::CustomData, "CustomData"),
    ];
    let mut xml = "<root>".to_owned();
    for (column, name) in SHOWN.into_iter().filter(|(column, _)| !row[*column].is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(xml, "<MEP Name=\"{name}\" String=\"");
        escape(&row[column], &mut xml);
        xml.push_str("\"/>");
    }
    xml + "</root>"
}

fn escape(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            // XML 1.0 cannot express other control characters at all.
            '\t' | '\n' | '\r' => {
                let _ = write!(xml, "&#{};", u32::from(c));
            }
            c if steers(c) => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
}

/// The address in `getDetailsByRecipient(recipientAddress='…')`, with or without a namespace; quotes in it are doubled.
pub(super) fn recipient(call: &str) -> Option<String> {
    let (name, arguments) = call.split_once('(')?;
    let name = name.rsplit('.').next()?;
    let value = arguments.strip_suffix(')')?.trim().strip_prefix("recipientAddress")?.trim_start().strip_prefix('=')?;
    let quoted = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    name.eq_ignore_ascii_case("getDetailsByRecipient").then(|| quoted.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_read_as_clients_write_it() {
        for call in [
            "getDetailsByRecipient(recipientAddress='o''neil@a.test')",
            "microsoft.graph.getDetailsByRecipient(recipientAddress='o''neil@a.test')",
            "getdetailsbyrecipient( recipientAddress = 'o''neil@a.test' )",
        ] {
            assert_eq!(recipient(call).as_deref(), Some("o'neil@a.test"), "{call}");
        }
        for call in [
            "",
            "getDetailsByRecipient",
            "getDetailsByRecipient()",
            "other(recipientAddress='a')",
            "x(recipientAddress=a)",
        ] {
            assert_eq!(recipient(call), None, "{call}");
        }
    }

    #[test]
    fn data_is_valid_xml_for_any_reply() {
        let mut row = Row::default();
        row.set(Column::RecipientStatus, "451 <a> & \"b\"\r\n\u{1}\u{202e}");
        let expected = "<root><MEP Name=\"RecipientStatus\" String=\"451 &lt;a&gt; &amp; &quot;b&quot;&#13;&#10;\u{fffd}\u{fffd}\"/></root>";
        assert_eq!(xml(&row), expected);
    }
}
