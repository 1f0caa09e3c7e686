//! Postfix's log: what smtpd, postscreen and cleanup say of clients that failed to hand in mail.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_trace::{
    message_trace::{Column, Row, custom_value},
    postfix_log::reader,
};
use jiff::{Timestamp, tz::TimeZone};

fn rows(log: &str) -> Vec<Row> {
    let now: Timestamp = "2026-11-25T08:00:00Z".parse().unwrap();
    let rows: Vec<Row> = reader(log.as_bytes(), now, TimeZone::UTC).map(Result::unwrap).collect();
    rows.into_iter().filter(|row| &row[Column::Directionality] == "Incoming").collect()
}

fn smtpd(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("Nov 25 07:00:00 mx postfix/smtpd[1]: {line}\n")).collect()
}

fn phase(row: &Row) -> &str {
    custom_value(&row[Column::CustomData], "Phase").unwrap_or_default()
}

const CONNECT: &str = "connect from h.s.test[192.0.2.9]";
const DISCONNECT: &str = "disconnect from h.s.test[192.0.2.9]";

/// Its lines between connect and disconnect, the counts at its end, and the row that shows it: event, phase, status.
type Session = (&'static [&'static str], &'static str, Option<(&'static str, &'static str, &'static str)>);

const SESSIONS: &[Session] = &[
    (
        &[
            "SSL_accept error from h.s.test[192.0.2.9]: -1",
            "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:ssl/x.c:1;",
            "lost connection after STARTTLS from h.s.test[192.0.2.9]",
        ],
        "ehlo=1 starttls=0/1 commands=1/2",
        Some(("DEFER", "handshake", "SSL_accept error from h.s.test[192.0.2.9]: -1")),
    ),
    (
        &["lost connection after STARTTLS from h.s.test[192.0.2.9]"],
        "ehlo=1 starttls=1 commands=2",
        Some(("DEFER", "starttls", "lost connection after STARTTLS from h.s.test[192.0.2.9]")),
    ),
    (
        &["lost connection after DATA (7774180 bytes) from h.s.test[192.0.2.9]"],
        "ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4",
        Some(("DEFER", "data", "lost connection after DATA (7774180 bytes) from h.s.test[192.0.2.9]")),
    ),
    (
        &["timeout after END-OF-MESSAGE from h.s.test[192.0.2.9]"],
        "ehlo=1 mail=1 rcpt=1 commands=3",
        Some(("DEFER", "end-of-data", "timeout after END-OF-MESSAGE from h.s.test[192.0.2.9]")),
    ),
    (
        &[
            "NOQUEUE: reject: RCPT from h.s.test[192.0.2.9]: 450 4.7.1 <a; b@c>: Greylisted; from=<x@s.test> to=<y@own.test> proto=ESMTP helo=<h>",
        ],
        "ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4",
        Some(("DEFER", "rcpt", "450 4.7.1 <a; b@c>: Greylisted")),
    ),
    (
        &[
            "NOQUEUE: milter-reject: END-OF-MESSAGE from h.s.test[192.0.2.9]: 5.7.1 Spam; from=<x@s.test> to=<y@own.test>",
        ],
        "",
        Some(("FAIL", "end-of-data", "5.7.1 Spam")),
    ),
    (
        &["warning: h.s.test[192.0.2.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"],
        "ehlo=1 auth=0/1 quit=1 commands=2/3",
        Some(("DEFER", "ehlo", "535 5.7.8 h.s.test[192.0.2.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6")),
    ),
    (
        &["warning: Connection concurrency limit exceeded: 51 from h.s.test[192.0.2.9] for service smtp"],
        "",
        Some((
            "DEFER",
            "banner",
            "421 4.7.0 Connection concurrency limit exceeded: 51 from h.s.test[192.0.2.9] for service smtp",
        )),
    ),
    // It had begun to hand a message in.
    (
        &["4F00A1: client=h.s.test[192.0.2.9]", "lost connection after DATA (1 bytes) from h.s.test[192.0.2.9]"],
        "ehlo=1 mail=1 rcpt=1 data=0/1 commands=3/4",
        Some(("DEFER", "data", "lost connection after DATA (1 bytes) from h.s.test[192.0.2.9]")),
    ),
    // Nothing failed, or nothing is known to have.
    (
        &["4F00A1: client=h.s.test[192.0.2.9]", "timeout after END-OF-MESSAGE from h.s.test[192.0.2.9]"],
        "ehlo=1 mail=1 rcpt=1 data=1 commands=4",
        None,
    ),
    (&["4F00A1: client=h.s.test[192.0.2.9]"], "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5", None),
    (&["4F00A1: client=h.s.test[192.0.2.9]", "lost connection after RSET from h.s.test[192.0.2.9]"], "", None),
    (&["NOQUEUE: reject_warning: RCPT from h.s.test[192.0.2.9]: 553 5.7.1 x; from=<x@s.test>"], "", None),
    (&["lost connection after CONNECT from h.s.test[192.0.2.9]"], "commands=0/0", None),
    (&["lost connection after EHLO from h.s.test[192.0.2.9]"], "ehlo=1 commands=1", None),
    (&[], "ehlo=1 quit=1 commands=2", None),
];

