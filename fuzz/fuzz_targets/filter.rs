//! Any text as a filter of packets: no panic, and a fault is shown at a place within the text.

#![no_main]

use capture::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Filter::parse(text) {
        assert!(text.is_char_boundary(error.at));
    }
});
