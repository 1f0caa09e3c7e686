//! The sending side of SMTP as a state machine without I/O (RFC 5321, RFC 2920 for pipelining).
//!
//! ```text
//!   Banner ─> Ehlo ─┬────────────────────────────> Ready <──────────────────┐
//!               ^   └> StartTls ─> Handshake ─┐      │ begin                │
//!               └─────────────────────────────┘      v                      │
//!                                                 Envelope ─> Content ─> EndOfData
//! ```
//!
//! The driver moves bytes and measures time. The machine says what comes next ([`Action`]) and which [`Phase`] the
//! conversation has reached, so that a failure names the phase in which it happened.

mod extensions;
mod reply_parser;
mod transaction;

use bytes::BytesMut;

pub use extensions::{Extensions, Introduction};
pub use reply_parser::{ReplyError, ReplyParser};

use super::{Failure, FailureKind, Phase, Reply, Transaction, data::DotEncoder};
use transaction::{Progress, check};

/// Whether a connector encrypts its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsLevel {
    None,
    /// STARTTLS is used whenever the destination offers it.
    #[default]
    Opportunistic,
    /// No mail is sent in plaintext.
    Require,
    /// The same, and no mail is sent to a server whose certificate does not prove its name.
    Verify,
}

/// What the driver must do next. It writes the output before each action.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Read more bytes into the input.
    Read,
    /// Make the TLS handshake, then call [`Client::tls_started`].
    StartTls,
    /// Call [`Client::begin`], or [`Client::quit`].
    Ready,
    /// Pass the message through [`Client::content`], then call [`Client::end_content`].
    Content,
    /// The transaction has ended, with one result for each recipient, in order. The machine is ready again.
    Done(Vec<Result<Reply, Failure>>),
    /// The conversation ended before any transaction began. Close the connection.
    Failed(Failure),
    /// Close the connection.
    Closed,
}

/// One conversation with one destination.
pub struct Client {
    state: State,
    ehlo_name: String,
    tls_level: TlsLevel,
    encrypted: bool,
    avoids_pipelining: bool,
    extensions: Extensions,
    introduction: Introduction,
    replies: ReplyParser,
    /// The last transaction left an incomplete envelope at the destination: RSET comes before the next MAIL.
    reset_first: bool,
    /// The destination replied 421 or sent bytes that are not SMTP: no further transaction begins.
    ended: bool,
    replies_handled: u64,
}

enum State {
    Banner,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Ready,
    Envelope(Box<Progress>),
    Content(Box<Progress>, DotEncoder),
    EndOfData(Box<Progress>),
    Quit,
    Closed,
}

impl Client {
    /// A machine for a connection that was just made.
    pub fn new(ehlo_name: impl Into<String>, tls_level: TlsLevel) -> Self {
        Self {
            state: State::Banner,
            ehlo_name: ehlo_name.into(),
            tls_level,
            encrypted: false,
            avoids_pipelining: false,
            extensions: Extensions::default(),
            introduction: Introduction::default(),
            replies: ReplyParser::default(),
            reset_first: false,
            ended: false,
            replies_handled: 0,
        }
    }

    /// Waits for each reply before the next command, whatever the destination announces.
    pub fn without_pipelining(self) -> Self {
        Self { avoids_pipelining: true, ..self }
    }

    /// Number of complete replies so far. Each reply has its own time limit.
    pub fn replies_handled(&self) -> u64 {
        self.replies_handled
    }

