//! The receiving side of SMTP as a state machine without I/O (RFC 5321).
//!
//! ```text
//!            MAIL            DATA, BDAT        begin(Ok)
//!   Ready ─────────> Envelope ─────────> Opening ─────────> Data | Bdat ──> Ending
//!     ^                  │ RSET, EHLO                            │            │ finish
//!     └──────────────────┴───────────────────────────────────────┴────────────┘
//! ```
//!
//! Invariants: an envelope cannot exist before MAIL. The machine buffers nothing: input that it has not consumed stays
//! with the driver, content goes out as it comes in. Only CRLF ends a command, and only CRLF.CRLF ends DATA.

mod content;
mod policy;
mod reply;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};

use super::{
    Address, Recipient, Reply, Transaction,
    command::{self, Command, ForwardPath, Mail, Rcpt, refuse},
    dsn::{ORCPT_BYTES_MAX, orcpt_in_ascii},
};
use content::{Bdat, Data};
pub use policy::{Policy, Recipients};

/// What the driver must do next. Output is to be written before the driver waits for anything.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Read more bytes into the input.
    Read,
    /// Write the output, which has become large, then call [`Session::handle`] again.
    Write,
    /// A message begins: make room for it, then call [`Session::begin`].
    Begin(Transaction),
    /// Content was appended: store or keep it, then call [`Session::handle`] again.
    Content,
    /// The message is whole; what is left in `content` is its end. Make it durable, then call [`Session::finish`].
    End,
    /// The message under way is void: drop it. The machine answers by itself.
    Abort,
    /// Write the output, drop all input, negotiate TLS, then call [`Session::tls_started`].
    StartTls,
    /// Write the output and close the connection.
    Close,
}

/// A command line that was taken from the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeardLine {
    /// The length of the output when it was taken: what stands before was said earlier.
    pub output_position: usize,
    pub line: Vec<u8>,
}

/// One session with one client.
pub struct Session {
    policy: Arc<Policy>,
    client: IpAddr,
    hello: Option<Box<Hello>>,
    encrypted: bool,
    eight_bit: bool,
    errors: u32,
    /// Since the last message was taken.
    junk_commands: u32,
    /// Bytes dropped of a command line that is too long.
    overlong_bytes: u32,
    /// Command lines that nobody took yet; `None` unless they are asked for.
    heard: Option<Vec<HeardLine>>,
    state: State,
}

struct Hello {
    name: String,
    extended: bool,
}

enum State {
    Ready,
    /// MAIL was taken; recipients may still be missing.
    Envelope(Box<Transaction>),
    /// The driver has [`Step::Begin`] and owes [`Session::begin`].
    Opening(Via),
    Data(Box<Data>),
    Bdat(Box<Bdat>),
    /// The driver has [`Step::End`] and owes [`Session::finish`].
    Ending,
    Closed,
}

#[derive(Clone, Copy)]
enum Via {
    Data,
    Bdat { size: u64, last: bool },
}

/// RFC 5321 section 4.5.3.1.4 asks for 512; parameters of extensions need more.
const COMMAND_BYTES_MAX: usize = 2048;
/// Replies to pipelined commands are collected up to this many bytes: a client that does not read them costs no more.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// A client that sends this much without a line's end is not speaking SMTP.
const OVERLONG_BYTES_MAX: u32 = 64 * 1024;

