//! Foreign text files in whatever encoding they come.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// UTF-8 unless a mark, or zeros where ASCII in UTF-16 has them, say otherwise.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    encoding(bytes).decode(bytes).0
}

/// Told from the beginning of a file.
pub(crate) fn encoding(beginning: &[u8]) -> &'static Encoding {
    Encoding::for_bom(beginning).map_or_else(|| guess(beginning), |(encoding, _)| encoding)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    match bytes {
        [_, 0, _, 0, ..] => UTF_16LE,
        [0, _, 0, _, ..] => UTF_16BE,
        _ => UTF_8,
    }
}
