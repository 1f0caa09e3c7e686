//! Exim's log: single lines as Exim writes them and others have published them, what a whole log tells, and what a real
//! Exim says.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use gatepost_trace::{
    LogTimes,
    exim_log::{Outcome, Record, read_line, reader},
    foreign::Rows as _,
    message_trace::{Column, Row, custom_value},
};
use jiff::{Timestamp, tz::TimeZone};

fn now() -> Timestamp {
    "2026-11-25T08:00:00Z".parse().unwrap()
}

fn rows(log: &str) -> Vec<Row> {
    reader(log.as_bytes(), now(), TimeZone::UTC).map(Result::unwrap).collect()
}

/// Event, recipient, status of each row.
fn told(rows: &[Row]) -> Vec<[&str; 3]> {
    let columns = [Column::EventId, Column::RecipientAddress, Column::RecipientStatus];
    rows.iter().map(|row| columns.map(|column| &row[column])).collect()
}

#[test]
fn lines_begin_in_many_ways() {
    let table = [
        ("2026-11-25 07:00:00 x", Some("2026-11-25T07:00:00Z")),
        ("2026-11-25 07:00:00.250 x", Some("2026-11-25T07:00:00.25Z")),
        ("2026-11-25 07:00:00 +0100 x", Some("2026-11-25T06:00:00Z")),
        ("2026-11-25 07:00:00.250 -0330 [4711] x", Some("2026-11-25T10:30:00.25Z")),
        ("2026-11-25 07:00:00 [4711] x", Some("2026-11-25T07:00:00Z")),
        ("Nov 25 07:00:00 mx exim[12]: x", Some("2026-11-25T07:00:00Z")),
        ("2026-11-25T07:00:00.5+01:00 mx exim4: x", Some("2026-11-25T06:00:00.5Z")),
        ("Nov 25 06:59:59 mx exim[12]: 2026-11-25 07:00:00 [12] x", Some("2026-11-25T07:00:00Z")),
        ("2026-13-25 07:00:00 x", None),
    ];
    let mut times = LogTimes::new(now(), TimeZone::UTC);
    for (line, at) in table {
        let (read, text) = read_line(line, &mut times).unwrap();
        assert_eq!((read, text), (at.map(|at| at.parse().unwrap()), "x"), "{line}");
    }
    for line in ["", "x", "Nov 25 07:00:00 mx postfix/smtp[1]: x", "2026-11-25 07:00:00", "]: "] {
        assert_eq!(read_line(line, &mut times), None, "{line}");
    }
}

#[test]
fn an_arrival_tells_of_the_message() {
    let line = "1uAbCd-000000012Ab-3XyZ <= <\"a b\"@x.test> H=(mail.x.test) [192.0.2.9]:4711 I=[10.0.0.1]:25 P=esmtps \
        X=TLS1.2:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no DN=\"CN=x, O=y\" S=4711 id=1@x.test \
        T=\"He said \\\"for you\\\": it\" from <\"a b\"@x.test> for b@y.test c@y.test";
    let Some(Record::Arrival(arrival)) = Record::read(line) else { panic!("{:?}", Record::read(line)) };
    assert_eq!((arrival.id, arrival.size, arrival.message_id), ("1uAbCd-000000012Ab-3XyZ", "4711", "1@x.test"));
    assert_eq!(arrival.subject, "He said \"for you\": it");
    assert_eq!(arrival.recipients, "b@y.test c@y.test");
    let facts = &arrival.facts;
    assert_eq!((facts.host, facts.address, facts.port), (Some("(mail.x.test)"), Some("192.0.2.9"), Some(4711)));
    let tls = facts.tls.unwrap();
    assert_eq!((tls.version, tls.bits), ("TLS1.2", Some(256)));
    assert_eq!(tls.cipher, "ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM");
    let Some(Record::Arrival(bounce)) = Record::read("1abcde-000123-XY <= <> R=1abcdd-000122-XY U=mail P=local S=1")
    else {
        panic!()
    };
    assert_eq!((bounce.sender, bounce.facts.protocol), ("", Some("local")));
}

