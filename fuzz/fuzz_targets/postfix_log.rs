//! Any bytes as a log of Postfix: no panic, and each row has what is known of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::{message_trace::Column, postfix_log::reader};

fuzz_target!(|bytes: &[u8]| {
    for row in reader(bytes, Default::default(), jiff::tz::TimeZone::UTC) {
        let row = row.unwrap();
        assert!(!row[Column::EventId].is_empty() && !row[Column::NetworkMessageId].is_empty());
    }
});
