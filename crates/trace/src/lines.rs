//! Lines of a foreign file, borrowed from one buffer, however long the file or a line of it is.

use std::io::{self, Read};

/// A longer line is left out. Mail servers write a few kilobytes at most, and Exchange a row for each thousand recipients.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;
/// The buffer at first; lines that need more are rare.
const BUFFER_BYTES: usize = 256 * 1024;
/// No text has a line as long: the file is something else, and may never end.
const LINE_BYTES_ABSURD: usize = 16 << 20;

/// Reads a file line by line.
pub(crate) struct Lines<R> {
    file: R,
    buffer: Vec<u8>,
    /// What of the buffer has not been given out: from `start` up to `end`.
    start: usize,
    end: usize,
    /// Up to where no line end is, as is known already.
    searched: usize,
    /// Bytes of a line that is too long, as many as were left out so far.
    left_out: usize,
    ended: bool,
}

/// One line of a file.
pub(crate) enum Line<'a> {
    /// With its end, unless the file ends before.
    Whole(&'a [u8]),
    /// It is longer than [`LINE_BYTES_MAX`], and was left out.
    TooLong,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(file: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { file, buffer, start: 0, end: 0, searched: 0, left_out: 0, ended: false }
    }

    /// The next line; `None` at the file's end.
    ///
    /// # Errors
    ///
    /// Those of reading, and `InvalidData` where a line is so long that the file cannot be text.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        while !self.has_line() {
            if self.ended {
                return Ok(self.take(self.end));
            }
            if self.end - self.start > LINE_BYTES_MAX || self.left_out > 0 {
                self.leave_out()?;
            }
            self.fill()?;
        }
        Ok(self.take(self.searched + 1))
    }

    /// Searches for a line end; `searched` is its place, or the end of what there is.
    fn has_line(&mut self) -> bool {
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]);
        self.searched = found.map_or(self.end, |at| self.searched + at);
        found.is_some()
    }

    /// Gives out what stands before `end`.
    fn take(&mut self, end: usize) -> Option<Line<'_>> {
        let line = self.start..end;
        (self.start, self.searched) = (end, end);
        let is_too_long = std::mem::take(&mut self.left_out) > 0 || line.len() > LINE_BYTES_MAX + 2;
        match line.is_empty() {
            _ if is_too_long => Some(Line::TooLong),
            true => None,
            false => Some(Line::Whole(&self.buffer[line])),
        }
    }

    /// Drops what is here of a line that is too long.
    fn leave_out(&mut self) -> io::Result<()> {
        self.left_out += self.end - self.start;
        self.start = self.end;
        if self.left_out > LINE_BYTES_ABSURD {
            let megabytes = LINE_BYTES_ABSURD >> 20;
            let message = format!("not a text file: it has a line of more than {megabytes} MiB");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.searched -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
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

    /// Each line without its end; `None` for those that are too long.
    fn lines(file: impl Read) -> Vec<Option<String>> {
        let (mut lines, mut all) = (Lines::new(file), Vec::new());
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(bytes) => Some(String::from_utf8(bytes.trim_ascii_end().to_vec()).unwrap()),
                Line::TooLong => None,
            });
        }
        all
    }

    #[test]
    fn lines_end_as_they_may() {
        let table: [(&str, &[&str]); 5] =
            [("", &[]), ("a", &["a"]), ("a\nb\r\n", &["a", "b"]), ("\n\na", &["", "", "a"]), ("a\n\n", &["a", ""])];
        for (text, expected) in table {
            let read: Vec<String> = lines(text.as_bytes()).into_iter().flatten().collect();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_is_whole() {
        for length in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 2, 3 * LINE_BYTES_MAX] {
            let long = "x".repeat(length);
            for text in [format!("a\n{long}\nb\n"), format!("a\n{long}\nb\n{long}")] {
                let long = (length <= LINE_BYTES_MAX).then(|| long.clone());
                let mut expected = vec![Some("a".to_owned()), long.clone(), Some("b".to_owned())];
                if !text.ends_with('\n') {
                    expected.push(long);
                }
                assert!(lines(text.as_bytes()) == expected, "{length}");
            }
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let mut lines = Lines::new(io::repeat(0));
        assert_eq!(lines.next().err().map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
        assert!(lines.buffer.len() <= 2 * LINE_BYTES_MAX);
    }
}