    /// The phase that the conversation has reached.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Banner => Phase::Banner,
            State::Ehlo | State::Helo | State::Ready => Phase::Ehlo,
            State::StartTls => Phase::StartTls,
            State::Handshake => Phase::Handshake,
            State::Envelope(progress) => progress.phase(),
            State::Content(..) => Phase::Data,
            State::EndOfData(_) => Phase::EndOfData,
            State::Quit | State::Closed => Phase::Quit,
        }
    }

    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What the destination has said of itself so far. It is not kept.
    pub fn take_introduction(&mut self) -> Introduction {
        std::mem::take(&mut self.introduction)
    }

    /// True if another transaction may follow on this connection.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Ready) && !self.ended
    }

    /// Consumes replies from `input`, appends commands to `output`.
    pub fn handle(&mut self, input: &mut BytesMut, output: &mut Vec<u8>) -> Action {
        loop {
            match self.state {
                State::Ready if self.ended => return Action::Closed,
                State::Ready => return Action::Ready,
                State::Content(..) => return Action::Content,
                State::Handshake => {
                    // Bytes after the 220 arrived without protection (CVE-2011-0411).
                    input.clear();
                    return Action::StartTls;
                }
                State::Closed => return Action::Closed,
                _ => {}
            }
            let action = match self.replies.parse(input) {
                Ok(None) => return Action::Read,
                Ok(Some(reply)) => self.handle_reply(reply, output),
                Err(error) => Some(self.abandon(FailureKind::BadReply { detail: error.to_string() })),
            };
            if let Some(action) = action {
                return action;
            }
        }
    }

    fn handle_reply(&mut self, reply: Reply, output: &mut Vec<u8>) -> Option<Action> {
        self.replies_handled += 1;
        if reply.code == 421 {
            self.ended = true;
        }
        // Keep all lines of a reply to EHLO. Shorten other replies to what the history has room for.
        let reply = if matches!(self.state, State::Ehlo) && reply.code == 250 { reply } else { reply.shortened() };
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Banner if reply.code == 220 => {
                self.introduction.greeting = reply.text;
                self.say_ehlo(output);
                None
            }
            State::Banner => Some(Action::Failed(Failure::rejected(Phase::Banner, reply))),
            State::Ehlo => self.handle_ehlo(reply, output),
            State::Helo if reply.code == 250 => self.greeted(),
            State::Helo => Some(Action::Failed(Failure::rejected(Phase::Ehlo, reply))),
            State::StartTls if reply.code == 220 => {
                self.state = State::Handshake;
                None
            }
            State::StartTls => Some(Action::Failed(Failure::rejected(Phase::StartTls, reply))),
            State::Envelope(progress) => self.handle_envelope(progress, reply, output),
            State::EndOfData(progress) => {
                self.state = State::Ready;
                Some(Action::Done(progress.end(reply)))
            }
            State::Quit | State::Closed => Some(Action::Closed),
            // No reply is read in these states.
            state @ (State::Ready | State::Handshake | State::Content(..)) => {
                self.state = state;
                None
            }
        }
    }

    fn say_ehlo(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(format!("EHLO {}\r\n", self.ehlo_name).as_bytes());
        self.state = State::Ehlo;
    }

    fn handle_ehlo(&mut self, reply: Reply, output: &mut Vec<u8>) -> Option<Action> {
        if reply.code == 250 {
            self.extensions = Extensions::parse(&reply);
            self.extensions.pipelining &= !self.avoids_pipelining;
            if !self.encrypted {
                self.introduction.ehlo = Some(reply);
            }
            if self.extensions.starttls && !self.encrypted && self.tls_level != TlsLevel::None {
                output.extend_from_slice(b"STARTTLS\r\n");
                self.state = State::StartTls;
                return None;
            }
            return self.greeted();
        }
        // For servers older than ESMTP. Over TLS there are none.
        if reply.is_permanent() && !self.encrypted {
            self.extensions = Extensions::default();
            output.extend_from_slice(format!("HELO {}\r\n", self.ehlo_name).as_bytes());
            self.state = State::Helo;
            return None;
        }
        Some(Action::Failed(Failure::rejected(Phase::Ehlo, reply)))
    }

    fn greeted(&mut self) -> Option<Action> {
        if matches!(self.tls_level, TlsLevel::Require | TlsLevel::Verify) && !self.encrypted {
            let masked = self.extensions.starttls_masked;
            let kind = if masked { FailureKind::StartTlsMasked } else { FailureKind::StartTlsNotOffered };
            return Some(Action::Failed(Failure::new(Phase::StartTls, kind)));
        }
        self.state = State::Ready;
        None
    }

    /// After [`Action::StartTls`], once the channel is encrypted. Discards everything learnt before (RFC 3207).
    pub fn tls_started(&mut self, output: &mut Vec<u8>) {
        self.encrypted = true;
        self.extensions = Extensions::default();
        self.replies = ReplyParser::default();
        self.say_ehlo(output);
    }

    /// Starts a transaction. An error applies to all its recipients, and leaves the conversation ready.
    pub fn begin(&mut self, transaction: &Transaction, output: &mut Vec<u8>) -> Result<(), Failure> {
        self.begin_as(Progress::new(transaction, &self.extensions), transaction, output)
    }

    /// Like [`Client::begin`], but RSET takes the place of DATA: the transaction is rolled back after RCPT.
    pub fn rehearse(&mut self, transaction: &Transaction, output: &mut Vec<u8>) -> Result<(), Failure> {
        self.begin_as(Progress::rehearsal(transaction, &self.extensions), transaction, output)
    }

    fn begin_as(&mut self, progress: Progress, transaction: &Transaction, output: &mut Vec<u8>) -> Result<(), Failure> {
        check(transaction, &self.extensions)?;
        let mut progress = Box::new(progress);
        if std::mem::take(&mut self.reset_first) {
            progress.reset(output);
        }
        progress.advance(output);
        self.state = State::Envelope(progress);
        Ok(())
    }

    fn handle_envelope(&mut self, mut progress: Box<Progress>, reply: Reply, output: &mut Vec<u8>) -> Option<Action> {
        use transaction::Next;
        match progress.handle_reply(reply) {
            Next::Wait if self.ended => Some(Action::Done(progress.cut_by_421())),
            Next::Wait => {
                progress.advance(output);
                self.state = State::Envelope(progress);
                None
            }
            Next::Content => {
                self.state = State::Content(progress, DotEncoder::default());
                None
            }
            // The destination replied 354 although it accepted no recipient. An empty message ends the transaction, and
            // the reply to it means nothing.
            Next::EmptyContent => {
                output.extend_from_slice(b".\r\n");
                self.state = State::EndOfData(progress);
                None
            }
            Next::TakenBack(reply) => {
                self.state = State::Ready;
                Some(Action::Done(progress.end(reply)))
            }
            Next::Over => {
                self.reset_first = true;
                self.state = State::Ready;
                Some(Action::Done(progress.over()))
            }
        }
    }

    /// Appends a piece of the message, dot-stuffed. The message has CRLF lines.
    pub fn content(&mut self, piece: &[u8], output: &mut Vec<u8>) {
        if let State::Content(_, encoder) = &mut self.state {
            encoder.encode(piece, output);
        }
    }

    /// Takes a reply that came before the end of the content, if it is complete: the destination accepts no more
    /// content. Without the final dot nothing is delivered, and the connection cannot be used again.
    pub fn reply_within_content(&mut self, input: &mut BytesMut) -> Option<Action> {
        if !matches!(self.state, State::Content(..)) {
            return None;
        }
        let reply = match self.replies.parse(input) {
            Ok(None) => return None,
            Ok(Some(reply)) if reply.code >= 400 => reply,
            Ok(Some(reply)) => {
                let detail = format!("{} before the content had ended", reply.code);
                return Some(self.abandon(FailureKind::BadReply { detail }));
            }
            Err(error) => return Some(self.abandon(FailureKind::BadReply { detail: error.to_string() })),
        };
        self.ended = true;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content(progress, _) => Some(Action::Done(progress.broken(Failure::rejected(Phase::Data, reply)))),
            _ => None,
        }
    }

    /// Appends the final dot. From here on, losing the connection may mean that the message is delivered twice.
    pub fn end_content(&mut self, output: &mut Vec<u8>) {
        if let State::Content(progress, mut encoder) = std::mem::replace(&mut self.state, State::Closed) {
            encoder.finish(output);
            self.state = State::EndOfData(progress);
        }
    }

    /// Sends QUIT.
    pub fn quit(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"QUIT\r\n");
        self.state = State::Quit;
    }

    /// The connection broke, or the bytes on it were not SMTP. Reports `kind` as a failure of the current phase.
    pub fn abandon(&mut self, kind: FailureKind) -> Action {
        // In TLS 1.3, a server that rejects the handshake says so in place of its first reply.
        let phase = if matches!(kind, FailureKind::HandshakeFailed { .. }) { Phase::Handshake } else { self.phase() };
        let failure = Failure::new(phase, kind);
        self.ended = true;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Envelope(progress) | State::Content(progress, _) | State::EndOfData(progress) => {
                Action::Done(progress.broken(failure))
            }
            State::Quit | State::Closed => Action::Closed,
            State::Banner | State::Ehlo | State::Helo | State::StartTls | State::Handshake | State::Ready => {
                Action::Failed(failure)
            }
        }
    }
}
