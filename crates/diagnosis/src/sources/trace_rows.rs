//! Attempts from rows of message traces and tracking logs, and from other systems' logs that are read into such rows.

use std::borrow::Cow;

use protocol::smtp::Phase;
use trace::{
    ForeignFormat, exchange_error,
    foreign::Detail,
    message_trace::{Column, Row, custom_value},
    postfix_log::{ADDRESS_VERIFICATION, EXPIRED},
};

use super::{
    inbound_rows,
    words::{Said, domain},
};
use crate::evidence::{Attempt, Evidence, Failed, Place, Sign, Signs, Source, Speaker};

/// Adds the attempt of a row, if it has one; `line` is its number in the file, from 1.
pub fn add_row(evidence: &mut Evidence, format: &'static ForeignFormat, row: &Row, file: &str, line: u64) {
    if inbound_rows::is_inbound(format, row) {
        return inbound_rows::add_row(evidence, format, row, file, line);
    }
    let event = row[Column::EventId].to_ascii_uppercase();
    let worked = matches!(event.as_str(), "SEND" | "SENDEXTERNAL" | "DELIVER");
    if !worked && !matches!(event.as_str(), "DEFER" | "FAIL" | "SENDDEFER") {
        return;
    }
    let (status, data) = (status(row), &row[Column::CustomData]);
    let handshake = custom_value(data, "TlsHandshake");
    // What only tests an address leaves no message behind that could wait or bounce.
    let is_test = custom_value(data, "Purpose") == Some(ADDRESS_VERIFICATION);
    let container = if worked { None } else { exchange_error::Container::read(status) };
    let words = container.as_ref().and_then(|container| container.last_error).unwrap_or(status);
    let is_suspended = custom_value(data, "Attempt") == Some("none");
    let said = if worked { Said::default() } else { said(format, status, data) };
    // The server has answered the question.
    if is_test && said.code.is_some_and(|code| code >= 500) {
        return;
    }
    // No attempt: the age decided.
    if custom_value(data, "Attempt") == Some(EXPIRED) {
        return evidence.expire(&row[Column::NetworkMessageId], &row[Column::RecipientAddress]);
    }
    let some = |column: Column| Some(&row[column]).filter(|text| !text.is_empty());
    let cow = |column: Column| some(column).map(Cow::from);
    let host = some(Column::ServerHostname).or_else(|| container.as_ref().and_then(|container| container.host));
    let address = some(Column::ServerIp).or_else(|| container.as_ref().and_then(|container| container.address));
    let recipient = &row[Column::RecipientAddress];
    let told = handshake.map_or(Cow::Borrowed(words), |handshake| format!("{words}: {handshake}").into());
    let ids = [Column::NetworkMessageId, Column::MessageId, Column::InternalMessageId];
    let id = ids.into_iter().find_map(some).filter(|_| !is_test);
    let port = custom_value(data, "DestinationPort").and_then(|port| port.parse().ok());
    let tls = custom_value(data, "TlsVersion").zip(custom_value(data, "TlsCipher"));
    let attempt = Attempt {
        at: row.at,
        session: session(&row[Column::SourceContext]).map(Cow::from),
        message: id.map(Cow::from),
        recipient: cow(Column::RecipientAddress),
        message_id: cow(Column::MessageId),
        connector: cow(Column::ConnectorId).filter(|_| format.has_connectors),
        node: cow(Column::ClientHostname),
        source_address: row[Column::ClientIp].parse().ok(),
        destination: host.map(|host| (host.into(), port)),
        destination_address: address.and_then(|address| address.parse().ok()),
        tls_policy: custom_value(data, "TlsPolicy").map(Cow::from),
        tls: tls.map(|(version, cipher)| (version.into(), cipher.into())),
        message_bytes: row[Column::TotalBytes].parse().ok(),
        connections: custom_value(data, "Connections").and_then(|number| number.parse().ok()),
        sender_domain: domain(&row[Column::SenderAddress]).map(Cow::from),
        recipient_domain: domain(recipient).map(Cow::from),
        plaintext_after: custom_value(data, "PlaintextAfter").map(|words| Box::new(failed_handshake(words))),
        failure: (!worked).then(|| failed(&said, &event, told)),
        ..Attempt::by(Source::Log(format))
    };
    let place = || Some(Place::Line { file: file.to_owned(), line });
    if is_suspended { evidence.add_suspended(&attempt, place) } else { evidence.add(&attempt, place) }
}

fn status(row: &Row) -> &str {
    let status = &row[Column::RecipientStatus];
    if status.is_empty() { &row[Column::SourceContext] } else { status }
}

fn failed<'a>(said: &Said, event: &str, text: Cow<'a, str>) -> Failed<'a> {
    // Postfix with `soft_bounce`, or where it failed to log in.
    let is_tried_again = event == "DEFER" && said.code.is_some_and(|code| code >= 500);
    let signs = said.signs.and_if(event == "FAIL", Sign::GivenUp).and_if(is_tried_again, Sign::TriedAgain);
    Failed { phase: said.phase, signs, code: said.code, enhanced: said.enhanced, text }
}

