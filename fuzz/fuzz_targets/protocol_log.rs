//! Any bytes as a protocol log: no panic, and the rows that were read are written and read back the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::protocol_log::{read, row};

fuzz_target!(|bytes: &[u8]| {
    let rows = read(bytes).rows;
    let written: String = rows.iter().map(row).collect();
    let again = read(written.as_bytes()).rows;
    assert_eq!(again.len(), rows.len());
});
