//! Any bytes as a file of the kind `kumomta-log`: no panic, and each row has what is known of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost_fuzz::read_rows("kumomta-log", bytes));