#[test]
fn deliveries_say_what_became_of_them() {
    let id = "1abcde-000123-XY";
    let table = [
        (
            "=> b@y.test R=dnslookup T=remote_smtp H=mx.y.test [2001:db8::1]:25 X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=yes \
          C=\"250 2.0.0 Ok: queued as \\\"1\\\"\" QT=1s",
            Outcome::Delivered,
            "b@y.test",
            Some("mx.y.test"),
            None,
            "250 2.0.0 Ok: queued as \\\"1\\\"",
        ),
        (
            "-> c@y.test R=dnslookup T=remote_smtp H=mx.y.test [192.0.2.1] C=\"250 ok\"",
            Outcome::Delivered,
            "c@y.test",
            Some("mx.y.test"),
            None,
            "250 ok",
        ),
        (
            ">> c@y.test R=a T=b H=mx.y.test [192.0.2.1] C=\"250 ok\"",
            Outcome::CutThrough,
            "c@y.test",
            Some("mx.y.test"),
            None,
            "250 ok",
        ),
        ("*> c@y.test R=a T=b", Outcome::Suppressed, "c@y.test", None, None, ""),
        ("=> alice <alice@x.test> R=local T=maildir", Outcome::Delivered, "alice@x.test", None, None, ""),
        (
            "=> |/bin/procmail (alice@x.test) <alice@x.test> R=local T=pipe",
            Outcome::Delivered,
            "alice@x.test",
            None,
            None,
            "",
        ),
        (
            "== b@y.test R=dnslookup T=remote_smtp defer (111): Connection refused",
            Outcome::Deferred,
            "b@y.test",
            None,
            Some(111),
            "Connection refused",
        ),
        (
            "== b@y.test R=dnslookup T=remote_smtp defer (-53): retry time not reached for any host for 'y.test'",
            Outcome::Deferred,
            "b@y.test",
            None,
            Some(-53),
            "retry time not reached for any host for 'y.test'",
        ),
        (
            "== b@y.test R=dnslookup T=remote_smtp defer (-45) H=mx.y.test [192.0.2.1]: SMTP error from remote mail server \
          after RCPT TO:<b@y.test>: 451 4.7.1 later",
            Outcome::Deferred,
            "b@y.test",
            Some("mx.y.test"),
            Some(-45),
            "SMTP error from remote mail server after RCPT TO:<b@y.test>: 451 4.7.1 later",
        ),
        (
            "== b@y.test R=a T=b H=mx.y.test [192.0.2.1]:25 defer (-37): TLS session: (gnutls_handshake): A TLS fatal alert \
          has been received.",
            Outcome::Deferred,
            "b@y.test",
            Some("mx.y.test"),
            Some(-37),
            "TLS session: (gnutls_handshake): A TLS fatal alert has been received.",
        ),
        (
            "** b@y.test R=a T=b H=mx.y.test [192.0.2.1] X=TLS1.2:AES128-SHA:128 CV=no: SMTP error from remote mail server \
          after RCPT TO:<b@y.test>: 550 5.1.1 unknown",
            Outcome::Failed,
            "b@y.test",
            Some("mx.y.test"),
            None,
            "SMTP error from remote mail server after RCPT TO:<b@y.test>: 550 5.1.1 unknown",
        ),
        ("=> :blackhole: <b@y.test> R=aliases", Outcome::Delivered, "b@y.test", None, None, ""),
        ("** b@y.test: Unrouteable address", Outcome::Failed, "b@y.test", None, None, "Unrouteable address"),
        (
            "** b@y.test <list@x.test>: retry timeout exceeded",
            Outcome::Failed,
            "b@y.test",
            None,
            None,
            "retry timeout exceeded",
        ),
        (
            "** \"b c\"@y.test F=<a@x.test>: all relevant MX records point to non-existent hosts",
            Outcome::Failed,
            "\"b c\"@y.test",
            None,
            None,
            "all relevant MX records point to non-existent hosts",
        ),
    ];
    for (text, outcome, recipient, host, errno, reason) in table {
        let line = format!("{id} {text}");
        let Some(Record::Delivery(delivery)) = Record::read(&line) else { panic!("{line}") };
        assert_eq!((delivery.id, delivery.outcome, delivery.recipient()), (id, outcome, recipient), "{line}");
        assert_eq!((delivery.facts.host, delivery.facts.errno), (host, errno), "{line}");
        assert_eq!(delivery.facts.text, reason, "{line}");
    }
    assert_eq!(Record::read("1abcde-000123-XY Completed QT=3s"), Some(Record::Completed { id }));
}

