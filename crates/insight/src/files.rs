//! Evidence from files of other systems. Parts that cannot be read are reported and skipped; the rest is used.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use diagnosis::{Source, sources};
use jiff::{Timestamp, tz::TimeZone};
use trace::{
    ForeignFormat,
    message_trace::Column,
    protocol_log::{self, LogType, sessions},
};

use super::{Gathered, wording::counted};

/// Evidence from files, and errors in some of them.
pub struct Files {
    pub gathered: Gathered,
    /// Skipped files, each with the reason.
    pub skipped: Vec<String>,
    /// For logs whose times have no year or no zone.
    pub now: Timestamp,
    pub zone: TimeZone,
}

impl Files {
    pub fn new(gathered: Gathered, now: Timestamp, zone: TimeZone) -> Self {
        Self { gathered, skipped: Vec::new(), now, zone }
    }

    /// Reads files of one kind.
    pub fn add(&mut self, source: Source, paths: &[impl AsRef<Path>]) {
        for path in paths.iter().map(AsRef::as_ref) {
            let before = self.gathered.evidence.told();
            let result =
                File::open(path).map_err(anyhow::Error::from).and_then(|file| self.read_file(source, file, path));
            let attempts = self.gathered.evidence.told() - before;
            let result = result.and_then(|()| match attempts {
                0 => bail!("no delivery attempts found"),
                _ => Ok(()),
            });
            if attempts > 0 {
                self.gathered.sources.push(format!("{} ({})", path.display(), counted(attempts, "attempt")));
            }
            if let Err(error) = result {
                self.skipped.push(format!("{}: {error:#}", path.display()));
            }
        }
    }

    fn read_file(&mut self, source: Source, file: File, path: &Path) -> anyhow::Result<()> {
        let name = path.display().to_string();
        match source {
            Source::ProtocolLog => self.protocol_log(file, path),
            Source::Capture => self.capture(file, &name),
            Source::Dsn => self.notification(file, &name),
            Source::TlsReport => self.tls_report(file, &name),
            Source::Log(format) => self.log(format, file, &name),
            Source::History | Source::Probe => bail!("this is not read from files"),
        }
    }

    fn log(&mut self, format: &'static ForeignFormat, file: File, name: &str) -> anyhow::Result<()> {
        let mut rows = format.read(file, self.now, &self.zone)?;
        while let Some(row) = rows.next() {
            let row = row?;
            for column in [Column::SenderAddress, Column::RecipientAddress] {
                self.gathered.addresses.learn(&row[column]);
            }
            sources::trace_rows::add_row(&mut self.gathered.evidence, format, &row, name, rows.line());
        }
        self.gathered.read.add_rows(&*rows);
        Ok(())
    }

    fn notification(&mut self, file: File, name: &str) -> anyhow::Result<()> {
        let dsn = trace::dsn::read(&whole(file)?).context("not a delivery status notification (bounce)")?;
        for recipient in &dsn.recipients {
            let addresses = recipient.final_recipient.iter().chain(&recipient.original_recipient);
            addresses.for_each(|address| self.gathered.addresses.learn(&address.text));
        }
        sources::dsn::add_notification(&mut self.gathered.evidence, &dsn, name);
        Ok(())
    }

    fn tls_report(&mut self, file: File, name: &str) -> anyhow::Result<()> {
        let report = trace::tls_report::read(&whole(file)?)?;
        sources::tls_report::add_report(&mut self.gathered.evidence, &report, name);
        Ok(())
    }

    fn capture(&mut self, file: File, name: &str) -> anyhow::Result<()> {
        let packets = capture::Packets::open(file)?;
        capture::sessions(packets, capture::Options::default(), |session| {
            session.lines.iter().for_each(|line| self.gathered.addresses.learn(&line.text));
            sources::capture::hold_session(&mut self.gathered.evidence, session, name);
        });
        Ok(())
    }

    fn protocol_log(&mut self, file: File, path: &Path) -> anyhow::Result<()> {
        let mut reader = protocol_log::Reader::new(file)?;
        let rows = reader.by_ref().collect::<io::Result<Vec<_>>>()?;
        self.gathered.read.rows_skipped += reader.rows_skipped();
        if reader.log_type == Some(LogType::Receive) {
            bail!(
                "log of the receiving side; use the log of the sending side (SmtpSend), which shows why mail is stuck"
            );
        }
        // The logs of a node are in its own folder: mx1/protocol-log/SmtpSend/….
        let node = path.ancestors().nth(3).and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        let sessions = sessions(rows);
        let said = sessions.iter().flat_map(|session| &session.rows);
        said.for_each(|row| self.gathered.addresses.learn(&row.data));
        sources::protocol_log::add_log(&mut self.gathered.evidence, &sessions, &path.display().to_string(), node);
        Ok(())
    }
}

/// Reads a bounce or report whole, up to a size that none of them reaches.
fn whole(file: File) -> anyhow::Result<Vec<u8>> {
    const BYTES_MAX: u64 = 64 << 20;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        bail!("larger than {} MiB, so not a bounce or a TLS report", BYTES_MAX >> 20);
    }
    Ok(bytes)
}
