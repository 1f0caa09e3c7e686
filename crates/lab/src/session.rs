//! A device's side of one SMTP session.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, TcpStream},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use openssl::ssl::{Ssl, SslStream};
use socket2::SockRef;

use crate::{
    Device, Message, hello,
    shared::{Role, Shared, lock},
};

/// A client that says nothing for so long is gone.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Maximum length of a command, which limits memory.
const LINE_BYTES_MAX: u64 = 64 * 1024;
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

enum Channel {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Channel {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Session<'a> {
    shared: &'a Shared,
    number: u64,
    role: Role,
    client: IpAddr,
    /// `None` only during the TLS handshake.
    channel: Option<BufReader<Channel>>,
    tls: Option<(String, String)>,
    sender: Option<String>,
    recipients: Vec<String>,
}

/// What to do after a command.
enum Next {
    Command,
    Close,
}

/// Bytes that wait in the kernel of a device that stops reading.
const RECEIVED_UNREAD: usize = 64 * 1024;

/// `number` is the number of the connection.
pub(crate) fn run(stream: TcpStream, number: u64, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    stream.set_nodelay(true)?;
    let client = stream.peer_addr()?.ip();
    let role = shared.role();
    if role.device == Device::LargeMessagesStall {
        // Some kernels would otherwise take megabytes that nobody reads, and the client would not notice before the end.
        SockRef::from(&stream).set_recv_buffer_size(RECEIVED_UNREAD)?;
    }
    let channel = Some(BufReader::new(Channel::Plain(stream)));
    let mut session =
        Session { shared, number, role, client, channel, tls: None, sender: None, recipients: Vec::new() };
    let begins_tls = session.role.device == Device::ImplicitTls;
    if begins_tls && matches!(session.negotiate()?, Next::Close) || !session.greet()? {
        return Ok(());
    }
    loop {
        let Some(line) = session.read_line()? else { return Ok(()) };
        if let Next::Close = session.command(&line)? {
            return Ok(());
        }
    }
}

impl Session<'_> {
    /// False if the client is refused.
    fn greet(&mut self) -> io::Result<bool> {
        let host = self.shared.options.host_name.clone();
        match self.role.device {
            Device::TooManyConnections if self.shared.open_now() > self.shared.options.connections_max => {
                self.reply(&format!("421 4.7.0 {host} Too many connections, try again later"))?;
                return Ok(false);
            }
            Device::DropBeforeBanner => return Ok(false),
            Device::SlowBanner => self.pause(self.shared.options.delay),
            _ => {}
        }
        let software = *self.role.random.choose(&[
            "ESMTP ready",
            "Mail Appliance 4.1 ESMTP",
            "ESMTP MailShield",
            "Secure Mail Relay ready at your service",
        ]);
        self.reply(&format!("220 {host} {software}"))?;
        Ok(true)
    }

    fn command(&mut self, line: &str) -> io::Result<Next> {
        let verb: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
        let verb = verb.to_ascii_uppercase();
        if self.role.device == Device::PipeliningBroken && self.has_more() {
            self.reply("503 5.5.0 Improper use of SMTP command pipelining")?;
            return Ok(Next::Command);
        }
        if let Some(refusal) = self.role.device.refusal(&verb, self.tls.is_some()) {
            self.reply(refusal)?;
            return Ok(Next::Command);
        }
        match verb.as_str() {
            "EHLO" => self.ehlo()?,
            "HELO" => self.reply(&format!("250 {}", self.shared.options.host_name.clone()))?,
            "STARTTLS" => return self.start_tls(),
            "MAIL" => {
                self.sender = Some(path(line));
                self.recipients.clear();
                self.reply("250 2.1.0 Sender OK")?;
            }
            "RCPT" => self.rcpt(path(line))?,
            "DATA" => return self.data(),
            "RSET" => {
                self.sender = None;
                self.recipients.clear();
                self.reply("250 2.0.0 OK")?;
            }
            "NOOP" => self.reply("250 2.0.0 OK")?,
            "QUIT" => {
                self.reply("221 2.0.0 Bye")?;
                return Ok(Next::Close);
            }
            _ => self.reply("500 5.5.1 Command unrecognized")?,
        }
        Ok(Next::Command)
    }

    fn ehlo(&mut self) -> io::Result<()> {
        let mut lines = vec![self.shared.options.host_name.clone()];
        lines.extend(["SIZE 52428800", "PIPELINING", "8BITMIME"].map(str::to_owned));
        match self.role.device {
            _ if self.tls.is_some() => {}
            Device::StartTlsNotOffered => {}
            // As long as the keyword that it replaces.
            Device::StartTlsMasked => lines.push("XXXXXXXA".to_owned()),
            _ => lines.push("STARTTLS".to_owned()),
        }
        lines.push("ENHANCEDSTATUSCODES".to_owned());
        let last = lines.len() - 1;
        let reply: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        self.reply(&reply.join("\r\n"))
    }

    fn start_tls(&mut self) -> io::Result<Next> {
        match self.role.device {
            _ if self.tls.is_some() => {
                self.reply("503 5.5.1 TLS is active already")?;
                return Ok(Next::Command);
            }
            Device::StartTlsNotOffered | Device::StartTlsMasked => {
                self.reply("500 5.5.1 Command unrecognized")?;
                return Ok(Next::Command);
            }
            Device::StartTlsRefused => {
                self.reply("454 4.7.0 TLS not available due to temporary reason")?;
                return Ok(Next::Command);
            }
            _ => self.reply("220 2.0.0 Ready to start TLS")?,
        }
        match self.role.device {
            Device::HandshakeReset => {
                self.wait_for_hello()?;
                self.reset()?;
                Ok(Next::Close)
            }
            Device::HandshakeSwallowed => {
                self.swallow();
                Ok(Next::Close)
            }
            Device::TicketsRefused if self.resumes()? => {
                self.send(&hello::DECODE_ERROR)?;
                Ok(Next::Close)
            }
            _ => self.negotiate(),
        }
    }

