//! What several fuzz targets need.

use protocol::tls::Side;

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
