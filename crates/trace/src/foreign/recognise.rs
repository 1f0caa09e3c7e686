//! Recognises a file by its content, whatever its name.
//!
//! ```text
//!   bytes ──magic numbers──> capture, gzip, something else
//!     └──text──> each kind of log counts its lines; mail, report or dialogue by its header ──> the one with most
//! ```

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::{BEGINNING_BYTES, Beginning, FORMATS, ForeignFormat, unknown::Unknown};
use crate::dsn;

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recognised {
    Log(&'static ForeignFormat),
    ProtocolLog,
    Capture,
    /// A bounce, as mail or as text that was copied from one.
    Dsn,
    TlsReport,
    Unknown(Unknown),
}

/// Of pcap in both orders of bytes and resolutions, and of pcapng.
const CAPTURES: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file that was recognised.
pub struct Input<'a> {
    pub recognised: Recognised,
    /// All of the file, unpacked.
    pub content: Box<dyn Read + 'a>,
}

impl<'a> Input<'a> {
    /// Recognises a file. It is read once, so that it may be a pipe.
    ///
    /// # Errors
    ///
    /// The beginning of the file cannot be read.
    pub fn open(mut file: impl Read + 'a) -> io::Result<Self> {
        let mut beginning = Vec::new();
        (&mut file).take(BEGINNING_BYTES as u64).read_to_end(&mut beginning)?;
        let (recognised, is_gzip) = (recognise(&beginning), is_gzip(&beginning));
        let content = io::Cursor::new(beginning).chain(file);
        let content: Box<dyn Read + 'a> =
            if is_gzip { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) };
        Ok(Self { recognised, content })
    }
}

fn is_gzip(beginning: &[u8]) -> bool {
    beginning.starts_with(&GZIP)
}

/// Recognises a file by its first bytes, [`BEGINNING_BYTES`] of them if it has that number.
pub fn recognise(beginning: &[u8]) -> Recognised {
    if is_gzip(beginning) {
        let mut inner = Vec::new();
        // The beginning is cut, so its end is an error.
        let _ = MultiGzDecoder::new(beginning).take(BEGINNING_BYTES as u64).read_to_end(&mut inner);
        return if is_gzip(&inner) { Recognised::Unknown(Unknown::of_bytes(&inner)) } else { recognise(&inner) };
    }
    if CAPTURES.iter().any(|magic| beginning.starts_with(magic)) {
        return Recognised::Capture;
    }
    if let Some(unknown) = Unknown::of_binary(beginning) {
        return Recognised::Unknown(unknown);
    }
    of_text(&Beginning::new(beginning))
}

fn of_text(beginning: &Beginning) -> Recognised {
    if is_tls_report(beginning) {
        return Recognised::TlsReport;
    }
    if is_protocol_log(beginning) {
        return Recognised::ProtocolLog;
    }
    // A bounce may quote a log, and a log the words of a bounce: a header decides.
    if is_mail(beginning) {
        return Recognised::Dsn;
    }
    // Of equal ones the first, so the order is reversed.
    let counted = FORMATS.iter().rev().map(|format| ((format.lines_of)(beginning), *format));
    match counted.max_by_key(|(lines, _)| *lines) {
        Some((lines, format)) if lines > 0 => Recognised::Log(format),
        _ if dsn::is_pasted(beginning.text()) => Recognised::Dsn,
        _ => Recognised::Unknown(Unknown::of_text(beginning)),
    }
}

/// JSON, or the mail that brought it.
fn is_tls_report(beginning: &Beginning) -> bool {
    let is_bare = beginning.has_keys(&["policies"])
        && ["\"organization-name\"", "\"date-range\"", "\"report-id\""]
            .iter()
            .any(|key| beginning.text().contains(key));
    let is_mail = || {
        let text = beginning.text().to_ascii_lowercase();
        ["application/tlsrpt+gzip", "application/tlsrpt+json", "tls-report-domain:"]
            .iter()
            .any(|kind| text.contains(kind))
    };
    is_bare || (self::is_mail(beginning) && is_mail())
}

/// By its header, or by rows with an event in the seventh place.
fn is_protocol_log(beginning: &Beginning) -> bool {
    if let Some(kind) = beginning.header("log-type") {
        return kind.contains("protocol log");
    }
    let is_row = |line: &str| {
        // In logs that were cleaned before they were shared, times and sessions may be anything.
        let fields: Vec<&str> = line.splitn(8, ',').collect();
        let (Some(number), Some(event)) = (fields.get(3), fields.get(6)) else { return false };
        number.parse::<u32>().is_ok() && matches!(*event, "+" | "-" | ">" | "<" | "*")
    };
    beginning.header("fields").is_some_and(|fields| fields.contains("session-id") && fields.contains("sequence-number"))
        || beginning.count(is_row) * 2 > beginning.lines().count()
}

/// Fields of a mail's header (RFC 5322) before the first empty line. A pasted bounce has none.
fn is_mail(beginning: &Beginning) -> bool {
    const FIELDS: [&str; 12] = [
        "received",
        "return-path",
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "delivered-to",
        "reporting-mta",
        "x-failed-recipients",
    ];
    let header = beginning.text().trim_start_matches('\u{feff}').trim_start().lines();
    let header = header.take_while(|line| !line.trim().is_empty()).take(200);
    let names = header.filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_ascii_lowercase());
    names.filter(|name| FIELDS.contains(&name.as_str())).take(3).count() >= 2
}
