//! Postfix's log: single lines as others have published them with what they mean, and what a whole log tells.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use std::collections::HashMap;

use gatepost_trace::{
    LogTimes,
    foreign::Rows as _,
    message_trace::Column,
    postfix_log::{Line, Program, Record, read_line, reader},
};
use jiff::{Timestamp, tz::TimeZone};

fn now() -> Timestamp {
    "2026-11-25T08:00:00Z".parse().unwrap()
}

/// `key: value` lines, quotes off; these files have no more of YAML than that.
fn fields(text: &str) -> HashMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim_start().split_once(": "));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())).collect()
}

#[test]
fn corpus_published_lines_mean_what_they_are_said_to() {
    let (mut deliveries, mut tls, mut removed) = (0, 0, 0);
    for (name, bytes) in samples::folder("postfix-logs") {
        let expected = fields(std::str::from_utf8(&bytes).unwrap());
        let want = |key: &str| expected.get(&format!("postfix_{key}")).map(String::as_str);
        match Record::read(Program::Client, &expected["data"]) {
            Some(Record::Delivery(delivery)) => {
                deliveries += 1;
                // Some of these files are about other fields.
                assert_eq!(delivery.queue_id, want("queueid").unwrap_or(delivery.queue_id), "{name}");
                assert_eq!(delivery.status, want("status").unwrap_or(delivery.status), "{name}");
                let text = want("smtp_response").or(want("error_response")).unwrap_or(delivery.text);
                assert_eq!(delivery.text, text, "{name}");
            }
            Some(Record::Tls { trust, host, address, port, version, cipher }) => {
                tls += 1;
                let told = [Some(trust), Some(host), Some(address), Some(version), Some(cipher)];
                let keys = ["tls_trustlevel", "relay_hostname", "relay_ip", "tls_version", "tls_cipher"];
                assert_eq!(told, keys.map(want), "{name}");
                assert_eq!(Some(port.to_string().as_str()), want("relay_port"), "{name}");
            }
            Some(Record::Removed { queue_id }) => {
                removed += 1;
                assert_eq!((Some(queue_id), Some("removed")), (want("queueid"), want("message")), "{name}");
            }
            Some(_) | None => {}
        }
    }
    assert!(deliveries >= 5 && tls >= 3 && removed >= 1, "{deliveries} deliveries, {tls} TLS, {removed} removed");
}

#[test]
fn times_come_in_two_ways() {
    let mut times = LogTimes::new(now(), TimeZone::UTC);
    let table = [
        ("Jun 04 22:24:28 host postfix/qmgr[1]: x", Some("2026-06-04T22:24:28Z")),
        ("Jun  4 22:24:28 host postfix/qmgr[1]: x", Some("2026-06-04T22:24:28Z")),
        // Later in the year than now: of last year.
        ("Dec 24 22:24:28 host postfix/qmgr[1]: x", Some("2025-12-24T22:24:28Z")),
        ("2024-08-26T01:33:38.572449+02:00 host postfix/smtpd[1]: x", Some("2024-08-25T23:33:38.572449Z")),
        ("Juni 4 22:24:28 host postfix/qmgr[1]: x", None),
    ];
    for (line, expected) in table {
        let Line { at, body, .. } = read_line(line, &mut times).unwrap();
        assert_eq!((at, body), (expected.map(|time| time.parse().unwrap()), "x"), "{line}");
    }
    for line in ["", "Jun 04 22:24:28 host sshd[1]: x", "Jun 04 22:24:28 host postfix[1]: x", "]: ", "[]: "] {
        assert_eq!(read_line(line, &mut times), None, "{line}");
    }
}

const LOG: &str = "\
Nov 25 07:00:00 mx postfix/smtpd[1]: 4F00A1: client=relay.test[192.0.2.9]
Nov 25 07:00:00 mx postfix/cleanup[2]: 4F00A1: message-id=<1@partner.test>
Nov 25 07:00:01 mx postfix/qmgr[3]: 4F00A1: from=<alice@partner.test>, size=4711, nrcpt=2 (queue active)
Nov 25 07:00:02 mx postfix/smtp[4]: 4F00A1: to=<a@x.test>, relay=mail.x.test[192.0.2.1]:25, delay=2, delays=1/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 1)
Nov 25 07:00:03 mx postfix/smtp[4]: 4F00A1: to=<b@x.test>, relay=none, delay=3, delays=1/0/2/0, dsn=4.4.1, status=deferred (connect to mail.x.test[192.0.2.1]:25: Connection refused)
Nov 25 07:00:03 mx kernel: noise
Nov 25 07:15:03 mx postfix/smtp[4]: 4F00A1: to=<b@x.test>, relay=mail.x.test[192.0.2.1]:25, delay=903, delays=900/0/2/1, dsn=5.1.1, status=bounced (host mail.x.test[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command))
Nov 25 07:15:03 mx postfix/qmgr[3]: 4F00A1: removed
";

