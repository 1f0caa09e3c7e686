//! Lines of a foreign file, borrowed from one buffer, however long the file or a line of it is.

use std::io::{self, Read};

/// What is read at once, and the longest line; longer ones are cut. Mail servers write a few kilobytes at most.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// Reads a file line by line.
pub(crate) struct Lines<R> {
    file: R,
    buffer: Vec<u8>,
    /// What of the buffer has not been given out: from `start` up to `end`.
    start: usize,
    end: usize,
    /// Up to where no line end is, as is known already.
    searched: usize,
    /// The rest of a line that was cut is passed over.
    overlong: bool,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(file: R) -> Self {
        let buffer = vec![0; LINE_BYTES_MAX];
        Self { file, buffer, start: 0, end: 0, searched: 0, overlong: false, ended: false }
    }

    /// The next line without its end; `None` at the file's end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(self.buffer[line].trim_ascii_end()));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn take_line(&mut self) -> Option<std::ops::Range<usize>> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]).map(|at| self.searched + at);
            let is_full = self.end - self.start >= LINE_BYTES_MAX;
            let (end, next) = match found {
                Some(at) => (at, at + 1),
                None if is_full || (self.ended && self.start < self.end) => (self.end, self.end),
                None => {
                    self.searched = self.end;
                    return None;
                }
            };
            let line = self.start..end;
            (self.start, self.searched) = (next, next);
            let is_rest = std::mem::replace(&mut self.overlong, found.is_none() && !self.ended);
            if !is_rest {
                return Some(line);
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.searched -= self.start;
        self.start = 0;
        loop {
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: impl Read) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::new(file), Vec::new());
        while let Some(line) = lines.next().unwrap() {
            all.push(line.to_vec());
        }
        all
    }

    #[test]
    fn lines_end_as_they_may() {
        let table: [(&str, &[&str]); 5] =
            [("", &[]), ("a", &["a"]), ("a\nb\r\n", &["a", "b"]), ("\n\na", &["", "", "a"]), ("a\n\n", &["a", ""])];
        for (text, expected) in table {
            let told: Vec<String> =
                lines(text.as_bytes()).into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
            assert_eq!(told, expected, "{text:?}");
        }
    }

    #[test]
    fn overlong_lines_are_cut_and_the_next_is_whole() {
        for length in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * LINE_BYTES_MAX] {
            let text = format!("a\n{}\nb\n", "x".repeat(length));
            let told = lines(text.as_bytes());
            let lengths: Vec<usize> = told.iter().map(Vec::len).collect();
            assert_eq!(lengths, [1, length.min(LINE_BYTES_MAX), 1]);
            assert_eq!(told[2], b"b");
        }
    }
}
