//! Files of other systems: each kind is recognised by its content, and its rows have what the file says.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use std::{
    fs,
    path::{Path, PathBuf},
};

use gatepost_trace::{
    foreign::{FORMATS, ForeignFormat, Input, Recognised, recognise},
    message_trace::{Column, Row},
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

/// Files of this project, of which each has its rows beside it. Their names begin with their kinds.
#[test]
fn each_kind_is_recognised_and_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_none_or(|ending| ending != "rows"));
    for path in &paths {
        let bytes = fs::read(path).unwrap();
        let Recognised::Log(format) = recognise(&bytes) else { panic!("{}", path.display()) };
        let file = path.file_name().unwrap().to_str().unwrap();
        assert!(file.starts_with(format.name), "{file} is taken for {}", format.name);
        let (rows, read) = (path.with_extension("rows"), told(format, &bytes));
        if std::env::var_os("WRITE_ROWS").is_some() {
            fs::write(&rows, &read).unwrap();
        }
        assert_eq!(read, fs::read_to_string(&rows).unwrap_or_default(), "{file}");
    }
    for format in &FORMATS[4..] {
        let has_file = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(format.name);
        assert!(paths.iter().any(has_file), "no file shows {}", format.name);
    }
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
            // A list of messages that wait has no attempts, and a summary and a refusal have no delays.
            let without = ["graph.json", "enhanced.csv", "iis-smtp.log"].contains(&file.as_str());
            assert!(told(format, &bytes).contains("DEFER") || without, "{file}");
        }
    }
}

/// Each file of this project, cut, repeated or mangled: every row that can be read, and no panic.
#[test]
fn files_may_be_cut_anywhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            recognise_and_read(&bytes[..end]);
            if end % 7 == 0 {
                recognise_and_read(&bytes[end..]);
            }
        }
    }
}

fn recognise_and_read(bytes: &[u8]) {
    match recognise(bytes) {
        Recognised::Log(format) => format.read(bytes, now(), &TimeZone::UTC).into_iter().flatten().for_each(drop),
        Recognised::Dsn => drop(gatepost_trace::dsn::read(bytes)),
        _ => {}
    }
}

proptest! {
    /// Bytes of one kind in the midst of another.
    #[test]
    fn mangled_files_are_read(kind in 4usize..FORMATS.len(), other in 0usize..32, at in 0usize..2000, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut file = fs::read(&paths[other % paths.len()]).unwrap();
        let at = at % (file.len() + 1);
        file.splice(at..at, bytes);
        recognise_and_read(&file);
        FORMATS[kind].read(file.as_slice(), now(), &TimeZone::UTC).into_iter().flatten().for_each(drop);
    }
}

