//! `gatepost capture`: shows mail in packet captures: sessions, one session as a ladder, the packets that match a filter.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context as _, bail};
use capture::{Capture, Counts, Filter, Notes, Options, Packets, Session, Writer, dialogue::Protocol, filter::View};
use insight::{json, views::SessionView};
use jiff::Timestamp;
use protocol::tls::Side;

use super::{
    arguments::{CaptureArguments, CaptureFormat},
    screen::{Colour, Screen, clean, counted, paragraph},
    table::{Cell, Column, Table},
};

const COLUMNS: [Column; 9] = [
    Column::number("STREAM"),
    Column::whole("BEGAN"),
    Column::cut("CLIENT", 14).spare(1),
    Column::cut("SERVER", 14),
    Column::number("PACKETS").spare(2),
    Column::whole("PROTOCOL").spare(3),
    Column::cut("TLS", 14),
    Column::cut("ENDED", 12),
    Column::wrapped("NOTES", 12),
];

pub(crate) fn run(arguments: &CaptureArguments, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let filter = match &arguments.filter {
        Some(text) => Some(Filter::parse(text).map_err(|error| anyhow::anyhow!("--filter: {error}"))?),
        None => None,
    };
    if arguments.stream.is_some() && arguments.files.len() > 1 {
        bail!("--stream needs exactly one file");
    }
    let mut read = 0;
    for path in &arguments.files {
        if arguments.files.len() > 1 && arguments.format == CaptureFormat::Table {
            writeln!(out, "{}", screen.paint(&clean(&path.display().to_string()), Some(Colour::Bold)))?;
        }
        match open(path) {
            Ok(packets) => {
                read_file(packets, arguments, filter.as_ref(), screen, out)?;
                read += 1;
            }
            // The other files are still read.
            Err(error) => note!("gatepost: failed to read {}: {error:#}", path.display()),
        }
    }
    if read == 0 {
        bail!("failed to read any capture");
    }
    Ok(())
}

/// Opens a file, or standard input for `-`.
fn open(path: &Path) -> anyhow::Result<Packets> {
    Ok(if path == Path::new("-") { Packets::open(io::stdin())? } else { Packets::open(File::open(path)?)? })
}

/// Totals of one file.
struct Total {
    packets: u64,
    passed: u64,
    sessions: u64,
    notes: Notes,
}

fn read_file(
    packets: Packets,
    arguments: &CaptureArguments,
    filter: Option<&Filter>,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let options = Options {
        set_duplicates_aside: !arguments.keep_duplicates,
        show_content: arguments.show_content,
        smtp_ports: arguments.port.clone(),
        fields: filter.is_some_and(Filter::needs_fields),
        // A count needs only headers, unless the filter looks at the content.
        dialogues: !arguments.count || filter.is_some_and(Filter::needs_fields),
    };
    // tshark reads packets in the order of the file.
    let mut packets = if arguments.keep_duplicates { packets } else { packets.in_order() };
    let mut capture = Capture::new(options);
    let mut shown = Shown::begin(arguments, screen, out)?;
    let mut writer = arguments.write.as_deref().map(writer).transpose()?;
    let mut wanted = filter.is_some().then(std::collections::HashSet::new);
    let (mut total, mut first_ns) = (Total { packets: 0, passed: 0, sessions: 0, notes: Notes::default() }, None);
    while let Some(packet) = packets.next() {
        total.packets += 1;
        let first_ns = *first_ns.get_or_insert(packet.time_ns);
        let tcp = capture.packet(&packet);
        let is_duplicate = tcp.is_some_and(|tcp| tcp.is_duplicate);
        let view = View { packet: &packet, tcp: tcp.as_ref(), fields: &capture.fields, first_ns };
        if !is_duplicate && filter.is_none_or(|filter| filter.passes(&view)) {
            total.passed += 1;
            if let (Some(wanted), Some(tcp)) = (&mut wanted, tcp) {
                wanted.insert(tcp.stream);
            }
            if let Some(writer) = &mut writer {
                writer.write(&packet).context("failed to write the packets that match")?;
            }
        }
        for session in capture.take_finished() {
            // Forget the session: it is printed once.
            if wanted.as_mut().is_none_or(|wanted| wanted.remove(&session.stream)) {
                total.sessions += 1;
                shown.session(&session)?;
            }
        }
    }
    if let Some(writer) = writer {
        writer.finish().context("failed to write the packets that match")?;
    }
    let (sessions, notes) = capture.finish();
    total.notes = packets.notes().clone().with(notes);
    for session in
        sessions.iter().filter(|session| wanted.as_ref().is_none_or(|wanted| wanted.contains(&session.stream)))
    {
        total.sessions += 1;
        shown.session(session)?;
    }
    shown.end(&total)
}

