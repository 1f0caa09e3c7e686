//! Evidence from files of other systems. Parts that cannot be read are reported and skipped; the rest is used.

use std::{
    fs::{DirEntry, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use diagnosis::{Direction, Source, sources};
use jiff::{Timestamp, tz::TimeZone};
use trace::{
    ForeignFormat,
    foreign::{self, Recognised},
    message_trace::Column,
    protocol_log::{self, LogType, sessions},
};

use super::{Gathered, wording::counted};

/// All of a file, unpacked.
pub(crate) type Content = Box<dyn Read>;

/// A file that is about to be read.
pub struct Opened {
    pub source: Source,
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
}

impl Opened {
    pub(crate) fn new(path: &Path, forced: Option<Source>) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            bail!("this is a folder; name the files in it");
        }
        let input = foreign::Input::open(file)?;
        let source = forced.map_or_else(|| source_of(input.recognised), Ok)?;
        Ok(Self { source, path: path.to_owned(), content: input.content })
    }

    /// Kinds that complete later ones come first.
    pub fn rank(&self) -> (u8, Option<foreign::Detail>) {
        match self.source {
            Source::Capture => (0, None),
            Source::ProtocolLog | Source::OwnProtocolLog => (1, None),
            Source::Log(format) => (2, Some(format.detail)),
            Source::Dsn => (3, None),
            Source::TlsReport | Source::History | Source::Probe => (4, None),
        }
    }
}

/// What to do about a file that has messages and no attempts.
fn hint(source: Source) -> &'static str {
    match source {
        Source::Log(format) if format.detail == foreign::Detail::Summaries => {
            "; it lists messages without their errors, so export the details of one message as well"
        }
        _ => "",
    }
}

fn source_of(recognised: Recognised) -> anyhow::Result<Source> {
    Ok(match recognised {
        Recognised::Log(format) => Source::Log(format),
        Recognised::ProtocolLog => Source::ProtocolLog,
        Recognised::Capture => Source::Capture,
        Recognised::Dsn => Source::Dsn,
        Recognised::TlsReport => Source::TlsReport,
        Recognised::Unknown(unknown) => bail!("{unknown}"),
    })
}

/// Evidence from files, and errors in some of them.
pub struct Files {
    pub gathered: Gathered,
    /// Skipped files, each with the reason.
    pub skipped: Vec<String>,
    /// For logs whose times have no year or no zone.
    pub now: Timestamp,
    pub zone: TimeZone,
    /// Files with nothing but attempts of the other direction, and how many each has.
    of_other_direction: Vec<(PathBuf, u64)>,
}

impl Files {
    pub fn new(gathered: Gathered, now: Timestamp, zone: TimeZone) -> Self {
        let evidence = match gathered.evidence.direction() {
            Direction::Outbound => gathered.evidence.or_senders(),
            Direction::Inbound => gathered.evidence,
        };
        let gathered = Gathered { evidence, ..gathered };
        Self { gathered, skipped: Vec::new(), now, zone, of_other_direction: Vec::new() }
    }