#[test]
fn files_of_other_kinds_say_what_to_give_instead() {
    let table: [(&[u8], &str); 12] = [
        (b"", "an empty file"),
        (b" \r\n\n", "an empty file"),
        (b"PK\x03\x04rest", "save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "save a bounce as .eml"),
        (b"ElfFile\0", "SmtpSend"),
        (b"LPKSHHRH", "journalctl"),
        (&[0, 1, 2, 3, 4, 5, 255, 254, 253, 1, 2, 3], "binary data"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (
            b"Identity  DeliveryType Status MessageCount\n--------  ---------- ------\nEX01\\1  Dns  Retry 5\n",
            "Get-Queue | Format-List",
        ),
        (b"Nov 25 06:05:01 host sshd[1]: Connection closed\n", "lines of sshd"),
        (b"{\"a\": 1}\n", "JSON of an unknown kind"),
        (b"Dear Sir or Madam,\n", "text of an unknown kind"),
    ];
    for (bytes, words) in table {
        let Recognised::Unknown(unknown) = recognise(bytes) else { panic!("{words}") };
        assert!(unknown.to_string().contains(words), "{words}: {unknown}");
    }
}

#[test]
fn encodings_and_compression_are_recognised() {
    let text = "Identity      : EX01\\1\r\nNextHopDomain : x.test\r\nStatus        : Retry\r\nMessageCount  : 2\r\nLastError     : refused\r\n";
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16.clone(), utf16[2..].to_vec(), format!("\u{feff}{text}").into_bytes()] {
        let Recognised::Log(format) = recognise(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(format.name, "exchange-queue");
        assert_eq!(format.read(bytes.as_slice(), now(), &TimeZone::UTC).unwrap().count(), 1);
    }
    // Also a log that would be read line by line, as PowerShell's `>` writes it.
    let log = "Nov 25 06:05:01 mx postfix/smtp[1]: 4F00A1: to=<a@x.test>, relay=none, delay=1, dsn=4.4.1, status=deferred (connect to mx.x.test[192.0.2.1]:25: Connection refused)\r\n";
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(log.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16.clone(), utf16[2..].to_vec(), log.as_bytes().to_vec()] {
        let Recognised::Log(format) = recognise(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(format.read(bytes.as_slice(), now(), &TimeZone::UTC).unwrap().count(), 2);
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let Input { recognised, mut content } = Input::open(packed.as_slice()).unwrap();
    assert_eq!(name(&recognised), "exchange-queue");
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut content, &mut unpacked).unwrap();
    assert_eq!(unpacked, text);
}

#[test]
fn pasted_bounces_are_recognised() {
    let exchange = "Remote Server at x.test returned\n\nDiagnostic information for administrators:\n\nGenerating server: EX01.corp.test\n\n\
        u@dest.test\n11/25/2026 7:05:58 AM - Server at mx.dest.test (192.0.2.1) returned '451 4.4.0 later'\n";
    let qmail = "Hi. This is the qmail-send program at mx.corp.test.\nI'm afraid I wasn't able to deliver your message.\n\n\
        <u@dest.test>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 no such user\nGiving up on 192.0.2.1.\n\n\
        --- Below this line is a copy of the message.\n\nMessage-ID: <1@corp.test>\n";
    let exchange_2010 = "Diagnostic information for administrators:\n\nGenerating server: EX01.corp.test\n\n\
        u@dest.test\nmx.dest.test #550 5.1.1 User unknown ##\n\nOriginal message headers:\n";
    for (text, host, said) in [
        (exchange_2010, "mx.dest.test", "550 5.1.1 User unknown"),
        (exchange, "mx.dest.test", "451 4.4.0 later"),
        (qmail, "192.0.2.1", "550 5.1.1 no such user Giving up on 192.0.2.1."),
    ] {
        assert_eq!(recognise(text.as_bytes()), Recognised::Dsn);
        let dsn = gatepost_trace::dsn::read(text.as_bytes()).unwrap();
        let recipient = &dsn.recipients[0];
        assert_eq!(recipient.remote_mta.as_ref().unwrap().text, host);
        assert_eq!(recipient.diagnostic_code.as_ref().unwrap().text, said);
        assert!(dsn.reporting_mta.unwrap().text.ends_with(".corp.test"));
        let row = dsn.recipients.len();
        assert_eq!(row, 1);
    }
}

/// A log of Exim as its own file has it.
const EXIM: &str = "2026-11-25 07:00:00 1vNqXY-0000000001a-2bcd <= a@corp.test H=client.corp.test [192.0.2.50] P=esmtps S=1201\n\
    2026-11-25 07:00:02 1vNqXY-0000000001a-2bcd == b@dest.test R=dnslookup T=remote_smtp defer (111) H=mx.dest.test [192.0.2.1]: Connection refused\n";

/// Lines as journald, Docker, Kubernetes, Compose and a syslog of RFC 5424 pass them on.
fn passed_on(line: &str) -> Vec<String> {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let head = line.split_once(": ").filter(|(head, _)| head.ends_with(']') && !head.contains('{'));
    let syslog = head.and_then(|(head, body)| {
        let (before, program) = head.rsplit_once(' ')?;
        let (name, id) = program.strip_suffix(']')?.split_once('[')?;
        before.starts_with("Nov").then_some((name, id, body))
    });
    let (name, id, body) =
        syslog.unwrap_or((if line.starts_with("2026-11-25 07") { "exim" } else { "mail" }, "7", line));
    vec![
        format!("mail-1  | {line}"),
        format!("[pod/mail-0/mail] {line}"),
        format!("2026-11-25T09:00:00.123456789Z stdout F {line}"),
        format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-25T09:00:00.1Z\"}}", json(&format!("{line}\n"))),
        format!("<22>1 2026-11-25T09:00:00Z mx {name} {id} - - {body}"),
        format!(
            "{{\"__REALTIME_TIMESTAMP\":\"1795597200000000\",\"_HOSTNAME\":\"mx\",\"SYSLOG_IDENTIFIER\":{},\"_PID\":\"{id}\",\
             \"MESSAGE\":{}}}",
            json(name),
            json(body)
        ),
    ]
}

#[test]
fn a_log_that_was_passed_on_has_the_same_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let read = |name: &str| fs::read_to_string(folder.join(format!("{name}.log"))).unwrap();
    let mut logs: Vec<String> =
        ["sendmail-log", "opensmtpd-log", "qmail-log", "haraka-log", "stalwart-log"].map(read).to_vec();
    logs.push(EXIM.to_owned());
    logs.push(EXIM.replace("2026-11-25 07", "Nov 25 07:00:00 mx exim[7]: 2026-11-25 07"));
    // Times may be those of what passed the lines on.
    let without_time = |line: &str| line.split_once("Z ").map_or(line.to_owned(), |(_, rest)| rest.to_owned());
    let rows = |text: &str| {
        let Recognised::Log(format) = recognise(text.as_bytes()) else { panic!("not recognised: {text}") };
        let read = told(format, text.as_bytes());
        assert!(!read.contains(": - "), "no time: {read}");
        read.lines().filter(|line| !line.starts_with("skipped")).map(without_time).collect::<Vec<_>>()
    };
    for log in &logs {
        let expected = rows(log);
        assert!(expected.len() > 1, "{log}");
        let lines: Vec<Vec<String>> = log.lines().map(passed_on).collect();
        for kind in 0..lines[0].len() {
            let wrapped: String = lines.iter().map(|line| format!("{}\n", line[kind])).collect();
            assert_eq!(rows(&wrapped), expected, "{}", lines[0][kind]);
        }
    }
}