#[test]
fn a_session_is_told_by_how_it_ends() {
    for (lines, counts, expected) in SESSIONS {
        let end = format!("{DISCONNECT} {counts}");
        let log = [&[CONNECT][..], lines, &[end.trim()]].concat();
        let rows = rows(&smtpd(&log));
        let told: Vec<_> =
            rows.iter().map(|row| (&row[Column::EventId], phase(row), &row[Column::RecipientStatus])).collect();
        assert_eq!(told, expected.iter().copied().collect::<Vec<_>>(), "{lines:?}");
        for row in &rows {
            assert_eq!((&row[Column::ClientHostname], &row[Column::ClientIp]), ("h.s.test", "192.0.2.9"));
            assert_eq!(&row[Column::ServerHostname], "mx");
        }
    }
}

#[test]
fn what_the_tls_library_says_after_an_error_goes_with_it() {
    let log = smtpd(&[
        CONNECT,
        "SSL_accept error from h.s.test[192.0.2.9]: -1",
        "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:ssl/x.c:1;",
        "lost connection after STARTTLS from h.s.test[192.0.2.9]",
        DISCONNECT,
    ]);
    let expected = "TLS library problem: error:0A0000C1:SSL routines::no shared cipher:ssl/x.c:1,";
    assert_eq!(custom_value(&rows(&log)[0][Column::CustomData], "TlsHandshake"), Some(expected));
}

#[test]
fn a_client_that_does_nothing_fails_from_the_third_time_on() {
    let session = |client: &str, counts: &str| {
        smtpd(&[&format!("connect from {client}"), &format!("disconnect from {client} {counts}")])
    };
    let times = |client: &str, counts: &str, times: usize| rows(&session(client, counts).repeat(times)).len();
    let client = "h.s.test[192.0.2.9]";
    assert_eq!([1, 2, 3, 4].map(|number| times(client, "ehlo=1 quit=1 commands=2", number)), [0, 0, 3, 4]);
    // A monitor of one's own, and an older Postfix that does not count.
    assert_eq!(times("localhost[127.0.0.1]", "ehlo=1 quit=1 commands=2", 9), 0);
    assert_eq!(times("mon[10.0.0.7]", "ehlo=1 quit=1 commands=2", 9), 0);
    assert_eq!(times("mon[10.0.0.7]", "ehlo=1 commands=1", 3), 3);
    assert_eq!(times(client, "", 9), 0);
    // Mail came between.
    let quiet = session(client, "ehlo=1 quit=1 commands=2");
    let mail = smtpd(&[CONNECT, "4F00A1: client=h.s.test[192.0.2.9]", DISCONNECT]);
    assert_eq!(rows(&[quiet.repeat(2), mail, quiet.repeat(2)].concat()).len(), 0);
}

#[test]
fn a_client_without_name_and_address_is_nobody() {
    let log = smtpd(&[
        "connect from unknown[unknown]",
        "warning: unknown[unknown]: SASL LOGIN authentication failed: x",
        "warning: Connection rate limit exceeded: 9 from unknown[unknown] for service smtp",
        "NOQUEUE: reject: RCPT from unknown[unknown]: 550 5.1.1 <y@own.test>: no; from=<x@s.test> to=<y@own.test>",
        "lost connection after DATA from unknown[unknown]",
    ]);
    assert_eq!(rows(&log), []);
}

