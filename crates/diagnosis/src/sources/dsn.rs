//! Attempts from delivery status notifications (RFC 3464): the last word on each recipient.

use std::borrow::Cow;

use jiff::{Timestamp, fmt::rfc2822};
use trace::dsn::{Action, Dsn, Recipient, Typed};

use super::words::{Said, domain};
use crate::evidence::{Attempt, Evidence, Failed, Place, Sign, Source, Speaker};

/// Adds one attempt for each recipient of a notification.
pub fn add_notification(evidence: &mut Evidence, dsn: &Dsn, file: &str) {
    for recipient in &dsn.recipients {
        add_recipient(evidence, dsn, recipient, file);
    }
}

fn add_recipient(evidence: &mut Evidence, dsn: &Dsn, recipient: &Recipient, file: &str) {
    let diagnostic = recipient.diagnostic_code.as_ref().map(|code| code.text.as_str()).unwrap_or_default();
    let said = match recipient.status {
        // Only the status says why.
        Some(status) if diagnostic.is_empty() => Said::of_status(status),
        _ => Said::of(diagnostic, speaker(recipient)),
    };
    let failure = match recipient.action {
        Some(Action::Delivered | Action::Relayed) => None,
        // A list's members have notifications of their own.
        Some(Action::Expanded) => return,
        action @ (Some(Action::Failed | Action::Delayed) | None) => Some(Failed {
            phase: said.phase,
            signs: said.signs.and_if(action == Some(Action::Failed), Sign::GivenUp),
            code: said.code,
            enhanced: said.enhanced.or(recipient.status),
            text: diagnostic.into(),
        }),
    };
    let address = recipient.final_recipient.as_ref().or(recipient.original_recipient.as_ref());
    let address = address.map(|address| address.text.as_str()).unwrap_or_default();
    // What is no name of a host, such as `local`, names no destination.
    let host = |mta: &Option<Typed>| mta.as_ref().map(|mta| mta.text.clone()).filter(|host| host.contains('.'));
    let remote = host(&recipient.remote_mta);
    let node = host(&dsn.reporting_mta);
    let ids = [&dsn.original_message_id, &dsn.original_envelope_id];
    let message = ids.into_iter().flatten().next().map_or(file, String::as_str);
    let attempt = Attempt {
        at: recipient.last_attempt_date.as_deref().or(dsn.arrival_date.as_deref()).and_then(time),
        message: Some(message.into()),
        recipient: Some(address).filter(|address| !address.is_empty()).map(Cow::from),
        message_id: dsn.original_message_id.as_ref().map(Cow::from),
        node: node.map(Cow::from),
        destination: remote.map(|host| (host.into(), None)),
        recipient_domain: domain(address).map(Cow::from),
        failure,
        ..Attempt::by(Source::Dsn)
    };
    evidence.add(&attempt, || Some(Place::Line { file: file.to_owned(), line: 1 }));
}

/// A diagnostic code of the kind `smtp` should be the remote server's reply; without one, it is what any server says.
fn speaker(recipient: &Recipient) -> Speaker {
    match recipient.diagnostic_code.as_ref().map(|code| code.kind.as_str()) {
        Some("smtp") if recipient.remote_mta.is_some() => Speaker::Destination,
        Some("x-postfix") => Speaker::ThisSide,
        _ => Speaker::Log,
    }
}

fn time(date: &str) -> Option<Timestamp> {
    rfc2822::parse(date).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose;

    #[test]
    fn what_was_given_up_does_not_wait() {
        for (action, pending) in [("failed", 0), ("delayed", 1)] {
            let mail = format!(
                "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
                 Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.a.test\r\n\r\n\
                 Final-Recipient: rfc822; bob@onprem.test\r\nAction: {action}\r\nStatus: 4.4.1\r\n\
                 Diagnostic-Code: smtp; 451 4.4.1 connection refused\r\n\r\n--b\r\n\
                 Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@a.test>\r\n\r\n--b--\r\n"
            );
            let dsn = trace::dsn::read(mail.as_bytes()).unwrap();
            assert_eq!(dsn.original_message_id.as_deref(), Some("1@a.test"));
            let mut evidence = Evidence::default();
            add_notification(&mut evidence, &dsn, "bounce.eml");
            let findings = diagnose(&evidence);
            assert_eq!(
                (findings[0].cause.as_str(), findings[0].messages_pending),
                ("connection-refused", pending),
                "{action}"
            );
            assert_eq!(findings[0].scope.connector, None);
        }
    }

    #[test]
    fn a_status_without_a_diagnostic_code_says_why() {
        for (status, cause) in [
            ("5.1.2", "dns-failure"),
            ("5.1.1", "recipient-unknown"),
            ("5.2.2", "mailbox-full"),
            ("5.4.6", "mail-loop"),
            ("5.0.0", "unknown"),
        ] {
            let mail = format!(
                "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
                 Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.a.test\r\n\r\n\
                 Final-Recipient: rfc822; bob@onprem.test\r\nAction: failed\r\nStatus: {status}\r\n\r\n--b--\r\n"
            );
            let dsn = trace::dsn::read(mail.as_bytes()).unwrap();
            let mut evidence = Evidence::default();
            add_notification(&mut evidence, &dsn, "bounce.eml");
            assert_eq!(diagnose(&evidence)[0].cause.as_str(), cause, "{status}");
        }
    }
}
