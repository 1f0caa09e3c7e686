//! Any bytes as a file of any kind, through to findings: no panic, and each finding is about attempts.

#![no_main]

use std::io::Cursor;

use capture::{Options, Packets};
use diagnosis::{Evidence, diagnose, sources};
use jiff::{Timestamp, tz::TimeZone};
use libfuzzer_sys::fuzz_target;
use trace::{dsn, foreign::FORMATS, protocol_log, tls_report};

fuzz_target!(|bytes: &[u8]| {
    let (mut evidence, now) = (Evidence::default(), Timestamp::UNIX_EPOCH);
    evidence.join();
    for format in FORMATS {
        for row in format.read(bytes, now, &TimeZone::UTC).into_iter().flatten().flatten() {
            sources::trace_rows::add_row(&mut evidence, format, &row, "file", 1);
        }
    }
    let log = protocol_log::read(bytes);
    let sessions = protocol_log::sessions(log.rows);
    let source = sources::protocol_log::source(None, &sessions);
    sources::protocol_log::add_log(&mut evidence, source, &sessions, "file", None);
    if let Some(dsn) = dsn::read(bytes) {
        sources::dsn::add_notification(&mut evidence, &dsn, "file");
    }
    if let Ok(report) = tls_report::read(bytes) {
        sources::tls_report::add_report(&mut evidence, &report, "file");
    }
    if let Ok(packets) = Packets::open(Cursor::new(bytes.to_vec())) {
        capture::sessions(packets, Options::default(), |session| {
            sources::capture::Reader::new("file").hold(&mut evidence, session);
        });
    }
    evidence.joined();
    for finding in diagnose(&evidence) {
        assert!(!finding.summary.is_empty() && finding.scope.attempts > 0);
    }
});