/// What a row says of a failure: its status, and what it has of the handshake.
fn said(format: &ForeignFormat, status: &str, data: &str) -> Said {
    // A server's own log has its own words; what a service shows may be anybody's.
    let speaker = if format.detail == Detail::Attempts { Speaker::ThisSide } else { Speaker::Log };
    let status =
        if status.contains(SUSPENDED) { status.replacen(SUSPENDED, "", 1).into() } else { Cow::Borrowed(status) };
    let mut said = Said::of(&status, speaker).with_handshake(custom_value(data, "TlsHandshake"));
    if said.phase.is_none() && said.signs.has(Sign::TimedOut) {
        said.phase = custom_value(data, "Delays").and_then(phase_of_delays);
    }
    said
}

/// How Postfix begins the status of mail that waits for what another attempt failed by.
const SUSPENDED: &str = "delivery temporarily suspended: ";

/// Where most of the time went, in Postfix's four steps: before the queue manager, in the queue, to set up the connection,
/// and to send. Which of the commands took the time of the last step is not known.
fn phase_of_delays(delays: &str) -> Option<Phase> {
    let steps: Vec<f64> = delays.split('/').map(|step| step.parse().ok()).collect::<Option<_>>()?;
    match steps[..] {
        [_, _, connect, send] if connect > send => Some(Phase::Connect),
        [_, _, _, send] if send > 0.0 => Some(Phase::Rcpt),
        _ => None,
    }
}

/// Why TLS failed before mail left without it.
pub(super) fn failed_handshake(words: &str) -> Failed<'_> {
    Failed {
        phase: Some(Signs::phase_of_text(words).unwrap_or(Phase::Handshake)),
        signs: Signs::of_text(words).and(Sign::HandshakeFailed),
        code: None,
        enhanced: None,
        text: words.into(),
    }
}

/// Exchange and this gateway begin a session's context with its id, 16 hex digits: `08D5F1B2E8E1A8C3;250 2.6.0 …`.
fn session(context: &str) -> Option<&str> {
    let (id, _) = context.split_once(';').unwrap_or((context, ""));
    (id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose;

    #[test]
    fn a_port_that_the_source_does_not_name_is_not_invented() {
        for (data, destination, check) in [
            ("", "mail.onprem.test", "gatepost probe mail.onprem.test"),
            ("S:DestinationPort=25", "mail.onprem.test:25", "gatepost probe mail.onprem.test:25"),
            ("S:DestinationPort=587", "mail.onprem.test:587", "gatepost probe mail.onprem.test:587"),
        ] {
            let mut row = Row::default();
            row.set(Column::EventId, "DEFER");
            row.set(Column::RecipientAddress, "user@onprem.test");
            row.set(Column::ServerHostname, "mail.onprem.test");
            row.set(Column::RecipientStatus, "Connection refused");
            row.set(Column::CustomData, data);
            let mut evidence = Evidence::default();
            add_row(&mut evidence, &trace::exim_log::FORMAT, &row, "mainlog", 3);
            let finding = &diagnose(&evidence)[0];
            let shown = (finding.scope.destination.as_str(), finding.check.clone());
            assert_eq!(shown, (destination, check.to_owned()), "{data}");
        }
    }

    #[test]
    fn errors_of_many_systems_are_told() {
        for (status, expected) in [
            (
                "[{LED=450 4.4.316 Connection refused [Message=Socket error code 10061]};{MSG=};{FQDN=mail.onprem.test};{IP=192.0.2.1};{LRT=2026-11-25T12:00:00Z}]",
                "connection-refused",
            ),
            (
                "[{LRT=11/25/2026 12:00:00 PM};{LED=451 4.4.0 TLS negotiation failed with error SocketError};{FQDN=mail.onprem.test};{IP=192.0.2.1}]",
                "handshake-reset",
            ),
            (
                "[{LED=450 4.4.317 Cannot connect to remote server [Message=CertificateExpired Expected Subject: a]};{MSG=};{FQDN=a};{IP=192.0.2.1}",
                "certificate-expired",
            ),
            (
                "host mx.test[192.0.2.1] said: 450 4.2.0 <a@b>: Recipient address rejected: Greylisted (in reply to RCPT TO command)",
                "greylisted",
            ),
            ("SMTP error from remote mail server after RCPT TO:<a@b>: 550 5.1.1 User unknown", "recipient-unknown"),
            (
                "lost connection with mx.test[192.0.2.1] while receiving the initial server greeting",
                "connection-dropped-before-banner",
            ),
            ("Cannot start TLS: handshake failure", "unknown"),
        ] {
            let mut row = Row::default();
            row.set(Column::EventId, "DEFER");
            row.set(Column::RecipientAddress, "user@onprem.test");
            row.set(Column::MessageId, "<1@a>");
            row.set(Column::RecipientStatus, status);
            let mut evidence = Evidence::default();
            add_row(&mut evidence, &trace::message_trace::TRACKING_LOG, &row, "a.log", 3);
            assert_eq!(diagnose(&evidence)[0].cause.as_str(), expected, "{status}");
        }
    }
}
