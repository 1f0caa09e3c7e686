//! Any bytes as a capture: no panic, no hang, and sessions are told once.

#![no_main]

use std::{collections::HashSet, io::Cursor};

use capture::{Capture, Options, Packets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packets) = Packets::open(Cursor::new(bytes.to_vec())) else { return };
    // In order of time, or as in the file.
    let mut packets = if bytes.len().is_multiple_of(2) { packets.in_order() } else { packets };
    let mut capture = Capture::new(Options { fields: true, show_content: true, ..Options::default() });
    let mut told = HashSet::new();
    while let Some(packet) = packets.next() {
        capture.packet(&packet);
        for session in capture.take_finished() {
            assert!(told.insert(session.stream));
        }
    }
    for session in capture.finish().0 {
        assert!(told.insert(session.stream));
    }
});
