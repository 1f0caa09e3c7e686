//! Evidence from files of other systems. What cannot be read is told and skipped, and the rest is used.

use std::{fs::File, io, path::Path};

use anyhow::bail;
use diagnosis::{Evidence, Source, sources};
use jiff::{Timestamp, tz::TimeZone};
use trace::{
    LogReader, exim_log, message_trace,
    message_trace::Row,
    postfix_log,
    protocol_log::{self, LogType, sessions},
};

use super::Read;

/// Evidence from files, and what was wrong with some of them.
pub(crate) struct Files {
    pub evidence: Evidence,
    pub read: Read,
    /// Files that gave nothing, each with the reason.
    pub skipped: Vec<String>,
    /// For logs whose times name no year, or no zone.
    pub now: Timestamp,
    pub zone: TimeZone,
}

impl Files {
    pub(crate) fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self { evidence: Evidence::default(), read: Read::default(), skipped: Vec::new(), now, zone }
    }

    /// Reads files of one kind.
    pub(crate) fn add(&mut self, source: Source, paths: &[impl AsRef<Path>]) {
        for path in paths.iter().map(AsRef::as_ref) {
            let before = self.evidence.len();
            let result =
                File::open(path).map_err(anyhow::Error::from).and_then(|file| self.read_file(source, file, path));
            let result = result.and_then(|()| match self.evidence.len() {
                now if now == before => bail!("no attempt to deliver is in it"),
                _ => Ok(()),
            });
            if let Err(error) = result {
                self.skipped.push(format!("{}: {error:#}", path.display()));
            }
        }
        self.read.attempts = self.evidence.len() as u64;
    }

    fn read_file(&mut self, source: Source, file: File, path: &Path) -> anyhow::Result<()> {
        let name = path.display().to_string();
        match source {
            Source::ProtocolLog => self.protocol_log(file, path),
            Source::Capture => self.capture(file, &name),
            Source::PostfixLog => self.log(source, postfix_log::reader(file, self.now, self.zone.clone()), &name),
            Source::EximLog => self.log(source, exim_log::reader(file, self.now, self.zone.clone()), &name),
            _ => {
                let mut reader = message_trace::Reader::new(file)?;
                self.rows(source, reader.by_ref(), &name)?;
                self.read.rows_skipped += reader.skipped().0;
                Ok(())
            }
        }
    }

    fn log(&mut self, source: Source, mut reader: LogReader<File>, name: &str) -> anyhow::Result<()> {
        self.rows(source, reader.by_ref(), name)?;
        self.read.rows_skipped += reader.lines_skipped;
        Ok(())
    }

    fn rows(&mut self, source: Source, rows: impl Iterator<Item = io::Result<Row>>, name: &str) -> anyhow::Result<()> {
        for (index, row) in rows.enumerate() {
            // The header has the first line.
            sources::rows::add_row(&mut self.evidence, source, &row?, name, index as u64 + 2);
        }
        Ok(())
    }

    fn capture(&mut self, file: File, name: &str) -> anyhow::Result<()> {
        let packets = capture::Packets::open(file)?;
        capture::sessions(packets, capture::Options::default(), |session| {
            sources::capture::add_session(&mut self.evidence, &session, name);
        });
        Ok(())
    }

    fn protocol_log(&mut self, file: File, path: &Path) -> anyhow::Result<()> {
        let mut reader = protocol_log::Reader::new(file)?;
        let rows = reader.by_ref().collect::<io::Result<Vec<_>>>()?;
        self.read.rows_skipped += reader.rows_skipped;
        if reader.log_type == Some(LogType::Receive) {
            bail!("it is a log of the receiving side; the sender's tells why mail is stuck");
        }
        // A node's logs lie in folders of its own: mx1/protocol-log/SmtpSend/….
        let node = path.ancestors().nth(3).and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        for session in sessions(rows) {
            sources::protocol_log::add_session(&mut self.evidence, &session, &path.display().to_string(), node);
        }
        Ok(())
    }
}
