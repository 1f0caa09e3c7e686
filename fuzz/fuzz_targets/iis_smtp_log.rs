//! Any bytes as a file of the kind `iis-smtp-log`: no panic, and each row has what is known of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gatepost_fuzz::read_rows("iis-smtp-log", bytes));
