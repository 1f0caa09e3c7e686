//! What a few lines of a log are told as: the cause, what became of the messages, and what the remedies say and do not say.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Evidence, Finding, diagnose, sources::trace_rows};
use jiff::{Timestamp, tz::TimeZone};
use trace::{ForeignFormat, exim_log, postfix_log, sendmail_log};

fn findings(format: &'static ForeignFormat, lines: &[String]) -> Vec<Finding> {
    found_in(Evidence::default(), format, lines)
}

fn found_in(mut evidence: Evidence, format: &'static ForeignFormat, lines: &[String]) -> Vec<Finding> {
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let now: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
    for row in format.read(log.as_bytes(), now, &TimeZone::UTC).unwrap() {
        trace_rows::add_row(&mut evidence, format, &row.unwrap(), "log", 1);
    }
    diagnose(&evidence)
}

fn postfix(id: u32, to: &str, relay: &str, dsn: &str, status: &str) -> String {
    format!(
        "Nov 25 07:{:02}:00 mx postfix/smtp[4]: 4F{id:04}: to=<{to}>, relay={relay}, delay=1, delays=0.1/0/0.1/0.5, \
         dsn={dsn}, status={status}",
        id % 60
    )
}

fn remedies(finding: &Finding) -> String {
    finding.remedy.iter().map(|remedy| format!("{}: {}\n", remedy.side, remedy.action)).collect()
}

/// Postfix with `soft_bounce`, or one that could not log in, tries again whatever the reply was.
#[test]
fn mail_that_is_tried_again_waits_though_the_reply_was_final() {
    for (dsn, status, cause) in [
        (
            "5.1.1",
            "deferred (host mx.dest.test[192.0.2.1] said: 550 5.1.1 <a@dest.test>: User unknown (in reply to RCPT TO command))",
            "recipient-unknown",
        ),
        (
            "4.7.8",
            "deferred (SASL authentication failed; server mx.dest.test[192.0.2.1] said: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant)",
            "authentication-required",
        ),
    ] {
        let lines: Vec<String> =
            (0..4).map(|id| postfix(id, "a@dest.test", "mx.dest.test[192.0.2.1]:587", dsn, status)).collect();
        let found = findings(&postfix_log::FORMAT, &lines);
        let shown = (found[0].cause.as_str(), found[0].messages_pending, found[0].messages_bounced);
        assert_eq!(shown, (cause, 4, 0), "{status}");
    }
    let refused = "bounced (host mx.dest.test[192.0.2.1] said: 550 5.1.1 <a@dest.test>: User unknown (in reply to RCPT TO command))";
    let line = postfix(1, "a@dest.test", "mx.dest.test[192.0.2.1]:25", "5.1.1", refused);
    assert_eq!(findings(&postfix_log::FORMAT, &[line])[0].messages_bounced, 1);
}

/// To accept mail from such clients without authentication would make an open relay.
#[test]
fn nobody_is_told_to_open_a_relay() {
    let strange = "Nov 25 07:00:00 mx postfix/smtpd[4]: NOQUEUE: reject: RCPT from unknown[203.0.113.200]: 554 5.7.1 \
                   <x@nowhere.test>: Relay access denied; from=<s@spam.test> to=<x@nowhere.test> proto=ESMTP helo=<h>";
    let found = found_in(Evidence::default().inbound(), &postfix_log::FORMAT, &vec![strange.to_owned(); 3]);
    let told = remedies(&found[0]);
    assert_eq!(found[0].cause.as_str(), "authentication-required");
    assert!(told.starts_with("gateway: Change nothing if the client is a stranger"), "{told}");
    assert!(!told.contains("Accept mail from") && !told.contains("destination: "), "{told}");
    // A server that no longer has the domain.
    let moved = "bounced (host mx.moved.test[192.0.2.1] said: 554 5.7.1 <a@moved.test>: Relay access denied (in reply to RCPT TO command))";
    let lines: Vec<String> =
        (0..3).map(|id| postfix(id, "a@moved.test", "mx.moved.test[192.0.2.1]:25", "5.7.1", moved)).collect();
    let told = remedies(&findings(&postfix_log::FORMAT, &lines)[0]);
    assert!(told.contains("dig MX moved.test") && told.contains("`relay_domains`"), "{told}");
    assert!(!told.contains("without authentication (Exchange"), "{told}");
}