#[test]
fn connections_that_came_to_nothing() {
    let line =
        "TLS error on connection from mail.x.test (helo) [192.0.2.9]:4711 (gnutls_handshake): No supported cipher";
    let Some(Record::TlsError(error)) = Record::read(line) else { panic!("{:?}", Record::read(line)) };
    assert_eq!((error.facts.host, error.facts.address), (Some("mail.x.test"), Some("192.0.2.9")));
    assert_eq!((error.facts.port, error.facts.text), (Some(4711), "No supported cipher"));
    let line = "1abcde-000123-XY H=mx.y.test [192.0.2.1] TLS error on connection (gnutls_handshake): timed out";
    let text = "H=mx.y.test [192.0.2.1] TLS error on connection (gnutls_handshake): timed out";
    assert_eq!(
        Record::read(line),
        Some(Record::TlsTrouble { id: "1abcde-000123-XY", address: Some("192.0.2.1"), text })
    );
}

#[test]
fn corpus_published_lines_mean_what_they_say() {
    let expected = [
        ("sales@toto.com.au", "info6@test.com", "No Such User Here"),
        (
            "toto@toto.com",
            "info@test.com",
            "\"JunkMail rejected - test.com [1.2.3.4]:53343 is in an RBL: https://www.spamhaus.org/sbl/query/SBLCSS\"",
        ),
        ("tutu@titi.com.au", "info@toto.com.au", "SMTP AUTH is required for message submission on port 587"),
    ];
    let mut found = Vec::new();
    for (name, bytes) in samples::folder("mta-logs").iter().filter(|(name, _)| name.contains("exim")) {
        let mut reader = reader(bytes.as_slice(), now(), TimeZone::UTC);
        let rows: Vec<Row> = reader.by_ref().map(Result::unwrap).collect();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.at.is_some()), "{name}: {rows:?}");
        let is_limited = |row: &Row| row[Column::RecipientStatus].contains("ratelimited");
        let is_told = |row: &Row| (&row[Column::EventId] == "FAIL") != is_limited(row);
        assert!(rows.iter().all(is_told), "{name}: {rows:?}");
        assert!(rows.iter().all(|row| &row[Column::Directionality] == "Incoming"), "{name}: {rows:?}");
        found.extend(rows.into_iter().filter(|row| !is_limited(row)));
    }
    for (recipient, sender, why) in expected {
        let is_it = |row: &&Row| row[Column::RecipientAddress] == *recipient && row[Column::SenderAddress] == *sender;
        assert_eq!(&found.iter().find(is_it).unwrap()[Column::RecipientStatus], why);
    }
    // With and without a syslog before it, lines say the same.
    assert_eq!(found.len(), 1 + 4 + 3 + 4);
}

const LOG: &str = "\
2026-11-25 07:00:00 1abcde-000123-XY <= alice@partner.test H=relay.test [192.0.2.9] P=esmtp S=4711 id=1@partner.test T=\"Hello\" for a@x.test list@x.test
2026-11-25 07:00:01 1abcde-000123-XY => a@x.test R=dnslookup T=remote_smtp H=mail.x.test [192.0.2.1] X=TLS1.0:RSA_ARCFOUR_SHA1:128 CV=no C=\"250 OK id=1\"
2026-11-25 07:00:02 noise
2026-11-25 07:00:02 1abcde-000123-XY == b@y.test <list@x.test> R=dnslookup T=remote_smtp defer (111): Connection refused
2026-11-25 07:15:02 1abcde-000123-XY ** b@y.test <list@x.test> R=dnslookup T=remote_smtp: retry timeout exceeded
2026-11-25 07:15:02 1abcde-000123-XY Completed
";

#[test]
fn lines_of_a_message_are_put_together() {
    let mut reader = reader(LOG.as_bytes(), now(), TimeZone::UTC);
    let rows: Vec<Row> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(
        told(&rows),
        [
            ["RECEIVE", "a@x.test", ""],
            ["RECEIVE", "list@x.test", ""],
            ["SEND", "a@x.test", "250 OK id=1"],
            ["EXPAND", "b@y.test", ""],
            ["RECEIVE", "b@y.test", ""],
            ["DEFER", "b@y.test", "Connection refused"],
            ["FAIL", "b@y.test", "retry timeout exceeded"],
        ]
    );
    for row in &rows {
        assert_eq!(&row[Column::SenderAddress], "alice@partner.test");
        assert_eq!([&row[Column::MessageId], &row[Column::MessageSubject]], ["<1@partner.test>", "Hello"]);
        assert_eq!([&row[Column::OriginalClientIp], &row[Column::TotalBytes]], ["192.0.2.9", "4711"]);
        assert_eq!(&row[Column::NetworkMessageId], "1abcde-000123-XY");
    }
    assert_eq!(&rows[2][Column::CustomData], "S:TlsVersion=TLS1.0;S:TlsCipher=RSA_ARCFOUR_SHA1");
    assert_eq!([&rows[2][Column::ServerHostname], &rows[2][Column::ServerIp]], ["mail.x.test", "192.0.2.1"]);
    assert_eq!(&rows[6][Column::RelatedRecipientAddress], "list@x.test");
    assert_eq!(reader.lines_skipped, 1);
}