#[test]
fn lines_of_a_message_are_put_together() {
    let mut reader = reader(LOG.as_bytes(), now(), TimeZone::UTC);
    let rows: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    let told: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| [&row[Column::EventId], &row[Column::RecipientAddress], &row[Column::RecipientStatus]])
        .collect();
    assert_eq!(
        told,
        [
            ["RECEIVE", "a@x.test", ""],
            ["SEND", "a@x.test", "2.0.0 250 2.0.0 Ok: queued as 1"],
            ["RECEIVE", "b@x.test", ""],
            ["DEFER", "b@x.test", "4.4.1 connect to mail.x.test[192.0.2.1]:25: Connection refused"],
            [
                "FAIL",
                "b@x.test",
                "5.1.1 host mail.x.test[192.0.2.1] said: 550 5.1.1 unknown (in reply to RCPT TO command)"
            ],
        ]
    );
    for row in &rows {
        assert_eq!(&row[Column::SenderAddress], "alice@partner.test");
        assert_eq!(&row[Column::MessageId], "<1@partner.test>");
        assert_eq!(&row[Column::OriginalClientIp], "192.0.2.9");
    }
    assert_eq!(rows[2].at, Some("2026-11-25T07:00:00Z".parse().unwrap()));
    assert_eq!(&rows[4][Column::ServerIp], "192.0.2.1");
    assert_eq!(reader.lines_skipped, 1);
}

#[test]
fn corpus_published_logs_are_read_to_their_end() {
    for (_, bytes) in samples::folder("mta-logs") {
        reader(bytes.as_slice(), now(), TimeZone::UTC).for_each(|row| drop(row.unwrap()));
    }
}

proptest::proptest! {
    #[test]
    fn foreign_lines_never_panic(line in "(Nov 25 07:00:00 mx postfix/smtp\\[4\\]: )?([0-9A-F]{6}: )?(to=<|status=|relay=|from=<|size=|\\PC|[\\[\\]<>:,() ]){0,12}") {
        reader(line.as_bytes(), now(), TimeZone::UTC).for_each(drop);
    }
}

#[test]
fn what_a_process_says_of_tls_goes_with_its_next_delivery_to_that_server() {
    let line = |process: u32, text: &str| format!("Nov 25 07:00:00 mx postfix/smtp[{process}]: {text}\n");
    let to = |id: &str, relay: &str| format!("{id}: to=<{id}@x.test>, relay={relay}, dsn=4.7.5, status=deferred (x)");
    let log = [
        line(1, "Untrusted TLS connection established to a[192.0.2.1]:25: TLSv1 with cipher RC4-SHA (128/128 bits)"),
        line(2, "SSL_connect error to b[192.0.2.2]:2525: -1"),
        line(2, "warning: TLS library problem: error:0A0: alert handshake failure;x"),
        line(1, &to("AAAAA1", "a[192.0.2.1]:25")),
        line(2, &to("AAAAA2", "b[192.0.2.2]:2525")),
        // By another process, and by the same one to another server.
        line(3, &to("AAAAA3", "a[192.0.2.1]:25")),
        line(1, &to("AAAAA4", "c[192.0.2.3]:25")),
        // Another connection: what was said before is over.
        line(2, "Trusted TLS connection established to b[192.0.2.2]:2525: TLSv1.3 with cipher X (256/256 bits)"),
        line(2, &to("AAAAA5", "b[192.0.2.2]:2525")),
    ];
    let reader = reader(std::io::Cursor::new(log.concat()), now(), TimeZone::UTC);
    let rows = reader.map(Result::unwrap).filter(|row| &row[Column::EventId] == "DEFER");
    let data: Vec<String> = rows.map(|row| row[Column::CustomData].to_owned()).collect();
    let trouble =
        "SSL_connect error to b[192.0.2.2]:2525: -1, TLS library problem: error:0A0: alert handshake failure,x";
    assert_eq!(
        data,
        [
            "S:TlsVersion=TLSv1;S:TlsCipher=RC4-SHA;S:DestinationPort=25".to_owned(),
            format!("S:TlsHandshake={trouble};S:DestinationPort=2525"),
            "S:DestinationPort=25".to_owned(),
            "S:DestinationPort=25".to_owned(),
            "S:TlsVersion=TLSv1.3;S:TlsCipher=X;S:DestinationPort=2525".to_owned(),
        ]
    );
}

#[test]
fn a_line_beyond_all_measure_is_counted_and_the_next_is_read() {
    let line = "Nov 25 07:00:00 mx postfix/smtp[1]: 4F00A1: to=<a@x.test>, relay=mx.x.test[192.0.2.1]:25, delay=1, \
                dsn=4.4.2, status=deferred (lost connection)\n";
    let long = format!("{} {}\n", line.trim_end(), "x".repeat(2 << 20));
    let file = [line, &long, line].concat();
    let mut log = reader(file.as_bytes(), now(), TimeZone::UTC);
    let events: Vec<_> = log.by_ref().map(|row| row.unwrap()[Column::EventId].to_owned()).collect();
    assert_eq!(events.iter().filter(|event| *event == "DEFER").count(), 2, "{events:?}");
    assert_eq!((log.lines_skipped, log.line()), (1, 3));
}