impl Session {
    pub fn new(policy: Arc<Policy>, client: IpAddr) -> Self {
        Self {
            policy,
            client,
            hello: None,
            encrypted: false,
            eight_bit: false,
            errors: 0,
            junk_commands: 0,
            overlong_bytes: 0,
            heard: None,
            state: State::Ready,
        }
    }

    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// What the client said in EHLO or HELO; empty before.
    pub fn ehlo_name(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| &hello.name)
    }

    /// True after EHLO, false after HELO.
    pub fn extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// Valid at [`Step::End`]: the content has octets over 127.
    pub fn saw_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// True between [`Step::Begin`] and the message's end.
    pub fn in_message(&self) -> bool {
        match self.state {
            State::Opening(_) | State::Data(_) | State::Bdat(_) | State::Ending => true,
            State::Ready | State::Envelope(_) | State::Closed => false,
        }
    }

    /// True if there is no transaction and no half-read command.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready) && self.overlong_bytes == 0
    }

    /// True within a command line so long that its beginning was dropped.
    pub fn is_within_long_line(&self) -> bool {
        self.overlong_bytes > 0
    }

    /// How long to wait for input.
    pub fn timeout(&self) -> Duration {
        if self.in_message() { self.policy.data_timeout } else { self.policy.command_timeout }
    }

    /// From now on [`Session::take_lines`] gives the command lines; the caller takes them after each step.
    pub fn record_lines(&mut self) {
        self.heard = Some(Vec::new());
    }

    /// The command lines taken from the input since the last call. Content is never among them.
    pub fn take_lines(&mut self) -> Vec<HeardLine> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note_line(&mut self, line: &[u8], output: &[u8]) {
        if let Some(heard) = &mut self.heard {
            heard.push(HeardLine { output_position: output.len(), line: line.to_vec() });
        }
    }

    /// Appends the banner.
    pub fn greet(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(self.policy.banner().as_bytes());
    }

    /// Appends what a client hears that was silent for too long.
    pub fn timed_out(&mut self, output: &mut Vec<u8>) {
        let text = match self.in_message() {
            true => "The message takes too long, closing connection",
            false => "Idle for too long, closing connection",
        };
        refuse(421, 4, 2, text).write_to(output);
        self.state = State::Closed;
    }

    /// Appends what a client hears whose session has lasted as long as a session may.
    pub fn expire(&mut self, output: &mut Vec<u8>) {
        refuse(421, 4, 2, "The session has lasted too long, connect again").write_to(output);
        self.state = State::Closed;
    }

    /// Appends what a client hears when the node stops.
    pub fn shut_down(&mut self, output: &mut Vec<u8>) {
        refuse(421, 3, 2, "The gateway is stopping, try again later").write_to(output);
        self.state = State::Closed;
    }

    /// Appends what a client hears when the node has ceased to take mail.
    pub fn send_away(&mut self, output: &mut Vec<u8>) {
        refuse(421, 3, 2, "This server takes no mail at present, try again later").write_to(output);
        self.state = State::Closed;
    }

    /// After [`Step::StartTls`], once the channel is encrypted: everything said before is forgotten (RFC 3207).
    pub fn tls_started(&mut self) {
        self.encrypted = true;
        self.hello = None;
        self.state = State::Ready;
    }

    /// Consumes bytes from `input`, appends replies to `output` and content to `content`.
    pub fn handle(&mut self, input: &mut BytesMut, output: &mut Vec<u8>, content: &mut Vec<u8>) -> Step {
        loop {
            let step = match &mut self.state {
                State::Closed => return Step::Close,
                // The driver owes an answer; there is nothing to do before it comes.
                State::Opening(_) | State::Ending => return Step::Read,
                State::Data(_) => self.handle_data(input, output, content),
                State::Bdat(bdat) if bdat.in_chunk() => self.handle_chunk(input, output, content),
                State::Ready | State::Envelope(_) | State::Bdat(_) => match self.next_line(input, output) {
                    Line::Complete(line) => {
                        self.note_line(&line, output);
                        self.handle_line(&line, input, output)
                    }
                    Line::Refused => None,
                    Line::Partial => return Step::Read,
                },
            };
            if let Some(step) = step {
                return step;
            }
            if output.len() >= OUTPUT_BYTES_MAX {
                return Step::Write;
            }
        }
    }

    /// Takes one command line from the input.
    fn next_line(&mut self, input: &mut BytesMut, output: &mut Vec<u8>) -> Line {
        let found = memchr::memchr(b'\n', input);
        let length = found.map_or(input.len(), |end| end + 1);
        let total = self.overlong_bytes as usize + length;
        let too_long = self.overlong_bytes > 0 || length > COMMAND_BYTES_MAX;
        // Its chunk cannot be told from commands when its size is not known.
        let hides_a_chunk = self.overlong_bytes == 0 && length > COMMAND_BYTES_MAX && is_bdat(input);
        if too_long && self.overlong_bytes == 0 {
            self.note_line(&input[..COMMAND_BYTES_MAX.min(length)], output);
        }
        if total > OVERLONG_BYTES_MAX as usize || hides_a_chunk {
            refuse(421, 5, 2, "Command line is endless, closing connection").write_to(output);
            self.state = State::Closed;
            return Line::Refused;
        }
        match found {
            None if too_long => {
                input.clear();
                self.overlong_bytes = total as u32;
                Line::Partial
            }
            None => Line::Partial,
            Some(end) if too_long => {
                input.advance(end + 1);
                self.overlong_bytes = 0;
                self.fault(refuse(500, 5, 2, "Command line is too long"), output);
                Line::Refused
            }
            Some(end) => Line::Complete(input.split_to(end + 1)),
        }
    }

    fn handle_line(&mut self, line: &[u8], input: &mut BytesMut, output: &mut Vec<u8>) -> Option<Step> {
        let bare_lf = || refuse(500, 5, 2, "A command must end with CRLF, and this one ends with a bare LF");
        let complete = line.strip_suffix(b"\r\n");
        if self.hello.is_none() && is_http(line) {
            refuse(421, 5, 2, "This is an SMTP server, closing connection").write_to(output);
            self.state = State::Closed;
            return None;
        }
        match complete.ok_or_else(bare_lf).and_then(command::parse) {
            Ok(command) => self.handle_command(command, input, output),
            Err(reply) => {
                // The length of what follows is unknown: reading it as commands would be smuggling.
                if is_bdat(line) {
                    reply.write_to(output);
                    return Some(self.abort_and_close());
                }
                self.fault(reply, output);
                None
            }
        }
    }

    /// Voids what is under way and closes at the next call.
    fn abort_and_close(&mut self) -> Step {
        let had_content = self.reset().is_some();
        self.state = State::Closed;
        if had_content { Step::Abort } else { Step::Close }
    }

    fn handle_command(&mut self, command: Command, input: &mut BytesMut, output: &mut Vec<u8>) -> Option<Step> {
        match command {
            Command::Ehlo(name) => return self.greeted(name, true, output),
            Command::Helo(name) => return self.greeted(name, false, output),
            Command::Mail(mail) => self.handle_mail(*mail, output),
            Command::Rcpt(rcpt) => return self.handle_rcpt(*rcpt, output),
            Command::Data => return self.open(Via::Data, output),
            Command::Bdat(size, last) => return self.handle_bdat(size, last, output),
            Command::Rset => {
                output.extend_from_slice(reply::RESET);
                return self.junk(output).or_else(|| self.reset());
            }
            Command::Noop => return self.answer_junk(reply::OK, output),
            Command::Vrfy => return self.answer_junk(reply::CANNOT_VERIFY, output),
            Command::Help => return self.answer_junk(reply::HELP, output),
            Command::Quit => {
                output.extend_from_slice(reply::BYE);
                return Some(self.abort_and_close());
            }
            Command::StartTls if self.encrypted || !self.policy.starttls => {
                self.fault(refuse(503, 5, 1, "STARTTLS is not offered here"), output);
            }
            Command::StartTls if !matches!(self.state, State::Ready) => {
                self.fault(refuse(503, 5, 1, "STARTTLS is not possible within a transaction"), output);
            }
            Command::StartTls => {
                output.extend_from_slice(reply::READY_FOR_TLS);
                // What was pipelined behind it came without protection (CVE-2011-0411).
                input.clear();
                return Some(Step::StartTls);
            }
        }
        None
    }

    fn greeted(&mut self, name: String, extended: bool, output: &mut Vec<u8>) -> Option<Step> {
        if extended {
            let starttls = self.policy.starttls && !self.encrypted;
            reply::write_ehlo(&self.policy.hostname, &name, self.policy.size_max, starttls, output);
        } else {
            output.extend_from_slice(format!("250 {}\r\n", self.policy.hostname).as_bytes());
        }
        let again = self.hello.replace(Box::new(Hello { name, extended })).is_some();
        let closed = if again { self.junk(output) } else { None };
        closed.or_else(|| self.reset())
    }

    fn answer_junk(&mut self, reply: &[u8], output: &mut Vec<u8>) -> Option<Step> {
        output.extend_from_slice(reply);
        self.junk(output)
    }

    /// Counts a command that does nothing for a message, and closes when there were too many.
    fn junk(&mut self, output: &mut Vec<u8>) -> Option<Step> {
        self.junk_commands += 1;
        if self.junk_commands < self.policy.junk_commands_max {
            return None;
        }
        refuse(421, 7, 0, "Too many commands without a message, closing connection").write_to(output);
        Some(self.abort_and_close())
    }

    /// Forgets the transaction; content that had begun is void.
    fn reset(&mut self) -> Option<Step> {
        let had_content = matches!(&self.state, State::Bdat(bdat) if !bdat.is_void());
        self.state = State::Ready;
        had_content.then_some(Step::Abort)
    }

    fn handle_mail(&mut self, mail: Mail, output: &mut Vec<u8>) {
        let refusal = match &self.state {
            _ if self.hello.is_none() => Some(refuse(503, 5, 1, "Send EHLO first")),
            State::Ready => self.refusal_of_mail(&mail),
            _ => Some(refuse(503, 5, 1, "A transaction is under way already")),
        };
        if let Some(refusal) = refusal {
            return self.fault(refusal, output);
        }
        let Mail { envelope, size_bytes, .. } = mail;
        self.state = State::Envelope(Box::new(Transaction { envelope, size_bytes, recipients: Vec::new() }));
        output.extend_from_slice(reply::SENDER_OK);
    }

    fn refusal_of_mail(&self, mail: &Mail) -> Option<Reply> {
        if mail.has_parameters && !self.extended() {
            return Some(refuse(555, 5, 4, "MAIL parameters need EHLO"));
        }
        if mail.envelope.sender.address().is_some_and(Address::needs_smtputf8) && !mail.envelope.smtputf8 {
            return Some(refuse(553, 6, 7, "A UTF-8 address needs the SMTPUTF8 parameter"));
        }
        let size_max = self.policy.size_max;
        match mail.size_bytes {
            Some(size) if size > size_max => {
                Some(refuse(552, 3, 4, format!("{size} bytes are too many, messages may have {size_max}")))
            }
            Some(_) | None => None,
        }
    }

    fn handle_rcpt(&mut self, rcpt: Rcpt, output: &mut Vec<u8>) -> Option<Step> {
        let State::Envelope(transaction) = &mut self.state else {
            self.fault(refuse(503, 5, 1, "Send MAIL first"), output);
            return None;
        };
        match judge_recipient(&self.policy, transaction, rcpt) {
            Ok(Some(recipient)) => {
                transaction.recipients.push(recipient);
                output.extend_from_slice(reply::RECIPIENT_OK);
            }
            // Named twice, kept once.
            Ok(None) => return self.answer_junk(reply::RECIPIENT_OK, output),
            // A client that has more recipients than fit comes again with the rest: no fault.
            Err(reply) if reply.code == 452 => reply.write_to(output),
            Err(reply) => self.fault(reply, output),
        }
        None
    }

    fn open(&mut self, via: Via, output: &mut Vec<u8>) -> Option<Step> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Envelope(transaction) if !transaction.recipients.is_empty() => {
                self.state = State::Opening(via);
                Some(Step::Begin(*transaction))
            }
            state => {
                let reply = match &state {
                    State::Envelope(_) => refuse(554, 5, 1, "No valid recipients"),
                    State::Bdat(_) => refuse(503, 5, 1, "DATA is not possible after BDAT"),
                    _ => refuse(503, 5, 1, "Send MAIL and RCPT first"),
                };
                self.state = state;
                self.fault(reply, output);
                None
            }
        }
    }

    fn handle_bdat(&mut self, size: u64, last: bool, output: &mut Vec<u8>) -> Option<Step> {
        let is_empty = size == 0 && !last;
        if let Some(closed) = is_empty.then(|| self.junk(output)).flatten() {
            return Some(closed);
        }
        let can_open = matches!(&self.state, State::Envelope(transaction) if !transaction.recipients.is_empty());
        if can_open {
            return self.open(Via::Bdat { size, last }, output);
        }
        let wanted = matches!(&self.state, State::Bdat(bdat) if !bdat.is_void());
        if !wanted {
            self.errors += 1;
            // No more is swallowed than a message may have.
            if self.errors >= self.policy.errors_max || size > self.policy.size_max {
                refuse(503, 5, 1, "Send MAIL and RCPT first").write_to(output);
                refuse(421, 7, 0, "Too much that was refused, closing connection").write_to(output);
                return Some(self.abort_and_close());
            }
        }
        match &mut self.state {
            State::Bdat(bdat) => bdat.next_chunk(size, last),
            // The chunk comes whether it is wanted or not; it must not be read as commands.
            _ => {
                let refusal = refuse(503, 5, 1, "Send MAIL and RCPT first");
                self.state = State::Bdat(Box::new(Bdat::refused(size, last, refusal)));
            }
        }
        None
    }

    /// The driver's answer to [`Step::Begin`].
    pub fn begin(&mut self, verdict: Result<(), Reply>, output: &mut Vec<u8>) {
        let State::Opening(via) = self.state else { return };
        let (line_max, size_max) = (self.policy.body_line_max, self.policy.size_max);
        self.state = match (via, verdict) {
            (Via::Data, Ok(())) => {
                output.extend_from_slice(reply::SEND_CONTENT);
                State::Data(Box::new(Data::new(line_max, size_max)))
            }
            (Via::Data, Err(reply)) => {
                reply.write_to(output);
                State::Ready
            }
            (Via::Bdat { size, last }, Ok(())) => State::Bdat(Box::new(Bdat::new(size, last, line_max, size_max))),
            (Via::Bdat { size, last }, Err(reply)) => State::Bdat(Box::new(Bdat::refused(size, last, reply))),
        };
    }

    /// The driver's answer to [`Step::End`]: the reply for the whole message.
    pub fn finish(&mut self, reply: Reply, output: &mut Vec<u8>) {
        if matches!(self.state, State::Ending) {
            self.state = State::Ready;
            if reply.is_positive() {
                self.junk_commands = 0;
            }
            reply.write_to(output);
        }
    }

    /// The content under way can no longer be stored. What comes of it is swallowed, `reply` answers it, and no
    /// [`Step::End`] follows.
    pub fn fail_content(&mut self, reply: Reply) {
        match &mut self.state {
            State::Data(data) => data.void(reply),
            State::Bdat(bdat) => bdat.void(reply),
            State::Ready | State::Envelope(_) | State::Opening(_) | State::Ending | State::Closed => {}
        }
    }

    /// Answers a fault of the client, and closes when there were too many.
    fn fault(&mut self, reply: Reply, output: &mut Vec<u8>) {
        reply.write_to(output);
        self.errors += 1;
        if self.errors >= self.policy.errors_max {
            refuse(421, 7, 0, "Too many errors, closing connection").write_to(output);
            self.state = State::Closed;
        }
    }
}

