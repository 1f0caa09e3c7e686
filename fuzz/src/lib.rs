//! What several fuzz targets need.

use protocol::tls::Side;
use trace::{foreign::FORMATS, message_trace::Column};

/// Reads any bytes as a file of a kind of log: each row has an event, and lines are counted upwards.
pub fn read_rows(name: &str, bytes: &[u8]) {
    let format = FORMATS.into_iter().find(|format| format.name == name).unwrap();
    let Ok(mut rows) = format.read(bytes, Default::default(), &jiff::tz::TimeZone::UTC) else { return };
    while let Some(row) = rows.next() {
        let Ok(row) = row else { return };
        assert!(!row[Column::EventId].is_empty());
    }
}

/// Both sides of a conversation, written as bytes: each piece begins with one byte, whose lowest bit names the side (0: client)
/// and whose other bits give the length. `scripts/fuzz_seeds.py` writes them in this form.
pub fn pieces(mut bytes: &[u8]) -> Vec<(Side, &[u8])> {
    let mut pieces = Vec::new();
    while let Some((&head, rest)) = bytes.split_first() {
        let side = if head & 1 == 0 { Side::Client } else { Side::Server };
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(head >> 1)));
        pieces.push((side, piece));
        bytes = rest;
    }
    pieces
}
