//! Records and events as rows of Exchange's trace files. A column without a known value is empty.

use std::io::{self, Write};

use store::{DeliveryRecord, State};
use trace::{
    Attempt, Event, EventKind, Received,
    message_trace::{Column, CustomData, Row, Summary, SummaryWriter},
};

/// The sender for people; `<>` is the null sender.
pub fn sender(record: &DeliveryRecord) -> &str {
    record.message.envelope.sender.address().map_or("<>", |address| address.as_str())
}

/// Recipients of a message follow each other and share a row.
pub fn write_summaries<W: Write>(records: &[DeliveryRecord], writer: &mut SummaryWriter<W>) -> io::Result<()> {
    for message in records.chunk_by(|a, b| a.message.key == b.message.key) {
        if let Some(summary) = summary(message) {
            writer.write(&summary)?;
        }
    }
    Ok(())
}

/// The row of one message in the enhanced summary.
fn summary(records: &[DeliveryRecord]) -> Option<Summary> {
    let first = records.first()?;
    let recipient = |record: &DeliveryRecord| (record.delivery.recipient.as_str().to_owned(), status(record));
    Some(Summary {
        received: first.message.received,
        sender: sender(first).to_owned(),
        recipients: records.iter().map(recipient).collect(),
        subject: first.message.subject.clone().unwrap_or_default(),
        size_bytes: first.message.size_bytes,
        message_id: message_id(first),
        network_message_id: first.message.network_message_id.to_string(),
        client_ip: first.message.client.map(|ip| ip.to_string()).unwrap_or_default(),
        connector: first.delivery.connector.clone(),
    })
}

fn status(record: &DeliveryRecord) -> &'static str {
    match record.state {
        State::Delivered => "Receive, Send",
        State::Failed | State::Removed => "Receive, Fail",
        State::Queued | State::Leased | State::Suspended if record.last_attempt.is_some() => "Receive, Defer",
        State::Queued | State::Leased | State::Suspended => "Receive",
    }
}

/// The Message-ID field; empty if the message has none.
pub fn message_id(record: &DeliveryRecord) -> String {
    record.message.message_id.as_ref().map(|id| format!("<{id}>")).unwrap_or_default()
}

/// An event as Exchange logs it; `None` if Exchange has no such event.
pub fn row(record: &DeliveryRecord, event: &Event) -> Option<Row> {
    let mut row = message_columns(record);
    row.at = Some(event.at);
    let recipient = event.recipient.as_ref().unwrap_or(&record.delivery.recipient);
    row.set(Column::RecipientAddress, recipient.as_str());
    let (source, name) = match &event.kind {
        EventKind::Received(received) => {
            set_received(&mut row, received, event);
            ("SMTP", "RECEIVE")
        }
        EventKind::Delivered { attempt, reply } => {
            set_attempt(&mut row, attempt, event);
            row.set(Column::RecipientStatus, reply.to_string());
            ("SMTP", "SEND")
        }
        EventKind::Deferred { attempt, failure, .. } | EventKind::HostFailed { attempt, failure } => {
            set_attempt(&mut row, attempt, event);
            row.set(Column::RecipientStatus, last_error(&failure.summary(), Some(attempt), event));
            ("SMTP", "DEFER")
        }
        EventKind::Failed { attempt, failure } => {
            if let Some(attempt) = attempt {
                set_attempt(&mut row, attempt, event);
            }
            row.set(Column::RecipientStatus, last_error(&failure.summary(), attempt.as_ref(), event));
            ("SMTP", "FAIL")
        }
        EventKind::Notified { notice, .. } => {
            row.set(Column::Reference, notice.to_string());
            ("DSN", "DSN")
        }
        EventKind::Removed { by } => {
            row.set(Column::SourceContext, format!("removed by {by}"));
            ("ADMIN", "FAIL")
        }
        EventKind::Interrupted { .. }
        | EventKind::NoticeWithheld { .. }
        | EventKind::Suspended { .. }
        | EventKind::Resumed { .. }
        | EventKind::Retried { .. }
        | EventKind::Unknown { .. } => return None,
    };
    row.set(Column::Source, source);
    row.set(Column::EventId, name);
    Some(row)
}

