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
    /// What is decoded, and how much of it was read. The decoder needs room for a whole character, and readers may ask for
    /// less.
    output: Vec<u8>,
    given: usize,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(mut file: R) -> io::Result<Self> {
        let mut input = Vec::new();
        (&mut file).take(BEGINNING_BYTES as u64).read_to_end(&mut input)?;
        let decoder = encoding(&input).new_decoder_with_bom_removal();
        Ok(Self { file, decoder, input, taken: 0, ended: false, finished: false, output: Vec::new(), given: 0 })
    }

    /// Decodes until there is something, or nothing more.
    fn decode(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.finished {
            if self.taken == self.input.len() && !self.ended {
                self.input.resize(BEGINNING_BYTES, 0);
                let count = self.file.read(&mut self.input)?;
                self.input.truncate(count);
                self.taken = 0;
                self.ended = count == 0;
            }
            self.output.resize(BEGINNING_BYTES, 0);
            let (result, read, written, _) =
                self.decoder.decode_to_utf8(&self.input[self.taken..], &mut self.output, self.ended);
            self.output.truncate(written);
            self.taken += read;
            self.finished = self.ended && result == encoding_rs::CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() {
            self.decode()?;
        }
        let count = output.len().min(self.output.len() - self.given);
        output[..count].copy_from_slice(&self.output[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In UTF-16 and cut within a character, however little the reader asks for at once.
    #[test]
    fn what_is_cut_within_a_character_ends() {
        let text = "Größe\n";
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.insert(0, 0xFE);
        bytes.insert(0, 0xFF);
        bytes.push(b'x');
        let mut decoder = Decoder::new(bytes.as_slice()).unwrap();
        let (mut read, mut one) = (Vec::new(), [0; 1]);
        while decoder.read(&mut one).unwrap() == 1 {
            read.extend(one);
        }
        assert_eq!(String::from_utf8(read).unwrap(), format!("{text}\u{fffd}"));
    }
}
