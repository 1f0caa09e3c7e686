//! Any bytes as a file of the kind `graph-trace`: no panic, and each row has what is known of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost_fuzz::read_rows("graph-trace", bytes));
