//! Mail that Postfix does not try because another attempt at the same server failed: it waits, and it is not an attempt.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Evidence, Finding, diagnose, sources::trace_rows};
use jiff::{Timestamp, tz::TimeZone};
use trace::postfix_log;

fn evidence(evidence: &mut Evidence, lines: &[String]) {
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let now: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
    for row in postfix_log::reader(log.as_bytes(), now, TimeZone::UTC) {
        trace_rows::add_row(evidence, &postfix_log::FORMAT, &row.unwrap(), "mail.log", 1);
    }
}

fn findings(lines: &[String]) -> Vec<Finding> {
    let mut alone = Evidence::default();
    evidence(&mut alone, lines);
    let mut joined = Evidence::default();
    joined.join();
    evidence(&mut joined, lines);
    joined.joined();
    let findings = diagnose(&alone);
    let shown = |findings: &[Finding]| findings.iter().map(|finding| finding.summary.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&findings), shown(&diagnose(&joined)), "one source or several");
    findings
}

const CAUSE: &str = "connect to mx.dest.test[192.0.2.1]:25: Connection timed out";

fn tried(minute: u32, id: &str) -> String {
    format!(
        "Nov 25 07:{minute:02}:00 mx postfix/smtp[4]: {id}: to=<a@dest.test>, relay=none, delay=31, \
         delays=0.1/0/30/0, dsn=4.4.1, status=deferred ({CAUSE})"
    )
}

fn suspended(minute: u32, id: &str, cause: &str) -> String {
    format!(
        "Nov 25 07:{minute:02}:00 mx postfix/error[5]: {id}: to=<a@dest.test>, relay=none, delay=1, dsn=4.4.1, \
         status=deferred (delivery temporarily suspended: {cause})"
    )
}

fn sent(minute: u32, id: &str) -> String {
    format!(
        "Nov 25 07:{minute:02}:00 mx postfix/smtp[4]: {id}: to=<a@dest.test>, relay=mx.dest.test[192.0.2.1]:25, \
         delay=1, delays=0.1/0/0/0.5, dsn=2.0.0, status=sent (250 ok)"
    )
}

#[test]
fn messages_that_were_only_suspended_count_as_waiting() {
    let lines = [tried(0, "4F00A1"), suspended(1, "4F00A2", CAUSE), suspended(2, "4F00A3", CAUSE)];
    let found = findings(&lines);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (cause, scope) = (found[0].cause.as_str(), &found[0].scope);
    assert_eq!((cause, found[0].messages_pending, scope.failed), ("connection-timed-out", 3, 1));
    assert_eq!(scope.destination, "mx.dest.test:25");
    assert!(found[0].summary.contains("2 without an attempt of their own"), "{}", found[0].summary);
}

#[test]
fn what_was_delivered_since_does_not_wait() {
    let lines = [tried(0, "4F00A1"), suspended(1, "4F00A2", CAUSE), sent(5, "4F00A2"), suspended(6, "4F00A3", CAUSE)];
    assert_eq!(findings(&lines)[0].messages_pending, 2);
}

#[test]
fn without_the_attempt_itself_one_of_them_stands_in() {
    let lines = [suspended(1, "4F00A2", CAUSE), suspended(2, "4F00A3", CAUSE)];
    let found = findings(&lines);
    let shown = (found[0].cause.as_str(), found[0].scope.failed, found[0].messages_pending);
    assert_eq!(shown, ("connection-timed-out", 1, 2));
}

/// A process says why TLS failed on lines of its own, which the suspended mail does not repeat.
#[test]
fn words_that_no_attempt_has_count_for_the_newest_one() {
    let refused = "host mx.dest.test[192.0.2.1] refused to talk to me: 421 4.7.0 too many connections";
    let attempt = format!(
        "Nov 25 07:00:00 mx postfix/smtp[4]: 4F00A1: to=<a@dest.test>, relay=mx.dest.test[192.0.2.1]:25, delay=31, \
         delays=0.1/0/30/0, dsn=4.7.0, status=deferred ({refused})"
    );
    let found = findings(&[attempt, suspended(1, "4F00A2", "lost connection with mx.dest.test[192.0.2.1] while x")]);
    assert_eq!((found.len(), found[0].messages_pending), (1, 2), "{found:#?}");
}

#[test]
fn delays_tell_the_phase_of_a_timeout_where_nothing_else_does() {
    let timed_out = |delays: &str| {
        format!(
            "Nov 25 07:00:00 mx postfix/smtp[4]: 4F00A1: to=<a@dest.test>, relay=mx.dest.test[192.0.2.1]:25, \
             delay=300, delays={delays}, dsn=4.4.2, status=deferred (Operation timed out)"
        )
    };
    for (delays, cause) in
        [("0.1/0/300/0", "connection-timed-out"), ("0.1/0/0.4/300", "unknown"), ("", "connection-timed-out")]
    {
        let found = findings(&[timed_out(delays)]);
        assert_eq!(found[0].cause.as_str(), cause, "{delays}");
        assert_eq!(found[0].confidence > 0.5, delays.starts_with("0.1/0/300"), "{delays}: {}", found[0].confidence);
    }
}
