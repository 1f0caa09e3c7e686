//! Any bytes as a TLS report, as JSON, gzip or mail: no panic, and what was read is written and reads back the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::tls_report::read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = read(bytes) {
        let written = serde_json::to_vec(&report).unwrap();
        assert_eq!(read(&written).unwrap(), report);
    }
});
