//! Files of other systems: each kind is recognised by its content, and its rows have what the file says.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use gatepost_trace::{
    foreign::{FORMATS, ForeignFormat, Input, Recognised, recognise},
    message_trace::{Column, Row, custom_value},
};
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-11-25T08:00:00Z".parse().unwrap()
}

fn name(recognised: &Recognised) -> String {
    match recognised {
        Recognised::Log(format) => format.name.to_owned(),
        Recognised::ProtocolLog => "protocol-log".to_owned(),
        Recognised::Capture => "capture".to_owned(),
        Recognised::Dsn => "dsn".to_owned(),
        Recognised::TlsReport => "tls-report".to_owned(),
        Recognised::Unknown(unknown) => format!("unknown: {unknown}"),
    }
}

fn format(name: &str) -> &'static ForeignFormat {
    FORMATS.into_iter().find(|format| format.name == name).unwrap()
}

/// A line for each row: line, event, recipient, server, address, words; and what was skipped.
fn told(format: &ForeignFormat, bytes: &[u8]) -> String {
    let mut rows = format.read(bytes, now(), &TimeZone::UTC).unwrap();
    let mut text = String::new();
    while let Some(row) = rows.next() {
        text += &format!("{}: {}\n", rows.line(), row_text(&row.unwrap()));
    }
    text + &format!("skipped {}\n", rows.skipped())
}

fn row_text(row: &Row) -> String {
    let at = row.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let columns = [
        Column::EventId,
        Column::NetworkMessageId,
        Column::SenderAddress,
        Column::RecipientAddress,
        Column::ServerHostname,
        Column::ServerIp,
        Column::CustomData,
        Column::RecipientStatus,
    ];
    let values = columns.map(|column| if row[column].is_empty() { "-".to_owned() } else { row[column].to_owned() });
    format!("{at} {}", values.join(" | "))
}

/// The kinds that public cases were filed under.
#[test]
fn corpus_published_cases_are_recognised() {
    let manifest: Vec<serde_json::Value> = serde_json::from_slice(&samples::read("field/manifest.json")).unwrap();
    for case in manifest {
        let (file, kind) = (case["file"].as_str().unwrap(), case["kind"].as_str().unwrap());
        assert_eq!(name(&recognise(&samples::read(&format!("field/{file}")))), kind, "{file}");
    }
}

#[test]
fn corpus_published_files_are_recognised() {
    for (folder, kinds) in [
        ("captures", &["capture"][..]),
        ("dsn", &["dsn"]),
        ("tlsrpt", &["tls-report"]),
        ("exchange-logs", &["tracking-log", "protocol-log", "connectivity-log"]),
        ("mta-logs", &["postfix-log", "exim-log", "protocol-log"]),
    ] {
        for (file, bytes) in samples::folder(folder) {
            let found = name(&recognise(&bytes));
            assert!(kinds.contains(&found.as_str()), "{folder}/{file}: {found}");
        }
    }
}

#[test]
fn corpus_kinds_not_accepted_before_are_recognised_and_read() {
    let kinds = [
        ("connectivity.log", "connectivity-log"),
        ("enhanced.csv", "enhanced-summary"),
        ("getmessagetrackinglog.csv", "tracking-output"),
        ("getmessagetrackinglog.txt", "tracking-output"),
        ("getqueue.txt", "exchange-queue"),
        ("graph.json", "graph-trace"),
        ("iis-smtp.log", "iis-smtp-log"),
        ("kumo.json", "kumomta-log"),
        ("mailq.txt", "mailq"),
        ("ndr.txt", "dsn"),
        ("postqueue.json", "postqueue-json"),
        ("sendmail.log", "sendmail-log"),
        ("stalwart.log", "stalwart-log"),
        ("tracedetail.csv", "trace-detail"),
    ];
    for (file, bytes) in samples::folder("field/not-accepted-yet") {
        let found = recognise(&bytes);
        let expected = kinds.iter().find(|(known, _)| *known == file).map_or("postfix-log", |(_, kind)| kind);
        assert_eq!(name(&found), expected, "{file}");
        if let Recognised::Log(format) = found {
            println!("{file}\n{}", told(format, &bytes));
        }
    }
}
