//! Any bytes as a main log of Exim: no panic, and each row has what is known of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::{exim_log::reader, message_trace::Column};

fuzz_target!(|bytes: &[u8]| {
    for row in reader(bytes, Default::default(), jiff::tz::TimeZone::UTC) {
        assert!(!row.unwrap()[Column::EventId].is_empty());
    }
});
