//! A zip file with the report and its evidence, for further analysis with other tools or with `gatepost why`.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
};

use diagnosis::{Attempt, Finding};
use jiff::{Timestamp, tz::TimeZone};
use protocol::{host_port, tls::HandshakeFacts};
use serde_json::{Value, json};
use trace::{
    message_trace::{Column, Encoding, EventWriter, Layout, Row},
    protocol_log::{self, LogType},
};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{
    Addresses, Report, attempts,
    excerpts::{ATTEMPTS_MAX, FINDINGS_MAX},
};
use crate::json::pretty as pretty_json;

/// One file of a bundle.
struct Entry {
    name: &'static str,
    /// Description for README.txt.
    about: &'static str,
    content: Vec<u8>,
}

/// The bytes of the zip file.
pub fn bundle(report: &Report<'_>) -> anyhow::Result<Vec<u8>> {
    let entries = entries(report)?;
    let readme = readme(report, &entries);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(modified(report.made))
        .unix_permissions(0o644);
    let files = entries.iter().map(|entry| (entry.name, entry.content.as_slice()));
    for (name, content) in std::iter::once(("README.txt", readme.as_bytes())).chain(files) {
        zip.start_file(name, options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// The files of the bundle. Files without content are left out.
fn entries(report: &Report<'_>) -> anyhow::Result<Vec<Entry>> {
    let mut entries = vec![
        Entry { name: "report.html", about: "The report, for people.", content: report.page().into_bytes() },
        Entry {
            name: "findings.json",
            about: "The findings, as gatepost why --format json prints them.",
            content: findings(report)?,
        },
    ];
    let mut add = |name, about, content: Vec<u8>| entries.push(Entry { name, about, content });
    if !report.excerpts.rows.is_empty() {
        let about = "The events of the quoted messages, in the columns of Exchange Online's extended\n    \
                     report, without subjects. To read them: gatepost why --message-trace FILE";
        add("message-trace.csv", about, message_trace(report)?);
    }
    if !report.excerpts.sessions.is_empty() {
        let about = "The conversations of the quoted sessions, in the format of Exchange's protocol\n    \
                     logs. Header lines begin with #. To read them: gatepost why --protocol-log FILE";
        add("protocol-log.csv", about, protocol_log(report));
    }
    let attempts = attempts(report.findings);
    let (handshakes, suites) = (handshakes(&attempts), suites(&attempts));
    if !handshakes.is_empty() {
        let about = "TLS handshakes: what each side offered and chose, alerts, certificates, and the end.\n    \
                     Versions, cipher suites and groups are IANA numbers; a list has the names of suites.";
        let value = json!({ "cipher_suites": suites, "handshakes": handshakes });
        let value = report.addresses.private_json(value);
        add("handshakes.json", about, pretty_json(&value)?.into_bytes());
    }
    Ok(entries)
}

fn findings(report: &Report<'_>) -> anyhow::Result<Vec<u8>> {
    let findings: Vec<&Finding> = report.findings.iter().map(|explained| &explained.finding).collect();
    let value = report.addresses.private_json(super::findings_json(&findings, &report.read));
    Ok((pretty_json(&value)? + "\n").into_bytes())
}

fn message_trace(report: &Report<'_>) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut writer = EventWriter::new(&mut content, Layout::ExtendedReport, Encoding::Utf8, report.made)?;
    for row in &report.excerpts.rows {
        writer.write(&private_row(row, report.addresses))?;
    }
    writer.flush()?;
    drop(writer);
    Ok(content)
}

fn private_row(row: &Row, addresses: &Addresses) -> Row {
    row.map(|column, value| match column {
        // The subject is content: leave it out even if addresses are shown.
        Column::MessageSubject => String::new(),
        // Both sides find the message by its Message-ID, so keep it if it is not an address.
        Column::MessageId => addresses.private_id(value),
        _ => addresses.private(value),
    })
}

fn protocol_log(report: &Report<'_>) -> Vec<u8> {
    let mut content = protocol_log::header(LogType::Send, report.made);
    for row in report.excerpts.sessions.iter().flat_map(|session| &session.rows) {
        let private = |text: &String| report.addresses.private(text);
        let (data, context) = (private(&row.data), private(&row.context));
        content.push_str(&protocol_log::row(&protocol_log::Row { data, context, ..row.clone() }));
    }
    content.into_bytes()
}

fn handshakes(attempts: &[&Attempt<'_>]) -> Vec<Value> {
    let view = |attempt: &&Attempt<'_>| {
        let facts = attempt.handshake.as_ref()?;
        Some(json!({
            "at": attempt.at,
            "worked": attempt.failure.is_none(),
            "failure": attempt.failure.as_ref().map(|failed| &failed.text),
            "node": attempt.node,
            "tls_policy": attempt.tls_policy,
            "destination": attempt.destination.as_ref().map(|(host, port)| host_port::join(host, *port)),
            "destination_address": attempt.destination_address,
            "source": attempt.source.name(),
            "where": diagnosis::in_words(&attempt.places),
            "facts": facts,
        }))
    };
    attempts.iter().filter_map(view).collect()
}

/// The names of the cipher suites that occur, by number.
fn suites(attempts: &[&Attempt<'_>]) -> BTreeMap<u16, String> {
    let facts = attempts.iter().filter_map(|attempt| attempt.handshake.as_deref());
    let of = |facts: &HandshakeFacts| {
        let offered = facts.client_hello.as_ref().map(|hello| hello.cipher_suites.clone()).unwrap_or_default();
        offered.into_iter().chain(facts.server_hello.as_ref().map(|hello| hello.cipher_suite))
    };
    facts.flat_map(of).map(|suite| (suite.0, suite.to_string())).collect()
}

fn readme(report: &Report<'_>, entries: &[Entry]) -> String {
    let mut text = format!(
        "Why mail is stuck: findings and their evidence\nCreated {:.0} by Gatepost {}. All times are in UTC.\n\n",
        report.made,
        env!("CARGO_PKG_VERSION")
    );
    for Entry { name, about, .. } in entries {
        text.push_str(&format!("{name}\n    {about}\n"));
    }
    text.push_str(&format!(
        "\nThe files quote at most {FINDINGS_MAX} findings. For each, they quote the newest {ATTEMPTS_MAX} attempts that\n\
         failed, and as many that worked.\n"
    ));
    for part in &report.excerpts.left_out {
        text.push_str(&format!("Left out: {part}.\n"));
    }
    text.push_str(&format!("{} The files never contain content of messages.\n", report.addresses.note()));
    text.replace('\n', "\r\n")
}

/// The time in UTC, because zip files have no time zones.
fn modified(at: Timestamp) -> DateTime {
    let at = at.to_zoned_datetime(TimeZone::UTC);
    let part = |number: i8| u8::try_from(number).unwrap_or(0);
    let year = u16::try_from(at.year()).unwrap_or(1980);
    DateTime::from_date_and_time(
        year,
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
    )
    .unwrap_or_default()
}
