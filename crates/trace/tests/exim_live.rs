//! What a real Exim logs of mail that it takes, and of a handshake that fails.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use gatepost_trace::{
    exim_log::{Record, read_line, reader},
    message_trace::{Column, Row, custom_value},
};
use jiff::{Timestamp, tz::TimeZone};
use lab::{exim::Exim, peers::Peers};

fn peers() -> Peers {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
    Peers::at(&root).unwrap_or_else(|_| panic!("{} is missing; run ./test, which unpacks it", root.display()))
}

/// Says each line and waits for the reply to it.
fn converse(exim: &Exim, lines: &[&str]) {
    let mut stream = TcpStream::connect(exim.address()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut reply = || while replies.next().unwrap().unwrap().as_bytes().get(3) == Some(&b'-') {};
    reply();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        reply();
    }
}

fn wait_for_log(exim: &Exim, text: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let log = exim.log();
        if log.contains(text) {
            return log;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{text:?} is not in {}", exim.log());
}

#[test]
fn root_a_real_log_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let selector = "log_selector = +tls_cipher +subject +received_recipients +millisec +pid\nlog_timezone = true\n";
    let exim = Exim::start(peers(), folder.path(), selector).unwrap();
    let content = "Message-ID: <1@partner.test>\r\nSubject: He said \"for you\"\r\n\r\nHello\r\n.";
    let envelope = ["EHLO client.test", "MAIL FROM:<alice@partner.test>", "RCPT TO:<a@x.test>", "RCPT TO:<b@x.test>"];
    converse(&exim, &[&envelope[..], &["DATA", content, "QUIT"]].concat());
    converse(&exim, &["EHLO client.test", "STARTTLS", "this is no ClientHello"]);
    wait_for_log(&exim, "Completed");
    let log = wait_for_log(&exim, "TLS error on connection");

    let mut reader = reader(log.as_bytes(), Timestamp::now(), TimeZone::UTC);
    let rows: Vec<Row> = reader.by_ref().map(Result::unwrap).collect();
    let events: Vec<_> = rows.iter().map(|row| (&row[Column::EventId], &row[Column::RecipientAddress])).collect();
    assert_eq!(events[..2], [("RECEIVE", "a@x.test"), ("RECEIVE", "b@x.test")], "{log}");
    assert_eq!(events[2..4], [("DELIVER", "a@x.test"), ("DELIVER", "b@x.test")], "{log}");
    let [failed] = &rows[4..] else { panic!("{log}") };
    let phase = custom_value(&failed[Column::CustomData], "Phase");
    assert_eq!(
        (&failed[Column::Directionality], &failed[Column::ClientIp], phase),
        ("Incoming", "127.0.0.1", Some("handshake"))
    );
    for row in &rows[..4] {
        let columns = [Column::SenderAddress, Column::MessageId, Column::MessageSubject, Column::OriginalClientIp];
        let told = columns.map(|column| &row[column]);
        assert_eq!(told, ["alice@partner.test", "<1@partner.test>", "He said \"for you\"", "127.0.0.1"], "{log}");
        let age = Timestamp::now().duration_since(row.at.unwrap());
        assert!(age.abs() < Duration::from_secs(60).try_into().unwrap(), "{age:?} {log}");
    }
    let mut times = gatepost_trace::LogTimes::new(Timestamp::now(), TimeZone::UTC);
    let records = log.lines().filter_map(|line| Record::read(read_line(line, &mut times)?.1));
    let error =
        records.into_iter().find_map(|record| if let Record::TlsError(error) = record { Some(error) } else { None });
    let error = error.unwrap();
    assert_eq!(error.facts.address, Some("127.0.0.1"), "{log}");
    assert!(!error.facts.text.is_empty(), "{log}");
}
