//! Any bytes as what two sides say: no panic, and nothing that follows AUTH is shown.
//! `cargo +nightly fuzz run dialogue` from the repository's root.

#![no_main]

use capture::{dialogue::Dialogue, fields::Fields};
use libfuzzer_sys::fuzz_target;
use protocol::tls::Side;

fuzz_target!(|bytes: &[u8]| {
    let mut dialogue = Dialogue::new(false);
    let mut fields = Fields { is_wanted: true, ..Fields::default() };
    // The first byte of each piece says whose it is, and how long.
    let mut rest = bytes;
    while let [head, after @ ..] = rest {
        let (piece, after) = after.split_at(after.len().min(usize::from(head >> 1)));
        let side = if head & 1 == 0 { Side::Client } else { Side::Server };
        dialogue.bytes(side, piece, 0, &mut fields);
        rest = after;
    }
    dialogue.finish();
    assert!(dialogue.lines.len() <= 400);
});
