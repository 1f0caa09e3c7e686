//! The dialogue of one connection: SMTP on any port, STARTTLS and the handshake after it, or TLS from the beginning.
//! The bytes come in order, from the flows of a capture or from a socket.
//!
//! ```text
//!   Unknown ──"220 …" or EHLO──> Smtp ──STARTTLS, 220──> Tls ──handshake over──> encrypted: nothing more is read
//!      └──a ClientHello──────────────────────────────────^
//!      └──anything else──> Other: nothing more is read
//! ```
//!
//! Message content is counted and left out, unless it is requested. Credentials are always left out.

mod command;
mod facts;
mod recognise;

use std::{collections::VecDeque, time::Duration};

use protocol::{
    smtp::Phase,
    tls::{Alert, Ended, Ending, HandshakeFacts, Observer, Side, WireVersion},
};

use crate::{
    fields::{Fields, TlsFields},
    tcp::turns::is_alert,
};
use command::{Command, Mode};
pub use facts::{Line, LineKind, Oddity, Protocol, Step};
use recognise::{is_hello, recognise};

/// Maximum number of lines of each dialogue, and of bytes of each line.
const LINES_MAX: usize = 400;
const LINE_BYTES_MAX: usize = 1000;
/// A longer line is not SMTP. Also the maximum input of a client whose DATA or STARTTLS was not answered yet.
const LINE_MAX: usize = 64 * 1024;
const PHASES_MAX: usize = 200;
/// Maximum number of commands without a reply.
const WAITING_MAX: usize = 1000;
/// Maximum number of bytes that the observer of a handshake keeps.
const OBSERVER_BYTES: u64 = 1 << 20;

/// A dialogue, as far as it is in the capture.
#[derive(Debug, Default)]
pub struct Dialogue {
    pub protocol: Protocol,
    pub lines: Vec<Line>,
    /// Number of lines that were not kept.
    pub lines_left_out: u64,
    /// Bytes of the texts of all lines.
    text_bytes: usize,
    pub phases: Vec<Step>,
    /// When the handshake began.
    pub handshake_ns: Option<i64>,
    pub handshake: Option<HandshakeFacts>,
    pub oddities: Vec<Oddity>,
    /// Number of messages whose content was sent in plaintext.
    pub messages: u64,
    show_content: bool,
    /// True if the capture has only the client's packets.
    pub is_one_sided: bool,
    smtp: Smtp,
    tls: Option<Box<Observer>>,
    /// Only if single fields are requested.
    tls_fields: Option<Box<TlsFields>>,
    /// Bytes of the handshake are missing: those after them cannot be read.
    is_handshake_broken: bool,
    /// Bytes from the server after a successful handshake.
    server_spoke_encrypted: bool,
}

/// State of SMTP in plaintext.
#[derive(Debug, Default)]
struct Smtp {
    client: Vec<u8>,
    server: Vec<u8>,
    mode: Mode,
    /// Commands without a reply, with their times.
    waiting: VecDeque<(Command, i64)>,
    content_bytes: u64,
    /// A line of a reply arrived, and more follow.
    is_within_reply: bool,
    /// When the content began.
    content_ns: i64,
}

impl Dialogue {
    pub fn new(show_content: bool) -> Self {
        Self { show_content, ..Self::default() }
    }

    /// A dialogue that is SMTP, whatever the first bytes are.
    pub fn force_smtp(&mut self) {
        self.protocol = Protocol::Smtp;
    }

    /// Approximate memory in use.
    pub(crate) fn held_bytes(&self) -> usize {
        let observed = self.tls.as_ref().map_or(0, |observer| {
            let facts = observer.facts();
            facts.client_bytes.saturating_add(facts.server_bytes).min(OBSERVER_BYTES)
        });
        let lists = self.lines.capacity() * size_of::<Line>()
            + self.phases.capacity() * size_of::<Step>()
            + self.smtp.waiting.capacity() * size_of::<(Command, i64)>();
        lists + self.text_bytes + self.smtp.client.capacity() + self.smtp.server.capacity() + observed as usize
    }

    /// True if further bytes cannot add anything.
    pub fn is_deaf(&self) -> bool {
        self.tls.is_none() && self.handshake.is_some() && self.server_spoke_encrypted
    }

