//! Foreign text files in whatever encoding they come.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Enough to tell the encoding, and more than a byte order mark.
const BEGINNING_BYTES: usize = 64 * 1024;

/// As the standard library's, which takes longer for a text that is longer than a few letters.
pub(crate) fn split_once<'a>(text: &'a str, at: &str) -> Option<(&'a str, &'a str)> {
    let start = memchr::memmem::find(text.as_bytes(), at.as_bytes())?;
    Some((text.get(..start)?, text.get(start + at.len()..)?))
}

/// Text of a line, whatever its bytes. Most lines are UTF-8, and to find that is quicker than to search for what is not.
pub(crate) fn lossy(line: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// All of a text, whatever its encoding.
pub(crate) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    encoding(bytes).decode(bytes).0
}

/// UTF-8 unless a mark, or zeros where ASCII in UTF-16 has them, say otherwise.
fn encoding(beginning: &[u8]) -> &'static Encoding {
    Encoding::for_bom(beginning).map_or_else(|| guess(beginning), |(encoding, _)| encoding)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    match bytes {
        [_, 0, _, 0, ..] => UTF_16LE,
        [0, _, 0, _, ..] => UTF_16BE,
        _ => UTF_8,
    }
}

/// The file as UTF-8 if it is UTF-16; else as it is, which is quicker.
pub(crate) fn utf8<'a>(mut file: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut beginning = Vec::new();
    (&mut file).take(4).read_to_end(&mut beginning)?;
    let is_utf8 = encoding(&beginning) == UTF_8;
    let file = io::Cursor::new(beginning).chain(file);
    Ok(if is_utf8 { Box::new(file) } else { Box::new(Decoder::new(file)?) })
}

/// The file as UTF-8.
pub(crate) struct Decoder<R> {
    file: R,
    decoder: encoding_rs::Decoder,
    input: Vec<u8>,
    /// Of the input, what is decoded already.
    taken: usize,
    /// The file has no more.
    ended: bool,
    /// Nor has the decoder.
    finished: bool,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(mut file: R) -> io::Result<Self> {
        let mut input = Vec::new();
        (&mut file).take(BEGINNING_BYTES as u64).read_to_end(&mut input)?;
        let decoder = encoding(&input).new_decoder_with_bom_removal();
        Ok(Self { file, decoder, input, taken: 0, ended: false, finished: false })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        while !self.finished && !output.is_empty() {
            if self.taken == self.input.len() && !self.ended {
                self.input.resize(BEGINNING_BYTES, 0);
                let count = self.file.read(&mut self.input)?;
                self.input.truncate(count);
                self.taken = 0;
                self.ended = count == 0;
            }
            let (result, read, written, _) = self.decoder.decode_to_utf8(&self.input[self.taken..], output, self.ended);
            self.taken += read;
            self.finished = self.ended && result == encoding_rs::CoderResult::InputEmpty;
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}
