//! Capture files to packets: pcap and pcapng, gzip or not, as a stream.
//!
//! Packets are borrowed from the read buffer: nothing is copied, and memory does not grow.

mod order;
mod pcap;
mod pcapng;

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::{
    link::LinkType,
    note::{Note, Notes},
};
use order::{WINDOW_BYTES, Window};

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("not a packet capture: the file begins like neither pcap nor pcapng")]
    NotACapture,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// One packet of the file.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From 1, as Wireshark's frame.number.
    pub number: u64,
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    pub link: LinkType,
    /// Number of the interface in its section of the file, from 0.
    pub interface: u32,
    /// Bytes on the wire. `data` may be shorter.
    pub length: u32,
    pub data: &'a [u8],
}

/// Larger than any packet that a capture has (Wireshark's limit is 256 KiB).
const PACKET_MAX: usize = 1 << 20;
const BUFFER_BYTES: usize = 4 << 20;
/// Of a file whose records are put in order. Bytes that wait are moved when the buffer is full: so they are few of it.
const ORDERED_BUFFER_BYTES: usize = 4 * WINDOW_BYTES;

/// The bytes of a file. A window of them is in memory.
pub(crate) struct Input {
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_over: bool,
    /// The place in the file of the buffer's first byte, and of the first byte that must stay in memory.
    offset: u64,
    kept_from: u64,
}

impl Input {
    fn new(reader: Box<dyn Read>) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { reader, buffer, start: 0, end: 0, is_over: false, offset: 0, kept_from: u64::MAX }
    }

    /// Memory that is zero from the beginning costs nothing until it is used.
    fn enlarge(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes.max(self.end)];
        buffer[..self.end].copy_from_slice(&self.buffer[..self.end]);
        self.buffer = buffer;
    }

    /// How far the file was read.
    fn position(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// Bytes that were read and are still in memory.
    fn at(&self, place: u64, count: usize) -> &[u8] {
        let start = (place - self.offset) as usize;
        &self.buffer[start..start + count]
    }

    /// The next `count` bytes, without consuming them. Fewer at the end of the file. A read error counts as the end,
    /// because the bytes before it are good.
    fn peek(&mut self, count: usize) -> &[u8] {
        if self.end - self.start < count && !self.is_over {
            self.fill(count);
        }
        &self.buffer[self.start..self.end.min(self.start + count)]
    }

    #[cold]
    fn fill(&mut self, count: usize) {
        let kept = self.kept_from.min(self.position()) - self.offset;
        let gone = kept as usize;
        self.buffer.copy_within(gone..self.end, 0);
        self.end -= gone;
        self.start -= gone;
        self.offset += kept;
        let wanted = self.start + count;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted && !self.is_over {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_over = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.is_over = true,
            }
        }
    }

    fn skip(&mut self, count: usize) {
        let here = count.min(self.end - self.start);
        self.start += here;
        let mut left = count - here;
        while left > 0 && !self.is_over {
            let piece = left.min(BUFFER_BYTES);
            let got = self.peek(piece).len();
            self.start += got;
            left -= got;
        }
    }

    /// Consumes `count` bytes. `None` if the file ends before.
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        if self.peek(count).len() < count {
            return None;
        }
        let start = self.start;
        self.start += count;
        Some(&self.buffer[start..start + count])
    }
}

/// Numbers in the file's byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let two = [bytes[at], bytes[at + 1]];
        if self == Self::Little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self == Self::Little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) }
    }
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
}

/// Reads a capture from its beginning.
pub struct Packets {
    input: Input,
    format: Format,
    number: u64,
    notes: Notes,
    /// `None`: records come in the order of the file.
    window: Option<Window>,
}

impl Packets {
    /// Finds out what kind of file it is.
    pub fn open(reader: impl Read + 'static) -> Result<Self, OpenError> {
        let mut input = Input::new(Box::new(reader));
        if input.peek(2) == [0x1f, 0x8b] {
            input = Input::new(Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, Rest(input)))));
        }
        let format = match pcap::Pcap::open(&mut input) {
            Some(pcap) => Format::Pcap(pcap),
            None if pcapng::is_pcapng(input.peek(12)) => Format::Pcapng(pcapng::Pcapng::default()),
            None => return Err(OpenError::NotACapture),
        };
        Ok(Self { input, format, number: 0, notes: Notes::default(), window: None })
    }

    /// Gives the packets in order of time, as far as they are at most a second late.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.input.enlarge(ORDERED_BUFFER_BYTES);
        self.window = Some(Window::default());
        self
    }

    /// The next packet. `None` at the end of the readable part.
    #[allow(clippy::should_implement_trait, reason = "packets are lent, which Iterator cannot")]
    pub fn next(&mut self) -> Option<Packet<'_>> {
        let raw = if self.window.is_some() { self.next_in_order() } else { self.read() }?;
        let data = self.input.at(raw.at, raw.captured);
        let Raw { number, time_ns, link, interface, length, .. } = raw;
        Some(Packet { number, time_ns, link, interface, length, data })
    }

    /// The next record of the file.
    fn read(&mut self) -> Option<Raw> {
        let raw = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input, &mut self.notes),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input, &mut self.notes),
        }?;
        self.number += 1;
        Some(Raw { number: self.number, ..raw })
    }

    fn next_in_order(&mut self) -> Option<Raw> {
        let mut window = self.window.take()?;
        while window.needs_more(self.input.position()) {
            self.input.kept_from = window.begin().unwrap_or(u64::MAX);
            let Some(raw) = self.read() else { break };
            window.push(raw);
        }
        let next = window.pop();
        self.window = Some(window);
        let (raw, is_too_late) = next?;
        if is_too_late {
            self.notes.add(Note::PacketsLate);
        }
        Some(raw)
    }

    /// The file's faults so far.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }
}

/// The place of a packet in the file.
struct Raw {
    /// From 1. It is set where the formats meet.
    number: u64,
    time_ns: i64,
    link: LinkType,
    interface: u32,
    length: u32,
    at: u64,
    captured: usize,
}

/// The rest of an [`Input`], as a reader.
struct Rest(Input);

impl Read for Rest {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.0.peek(into.len().min(BUFFER_BYTES));
        let count = available.len();
        into[..count].copy_from_slice(available);
        self.0.skip(count);
        Ok(count)
    }
}

fn cut(notes: &mut Notes) {
    notes.add(Note::FileCut);
}
