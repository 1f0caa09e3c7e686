//! The source of an attempt, and the place in it.

use std::fmt;

use trace::ForeignFormat;

/// The source of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The gateway's own.
    History,
    /// Of Exchange, or in its format.
    ProtocolLog,
    /// Of this gateway.
    OwnProtocolLog,
    /// A log of another system, or its message trace.
    Log(&'static ForeignFormat),
    Capture,
    Probe,
    Dsn,
    TlsReport,
}

impl Source {
    pub fn is_protocol_log(self) -> bool {
        matches!(self, Self::ProtocolLog | Self::OwnProtocolLog)
    }

    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::History => "attempt",
            Self::ProtocolLog | Self::OwnProtocolLog => "protocol-log",
            Self::Log(format) => format.name,
            Self::Capture => "capture",
            Self::Probe => "probe",
            Self::Dsn => "dsn",
            Self::TlsReport => "tls-report",
        }
    }
}

/// Where to find it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// A session id, joins to the protocol log; with the file where it was read from one.
    Session { id: String, file: Option<String> },
    /// A file and a line from 1.
    Line { file: String, line: u64 },
    /// A stream of a capture.
    Stream { file: String, stream: u64 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { id, file: None } => write!(f, "session {id}"),
            Self::Session { id, file: Some(file) } => write!(f, "session {id} in {file}"),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Stream { file, stream } => write!(f, "{file} stream {stream}"),
        }
    }
}

impl Place {
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::Session { file, .. } => file.as_deref(),
            Self::Line { file, .. } | Self::Stream { file, .. } => Some(file),
        }
    }
}

/// Where an attempt is found, for people.
pub fn in_words(places: &[(Source, Place)]) -> String {
    places.iter().map(|(_, place)| place.to_string()).collect::<Vec<_>>().join(", ")
}