/// A log that begins in the midst of a message's life.
#[test]
fn a_delivery_without_its_arrival_is_told() {
    let log: String = LOG.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let rows = rows(&log);
    assert_eq!(told(&rows)[..2], [["RECEIVE", "a@x.test", ""], ["SEND", "a@x.test", "250 OK id=1"]]);
    assert_eq!(&rows[0][Column::NetworkMessageId], "1abcde-000123-XY");
}

proptest::proptest! {
    #[test]
    fn foreign_lines_never_panic(line in "(2026-11-25 07:00:00 )?(1abcde-000123-XY )?(<= |=> |== |\\*\\* |rejected |TLS error on connection |H=|C=\"|T=|X=|defer \\(|for |\\PC|[\\[\\]<>:,()\"\\\\ ]){0,14}") {
        reader(line.as_bytes(), now(), TimeZone::UTC).for_each(drop);
    }
}

#[test]
fn rows_know_their_lines() {
    let log = "noise\n\
               2026-11-25 07:00:00 1abcde-000001-AB <= a@partner.test H=client [192.0.2.1] P=esmtp S=100\n\
               2026-11-25 07:00:01 1abcde-000001-AB == b@onprem.test R=r T=t defer (111): Connection refused\n";
    let mut reader = reader(log.as_bytes(), now(), TimeZone::UTC);
    let mut lines = Vec::new();
    while let Some(Ok(row)) = reader.next() {
        lines.push((row[Column::EventId].to_owned(), reader.line()));
    }
    assert_eq!(lines.last().unwrap(), &("DEFER".to_owned(), 3), "{lines:?}");
}

#[test]
fn a_host_may_stand_behind_a_system_s_error() {
    let line = "2026-11-25 07:00:01 1abcde-000001-AB == b@x.test R=r T=t defer (110): Connection timed out \
                H=mail.x.test [192.0.2.1]:2525: SMTP timeout after initial connection\n";
    let row = reader(line.as_bytes(), now(), TimeZone::UTC).map(Result::unwrap).last().unwrap();
    assert_eq!((&row[Column::ServerHostname], &row[Column::ServerIp]), ("mail.x.test", "192.0.2.1"));
    assert_eq!(&row[Column::CustomData], "S:DestinationPort=2525");
}

/// Event, phase, host and status.
type Told = (&'static str, &'static str, &'static str, &'static str);

/// Lines about clients, each with the phase that the client failed in.
#[test]
fn clients_that_fail_are_told() {
    let table: &[(&str, Option<Told>)] = &[
        (
            "H=mx.s.test (helo) [192.0.2.9]:4711 F=<a@s.test> rejected RCPT <b@own.test>: Unrouteable address",
            Some(("FAIL", "rcpt", "mx.s.test", "Unrouteable address")),
        ),
        (
            "H=(bad helo) [192.0.2.9] F=<a@s.test> temporarily rejected RCPT <b@own.test>: greylisted",
            Some(("DEFER", "rcpt", "bad helo", "greylisted")),
        ),
        (
            "TLS error on connection from mx.s.test (helo) [192.0.2.9]:4711 (SSL_accept): error:0A0000C1:SSL routines::no shared cipher",
            Some(("DEFER", "handshake", "mx.s.test", "error:0A0000C1:SSL routines::no shared cipher")),
        ),
        (
            "SMTP connection from mx.s.test (helo) [192.0.2.9] lost while reading message data (header)",
            Some((
                "DEFER",
                "end-of-data",
                "mx.s.test",
                "SMTP connection from mx.s.test (helo) [192.0.2.9] lost while reading message data (header)",
            )),
        ),
        (
            "SMTP data timeout (message abandoned) on connection from mx.s.test [192.0.2.9]:4711 F=<a@s.test>",
            Some((
                "DEFER",
                "end-of-data",
                "mx.s.test",
                "SMTP data timeout (message abandoned) on connection from mx.s.test [192.0.2.9]:4711 F=<a@s.test>",
            )),
        ),
        ("SMTP connection from mx.s.test [192.0.2.9] lost D=3s", None),
        ("no MAIL in SMTP connection from mx.s.test [192.0.2.9] D=0s C=EHLO,QUIT", None),
        ("SMTP connection from mx.s.test [192.0.2.9] closed by QUIT", None),
    ];
    for (text, expected) in table {
        let rows = rows(&format!("2026-11-25 07:00:00 {text}\n"));
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                let phase = custom_value(&row[Column::CustomData], "Phase").unwrap_or_default();
                assert_eq!((&row[Column::Directionality], &row[Column::ClientIp]), ("Incoming", "192.0.2.9"), "{text}");
                (&row[Column::EventId], phase, &row[Column::ClientHostname], &row[Column::RecipientStatus])
            })
            .collect();
        assert_eq!(told, expected.iter().copied().collect::<Vec<_>>(), "{text}");
    }
    // Again and again.
    let quiet = "2026-11-25 07:00:00 no MAIL in SMTP connection from mx.s.test [192.0.2.9] D=0s C=EHLO,QUIT\n";
    assert_eq!([2, 3].map(|times| rows(&quiet.repeat(times)).len()), [0, 3]);
    assert_eq!(rows(&quiet.replace("192.0.2.9", "10.0.0.9").repeat(9)).len(), 0);
}