/// Mail to a mailbox or a socket of this machine says nothing of outgoing connections.
#[test]
fn local_delivery_does_not_hide_a_blocked_port() {
    let blocked = |id: u32| {
        let (host, to) = (format!("mx.d{id}.test"), format!("a@d{id}.test"));
        let status = format!("deferred (connect to {host}[192.0.{id}.1]:25: Connection timed out)");
        postfix(id, &to, "none", "4.4.1", &status)
    };
    for local in ["mail.our.test[private/dovecot-lmtp]", "local"] {
        let mut lines: Vec<String> = (0..5).map(blocked).collect();
        lines.extend((10..20).map(|id| postfix(id, "us@our.test", local, "2.0.0", "sent (250 2.0.0 Saved)")));
        let found = findings(&postfix_log::FORMAT, &lines);
        assert_eq!(found[0].cause.as_str(), "outbound-port-blocked", "{local}: {found:#?}");
        assert_eq!(found[0].scope.destinations, 5);
    }
    // Mail to another host got through.
    let mut lines: Vec<String> = (0..5).map(blocked).collect();
    lines.extend((10..20).map(|id| postfix(id, "b@z.test", "mx.z.test[198.51.100.1]:25", "2.0.0", "sent (250 ok)")));
    assert!(findings(&postfix_log::FORMAT, &lines).iter().all(|found| found.cause.as_str() != "outbound-port-blocked"));
}

#[test]
fn what_a_log_says_of_tls_in_several_lines_is_one_story() {
    let exim = |line: &str| format!("2026-11-25 07:00:02 1vNqXY-0000000001a-2bcd {line}");
    let sendmail = |line: &str| format!("Nov 25 07:00:02 mx sendmail[77]: {line}");
    for (format, lines, expected) in [
        (
            &exim_log::FORMAT,
            vec![
                exim("[192.0.2.1] SSL verify error: depth=0 error=certificate has expired cert=/CN=mx.dest.test"),
                exim(
                    "== b@dest.test R=dnslookup T=remote_smtp defer (-37) H=mx.dest.test [192.0.2.1]: a TLS session is required, but an attempt to start TLS failed",
                ),
            ],
            "certificate-expired",
        ),
        (
            &exim_log::FORMAT,
            vec![exim(
                "== b@dest.test R=dnslookup T=remote_smtp defer (-37) H=mx.dest.test [192.0.2.1]: DANE attempt failed; TLS connection to mx.dest.test [192.0.2.1]: (SSL_connect): error:0A000086:SSL routines::certificate verify failed",
            )],
            "dane-failed",
        ),
        (
            &postfix_log::FORMAT,
            vec![postfix(1, "a@dest.test", "none", "4.7.5", "deferred (TLSA lookup error for mx.dest.test:25)")],
            "dns-failure",
        ),
        (
            &sendmail_log::FORMAT,
            vec![
                sendmail(
                    "STARTTLS=client, error: connect failed=-1, reason=tlsv1 alert protocol version, SSL_error=1, errno=0, retry=-1",
                ),
                sendmail(
                    "1AB2CD34: to=<b@dest.test>, delay=00:00:01, mailer=esmtp, relay=mx.dest.test. [192.0.2.1], dsn=4.0.0, stat=Deferred: 403 4.7.0 TLS handshake failed.",
                ),
            ],
            "no-shared-tls-version",
        ),
    ] {
        let found = findings(format, &lines);
        assert_eq!(found[0].cause.as_str(), expected, "{lines:#?}");
    }
}