    fn negotiate(&mut self) -> io::Result<Next> {
        // Commands pipelined after STARTTLS are dropped with the reader.
        let plain = match self.channel.take().map(BufReader::into_inner) {
            Some(Channel::Plain(stream)) => stream,
            _ => return Ok(Next::Close),
        };
        let stream = match Ssl::new(&self.role.tls)?.accept(plain) {
            Ok(stream) => stream,
            Err(error) => {
                self.shared.note(format!("{}: TLS handshake failed: {error}", self.client));
                return Ok(Next::Close);
            }
        };
        let cipher = stream.ssl().current_cipher().map(|cipher| cipher.name()).unwrap_or_default();
        let is_aes = cipher.contains("AES");
        self.tls = Some((stream.ssl().version_str().to_owned(), cipher.to_owned()));
        self.channel = Some(BufReader::new(Channel::Tls(Box::new(stream))));
        if self.role.device == Device::AesThenSilence && is_aes {
            self.swallow();
            return Ok(Next::Close);
        }
        Ok(Next::Command)
    }

    fn rcpt(&mut self, recipient: String) -> io::Result<()> {
        if self.role.device == Device::Greylisting {
            let triple = (self.client, self.sender.clone().unwrap_or_default(), recipient.clone());
            let first = *lock(&self.shared.greylist).entry(triple).or_insert_with(Instant::now);
            if first.elapsed() < self.shared.options.delay {
                return self.reply("451 4.7.1 Greylisted, please try again later");
            }
        }
        if self.sender.is_none() {
            return self.reply("503 5.5.1 MAIL first");
        }
        self.recipients.push(recipient);
        self.reply("250 2.1.5 Recipient OK")
    }

    fn data(&mut self) -> io::Result<Next> {
        if self.recipients.is_empty() {
            self.reply("503 5.5.1 RCPT first")?;
            return Ok(Next::Command);
        }
        self.reply("354 Send the message, end with a dot")?;
        let Some(content) = self.content()? else { return Ok(Next::Close) };
        match self.role.device {
            Device::DropAfterData => {
                self.reset()?;
                return Ok(Next::Close);
            }
            Device::HangAfterData => {
                self.swallow();
                return Ok(Next::Close);
            }
            _ => {}
        }
        if let Some(refusal) = self.role.device.refusal(".", self.tls.is_some()) {
            self.reply(refusal)?;
            return Ok(Next::Command);
        }
        let message = Message {
            sender: self.sender.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            content,
            tls: self.tls.clone(),
        };
        self.shared.take(message);
        self.reply("250 2.0.0 Message taken")?;
        Ok(Next::Command)
    }

    /// `None` if the connection ended before the end of the content.
    fn content(&mut self) -> io::Result<Option<Vec<u8>>> {
        let stall_at = match self.role.device {
            Device::LargeMessagesStall => self.role.random.between(32, 96) as usize * 1024,
            _ => usize::MAX,
        };
        let mut content = Vec::new();
        loop {
            if content.len() >= stall_at {
                self.pause(IDLE_MAX);
                return Ok(None);
            }
            let before = content.len();
            let Some(channel) = &mut self.channel else { return Ok(None) };
            let read = channel.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut content)?;
            match &content[before..] {
                [] => return Ok(None),
                b".\r\n" => {
                    content.truncate(before);
                    return Ok(Some(content));
                }
                [b'.', ..] => {
                    content.remove(before);
                }
                _ => {}
            }
            if read == 0 || content.len() > MESSAGE_BYTES_MAX {
                return Ok(None);
            }
        }
    }

    fn reply(&mut self, text: &str) -> io::Result<()> {
        self.send(format!("{text}\r\n").as_bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        channel.get_mut().write_all(bytes)
    }

    /// More commands have arrived.
    fn has_more(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| !channel.buffer().is_empty())
    }

    /// The client resumes an earlier TLS session.
    fn resumes(&self) -> io::Result<bool> {
        let Some(channel) = &self.channel else { return Ok(false) };
        hello::resumes(channel.get_ref().socket())
    }

    /// `None` if the client has closed the connection.
    fn read_line(&mut self) -> io::Result<Option<String>> {
        let Some(channel) = &mut self.channel else { return Ok(None) };
        let mut line = Vec::new();
        if channel.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
    }

    /// Some devices read a part of the ClientHello before they reset the connection, others all of it.
    fn wait_for_hello(&mut self) -> io::Result<()> {
        let Some(channel) = &mut self.channel else { return Ok(()) };
        let count = self.role.random.between(1, 64) as usize;
        channel.read_exact(&mut vec![0; count])
    }

    /// Closes with RST, not with FIN.
    fn reset(&mut self) -> io::Result<()> {
        if let Some(channel) = self.channel.take().map(BufReader::into_inner) {
            SockRef::from(channel.socket()).set_linger(Some(Duration::ZERO))?;
            // The server keeps another descriptor of the socket, so closing this one would send nothing.
            self.shared.forget(self.number);
        }
        Ok(())
    }

    /// Reads all input, and never answers.
    fn swallow(&mut self) {
        if let Some(channel) = &mut self.channel {
            let _ = io::copy(channel, &mut io::sink());
        }
    }

    /// Neither reads nor answers, until the device is stopped.
    fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        while Instant::now() < until && !self.shared.stopping.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
        }
    }
}

/// The text between angle brackets.
fn path(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(String::new, |(address, _)| address.to_owned())
}
