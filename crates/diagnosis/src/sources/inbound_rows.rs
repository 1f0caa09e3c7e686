//! Attempts of senders, from the rows of logs that other mail servers write about their clients.

use std::{borrow::Cow, net::IpAddr};

use protocol::smtp::Phase;
use trace::{
    ForeignFormat,
    foreign::Detail,
    message_trace::{Column, Row, custom_value},
};

use super::words::{Said, domain};
use crate::evidence::{Attempt, Direction, Evidence, Failed, Place, Source, Speaker};

/// True for a row about a client's session. Exchange calls mail that comes into an organisation `Incoming` on its whole
/// way, so only its receipt is such a row.
pub(super) fn is_inbound(format: &ForeignFormat, row: &Row) -> bool {
    let is_receipt = row[Column::EventId].eq_ignore_ascii_case("RECEIVE");
    row[Column::Directionality].eq_ignore_ascii_case("Incoming") && (is_receipt || format.detail == Detail::Attempts)
}

pub(super) fn add_row(evidence: &mut Evidence, format: &'static ForeignFormat, row: &Row, file: &str, line: u64) {
    if evidence.direction() == Direction::Outbound && !evidence.keeps_senders() {
        // Half of a log is about senders.
        return evidence.leave_out(!row[Column::EventId].eq_ignore_ascii_case("RECEIVE"));
    }
    let some = |column: Column| Some(&row[column]).filter(|text| !text.is_empty());
    let Some(sender) = some(Column::ClientHostname).or_else(|| some(Column::ClientIp)) else { return };
    let worked = row[Column::EventId].eq_ignore_ascii_case("RECEIVE");
    let data = &row[Column::CustomData];
    let tls = custom_value(data, "TlsVersion").zip(custom_value(data, "TlsCipher"));
    let cow = |column: Column| some(column).map(Cow::from);
    let attempt = Attempt {
        direction: Direction::Inbound,
        at: row.at,
        message: cow(Column::NetworkMessageId).or_else(|| cow(Column::MessageId)),
        recipient: cow(Column::RecipientAddress),
        message_id: cow(Column::MessageId),
        node: cow(Column::ServerHostname),
        source_address: row[Column::ServerIp].parse().ok(),
        // The client's port says nothing.
        destination: Some((sender.into(), None)),
        destination_address: row[Column::ClientIp].parse::<IpAddr>().ok(),
        tls: tls.map(|(version, cipher)| (version.into(), cipher.into())),
        message_bytes: row[Column::TotalBytes].parse().ok(),
        sender_domain: domain(&row[Column::SenderAddress]).map(Cow::from),
        recipient_domain: domain(&row[Column::RecipientAddress]).map(Cow::from),
        failure: (!worked).then(|| failed(row)),
        ..Attempt::by(Source::Log(format))
    };
    evidence.add(&attempt, || Some(Place::Line { file: file.to_owned(), line }));
}

fn failed(row: &Row) -> Failed<'_> {
    let words = &row[Column::RecipientStatus];
    let data = &row[Column::CustomData];
    let handshake = custom_value(data, "TlsHandshake");
    let text = handshake.map_or(Cow::Borrowed(words), |handshake| format!("{words}: {handshake}").into());
    let phase = custom_value(data, "Phase").and_then(|name| Phase::ALL.into_iter().find(|phase| phase.name() == name));
    let Said { phase: of_words, signs, code, enhanced } = Said::of(words, Speaker::Log).with_handshake(handshake);
    Failed { phase: phase.or(of_words), signs, code, enhanced, text }
}

#[cfg(test)]
mod tests {
    use trace::message_trace::CustomData;

    use super::*;
    use crate::{CauseId, diagnose};

    fn row(event: &str, status: &str) -> Row {
        let mut row = Row::default();
        row.set(Column::EventId, event);
        row.set(Column::Directionality, "Incoming");
        row.set(Column::ClientIp, "192.0.2.9");
        row.set(Column::ClientHostname, "mx.sender.test");
        row.set(Column::RecipientStatus, status);
        row
    }

    fn add(evidence: &mut Evidence, row: &Row) {
        super::super::trace_rows::add_row(evidence, &trace::postfix_log::FORMAT, row, "mail.log", 1);
    }

    #[test]
    fn evidence_is_about_one_direction() {
        let mut refused = row("FAIL", "SSL_accept error from mx.sender.test[192.0.2.9]: -1");
        let mut data = CustomData::default();
        data.add("Phase", "handshake");
        data.add("TlsHandshake", "TLS library problem: error:1417A0C1:SSL routines:no shared cipher");
        refused.set(Column::CustomData, data);
        let received = row("RECEIVE", "");
        let (mut outbound, mut inbound) = (Evidence::default(), Evidence::default().inbound());
        for evidence in [&mut outbound, &mut inbound] {
            add(evidence, &refused);
            add(evidence, &received);
        }
        assert_eq!((outbound.len(), outbound.left_out()), (0, crate::LeftOut { attempts: 2, failed: 1 }));
        assert_eq!((inbound.len(), inbound.left_out().attempts), (2, 0));
        let findings = diagnose(&inbound);
        assert_eq!(
            (findings[0].cause, findings[0].scope.destination.as_str()),
            (CauseId::NoSharedCipher, "mx.sender.test")
        );
    }

    /// The mail of the case of the RC4 queue: it came in, and failed on its way to the organisation's own server.
    #[test]
    fn incoming_mail_that_exchange_passes_on_is_outbound() {
        let mut evidence = Evidence::default();
        let row = row("DEFER", "450 4.4.316 Connection refused");
        super::super::trace_rows::add_row(&mut evidence, &trace::message_trace::TRACKING_LOG, &row, "a.log", 1);
        assert_eq!(evidence.len(), 1);
    }
}
