//! Any bytes as an extended report or a message tracking log: no panic, and what was read is written and reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace::message_trace::{Encoding, EventWriter, Layout, Reader, Row};

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::new(bytes) else { return };
    let rows: Vec<Row> = reader.filter_map(Result::ok).collect();
    let mut written = Vec::new();
    let mut writer =
        EventWriter::new(&mut written, Layout::TrackingLog, Encoding::Utf16Le, Default::default()).unwrap();
    rows.iter().for_each(|row| writer.write(row).unwrap());
    writer.flush().unwrap();
    drop(writer);
    let again: Vec<Row> = Reader::new(written.as_slice()).unwrap().map(Result::unwrap).collect();
    // Times are written to the millisecond.
    assert_eq!(again.len(), rows.len());
});
