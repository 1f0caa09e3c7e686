//! What the client of a conversation said last, and what its next bytes are.

use protocol::smtp::Phase;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    #[default]
    Commands,
    /// DATA was said: content comes if 354 does.
    DataAsked,
    Content,
    /// Bytes of BDAT that are still to come; then the next command.
    Chunk(u64),
    /// From AUTH to its last reply: whatever the client says may be a password.
    Credentials,
    /// STARTTLS was said: TLS comes if 220 does.
    TlsAsked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    Banner,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    EndOfData,
    Quit,
    Other,
}

impl Command {
    pub(super) fn phase(self) -> Option<Phase> {
        match self {
            Self::Banner => Some(Phase::Banner),
            Self::Ehlo => Some(Phase::Ehlo),
            Self::StartTls => Some(Phase::StartTls),
            Self::Mail => Some(Phase::Mail),
            Self::Rcpt => Some(Phase::Rcpt),
            Self::Data => Some(Phase::Data),
            Self::EndOfData => Some(Phase::EndOfData),
            Self::Quit => Some(Phase::Quit),
            Self::Auth | Self::Other => None,
        }
    }
}
