//! Code shared by sink and source: TLS contexts, lines, and a client that sends one message after another.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, SslVersion};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A context for one TLS version.
pub(crate) fn context(method: SslMethod, version: &str) -> Result<SslContextBuilder> {
    let version = match version {
        "1.2" => SslVersion::TLS1_2,
        "1.3" => SslVersion::TLS1_3,
        _ => return Err("the TLS version is 1.2 or 1.3".into()),
    };
    let mut context = SslContextBuilder::new(method)?;
    // One read for a record, not two.
    context.set_read_ahead(true);
    context.set_groups_list("X25519:P-256")?;
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))?;
    Ok(context)
}

/// A socket, encrypted or not.
pub(crate) trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// The destination of messages, and their content.
pub(crate) struct Client {
    address: String,
    /// `None`: in plaintext.
    context: Option<SslContext>,
    body: Vec<u8>,
}

/// A greeted connection.
pub(crate) struct Connection(BufReader<Box<dyn Stream>>);

impl Client {
    pub(crate) fn new(address: &str, security: &str, bytes: usize) -> Result<Self> {
        let context = match security {
            "none" => None,
            version => {
                let mut context = context(SslMethod::tls_client(), version)?;
                context.set_verify(SslVerifyMode::NONE);
                Some(context.build())
            }
        };
        Ok(Self { address: address.to_owned(), context, body: body(bytes) })
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let mut plain = BufReader::new(stream);
        reply(&mut plain, b'2')?;
        say(&mut plain, b"EHLO client.test\r\n", b'2')?;
        let Some(context) = &self.context else {
            return Ok(Connection(BufReader::new(Box::new(plain.into_inner()))));
        };
        say(&mut plain, b"STARTTLS\r\n", b'2')?;
        let encrypted = Ssl::new(context)?.connect(plain.into_inner())?;
        let mut stream: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(encrypted));
        say(&mut stream, b"EHLO client.test\r\n", b'2')?;
        Ok(Connection(stream))
    }

    /// Sends one message. Returns the time from the start of the content to the reply to the final dot.
    pub(crate) fn send(&self, connection: &mut Connection) -> Result<Duration> {
        let stream = &mut connection.0;
        say(stream, b"MAIL FROM:<sender@partner.test>\r\n", b'2')?;
        say(stream, b"RCPT TO:<user@onprem.test>\r\n", b'2')?;
        say(stream, b"DATA\r\n", b'3')?;
        let begin = Instant::now();
        say(stream, &self.body, b'2')?;
        Ok(begin.elapsed())
    }
}

impl Connection {
    pub(crate) fn quit(mut self) -> Result<()> {
        say(&mut self.0, b"QUIT\r\n", b'2')
    }
}

fn body(bytes: usize) -> Vec<u8> {
    let line = "X".repeat(70) + "\r\n";
    let mut body = b"From: <sender@partner.test>\r\nTo: <user@onprem.test>\r\nSubject: load\r\n\r\n".to_vec();
    body.extend_from_slice(line.repeat(bytes / line.len()).as_bytes());
    body.extend_from_slice(b".\r\n");
    body
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, command: &[u8], class: u8) -> Result<()> {
    stream.get_mut().write_all(command)?;
    reply(stream, class)
}

fn reply<S: Read>(stream: &mut BufReader<S>, class: u8) -> Result<()> {
    loop {
        let line = read_line(stream)?;
        if line.first() != Some(&class) {
            return Err(format!("unexpected reply: {}", String::from_utf8_lossy(&line)).into());
        }
        if line.get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

pub(crate) fn read_line(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    read_line_into(stream, &mut line)?;
    Ok(line)
}

pub(crate) fn read_line_into<'a>(stream: &mut impl BufRead, line: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    line.clear();
    if stream.read_until(b'\n', line)? == 0 {
        return Err("the connection was closed".into());
    }
    Ok(line)
}
