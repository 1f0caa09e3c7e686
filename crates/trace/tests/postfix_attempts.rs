//! Postfix's log: every attempt is a row of the message that it was for, however the line came into the file.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_trace::{
    foreign::Rows as _,
    message_trace::{Column, Row, custom_value},
    postfix_log::{is_line, reader},
};
use jiff::{Timestamp, tz::TimeZone};

fn rows(log: &str) -> (Vec<Row>, Vec<(String, u64)>) {
    let now: Timestamp = "2026-11-25T08:00:00Z".parse().unwrap();
    let mut reader = reader(log.as_bytes(), now, TimeZone::UTC);
    let rows = reader.by_ref().map(Result::unwrap).filter(|row| &row[Column::EventId] != "RECEIVE").collect();
    (rows, reader.unread())
}

/// Event, queue id, server and address of each row.
fn told(log: &str) -> Vec<[String; 4]> {
    let columns = [Column::EventId, Column::NetworkMessageId, Column::ServerHostname, Column::ServerIp];
    rows(log).0.iter().map(|row| columns.map(|column| row[column].to_owned())).collect()
}

fn line(text: &str) -> String {
    format!("Nov 25 07:00:00 mx postfix/smtp[4]: {text}\n")
}

const SENT: &str =
    "4F00A1: to=<a@x.test>, relay=mx2.x.test[192.0.2.2]:25, delay=2, delays=1/0/0/1, dsn=2.0.0, status=sent (250 Ok)";
const DEFERRED: &str = "4F00A1: to=<a@x.test>, relay=none, delay=60, delays=0.1/0.02/60/0, dsn=4.4.1, status=deferred (connect to mx2.x.test[192.0.2.2]:25: Connection timed out)";