    /// Notes the time of the SYN.
    pub fn connected(&mut self, syn_ns: i64, at_ns: i64) {
        self.step(Phase::Connect, syn_ns, at_ns);
        self.smtp.waiting.push_back((Command::Banner, at_ns));
    }

    /// Adds bytes in order.
    pub fn bytes(&mut self, side: Side, bytes: &[u8], at_ns: i64, fields: &mut Fields) {
        if self.protocol == Protocol::Unknown {
            self.protocol = recognise(side, bytes);
            if self.protocol == Protocol::Tls {
                self.begin_tls(at_ns);
            }
        }
        match self.protocol {
            Protocol::Smtp if self.tls.is_none() && self.handshake.is_none() => self.smtp(side, bytes, at_ns, fields),
            Protocol::Smtp | Protocol::Tls => self.encrypted(side, bytes, at_ns, fields),
            // Other protocols also have a STARTTLS.
            Protocol::Unknown | Protocol::Other if side == Side::Client && is_hello(bytes) => {
                self.protocol = Protocol::Tls;
                self.begin_tls(at_ns);
                self.encrypted(side, bytes, at_ns, fields);
            }
            Protocol::Unknown | Protocol::Other => {}
        }
    }

    /// Notes missing bytes: lines start again after them.
    pub fn missing(&mut self, side: Side, count: u32, at_ns: i64) {
        self.is_handshake_broken |= self.tls.is_some();
        if self.tls.is_some() || self.handshake.is_some() || self.protocol != Protocol::Smtp {
            return;
        }
        match side {
            Side::Client => {
                self.smtp.client.clear();
                match &mut self.smtp.mode {
                    Mode::Chunk(left) => *left = left.saturating_sub(u64::from(count)),
                    Mode::Content => {}
                    mode => *mode = Mode::Commands,
                }
            }
            Side::Server => self.smtp.server.clear(),
        }
        self.line(LineKind::Gap, side, at_ns, format!("… {count} bytes that the capture lacks"));
    }

    /// One side ended the connection.
    pub fn end(&mut self, side: Side, how: Ending, at_ns: i64) {
        let Some(began_ns) = self.handshake_ns else { return };
        if let Some(facts) = self.handshake.as_mut().filter(|facts| !facts.completed) {
            facts.ended.get_or_insert(Ended { by: side, how });
        }
        if let Some(observer) = &mut self.tls {
            observer.end(side, how, since(began_ns, at_ns));
            self.take_facts_if_over(at_ns);
        }
    }

    /// Ends the dialogue.
    pub fn finish(&mut self) {
        if let Some(observer) = self.tls.take() {
            self.conclude(observer.into_facts());
        }
        let completed = self.handshake.as_ref().is_some_and(|facts| facts.completed);
        if completed && !self.server_spoke_encrypted {
            self.odd(Oddity::SilentAfterHandshake);
        }
        self.smtp = Smtp::default();
    }

    fn odd(&mut self, oddity: Oddity) {
        if !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }

    fn step(&mut self, phase: Phase, from_ns: i64, to_ns: i64) {
        if self.phases.len() < PHASES_MAX {
            self.phases.push(Step { phase, duration_us: since(from_ns, to_ns).as_micros() as u64 });
        }
    }

    fn line(&mut self, kind: LineKind, side: Side, at_ns: i64, text: String) {
        if self.lines.len() < LINES_MAX {
            self.text_bytes += text.len();
            self.lines.push(Line { at_ns, kind, side, text });
        } else {
            self.lines_left_out += 1;
        }
    }

    fn begin_tls(&mut self, at_ns: i64) {
        self.tls = Some(Box::default());
        self.handshake_ns = Some(at_ns);
        self.smtp = Smtp::default();
    }

    fn encrypted(&mut self, side: Side, bytes: &[u8], at_ns: i64, fields: &mut Fields) {
        let Some(observer) = &mut self.tls else {
            if side == Side::Server && !self.server_spoke_encrypted {
                self.first_answer(bytes);
            }
            return;
        };
        if self.is_handshake_broken {
            return;
        }
        if fields.is_wanted {
            self.tls_fields.get_or_insert_default().read(side, bytes, fields);
        }
        observer.observe(side, bytes, since(self.handshake_ns.unwrap_or(at_ns), at_ns));
        self.take_facts_if_over(at_ns);
    }

