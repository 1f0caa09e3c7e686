//! Any bytes as a log of Postfix: no panic, and each row has what is known of it. Half of the lines get one
//! of the beginnings that lines come with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::{message_trace::Column, postfix_log::reader};

/// What stands before the line of a process.
const BEGINNINGS: [&str; 8] = [
    "Nov 25 07:00:00 mx postfix/smtp[4]: ",
    "Nov 25 07:00:00 mx postfix/smtpd[5]: ",
    "2026-11-25T07:00:00.1+01:00 mx enforced-tls/smtp[4]: ",
    "<22>1 2026-11-25T07:00:00Z mx postfix/smtp 4 - - ",
    "mail-1  | Nov 25 2026 07:00:00 mx postfix/cleanup[6]: ",
    "{\"SYSLOG_IDENTIFIER\":\"postfix/qmgr\",\"_PID\":\"7\",\"MESSAGE\":\"",
    "{\"log\":\"Nov 25 07:00:00 mx postfix/postscreen[8]: ",
    "<22>Nov 25 07:00:00 mx postfix/error: ",
];

/// The same lines, each behind a beginning that its first byte chooses.
fn begun(bytes: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let choice = usize::from(line.first().copied().unwrap_or_default());
        let (beginning, end) = BEGINNINGS
            .get(choice % 16)
            .map_or(("", ""), |text| (*text, if text.starts_with('{') { "\"}" } else { "" }));
        log.extend_from_slice(beginning.as_bytes());
        log.extend_from_slice(line);
        log.extend_from_slice(end.as_bytes());
        log.push(b'\n');
    }
    log
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = begun(bytes);
    for row in reader(&bytes[..], Default::default(), jiff::tz::TimeZone::UTC) {
        let row = row.unwrap();
        let is_inbound = &row[Column::Directionality] == "Incoming";
        assert!(!row[Column::EventId].is_empty());
        assert!(!is_inbound || !row[Column::ClientIp].is_empty() || !row[Column::ClientHostname].is_empty());
    }
});