/// A line by each of the ways in which it comes.
#[test]
fn a_line_is_read_behind_every_beginning() {
    let at = "2026-11-25T07:00:00Z".parse().unwrap();
    let table = [
        ("Nov 25 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("Nov 25 07:00:00 mx postfix/smtp: {}", Some("mx")),
        ("Nov 25 2026 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("<22>Nov 25 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("<22>1 2026-11-25T07:00:00Z mx postfix/smtp 4 - - {}", Some("mx")),
        ("<22>1 2026-11-25T07:00:00Z mx postfix/smtp - - - \u{feff}{}", Some("mx")),
        ("<22>1 2026-11-25T07:00:00Z mx postfix/smtp 4 ID [a@1 b=\"c\"][d@1 e=\"f\"] {}", Some("mx")),
        ("2026-11-25T08:00:00+0100 mx postfix/smtp[4]: {}", Some("mx")),
        ("2026-11-25T08:00:00.000000+01:00 mx postfix/relay/smtp[4]: {}", Some("mx postfix/relay")),
        ("2026-11-25T07:00:00.000000Z INFO    postfix/smtp[4]: {}", None),
        ("2026-11-25 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("Nov 25 07:00:00 mx postfix-out/smtp[4]: {}", Some("mx postfix-out")),
        ("Nov 25 07:00:00 mx enforced-tls-smtp/smtp[4]: {}", Some("mx enforced-tls-smtp")),
        ("Nov 25 07:00:00 mx postfix/lmtp[4]: {}", Some("mx")),
        ("postfix-mailcow-1  | Nov 25 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("[pod/mail-0/postfix] Nov 25 07:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("2026-11-25T07:00:00.0Z stdout F postfix/smtp[4]: {}", None),
        ("2026-11-25T07:00:00.0Z Nov 25 09:00:00 mx postfix/smtp[4]: {}", Some("mx")),
        ("Nov 25 07:00:00 mx docker/mail[77]: Nov 25 07:00:00 in postfix/smtp[4]: {}", Some("in")),
        (
            r#"{"__REALTIME_TIMESTAMP":"1795590000000000","_HOSTNAME":"mx","SYSLOG_IDENTIFIER":"postfix/smtp","SYSLOG_PID":"4","_PID":"4","PRIORITY":"6","MESSAGE":"{}"}"#,
            Some("mx"),
        ),
        (
            r#"{"log":"Nov 25 07:00:00 mx postfix/smtp[4]: {}\n","stream":"stdout","time":"2026-11-25T07:00:00Z"}"#,
            Some("mx"),
        ),
    ];
    for (form, node) in table {
        for end in ["\n", "\r\n", ""] {
            let text = form.replace("{}", DEFERRED) + end;
            assert!(is_line(&text), "{form}");
            let (rows, unread) = rows(&text);
            let [row] = &rows[..] else { panic!("{form}: {rows:?}") };
            assert_eq!((row.at, &row[Column::ClientHostname]), (Some(at), node.unwrap_or_default()), "{form}");
            assert_eq!(&row[Column::RecipientAddress], "a@x.test", "{form}");
            assert_eq!((&row[Column::ServerHostname], &row[Column::ServerIp]), ("mx2.x.test", "192.0.2.2"), "{form}");
            assert!(unread.is_empty(), "{form}: {unread:?}");
        }
    }
    for text in ["", "{", "Nov 25 07:00:00 mx sshd[4]: postfix", "Subject: postfix/smtp", "a | b", "<22>1 x"] {
        assert!(!is_line(text), "{text}");
    }
}

#[test]
fn each_server_that_was_tried_is_an_attempt_of_the_message() {
    let timed_out = line("connect to mx1.x.test[192.0.2.1]:25: Connection timed out");
    let unreachable = line("connect to mx1.x.test[2001:db8::1]:25: Network is unreachable");
    let greylisted =
        line("4F00A1: host mx1.x.test[192.0.2.1] said: 450 4.7.1 Greylisted (in reply to RCPT TO command)");
    let last = line("connect to mx2.x.test[192.0.2.2]:25: Connection timed out");
    let row = |event: &str, server: &str, address: &str| [event, "4F00A1", server, address].map(str::to_owned);
    let first = row("DEFER", "mx1.x.test", "192.0.2.1");
    let sixth = row("DEFER", "mx1.x.test", "2001:db8::1");
    let second = row("DEFER", "mx2.x.test", "192.0.2.2");
    let sent = row("SEND", "mx2.x.test", "192.0.2.2");
    assert_eq!(told(&[timed_out.clone(), line(SENT)].concat()), [first.clone(), sent.clone()]);
    assert_eq!(
        told(&[timed_out.clone(), unreachable, line(DEFERRED)].concat()),
        [first.clone(), sixth, second.clone()]
    );
    // Older ones write the last one twice.
    assert_eq!(told(&[timed_out.clone(), last, line(DEFERRED)].concat()), [first.clone(), second]);
    assert_eq!(told(&[greylisted, line(SENT)].concat()), [first, sent]);
    // No result follows, for example because the log ends: it failed anyway.
    let [unknown] = &told(&timed_out)[..] else { panic!("one row") };
    assert_eq!(unknown, &["DEFER", "", "mx1.x.test", "192.0.2.1"].map(str::to_owned));
}

#[test]
fn an_attempt_stands_on_its_own_line() {
    let log = [line("connect to mx1.x.test[192.0.2.1]:25: Connection timed out"), line("x"), line(SENT)].concat();
    let mut reader = reader(log.as_bytes(), Timestamp::UNIX_EPOCH, TimeZone::UTC);
    let mut lines = Vec::new();
    while let Some(row) = reader.next() {
        lines.push((row.unwrap()[Column::EventId].to_owned(), reader.line()));
    }
    let expected = [("RECEIVE", 3), ("DEFER", 1), ("SEND", 3)];
    assert_eq!(lines, expected.map(|(event, line)| (event.to_owned(), line)));
}

/// Each handshake counts once, though Postfix says "Cannot start TLS" again in the result.
#[test]
fn handshakes_that_failed_go_with_the_server_that_they_were_with() {
    let deferred = "4F00A1: to=<a@x.test>, relay=mx2.x.test[192.0.2.2]:25, dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)";
    let log = [
        line("SSL_connect error to mx1.x.test[192.0.2.1]:25: Connection timed out"),
        line("4F00A1: Cannot start TLS: handshake failure"),
        line("SSL_connect error to mx2.x.test[192.0.2.2]:25: -1"),
        line("warning: TLS library problem: error:0A000410:SSL routines::alert handshake failure"),
        line("4F00A1: Cannot start TLS: handshake failure"),
        line(deferred),
    ];
    let (rows, _) = rows(&log.concat());
    let told: Vec<_> = rows
        .iter()
        .map(|row| (&row[Column::ServerIp], custom_value(&row[Column::CustomData], "TlsHandshake").unwrap()))
        .collect();
    let second = "SSL_connect error to mx2.x.test[192.0.2.2]:25: -1, TLS library problem: error:0A000410:SSL \
                  routines::alert handshake failure";
    let first = "SSL_connect error to mx1.x.test[192.0.2.1]:25: Connection timed out";
    assert_eq!(told, [("192.0.2.1", first), ("192.0.2.2", second)]);
}

#[test]
fn mail_that_left_without_tls_says_why() {
    let failed = line("SSL_connect error to mx2.x.test[192.0.2.2]:25: -1");
    let agreed =
        line("Untrusted TLS connection established to mx2.x.test[192.0.2.2]:25: TLSv1.2 with cipher X (1/1 bits)");
    let cannot = line("4F00A1: Cannot start TLS: handshake failure");
    let after = |log: &[&str]| {
        let (rows, _) = rows(&log.concat());
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(&row[Column::EventId], "SEND");
        custom_value(&row[Column::CustomData], "PlaintextAfter").map(str::to_owned)
    };
    let because = Some("SSL_connect error to mx2.x.test[192.0.2.2]:25: -1".to_owned());
    assert_eq!(after(&[&failed, &line(SENT)]), because);
    assert_eq!(after(&[&failed, &cannot, &line(SENT)]), because);
    assert_eq!(after(&[&agreed, &line(SENT)]), None);
    assert_eq!(after(&[&failed, &agreed, &line(SENT)]), None);
    // Hours later, another connection was made.
    let late = line(SENT).replace("07:00:00", "09:30:00");
    assert_eq!(after(&[&failed, &late]), None);
    let doubts = line("certificate verification failed for mx2.x.test[192.0.2.2]:25: untrusted issuer /CN=x");
    assert_eq!(after(&[&doubts, &line(SENT)]), None);
}

#[test]
fn mail_that_waits_for_another_attempt_is_no_attempt() {
    let service = |name: &str, text: &str| format!("Nov 25 07:00:00 mx postfix/{name}[4]: {text}\n");
    let suspended = |text: &str| {
        let text = format!("4F00A1: to=<a@x.test>, relay=none, delay=1, dsn=4.4.1, status=deferred ({text})");
        let (rows, _) = rows(&service("error", &text));
        custom_value(&rows[0][Column::CustomData], "Attempt").map(str::to_owned)
    };
    let none = Some("none".to_owned());
    for cause in [
        "connect to mx1.x.test[192.0.2.1]:25: Connection refused",
        "host mx1.x.test[192.0.2.1] refused to talk to me: 421 busy",
        "lost connection with mx1.x.test[192.0.2.1] while receiving the initial server greeting",
        "conversation with mx1.x.test[192.0.2.1] timed out while sending RCPT TO",
        "Cannot start TLS: handshake failure",
    ] {
        assert_eq!(suspended(&format!("delivery temporarily suspended: {cause}")), none, "{cause}");
    }
    assert_eq!(suspended("unknown mail transport error"), None);
}

#[test]
fn a_program_that_crashed_is_named_where_mail_waits_for_it() {
    let log = "Nov 25 07:00:00 mx postfix/qmgr[2]: warning: private/smtp socket: malformed response\n\
               Nov 25 07:00:00 mx postfix/master[1]: warning: process /usr/libexec/postfix/smtp pid 276 killed by signal 11\n\
               Nov 25 07:00:00 mx postfix/master[1]: warning: /usr/libexec/postfix/smtp: bad command startup -- throttling\n\
               Nov 25 07:00:00 mx postfix/error[3]: 4F00A1: to=<a@x.test>, relay=none, dsn=4.3.0, status=deferred (unknown mail transport error)\n\
               Nov 25 07:00:00 mx postfix/smtp[4]: warning: TLS policy lookup for x.test: client TLS configuration problem\n\
               Nov 25 07:00:00 mx postfix/smtp[4]: warning: smtp_tls_policy_maps: policy table lookup error\n\
               Nov 25 07:00:00 mx postfix/smtp[4]: 4F00A2: to=<a@x.test>, relay=none, dsn=4.7.5, status=deferred (client TLS configuration problem)\n";
    let (rows, unread) = rows(log);
    let status: Vec<_> = rows.iter().map(|row| &row[Column::RecipientStatus]).collect();
    assert_eq!(
        status,
        [
            "4.3.0 unknown mail transport error (process /usr/libexec/postfix/smtp pid 276 killed by signal 11)",
            "4.7.5 client TLS configuration problem (smtp_tls_policy_maps: policy table lookup error)",
        ]
    );
    assert!(rows.iter().all(|row| row[Column::ServerHostname].is_empty()));
    assert_eq!(unread, []);
}

/// What is no server is not called one, and a name is told whole or not at all.
#[test]
fn only_a_server_is_a_destination() {
    let table = [
        ("none", "deferred", "", "DEFER"),
        ("local", "sent", "", "DELIVER"),
        ("virtual", "sent", "", "DELIVER"),
        ("spamfilter", "sent", "", "DELIVER"),
        ("mx.x.test[private/dovecot-lmtp]", "sent", "", "DELIVER"),
        ("127.0.0.1[127.0.0.1]:10025", "sent", "127.0.0.1", "SEND"),
        ("mx.x.test[IPv6:2001:db8::1]:25", "sent", "mx.x.test", "SEND"),
        ("mx.x.test[192.0.2.1", "deferred", "mx.x.test", "DEFER"),
    ];
    for (relay, status, host, event) in table {
        let text = format!("4F00A1: to=<a@x.test>, relay={relay}, delay=1, dsn=4.0.0, status={status} (x)");
        let (rows, _) = rows(&line(&text));
        assert_eq!((&rows[0][Column::ServerHostname], &rows[0][Column::EventId]), (host, event), "{relay}");
    }
}

#[test]
fn mail_that_is_too_old_bounces() {
    let qmgr = |text: &str| format!("Nov 25 07:30:00 mx postfix/qmgr[2]: {text}\n");
    let log = [
        line(DEFERRED),
        line(&SENT.replace("a@x.test", "b@x.test")),
        qmgr("4F00A1: from=<s@y.test>, status=expired, returned to sender"),
        qmgr("4F00A1: removed"),
    ];
    let (rows, _) = rows(&log.concat());
    let last = rows.last().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((&last[Column::EventId], &last[Column::RecipientAddress]), ("FAIL", "a@x.test"));
    assert_eq!(&last[Column::ServerHostname], "mx2.x.test");
}

#[test]
fn an_address_that_was_tested_brought_no_mail() {
    let text = "4F00A1: to=<a@x.test>, relay=mx.x.test[192.0.2.1]:25, dsn=2.1.5, status=deliverable (250 ok)";
    assert_eq!(rows(&line(text)).0, []);
}

#[test]
fn what_is_not_understood_is_counted_by_program() {
    let log = "Nov 25 07:00:00 mx postfix/smtpd[1]: warning: something new\n\
               Nov 25 07:00:00 mx postfix/smtpd[1]: fatal: no\n\
               Nov 25 07:00:00 mx postfix/anvil[1]: statistics: max connection rate 1/60s\n\
               Nov 25 07:00:00 mx postfix/trivial-rewrite[1]: fatal: no\n\
               Nov 25 07:00:00 mx opendkim[1]: x\n\
               Nov 25 07:00:00 mx sshd[1]: x\n\
               garbage\n";
    let (rows, unread) = rows(log);
    let expected = [("postfix/smtpd", 2), ("", 1), ("opendkim", 1), ("postfix/trivial-rewrite", 1)];
    assert_eq!((rows, unread), (Vec::new(), expected.map(|(name, count)| (name.to_owned(), count)).to_vec()));
}

proptest::proptest! {
    /// A log may be cut within a line, and a line within a character.
    #[test]
    fn a_line_that_is_cut_anywhere_never_panics(from in 0usize..400, length in 0usize..400) {
        for form in [
            line(DEFERRED),
            line("4F00A1: host mx1.x.test[192.0.2.1] said: 450 4.7.1 Gr\u{fc}n (in reply to RCPT TO command)"),
            format!("<22>1 2026-11-25T07:00:00Z mx postfix/smtp 4 ID [a@1 b=\"c\"] {DEFERRED}"),
            format!(r#"{{"log":"mail-1  | Nov 25 07:00:00 mx postfix/smtp[4]: {DEFERRED}"}}"#),
            "Nov 25 07:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[192.0.2.9]: 550 5.1.1 <a@b>: no; from=<c@d> to=<a@b> proto=ESMTP helo=<h>".to_owned(),
            "Nov 25 07:00:00 mx postfix/cleanup[1]: 4F00A1: reject: header Subject: x from h[192.0.2.9]; from=<c@d> to=<a@b>: 5.7.1 no".to_owned(),
            "Nov 25 07:00:00 mx postfix/smtpd[1]: disconnect from h[192.0.2.9] ehlo=1 starttls=0/1 commands=1/2".to_owned(),
        ] {
            let bytes = form.as_bytes();
            let from = from.min(bytes.len());
            let cut = &bytes[from..(from + length).min(bytes.len())];
            reader(cut, Timestamp::UNIX_EPOCH, TimeZone::UTC).for_each(drop);
        }
    }
}

/// The process says it once, of whatever server it talks to.
#[test]
fn a_process_without_tls_says_why_with_each_result() {
    let without = line("warning: cannot get RSA certificate from file \"/x.pem\": disabling TLS support");
    let deferred = line(
        "4F00A1: to=<a@x.test>, relay=mx2.x.test[192.0.2.2]:25, dsn=4.7.5, status=deferred (TLS is required, but our TLS engine is unavailable)",
    );
    let value = |log: &[&str], name: &str| {
        let (rows, _) = rows(&log.concat());
        rows.iter().map(|row| custom_value(&row[Column::CustomData], name).map(str::to_owned)).collect::<Vec<_>>()
    };
    let because = Some("cannot get RSA certificate from file \"/x.pem\": disabling TLS support".to_owned());
    assert_eq!(value(&[&without, &deferred, &deferred], "TlsHandshake"), [because.clone(), because.clone()]);
    assert_eq!(value(&[&deferred], "TlsHandshake"), [None]);
    assert_eq!(value(&[&without, &line(SENT)], "PlaintextAfter"), [because]);
    // A setting that is wrong for one server.
    let grade = line("warning: mx2.x.test[192.0.2.2]:25: invalid cipher grade: \"hihg\"");
    let grade_says = Some("invalid cipher grade: \"hihg\"".to_owned());
    assert_eq!(value(&[&grade, &line(SENT)], "PlaintextAfter"), [grade_says]);
}

/// It ends before it names a message, and qmgr may say nothing of it for long.
#[test]
fn a_process_that_ends_says_why() {
    let fatal = line("fatal: smtp_connect_addr: bad smtp_bind_address parameter: 127.0.0.300");
    let said =
        "4.3.0 unknown mail transport error (fatal: smtp_connect_addr: bad smtp_bind_address parameter: 127.0.0.300)";
    let statuses = |log: &[&str]| {
        let (rows, _) = rows(&log.concat());
        rows.iter().map(|row| row[Column::RecipientStatus].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&[&fatal, &fatal]), [said, said]);
    let error = "Nov 25 07:00:00 mx postfix/error[3]: 4F00A1: to=<a@x.test>, relay=none, dsn=4.3.0, status=deferred (unknown mail transport error)\n";
    let master = "Nov 25 07:00:00 mx postfix/master[1]: warning: process /usr/lib/postfix/smtp pid 12 exit status 1\n";
    assert_eq!(statuses(&[&fatal, master, error]), [said]);
}

/// One process delivers to one port of a host after the other, and says in the result only which one it was.
#[test]
fn a_server_that_was_passed_over_has_the_port_of_its_own_delivery() {
    let log = [
        "Untrusted TLS connection established to localhost[127.0.0.1]:2601: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        "4F00A1: to=<a@x.test>, relay=localhost[127.0.0.1]:2601, dsn=2.0.0, status=sent (250 ok)",
        "4F00B2: lost connection with localhost[127.0.0.1] while receiving the initial server greeting",
        "4F00B2: to=<b@y.test>, relay=localhost[127.0.0.1]:2602, dsn=4.4.2, status=deferred (conversation with localhost[127.0.0.1] timed out while receiving the initial server greeting)",
    ];
    let (rows, _) = rows(&log.map(line).concat());
    let port = |row: &Row| custom_value(&row[Column::CustomData], "DestinationPort").map(str::to_owned);
    let attempts = rows.iter().filter(|row| row[Column::EventId] != *"RECEIVE");
    let ports: Vec<_> = attempts.filter_map(port).collect();
    assert_eq!(ports, ["2601", "2602", "2602"]);
}
