//! Any bytes as both sides of a TLS handshake, whole and byte by byte: no panic, and the same facts.

#![no_main]

use std::time::Duration;

use gatepost_fuzz::pieces;
use libfuzzer_sys::fuzz_target;
use protocol::tls::{
    HandshakeFacts, Observer, Side,
    schannel::{negotiation_failed, negotiation_succeeded, read_negotiation},
};

fn run<'a>(pieces: impl Iterator<Item = (Side, &'a [u8])>) -> HandshakeFacts {
    let mut observer = Observer::default();
    for (side, bytes) in pieces {
        observer.observe(side, bytes, Duration::ZERO);
    }
    observer.into_facts()
}

fuzz_target!(|bytes: &[u8]| {
    let pieces = pieces(bytes);
    let facts = run(pieces.iter().copied());
    let bytewise = pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte)));
    assert_eq!(run(bytewise), facts);
    let _ = (facts.to_string(), negotiation_failed(&facts));
    if let Some(line) = negotiation_succeeded(Side::Client, &facts) {
        // Versions without a name are written as 0, which is none.
        assert!(read_negotiation(&line).is_none_or(|read| read.to_string() == line));
    }
});
