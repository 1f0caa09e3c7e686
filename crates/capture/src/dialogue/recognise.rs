//! Which kind of conversation begins with these bytes.

use protocol::tls::{Side, record::HANDSHAKE};

use super::Protocol;

/// By who speaks first, and how.
pub(super) fn recognise(side: Side, bytes: &[u8]) -> Protocol {
    let ends_word = |at: usize| bytes.get(at).is_none_or(|byte| b" -\r\n".contains(byte));
    let begins = |words: &[&[u8]]| {
        words.iter().any(|word| {
            bytes.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)) && ends_word(word.len())
        })
    };
    match side {
        _ if is_hello(bytes) => Protocol::Tls,
        // The banner may have gone by before the capture began.
        Side::Server if begins(&[b"220", b"250", b"421", b"554"]) => Protocol::Smtp,
        Side::Client if begins(&[b"EHLO", b"HELO", b"LHLO"]) => Protocol::Smtp,
        // A client may begin with anything: the server's answer tells what this is.
        Side::Client => Protocol::Unknown,
        Side::Server => Protocol::Other,
    }
}

/// How TLS begins.
pub(super) fn is_hello(bytes: &[u8]) -> bool {
    // The old form has a length, and then type and version (RFC 5246 appendix E.2).
    matches!(bytes, [HANDSHAKE, 3, 0..=4, ..] | [0x80..=0xff, _, 1, 3, 0..=3, ..])
}