    /// In TLS 1.3 a client finishes before the server has checked its certificate, so a refusal comes as an alert
    /// instead of the first reply.
    fn first_answer(&mut self, bytes: &[u8]) {
        self.server_spoke_encrypted = true;
        let is_13 = |facts: &HandshakeFacts| {
            facts.server_hello.as_ref().is_some_and(|hello| hello.version >= WireVersion::TLS13)
        };
        let late = |facts: &&mut HandshakeFacts| facts.completed && is_13(facts) && is_alert(bytes);
        let Some(facts) = self.handshake.as_mut().filter(late) else { return };
        facts.alerts.push(Alert { by: Side::Server, description: None, fatal: false });
        facts.completed = !facts.client_certificate_requested;
    }

    fn take_facts_if_over(&mut self, at_ns: i64) {
        if self.tls.as_ref().is_some_and(|observer| observer.is_over())
            && let Some(observer) = self.tls.take()
        {
            if let Some(began_ns) = self.handshake_ns {
                self.step(Phase::Handshake, began_ns, at_ns);
            }
            self.conclude(observer.into_facts());
        }
    }

    fn conclude(&mut self, facts: HandshakeFacts) {
        if let (Some(client), Some(server)) = (&facts.client_hello, &facts.server_hello)
            && !client.cipher_suites.contains(&server.cipher_suite)
        {
            self.odd(Oddity::CipherNotOffered);
        }
        let is_unanswered = facts.client_hello.is_some() && facts.server_bytes == 0;
        match facts.ended.map(|ended| (ended.by, ended.how)) {
            _ if !is_unanswered => {}
            Some((Side::Server, Ending::Reset)) => self.odd(Oddity::HelloAnsweredByReset),
            Some((Side::Server, Ending::Fin)) => self.odd(Oddity::HelloAnsweredByFin),
            _ => self.odd(Oddity::HelloNeverAnswered),
        }
        self.handshake = Some(facts);
    }

    fn smtp(&mut self, side: Side, bytes: &[u8], at_ns: i64, fields: &mut Fields) {
        match side {
            Side::Server => self.server_bytes(bytes, at_ns, fields),
            Side::Client => self.client_bytes(bytes, at_ns, fields),
        }
    }

    fn server_bytes(&mut self, bytes: &[u8], at_ns: i64, fields: &mut Fields) {
        let mut buffer = std::mem::take(&mut self.smtp.server);
        buffer.extend_from_slice(bytes);
        // Earlier bytes are searched only once, however small the pieces are.
        if buffer.len() <= LINE_MAX && memchr::memchr(b'\n', bytes).is_none() {
            self.smtp.server = buffer;
            return;
        }
        let mut rest = buffer.as_slice();
        while let Some((line, after)) = self.cut_line(rest) {
            rest = after;
            self.reply_line(&line, at_ns, fields);
            if self.tls.is_some() {
                // Bytes of the server after its 220 are already TLS, or do not belong to the dialogue.
                let left = rest.to_vec();
                if !left.is_empty() {
                    self.encrypted(Side::Server, &left, at_ns, fields);
                }
                return;
            }
        }
        if rest.len() > LINE_MAX {
            self.protocol = Protocol::Other;
            return;
        }
        let left = buffer.len() - rest.len();
        buffer.drain(..left);
        self.smtp.server = buffer;
    }

