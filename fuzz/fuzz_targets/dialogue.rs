//! Any bytes as what two sides say: no panic, and nothing that follows AUTH is shown.

#![no_main]

use capture::{dialogue::Dialogue, fields::Fields};
use gatepost_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut dialogue = Dialogue::new(false);
    let mut fields = Fields { is_wanted: true, ..Fields::default() };
    for (side, piece) in pieces(bytes) {
        dialogue.bytes(side, piece, 0, &mut fields);
    }
    dialogue.finish();
    assert!(dialogue.lines.len() <= 400);
});