enum Line {
    /// Ends with LF; whether CR stands before it is for the reader to judge.
    Complete(BytesMut),
    /// Answered already.
    Refused,
    Partial,
}

/// `None` for one that is named already.
fn judge_recipient(policy: &Policy, transaction: &Transaction, rcpt: Rcpt) -> Result<Option<Recipient>, Reply> {
    let address = match rcpt.to {
        ForwardPath::Address(address) => address,
        ForwardPath::Postmaster => {
            let domain = policy.recipients.postmaster_domain();
            let address = domain.and_then(|domain| Address::parse(&format!("postmaster@{domain}")).ok());
            address.ok_or_else(|| refuse(550, 1, 1, "There is no postmaster here"))?
        }
    };
    if address.needs_smtputf8() && !transaction.envelope.smtputf8 {
        return Err(refuse(553, 6, 7, "A UTF-8 address needs the SMTPUTF8 parameter"));
    }
    if let Some(orcpt) = &rcpt.orcpt {
        if !orcpt.is_ascii() && !transaction.envelope.smtputf8 {
            return Err(refuse(553, 6, 7, "A UTF-8 ORCPT needs the SMTPUTF8 parameter"));
        }
        if orcpt_in_ascii(orcpt).len() > ORCPT_BYTES_MAX {
            return Err(refuse(501, 5, 4, "ORCPT is too long"));
        }
    }
    if !policy.recipients.accepts(&address.domain_key()) {
        return Err(refuse(550, 7, 1, format!("<{address}>: relay access denied, the domain is not accepted here")));
    }
    // The server behind could take such a local part for an order to relay.
    if address.local_part().contains(['%', '!', '@']) {
        return Err(refuse(550, 7, 1, format!("<{address}>: relay access denied, the local part names a route")));
    }
    if transaction.recipients.iter().any(|recipient| recipient.address == address) {
        return Ok(None);
    }
    if transaction.recipients.len() >= policy.recipients_max {
        return Err(refuse(452, 5, 3, "Too many recipients, send the message again to the rest"));
    }
    Ok(Some(Recipient { address, notify: rcpt.notify, orcpt: rcpt.orcpt.map(|orcpt| orcpt_in_ascii(&orcpt)) }))
}

fn is_bdat(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// Browsers and scanners that find a mail port.
fn is_http(line: &[u8]) -> bool {
    [b"GET ".as_slice(), b"POST ", b"PUT ", b"HEAD ", b"CONNECT ", b"OPTIONS "]
        .iter()
        .any(|verb| line.starts_with(verb))
}
