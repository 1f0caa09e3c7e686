//! The cause of a failure as tallies have it: a text of few possible values. What a destination says freely is not in it, or each of its
//! replies would be a row of its own.

use std::fmt::Write as _;

use protocol::{
    smtp::{EnhancedCode, Failure, FailureKind, Reply},
    tls::HandshakeFacts,
};

/// RFC 3463 has subjects 0 to 7; registered details have two digits at most.
const SUBJECT_MAX: u16 = 7;
const DETAIL_MAX: u16 = 99;

/// Such as `rcpt rejected 451 4.7.1` or `handshake handshake-failed alert 40`.
pub(super) fn cause(failure: &Failure, alert: Option<u8>) -> String {
    let mut text = format!("{} {}", failure.phase.name(), failure.kind.name());
    let mut kind = &failure.kind;
    if let FailureKind::Expired { cause: Some(last) } = kind {
        kind = last;
        text.push(' ');
        text.push_str(kind.name());
    }
    let is_tls = matches!(kind, FailureKind::HandshakeFailed { .. } | FailureKind::TlsBroken { .. });
    match (&failure.reply, alert) {
        (Some(reply), _) => push_codes(&mut text, reply),
        (None, Some(alert)) if is_tls => push(&mut text, format_args!(" alert {alert}")),
        (None, _) => {}
    }
    text
}

/// The alert that ended a handshake, if one was seen.
pub(crate) fn alert(facts: &HandshakeFacts) -> Option<u8> {
    facts.alerts.iter().rev().find(|alert| alert.fatal).and_then(|alert| alert.description)
}

fn push_codes(text: &mut String, reply: &Reply) {
    if !(400..=599).contains(&reply.code) {
        return;
    }
    push(text, format_args!(" {}", reply.code));
    let is_known =
        |code: &EnhancedCode| matches!(code.class, 4 | 5) && code.subject <= SUBJECT_MAX && code.detail <= DETAIL_MAX;
    if let Some(code) = reply.enhanced.filter(is_known) {
        push(text, format_args!(" {code}"));
    }
}

/// Writing to a string cannot fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use protocol::smtp::Phase;

    use super::*;

    fn rejected(code: u16, enhanced: Option<EnhancedCode>) -> Failure {
        Failure::rejected(Phase::Rcpt, Reply::new(code, enhanced, "mail.x.test: id 4711 <a@x.test>"))
    }

    #[test]
    fn causes_have_names_and_numbers_only() {
        let detail = || "of mail.x.test".to_owned();
        let handshake = |kind| Failure::new(Phase::Handshake, kind);
        let last = Box::new(FailureKind::ConnectionRefused);
        for (failure, alert, expected) in [
            (rejected(451, Some(EnhancedCode::new(4, 7, 1))), None, "rcpt rejected 451 4.7.1"),
            (rejected(550, None), Some(40), "rcpt rejected 550"),
            (rejected(550, Some(EnhancedCode::new(5, 7, 999))), None, "rcpt rejected 550"),
            (rejected(550, Some(EnhancedCode::new(5, 8, 1))), None, "rcpt rejected 550"),
            (rejected(999, Some(EnhancedCode::new(5, 1, 1))), None, "rcpt rejected"),
            (Failure::new(Phase::Connect, FailureKind::TimedOut { after_s: 30 }), Some(0), "connect timed-out"),
            (
                handshake(FailureKind::HandshakeFailed { detail: detail() }),
                Some(40),
                "handshake handshake-failed alert 40",
            ),
            (handshake(FailureKind::HandshakeFailed { detail: detail() }), None, "handshake handshake-failed"),
            (
                Failure::new(Phase::Connect, FailureKind::Expired { cause: Some(last) }),
                None,
                "connect expired connection-refused",
            ),
            (Failure::new(Phase::Resolve, FailureKind::Expired { cause: None }), None, "resolve expired"),
        ] {
            assert_eq!(cause(&failure, alert), expected);
        }
    }

    #[test]
    fn kinds_have_the_names_of_their_json() {
        let detail = String::new;
        for kind in [
            FailureKind::Rejected,
            FailureKind::HostNotFound,
            FailureKind::NullMx,
            FailureKind::DnsFailure { detail: detail() },
            FailureKind::ConnectionRefused,
            FailureKind::NetworkUnreachable,
            FailureKind::ConnectionReset,
            FailureKind::ConnectionClosed,
            FailureKind::TimedOut { after_s: 1 },
            FailureKind::HandshakeFailed { detail: detail() },
            FailureKind::TlsBroken { detail: detail() },
            FailureKind::StartTlsNotOffered,
            FailureKind::StartTlsMasked,
            FailureKind::ExtensionMissing { extension: detail() },
            FailureKind::TooLarge { size_bytes: 2, size_max_bytes: 1 },
            FailureKind::BadReply { detail: detail() },
            FailureKind::AddressNotAllowed { address: [10, 0, 0, 1].into() },
            FailureKind::Local { detail: detail() },
            FailureKind::MailLoop,
            FailureKind::Expired { cause: None },
        ] {
            assert_eq!(serde_json::to_value(&kind).expect("JSON")["kind"], kind.name());
        }
    }
}