    fn reply_line(&mut self, line: &[u8], at_ns: i64, fields: &mut Fields) {
        let text = String::from_utf8_lossy(line);
        let code =
            line.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse::<u16>().ok());
        let is_last = line.get(3) != Some(&b'-');
        // A reply of several lines counts as one in each packet.
        if let Some(code) = code.filter(|_| !self.smtp.is_within_reply || fields.responses.is_empty()) {
            fields.response(code);
        }
        self.smtp.is_within_reply = code.is_some() && !is_last;
        if text.get(4..).is_some_and(|keyword| keyword.starts_with("XXXXXXXA")) {
            self.odd(Oddity::StartTlsMasked);
        }
        self.line(LineKind::Said, Side::Server, at_ns, shortened(&text));
        let (Some(code), true) = (code, is_last) else { return };
        if self.smtp.mode == Mode::Credentials && code != 334 && code >= 235 && code != 250 {
            self.smtp.mode = Mode::Commands;
        }
        let Some((command, said_ns)) = self.smtp.waiting.pop_front() else { return };
        if let Some(phase) = command.phase() {
            self.step(phase, said_ns, at_ns);
        }
        self.replied(command, code, at_ns, fields);
    }

    fn replied(&mut self, command: Command, code: u16, at_ns: i64, fields: &mut Fields) {
        match (command, self.smtp.mode) {
            (Command::StartTls, Mode::TlsAsked) if code == 220 => {
                let early = std::mem::take(&mut self.smtp.client);
                self.begin_tls(at_ns);
                if !early.is_empty() {
                    // In a capture, a ClientHello may come before the reply. Commands must not get here.
                    if is_hello(&early) {
                        self.encrypted(Side::Client, &early, at_ns, fields);
                    } else {
                        self.odd(Oddity::CommandsBeforeHandshake);
                    }
                }
            }
            (Command::Data, Mode::DataAsked) if code == 354 => {
                self.smtp.mode = Mode::Content;
                self.smtp.content_ns = at_ns;
                self.heard_again(at_ns, fields);
            }
            (Command::StartTls | Command::Data, Mode::TlsAsked | Mode::DataAsked) => {
                self.smtp.mode = Mode::Commands;
                self.heard_again(at_ns, fields);
            }
            _ => {}
        }
    }

    /// Handles the client's input that arrived before the reply.
    fn heard_again(&mut self, at_ns: i64, fields: &mut Fields) {
        let held = std::mem::take(&mut self.smtp.client);
        if !held.is_empty() {
            self.client_bytes(&held, at_ns, fields);
        }
    }

    fn client_bytes(&mut self, bytes: &[u8], at_ns: i64, fields: &mut Fields) {
        if self.smtp.mode == Mode::Commands && self.smtp.client.is_empty() && is_hello(bytes) {
            self.odd(Oddity::HelloWithoutStartTls);
            self.begin_tls(at_ns);
            return self.encrypted(Side::Client, bytes, at_ns, fields);
        }
        if self.completes_nothing(bytes) {
            return self.hold(bytes);
        }
        // Do not copy content.
        let mut joined = std::mem::take(&mut self.smtp.client);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            joined.as_slice()
        };
        loop {
            rest = match self.smtp.mode {
                Mode::Content => self.content(rest, at_ns),
                Mode::Chunk(left) => self.chunk(rest, left, at_ns),
                // The capture will not show a reply.
                Mode::DataAsked if self.is_one_sided => {
                    self.smtp.mode = Mode::Content;
                    self.smtp.content_ns = at_ns;
                    rest
                }
                Mode::DataAsked | Mode::TlsAsked => return self.hold(rest),
                Mode::Commands | Mode::Credentials => match self.cut_line(rest) {
                    Some((line, after)) => {
                        self.command_line(&line, at_ns, fields);
                        after
                    }
                    None => break,
                },
            };
            if rest.is_empty() || self.tls.is_some() {
                return;
            }
        }
        self.hold(rest);
    }

    /// True if these bytes end no line, or must wait for the server's reply.
    fn completes_nothing(&self, bytes: &[u8]) -> bool {
        match self.smtp.mode {
            Mode::TlsAsked => true,
            Mode::DataAsked => !self.is_one_sided,
            Mode::Commands | Mode::Credentials => memchr::memchr(b'\n', bytes).is_none(),
            Mode::Content | Mode::Chunk(_) => false,
        }
    }

    /// Keeps the client's input for later.
    fn hold(&mut self, bytes: &[u8]) {
        let room = LINE_MAX.saturating_sub(self.smtp.client.len());
        self.smtp.client.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room && matches!(self.smtp.mode, Mode::Commands | Mode::Credentials) {
            self.protocol = Protocol::Other;
            self.smtp.client = Vec::new();
        }
    }

    /// Reads up to the end of the content. Returns the bytes after it, or bytes that may be part of the end.
    fn content<'a>(&mut self, bytes: &'a [u8], at_ns: i64) -> &'a [u8] {
        const END: &[u8] = b"\r\n.\r\n";
        let is_at_begin = self.smtp.content_bytes == 0;
        let end = if is_at_begin && bytes.starts_with(b".\r\n") {
            Some(3)
        } else {
            memchr::memmem::find(bytes, END).map(|at| at + END.len())
        };
        self.show(&bytes[..end.unwrap_or(bytes.len())], at_ns);
        match end {
            Some(end) => {
                self.smtp.content_bytes += end as u64;
                self.end_of_content(at_ns);
                &bytes[end..]
            }
            None => {
                // The end may be split over two pieces.
                let kept = bytes.len().min(END.len() - 1);
                self.smtp.content_bytes += (bytes.len() - kept) as u64;
                self.smtp.client = bytes[bytes.len() - kept..].to_vec();
                &[]
            }
        }
    }

    /// Keeps content, if it is requested.
    fn show(&mut self, content: &[u8], at_ns: i64) {
        if self.show_content {
            for line in content.split(|byte| *byte == b'\n') {
                self.line(LineKind::Content, Side::Client, at_ns, shortened(&String::from_utf8_lossy(line)));
            }
        }
    }

    fn end_of_content(&mut self, at_ns: i64) {
        let bytes = std::mem::take(&mut self.smtp.content_bytes);
        self.messages += 1;
        self.line(LineKind::Content, Side::Client, at_ns, format!("… {bytes} bytes of content"));
        self.step(Phase::Data, self.smtp.content_ns, at_ns);
        self.wait(Command::EndOfData, at_ns);
        self.smtp.mode = Mode::Commands;
    }

    fn chunk<'a>(&mut self, bytes: &'a [u8], left: u64, at_ns: i64) -> &'a [u8] {
        let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - here as u64;
        self.smtp.mode = if left == 0 { Mode::Commands } else { Mode::Chunk(left) };
        self.show(&bytes[..here], at_ns);
        &bytes[here..]
    }

    fn command_line(&mut self, line: &[u8], at_ns: i64, fields: &mut Fields) {
        if self.smtp.mode == Mode::Credentials {
            self.wait(Command::Auth, at_ns);
            return self.line(LineKind::Credentials, Side::Client, at_ns, "… credentials".to_owned());
        }
        let text = String::from_utf8_lossy(line);
        let (verb, parameter) = text.split_once(' ').unwrap_or((&text, ""));
        fields.command(verb, parameter);
        let (command, mode) = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" | "LHLO" => (Command::Ehlo, Mode::Commands),
            "STARTTLS" => (Command::StartTls, Mode::TlsAsked),
            "AUTH" => (Command::Auth, Mode::Credentials),
            "MAIL" => (Command::Mail, Mode::Commands),
            "RCPT" => (Command::Rcpt, Mode::Commands),
            "DATA" => (Command::Data, Mode::DataAsked),
            "BDAT" => {
                let size = parameter.split(' ').next().and_then(|size| size.parse().ok()).unwrap_or(0);
                let is_last = parameter.to_ascii_uppercase().ends_with("LAST");
                self.messages += u64::from(is_last);
                let command = if is_last { Command::EndOfData } else { Command::Data };
                (command, if size > 0 { Mode::Chunk(size) } else { Mode::Commands })
            }
            "QUIT" => (Command::Quit, Mode::Commands),
            _ => (Command::Other, Mode::Commands),
        };
        self.smtp.mode = mode;
        let shown = match (command, parameter.split_once(' ')) {
            // The text after the mechanism may be a password.
            (Command::Auth, Some((mechanism, _))) => format!("{verb} {mechanism} … credentials"),
            _ => shortened(&text),
        };
        self.line(LineKind::Said, Side::Client, at_ns, shown);
        self.wait(command, at_ns);
    }

    fn wait(&mut self, command: Command, at_ns: i64) {
        if self.smtp.waiting.len() < WAITING_MAX {
            self.smtp.waiting.push_back((command, at_ns));
        }
    }

    /// The first line without its end, and the rest.
    fn cut_line<'a>(&mut self, bytes: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let end = memchr::memchr(b'\n', bytes)?;
        let line = match bytes[..end].strip_suffix(b"\r") {
            Some(line) => line,
            None => {
                self.odd(Oddity::BareLineFeed);
                &bytes[..end]
            }
        };
        Some((line.to_vec(), &bytes[end + 1..]))
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= LINE_BYTES_MAX);
    end.map_or_else(|| text.to_owned(), |end| format!("{}…", &text[..end]))
}

fn since(from_ns: i64, to_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0))
}