fn writer(path: &Path) -> anyhow::Result<Writer<BufWriter<File>>> {
    let file = File::create(path).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(Writer::new(BufWriter::new(file))?)
}

/// Number of rows that are printed at a time.
const ROWS: usize = 200;

/// The output in its format.
enum Shown<'a> {
    Count { out: &'a mut dyn Write },
    Table { table: Table<'a>, rows: Vec<Vec<Cell>>, screen: &'a Screen, out: &'a mut dyn Write },
    Ladder { stream: u64, found: bool, screen: &'a Screen, out: &'a mut dyn Write },
    Json { list: json::List<'a>, stream: Option<u64> },
    Csv { out: Box<csv::Writer<&'a mut dyn Write>>, stream: Option<u64> },
}

impl<'a> Shown<'a> {
    fn begin(arguments: &CaptureArguments, screen: &'a Screen, out: &'a mut dyn Write) -> anyhow::Result<Self> {
        Ok(match (arguments.format, arguments.stream) {
            _ if arguments.count => Self::Count { out },
            (CaptureFormat::Json, stream) => Self::Json { list: json::List::open("sessions", out)?, stream },
            (CaptureFormat::Csv, stream) => {
                let mut out = Box::new(csv::Writer::from_writer(out));
                out.write_record(CSV)?;
                Self::Csv { out, stream }
            }
            (CaptureFormat::Table, Some(stream)) => Self::Ladder { stream, found: false, screen, out },
            (CaptureFormat::Table, None) => {
                Self::Table { table: Table::new(&COLUMNS, screen), rows: Vec::new(), screen, out }
            }
        })
    }

    fn session(&mut self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Table { table, rows, screen, out } => {
                rows.push(row(session, screen));
                if rows.len() >= ROWS {
                    table.write(&std::mem::take(rows), *out)?;
                }
            }
            Self::Ladder { stream, found, screen, out } if *stream == session.stream => {
                *found = true;
                ladder(session, screen, *out)?;
            }
            Self::Json { list, stream } if stream.is_none_or(|stream| stream == session.stream) => {
                list.push(&SessionView::from(session))?
            }
            Self::Csv { out, stream } if stream.is_none_or(|stream| stream == session.stream) => {
                out.write_record(record(session))?;
            }
            Self::Count { .. } | Self::Ladder { .. } | Self::Json { .. } | Self::Csv { .. } => {}
        }
        Ok(())
    }

    fn end(self, total: &Total) -> anyhow::Result<()> {
        match self {
            Self::Table { mut table, rows, screen, out } => {
                table.write(&rows, out)?;
                writeln!(
                    out,
                    "\nSessions: {}. Packets that match: {} of {}. Show one session: --stream N",
                    total.sessions, total.passed, total.packets
                )?;
                for (note, count) in &total.notes.0 {
                    paragraph(&format!("Note: {note} ({count})."), "", screen, out)?;
                }
                Ok(())
            }
            Self::Count { out } => Ok(writeln!(out, "{}", total.passed)?),
            Self::Ladder { found: true, .. } => Ok(()),
            Self::Ladder { stream, .. } => bail!("there is no stream {stream} among the sessions that match"),
            Self::Json { list, .. } => {
                let notes = serde_json::to_string(&total.notes)?;
                let rest =
                    format!(", \"packets\": {}, \"passed\": {}, \"notes\": {notes}", total.packets, total.passed);
                Ok(list.close(&rest)?)
            }
            Self::Csv { mut out, .. } => Ok(out.flush()?),
        }
    }
}

fn protocol_name(session: &Session) -> &'static str {
    match session.protocol {
        Protocol::Smtp => "SMTP",
        Protocol::Tls => "TLS",
        Protocol::Other => "other",
        Protocol::Unknown => "unknown",
    }
}

/// TLS version and cipher suite, or how the handshake ended.
fn tls(session: &Session) -> (String, Option<Colour>) {
    let Some(facts) = &session.handshake else {
        let is_plaintext = session.protocol == Protocol::Smtp;
        return (if is_plaintext { "plaintext".to_owned() } else { String::new() }, None);
    };
    match &facts.server_hello {
        Some(hello) if facts.completed => (format!("{} {}", hello.version, hello.cipher_suite), Some(Colour::Green)),
        _ if session.is_incomplete => (format!("incomplete: {facts}"), None),
        _ => (format!("failed: {facts}"), Some(Colour::Red)),
    }
}

fn ended(session: &Session) -> String {
    session.ended.map_or_else(|| "open".to_owned(), |ended| ended.to_string())
}

/// Such as `4 retransmissions` and `1 segment out of order`.
fn counts(counts: &Counts) -> impl Iterator<Item = String> {
    counts.iter().map(|(name, count)| {
        let (one, many) = words(name);
        counted(count.into(), one, many)
    })
}

/// One and several of what TCP analysis counts.
fn words(name: &'static str) -> (&'static str, &'static str) {
    match name {
        "retransmission" => ("retransmission", "retransmissions"),
        "fast_retransmission" => ("fast retransmission", "fast retransmissions"),
        "spurious_retransmission" => ("spurious retransmission", "spurious retransmissions"),
        "out_of_order" => ("segment out of order", "segments out of order"),
        "lost_segment" => ("lost segment", "lost segments"),
        "ack_lost_segment" => ("ACK of a lost segment", "ACKs of lost segments"),
        "duplicate_ack" => ("duplicate ACK", "duplicate ACKs"),
        "keep_alive" => ("keep-alive", "keep-alives"),
        "keep_alive_ack" => ("keep-alive ACK", "keep-alive ACKs"),
        "zero_window" => ("zero window", "zero windows"),
        "zero_window_probe" => ("zero window probe", "zero window probes"),
        "zero_window_probe_ack" => ("zero window probe ACK", "zero window probe ACKs"),
        "window_update" => ("window update", "window updates"),
        "window_full" => ("full window", "full windows"),
        other => (other, other),
    }
}

fn odd(session: &Session) -> Vec<String> {
    let oddities =
        session.oddities.iter().filter_map(|oddity| serde_json::to_value(oddity).ok()?.as_str().map(str::to_owned));
    let incomplete = session.is_incomplete.then(|| "incomplete".to_owned());
    oddities.chain(session.icmp_errors.iter().map(ToString::to_string)).chain(incomplete).collect()
}

fn row(session: &Session, screen: &Screen) -> Vec<Cell> {
    let (tls, colour) = tls(session);
    let mut seen = odd(session);
    seen.extend(counts(&session.analysis));
    if session.duplicates > 0 {
        seen.push(counted(session.duplicates, "duplicate packet", "duplicate packets"));
    }
    let tls = colour.map_or_else(|| Cell::new(&tls), |colour| Cell::coloured(&tls, colour));
    vec![
        Cell::new(session.stream.to_string()),
        Cell::time(session.first, screen),
        Cell::new(session.client.to_string()),
        Cell::new(session.server.to_string()),
        Cell::new((session.packets[0] + session.packets[1]).to_string()),
        Cell::new(protocol_name(session)),
        tls,
        Cell::new(ended(session)),
        Cell::new(seen.join(", ")),
    ]
}

const CSV: [&str; 16] = [
    "stream",
    "first",
    "last",
    "client",
    "server",
    "protocol",
    "client_packets",
    "server_packets",
    "client_bytes",
    "server_bytes",
    "messages",
    "tls_version",
    "cipher_suite",
    "ended",
    "duplicates",
    "seen",
];

fn record(session: &Session) -> Vec<String> {
    let hello = session.handshake.as_ref().and_then(|facts| facts.server_hello.as_ref());
    let mut seen = odd(session);
    seen.extend(counts(&session.analysis));
    let time = |at: Timestamp| at.to_string();
    vec![
        session.stream.to_string(),
        time(session.first),
        time(session.last),
        session.client.to_string(),
        session.server.to_string(),
        protocol_name(session).to_owned(),
        session.packets[0].to_string(),
        session.packets[1].to_string(),
        session.bytes[0].to_string(),
        session.bytes[1].to_string(),
        session.messages.to_string(),
        hello.map(|hello| hello.version.to_string()).unwrap_or_default(),
        hello.map(|hello| hello.cipher_suite.to_string()).unwrap_or_default(),
        ended(session),
        session.duplicates.to_string(),
        seen.join("; "),
    ]
}

/// Writes one session: each line, its side and its time.
fn ladder(session: &Session, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    let title =
        format!("Stream {}: {} to {}, {}", session.stream, session.client, session.server, screen.time(session.first));
    writeln!(out, "{}\n", screen.paint(&title, Some(Colour::Bold)))?;
    writeln!(out, "{:>10}  CLIENT                               SERVER", "SECONDS")?;
    let first_ns = session.first.as_nanosecond();
    for line in &session.lines {
        let seconds = (i128::from(line.at_ns) - first_ns) as f64 / 1e9;
        let text = clean(&line.text);
        match line.side {
            Side::Client => writeln!(out, "{seconds:>10.6}  {text}")?,
            Side::Server => writeln!(out, "{seconds:>10.6}      {} {text}", screen.paint("<──", Some(Colour::Green)))?,
        }
    }
    if session.lines_left_out > 0 {
        writeln!(out, "{:>10}  … {} not shown", "", counted(session.lines_left_out, "line", "lines"))?;
    }
    if let Some(facts) = &session.handshake {
        let seconds = session.handshake_at_us.unwrap_or(0) as f64 / 1e6;
        let (_, colour) = tls(session);
        writeln!(out, "{seconds:>10.6}  {}", screen.paint("── TLS handshake ──", colour))?;
        paragraph(&facts.to_string(), "            ", screen, out)?;
        for certificate in &facts.certificates {
            paragraph(
                &format!("certificate {} from {}", certificate.subject, certificate.issuer),
                "            ",
                screen,
                out,
            )?;
        }
    }
    let last = (session.last.as_nanosecond() - first_ns) as f64 / 1e9;
    writeln!(out, "{last:>10.6}  {}\n", ended(session))?;
    let phases: Vec<String> = session
        .phases
        .iter()
        .map(|step| format!("{} {:.1} ms", step.phase, step.duration_us as f64 / 1000.0))
        .collect();
    if !phases.is_empty() {
        paragraph(&format!("Phases: {}.", phases.join(", ")), "", screen, out)?;
    }
    let seen: Vec<String> = odd(session).into_iter().chain(counts(&session.analysis)).collect();
    if !seen.is_empty() {
        paragraph(&format!("Notes: {}.", seen.join(", ")), "", screen, out)?;
    }
    if session.duplicates > 0 {
        let duplicates = counted(session.duplicates, "duplicate packet", "duplicate packets");
        paragraph(&format!("The capture contains {duplicates}; they are ignored."), "", screen, out)?;
    }
    if session.missing_bytes > 0 {
        paragraph(
            &format!("The capture misses {} of this session.", counted(session.missing_bytes, "byte", "bytes")),
            "",
            screen,
            out,
        )?;
    }
    Ok(())
}
