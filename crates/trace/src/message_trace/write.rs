//! Writes traces as RFC 4180 has CSV, with the columns and in the order that Exchange's own tools expect.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{NAMES, Row};
use crate::cell::guarded;

/// Which file it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Exchange Online's extended report: 27 columns.
    ExtendedReport,
    /// The message tracking log of Exchange 2016 and later: 30 columns, below a header.
    TrackingLog,
}

/// How text becomes bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    #[default]
    Utf8,
    /// With a byte order mark, as Microsoft's scripts read it first.
    Utf16Le,
}

/// Writes UTF-8 on in the encoding that is wanted.
struct Encoder<W> {
    out: W,
    encoding: Encoding,
    /// The beginning of a character whose rest has not come yet.
    rest: Vec<u8>,
}

impl<W: Write> Encoder<W> {
    fn new(mut out: W, encoding: Encoding) -> io::Result<Self> {
        if encoding == Encoding::Utf16Le {
            out.write_all(&[0xff, 0xfe])?;
        }
        Ok(Self { out, encoding, rest: Vec::new() })
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.encoding == Encoding::Utf8 {
            return self.out.write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8_lossy(&self.rest[..whole]);
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.out.write_all(&units)?;
        self.rest.drain(..whole);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn csv_writer<W: Write>(out: W, encoding: Encoding) -> io::Result<csv::Writer<Encoder<W>>> {
    let encoder = Encoder::new(out, encoding)?;
    Ok(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(encoder))
}

/// `2026-11-25T08:10:00.123Z`
fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Writes one row for each event.
pub struct EventWriter<W: Write> {
    csv: csv::Writer<Encoder<W>>,
    columns: usize,
}

impl<W: Write> EventWriter<W> {
    /// Writes the header; `now` stands in that of a tracking log.
    pub fn new(out: W, layout: Layout, encoding: Encoding, now: Timestamp) -> io::Result<Self> {
        let mut csv = csv_writer(out, encoding)?;
        let columns = match layout {
            Layout::ExtendedReport => {
                let names = NAMES[..26].iter().map(|(_, name)| *name);
                csv.write_record(std::iter::once("date_time_utc").chain(names))?;
                26
            }
            Layout::TrackingLog => {
                let names: Vec<String> = NAMES.iter().map(|(_, name)| name.replace('_', "-")).collect();
                csv.write_record(["#Software: Gatepost"])?;
                csv.write_record(["#Version: 15.02.0000.000"])?;
                csv.write_record(["#Log-type: Message Tracking Log"])?;
                csv.write_record([format!("#Date: {}", time(now))])?;
                csv.write_record(std::iter::once("#Fields: date-time".to_owned()).chain(names))?;
                NAMES.len()
            }
        };
        Ok(Self { csv, columns })
    }

    pub fn write(&mut self, row: &Row) -> io::Result<()> {
        self.csv.write_field(row.at.map(time).unwrap_or_default())?;
        for value in row.values().take(self.columns) {
            self.csv.write_field(guarded(value).as_ref())?;
        }
        Ok(self.csv.write_record(None::<&[u8]>)?)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.csv.flush()
    }
}

/// One message of the enhanced summary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    pub received: Timestamp,
    pub sender: String,
    /// Each with what became of it, such as `Receive, Send`.
    pub recipients: Vec<(String, &'static str)>,
    pub subject: String,
    pub size_bytes: u64,
    /// With angle brackets.
    pub message_id: String,
    pub network_message_id: String,
    pub client_ip: String,
    pub connector: String,
}

/// Writes one row for each message.
pub struct SummaryWriter<W: Write>(csv::Writer<Encoder<W>>);

impl<W: Write> SummaryWriter<W> {
    pub fn new(out: W, encoding: Encoding) -> io::Result<Self> {
        let mut csv = csv_writer(out, encoding)?;
        csv.write_record([
            "origin_timestamp_utc",
            "sender_address",
            "recipient_status",
            "message_subject",
            "total_bytes",
            "message_id",
            "network_message_id",
            "original_client_ip",
            "directionality",
            "connector_id",
            "delivery_priority",
        ])?;
        Ok(Self(csv))
    }

    pub fn write(&mut self, summary: &Summary) -> io::Result<()> {
        let recipients = summary.recipients.iter().map(|(address, status)| format!("{address}##{status}"));
        let recipients = recipients.collect::<Vec<_>>().join(";");
        // Everything here is inbound (1), and of one priority.
        Ok(self.0.write_record([
            time(summary.received).as_str(),
            &guarded(&summary.sender),
            &guarded(&recipients),
            &guarded(&summary.subject),
            &summary.size_bytes.to_string(),
            &guarded(&summary.message_id),
            &summary.network_message_id,
            &summary.client_ip,
            "1",
            &summary.connector,
            "Normal",
        ])?)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
