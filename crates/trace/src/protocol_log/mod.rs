//! SMTP protocol logs in Exchange's own format: one CSV row for each line said, heard or noted, behind `#` header lines.
//! Sessions are interlaced; a session id and a sequence number say what belongs together.

mod read;
mod write;

use std::fmt;

use jiff::Timestamp;

pub use read::{Log, Reader, read};
pub use write::{RowWriter, header, row};

/// Which side of SMTP the log is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogType {
    Send,
    Receive,
}

/// The program that wrote a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Software {
    Gatepost,
    /// Exchange, or anything else in its format.
    Exchange,
}

/// What a row is: the event field.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum RowKind {
    /// `+`
    Connect,
    /// `-`
    Disconnect,
    /// `>`: sent by the server that writes the log.
    Sent,
    /// `<`
    Received,
    /// `*`: a note; its text is in the context, and what it is about in the data.
    #[default]
    Information,
}

impl RowKind {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Connect => "+",
            Self::Disconnect => "-",
            Self::Sent => ">",
            Self::Received => "<",
            Self::Information => "*",
        }
    }

    fn of(symbol: &str) -> Option<Self> {
        [Self::Connect, Self::Disconnect, Self::Sent, Self::Received, Self::Information]
            .into_iter()
            .find(|kind| kind.symbol() == symbol)
    }
}

/// One row.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Row {
    /// `None` if the field is not a time, as in logs that were cleaned before they were shared.
    pub at: Option<Timestamp>,
    /// Of the receiving side as `SERVER\Connector`; any characters.
    pub connector: String,
    /// 16 upper-case hex digits in logs as Exchange writes them.
    pub session: String,
    pub sequence: u32,
    /// `address:port`; empty before the socket is up.
    pub local: String,
    pub remote: String,
    pub kind: RowKind,
    pub data: String,
    pub context: String,
}

/// The rows of one session, in the order of their sequence numbers; rows with equal ones as they stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub id: String,
    pub rows: Vec<Row>,
}

/// Groups interlaced rows; sessions come in the order of their first rows.
pub fn sessions(rows: impl IntoIterator<Item = Row>) -> Vec<Session> {
    let mut positions = std::collections::HashMap::new();
    let mut sessions: Vec<Session> = Vec::new();
    for row in rows {
        let position = *positions.entry(row.session.clone()).or_insert(sessions.len());
        if position == sessions.len() {
            sessions.push(Session { id: row.session.clone(), rows: Vec::new() });
        }
        if let Some(session) = sessions.get_mut(position) {
            session.rows.push(row);
        }
    }
    for session in &mut sessions {
        session.rows.sort_by_key(|row| row.sequence);
    }
    sessions
}

impl fmt::Display for LogType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "SMTP Send Protocol Log",
            Self::Receive => "SMTP Receive Protocol Log",
        })
    }
}

/// The fields in the order in which they are written, and read where no `#Fields` line says otherwise.
const FIELDS: [&str; 9] = [
    "date-time",
    "connector-id",
    "session-id",
    "sequence-number",
    "local-endpoint",
    "remote-endpoint",
    "event",
    "data",
    "context",
];