/// The columns that are equal for all events of a message.
fn message_columns(record: &DeliveryRecord) -> Row {
    let mut row = Row::default();
    let message = &record.message;
    let client = message.client.map(|ip| ip.to_string()).unwrap_or_default();
    row.set(Column::InternalMessageId, message.key.0.to_string());
    row.set(Column::MessageId, message_id(record));
    row.set(Column::NetworkMessageId, message.network_message_id.to_string());
    row.set(Column::TotalBytes, message.size_bytes.to_string());
    row.set(Column::RecipientCount, "1");
    row.set(Column::MessageSubject, message.subject.clone().unwrap_or_default());
    row.set(Column::SenderAddress, sender(record));
    row.set(Column::ReturnPath, sender(record));
    row.set(Column::MessageInfo, format!("{:.3}", message.received));
    row.set(Column::Directionality, "Incoming");
    row.set(Column::OriginalClientIp, client);
    row.set(Column::TransportTrafficType, "Email");
    row
}

fn set_received(row: &mut Row, received: &Received, event: &Event) {
    row.set(Column::ClientIp, received.from.map(|ip| ip.to_string()).unwrap_or_default());
    row.set(Column::ClientHostname, received.ehlo_name.clone());
    row.set(Column::ServerHostname, event.node.clone());
    // The session id leads to the protocol log.
    row.set(Column::SourceContext, format!("{};{:.3};0", received.session, event.at));
    row.set(Column::ConnectorId, format!("{}\\Inbound", event.node));
    row.set(Column::RecipientCount, received.recipients.to_string());
    row.set(Column::TotalBytes, received.size_bytes.to_string());
    let mut data = CustomData::default();
    if let Some(tls) = &received.tls {
        data.add_tls(&tls.version, &tls.cipher);
    }
    row.set(Column::CustomData, data);
}

fn set_attempt(row: &mut Row, attempt: &Attempt, event: &Event) {
    row.set(Column::ClientIp, attempt.local.map(|local| local.ip().to_string()).unwrap_or_default());
    row.set(Column::ClientHostname, event.node.clone());
    if let Some(destination) = &attempt.destination {
        row.set(Column::ServerHostname, destination.host.clone());
        row.set(Column::ServerIp, destination.address.map(|address| address.ip().to_string()).unwrap_or_default());
    }
    row.set(Column::SourceContext, attempt.session.clone());
    row.set(Column::ConnectorId, attempt.connector.clone());
    let mut data = CustomData::default();
    data.add("TlsPolicy", &attempt.tls_policy);
    if let Some(version) = attempt.plan_version {
        data.add("RolloutPlan", version);
    }
    if let Some(tls) = &attempt.tls {
        data.add_tls(&tls.version, &tls.cipher);
    }
    if let Some(facts) = attempt.handshake.as_ref().filter(|facts| !facts.completed) {
        data.add("TlsHandshake", facts.to_string().replace(';', ","));
    }
    data.add_port(attempt.destination.as_ref().map(|destination| destination.port));
    row.set(Column::CustomData, data);
}

/// A failure in the form of Exchange.
fn last_error(text: &str, attempt: Option<&Attempt>, event: &Event) -> String {
    let destination = attempt.and_then(|attempt| attempt.destination.as_ref());
    let host = destination.map(|destination| destination.host.as_str()).unwrap_or_default();
    let address = destination.and_then(|destination| destination.address);
    let ip = address.map(|address| address.ip().to_string()).unwrap_or_default();
    format!("[{{LED={text}}};{{MSG=}};{{FQDN={host}}};{{IP={ip}}};{{LRT={:.3}}}]", event.at)
}