/// Someone searched a log for rejections, and kept no other lines.
#[test]
fn each_rejection_is_its_own_clients() {
    let reject = |client: &str| {
        format!("NOQUEUE: reject: RCPT from {client}: 550 5.1.1 <y@own.test>: no; from=<x@s.test> to=<y@own.test>")
    };
    let log = smtpd(&[&reject("a.test[192.0.2.1]"), &reject("unknown[192.0.2.2]"), &reject("a.test[192.0.2.1]")]);
    let rows = rows(&log);
    let told: Vec<_> = rows.iter().map(|row| (&row[Column::ClientHostname], &row[Column::ClientIp])).collect();
    assert_eq!(told, [("a.test", "192.0.2.1"), ("", "192.0.2.2"), ("a.test", "192.0.2.1")]);
}

#[test]
fn a_message_is_received_from_its_client() {
    let log = smtpd(&[
        CONNECT,
        "Anonymous TLS connection established from h.s.test[192.0.2.9]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519",
        "4F00A1: client=h.s.test[192.0.2.9], sasl_method=PLAIN, sasl_username=u",
        DISCONNECT,
    ]) + "Nov 25 07:00:01 mx postfix/smtp[4]: 4F00A1: to=<a@x.test>, relay=mx.x.test[192.0.2.1]:25, dsn=2.0.0, status=sent (250 Ok)\n";
    let rows = rows(&log);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&row[Column::EventId], &row[Column::ClientHostname]), ("RECEIVE", "h.s.test"));
    assert_eq!((&row[Column::ClientIp], &row[Column::NetworkMessageId]), ("192.0.2.9", "4F00A1"));
    let tls = custom_value(&row[Column::CustomData], "TlsCipher");
    assert_eq!(tls, Some("TLS_AES_256_GCM_SHA384"));
}

#[test]
fn postscreen_and_cleanup_refuse_as_well() {
    let log = "Nov 25 07:00:00 mx postfix/postscreen[7]: CONNECT from [192.0.2.9]:4711 to [192.0.2.1]:25\n\
               Nov 25 07:00:00 mx postfix/postscreen[7]: DNSBL rank 3 for [192.0.2.9]:4711\n\
               Nov 25 07:00:00 mx postfix/postscreen[7]: NOQUEUE: reject: RCPT from [192.0.2.9]:4711: 550 5.7.1 Service unavailable; client [192.0.2.9] blocked using bl.test; from=<x@s.test>, to=<y@own.test>, proto=ESMTP, helo=<h>\n\
               Nov 25 07:00:00 mx postfix/postscreen[7]: DISCONNECT [192.0.2.9]:4711\n\
               Nov 25 07:00:00 mx postfix/cleanup[8]: 4F00A1: milter-reject: END-OF-MESSAGE from h.s.test[192.0.2.9]: 4.7.1 Service unavailable - try again later; from=<x@s.test> to=<y@own.test> proto=ESMTP helo=<h>\n\
               Nov 25 07:00:00 mx postfix/cleanup[8]: 4F00A2: reject: header Subject: a from b; from=<q from h.s.test[192.0.2.9]; from=<x@s.test> to=<y@own.test> proto=ESMTP helo=<h>: 5.7.1 No such mail\n";
    let rows = rows(log);
    let told: Vec<_> = rows
        .iter()
        .map(|row| [&row[Column::EventId], phase(row), &row[Column::ClientIp], &row[Column::RecipientStatus]])
        .collect();
    assert_eq!(
        told,
        [
            ["FAIL", "rcpt", "192.0.2.9", "550 5.7.1 Service unavailable; client [192.0.2.9] blocked using bl.test"],
            ["DEFER", "end-of-data", "192.0.2.9", "4.7.1 Service unavailable - try again later"],
            ["FAIL", "end-of-data", "192.0.2.9", "5.7.1 No such mail"],
        ]
    );
    assert!(
        rows.iter()
            .all(|row| &row[Column::SenderAddress] == "x@s.test" && &row[Column::RecipientAddress] == "y@own.test")
    );
}