    /// Opens a file whose kind its content shows, or that is said to be of a kind. A file that cannot be used is reported
    /// and skipped.
    pub fn open(&mut self, path: &Path, forced: Option<Source>) -> Option<Opened> {
        match Opened::new(path, forced) {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.skipped.push(format!("{}: {error:#}", path.display()));
                None
            }
        }
    }

    /// All files were read. True if nothing in them is about mail that goes out, but senders failed to hand mail in: then
    /// the evidence is about those. `may_turn`: no other source follows.
    pub fn end(&mut self, may_turn: bool) -> bool {
        let has_turned = may_turn && self.gathered.evidence.turn_to_senders();
        let why = self.other_direction();
        for (path, attempts) in std::mem::take(&mut self.of_other_direction) {
            match has_turned {
                true => self.gathered.sources.push(format!("{} ({})", path.display(), counted(attempts, "attempt"))),
                false => self.skipped.push(format!("{}: {why}", path.display())),
            }
        }
        has_turned
    }

    fn other_direction(&self) -> &'static str {
        match self.gathered.evidence.direction() {
            Direction::Outbound => "no delivery attempts found, only sessions of senders; --inbound explains them",
            Direction::Inbound => "no sessions of senders found, only delivery attempts; leave out --inbound",
        }
    }

    /// Reads the newest protocol logs about senders in a folder, those that were written to since a time. Returns how many.
    pub fn add_receive_logs(&mut self, folder: &Path, since: Option<Timestamp>) -> usize {
        let Ok(entries) = folder.read_dir() else { return 0 };
        let is_new = |entry: &DirEntry| {
            let changed = entry.metadata().and_then(|data| data.modified()).ok();
            let changed = changed.and_then(|changed| Timestamp::try_from(changed).ok());
            since.is_none_or(|since| changed.is_none_or(|changed| changed >= since))
        };
        let new = entries.filter_map(Result::ok).filter(is_new).map(|entry| entry.path());
        let mut paths: Vec<_> = new.filter(|path| path.extension().is_some_and(|end| end == "LOG")).collect();
        paths.sort_unstable();
        for path in &paths {
            if let Some(opened) = self.open(path, Some(Source::ProtocolLog)) {
                self.add(opened);
            }
        }
        paths.len()
    }

    /// Reads a file.
    pub fn add(&mut self, opened: Opened) {
        let Opened { source, path, content } = opened;
        let (before, left_out) = (self.gathered.evidence.told(), self.gathered.evidence.left_out().attempts);
        let result = self.read_file(source, content, &path);
        let attempts = self.gathered.evidence.told() - before;
        let others = self.gathered.evidence.left_out().attempts - left_out;
        if result.is_ok() && attempts == 0 && others > 0 {
            return self.of_other_direction.push((path, others));
        }
        let result = result.and_then(|()| match attempts {
            0 => bail!("no delivery attempts found ({}){}", source.name(), hint(source)),
            _ => Ok(()),
        });
        if attempts > 0 {
            self.gathered.sources.push(format!("{} ({})", path.display(), counted(attempts, "attempt")));
        }
        if let Err(error) = result {
            self.skipped.push(format!("{}: {error:#}", path.display()));
        }
    }

    fn read_file(&mut self, source: Source, file: Content, path: &Path) -> anyhow::Result<()> {
        let name = path.display().to_string();
        match source {
            Source::ProtocolLog | Source::OwnProtocolLog => self.protocol_log(file, path),
            Source::Capture => self.capture(file, &name),
            Source::Dsn => self.notification(file, &name),
            Source::TlsReport => self.tls_report(file, &name),
            Source::Log(format) => self.log(format, file, &name),
            Source::History | Source::Probe => bail!("this is not read from files"),
        }
    }

    fn log(&mut self, format: &'static ForeignFormat, file: Content, name: &str) -> anyhow::Result<()> {
        let mut rows = format.read(file, self.now, &self.zone)?;
        while let Some(row) = rows.next() {
            let row = row?;
            for column in [Column::SenderAddress, Column::RecipientAddress] {
                self.gathered.addresses.learn(&row[column]);
            }
            sources::queues::add_row(&mut self.gathered.evidence, format, &row, name, rows.line());
        }
        self.gathered.read.add_rows(&*rows);
        Ok(())
    }

    fn notification(&mut self, file: Content, name: &str) -> anyhow::Result<()> {
        let dsn = trace::dsn::read(&whole(file)?).context("not a delivery status notification (bounce)")?;
        for recipient in &dsn.recipients {
            let addresses = recipient.final_recipient.iter().chain(&recipient.original_recipient);
            addresses.for_each(|address| self.gathered.addresses.learn(&address.text));
        }
        sources::dsn::add_notification(&mut self.gathered.evidence, &dsn, name);
        Ok(())
    }

    fn tls_report(&mut self, file: Content, name: &str) -> anyhow::Result<()> {
        let report = trace::tls_report::read(&whole(file)?)?;
        sources::tls_report::add_report(&mut self.gathered.evidence, &report, name);
        Ok(())
    }

    fn capture(&mut self, file: Content, name: &str) -> anyhow::Result<()> {
        let packets = capture::Packets::open(file)?;
        let (mut reader, mut sessions) = (sources::capture::Reader::new(name), 0);
        let notes = capture::sessions(packets, capture::Options::default(), |session| {
            session.lines.iter().for_each(|line| self.gathered.addresses.learn(&line.text));
            reader.hold(&mut self.gathered.evidence, session);
            sessions += 1;
        });
        reader.finish(&mut self.gathered.evidence);
        let incomplete = notes.count(capture::Note::SessionsIncomplete);
        if incomplete > 0 {
            self.gathered.read.sessions_incomplete += incomplete;
            self.gathered.notes.push(format!(
                "{name}: {incomplete} of {} are incomplete because the capture missed packets; \
                 Gatepost did not judge the missing parts",
                counted(sessions, "session")
            ));
        }
        Ok(())
    }

    fn protocol_log(&mut self, file: Content, path: &Path) -> anyhow::Result<()> {
        let mut reader = protocol_log::Reader::new(file)?;
        let rows = reader.by_ref().collect::<io::Result<Vec<_>>>()?;
        self.gathered.read.rows_skipped += reader.rows_skipped();
        self.gathered.read.lines += rows.len() as u64 + reader.rows_skipped();
        // The logs of a node are in its own folder: mx1/protocol-log/SmtpSend/….
        let node = path.ancestors().nth(3).and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        let sessions = sessions(rows);
        let said = sessions.iter().flat_map(|session| &session.rows);
        said.for_each(|row| self.gathered.addresses.learn(&row.data));
        let add = match reader.log_type {
            Some(LogType::Receive) => sources::protocol_log_inbound::add_log,
            Some(LogType::Send) | None => sources::protocol_log::add_log,
        };
        let source = sources::protocol_log::source(reader.software, &sessions);
        add(&mut self.gathered.evidence, source, &sessions, &path.display().to_string(), node);
        Ok(())
    }
}

/// Reads a bounce or report whole, up to a size that none of them reaches.
pub(crate) fn whole(file: Content) -> anyhow::Result<Vec<u8>> {
    const BYTES_MAX: u64 = 64 << 20;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        bail!("larger than {} MiB, so not a bounce or a TLS report", BYTES_MAX >> 20);
    }
    Ok(bytes)
}