#[test]
fn trouble_with_tls_goes_with_the_outcome_at_that_server() {
    let data = |lines: &[&str]| {
        let log: String = lines
            .iter()
            .map(|line| match line.strip_prefix("next ") {
                Some(line) => format!("2026-11-25 07:00:03 1vNqXY-0000000001b-2bcd {line}\n"),
                None => format!("2026-11-25 07:00:02 1vNqXY-0000000001a-2bcd {line}\n"),
            })
            .collect();
        let rows = gatepost_trace::exim_log::reader(log.as_bytes(), Timestamp::UNIX_EPOCH, TimeZone::UTC);
        rows.last().unwrap().unwrap()[Column::CustomData].to_owned()
    };
    let gnutls = "TLS session: (gnutls_handshake): A TLS fatal alert has been received: delivering unencrypted to \
                  H=mx.dest.test [192.0.2.1] (not in hosts_require_tls)";
    let expired = "[192.0.2.1] SSL verify error: depth=0 error=certificate has expired cert=/CN=mx.dest.test";
    let failed = "H=mx.dest.test [192.0.2.1] TLS error on connection (SSL_connect): error:0A000086:SSL routines::x";
    let sent = "=> b@dest.test R=dnslookup T=remote_smtp H=mx.dest.test [192.0.2.1] C=\"250 ok\"";
    let encrypted =
        "=> b@dest.test R=dnslookup T=remote_smtp H=mx.dest.test [192.0.2.1] X=TLS1.3:A:256 CV=no C=\"250 ok\"";
    let elsewhere = "=> b@dest.test R=dnslookup T=remote_smtp H=mx2.dest.test [192.0.2.2] C=\"250 ok\"";
    let deferred = "== b@dest.test R=dnslookup T=remote_smtp defer (-37) H=mx.dest.test [192.0.2.1]: failure while setting up TLS session";
    assert_eq!(data(&[gnutls, sent]), format!("S:PlaintextAfter={gnutls}"));
    let second = sent.replace("=> b@", "-> c@");
    assert_eq!(data(&[gnutls, sent, &second]), format!("S:PlaintextAfter={gnutls}"));
    assert_eq!(data(&[gnutls, "=> b <b@dest.test> R=local T=mailbox"]), "");
    // Exim reports the handshake once for each connection; a star marks a connection that was used before.
    let (reused, fresh) = (sent.replace("[192.0.2.1]", "[192.0.2.1]*"), sent.replace("192.0.2.1", "192.0.2.3"));
    let later = |line: &str| format!("next {line}");
    assert_eq!(data(&[gnutls, sent, &later(&reused)]), format!("S:PlaintextAfter={gnutls}"));
    assert_eq!(data(&[gnutls, sent, &later(sent)]), "");
    assert_eq!(data(&[gnutls, sent, &later(sent), &later(&reused)]), "");
    assert_eq!(data(&[gnutls, sent, &later(&fresh.replace("[192.0.2.3]", "[192.0.2.3]*"))]), "");
    assert_eq!(data(&[expired, failed, deferred]), format!("S:TlsHandshake={expired}, {failed}"));
    assert_eq!(data(&[expired, encrypted]), "S:TlsVersion=TLS1.3;S:TlsCipher=A");
    assert_eq!(data(&[failed, elsewhere]), "");
    assert_eq!(data(&[sent]), "");
}
