//! Load and drain for benchmarks with STARTTLS, which Postfix's smtp-source and smtp-sink do not speak.
//!
//! ```text
//! tls_load sink   ADDRESS:PORT VERSION CERTIFICATE KEY           counts messages: a line with the sum, each 5 ms at most
//! tls_load source ADDRESS:PORT VERSION SESSIONS MESSAGES BYTES PER-CONNECTION
//! ```
//!
//! VERSION is the only TLS version that is spoken, 1.2 or 1.3. Sessions are never resumed: each connection pays for its
//! handshake, as connections from the internet do.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion,
};

/// More than any relay's connections at once.
const SINK_THREADS: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sink", address, version, certificate, key] => {
            let mut context = context(SslMethod::tls_server(), version)?;
            context.set_certificate_chain_file(certificate)?;
            context.set_private_key_file(key, SslFiletype::PEM)?;
            context.set_options(SslOptions::NO_TICKET);
            sink(address, &context.build())
        }
        ["source", address, version, sessions, messages, bytes, per_connection] => {
            let mut context = context(SslMethod::tls_client(), version)?;
            context.set_verify(SslVerifyMode::NONE);
            let source = Source {
                address: address.to_owned(),
                context: context.build(),
                left: AtomicU64::new(messages.parse()?),
                body: body(bytes.parse()?),
                per_connection: per_connection.parse()?,
            };
            source.run(sessions.parse()?)
        }
        _ => Err("usage: tls_load sink|source …, see the beginning of its source".into()),
    }
}

fn context(method: SslMethod, version: &str) -> Result<SslContextBuilder> {
    let version = match version {
        "1.2" => SslVersion::TLS1_2,
        "1.3" => SslVersion::TLS1_3,
        _ => return Err("VERSION is 1.2 or 1.3".into()),
    };
    let mut context = SslContextBuilder::new(method)?;
    // One read for a record, not two.
    context.set_read_ahead(true);
    context.set_groups_list("X25519:P-256")?;
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))?;
    Ok(context)
}

fn sink(address: &str, context: &SslContext) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let messages: Arc<AtomicU64> = Arc::default();
    let counted = Arc::clone(&messages);
    thread::spawn(move || {
        let mut told = 0;
        loop {
            thread::sleep(Duration::from_millis(5));
            let now = counted.load(Ordering::Relaxed);
            if now != told {
                println!("{now}");
                told = now;
            }
        }
    });
    // Threads that stay: OpenSSL seeds a random generator for each new one.
    let threads: Vec<_> = (0..SINK_THREADS)
        .map(|_| {
            let (listener, context, messages) = (listener.try_clone()?, context.clone(), Arc::clone(&messages));
            Ok(thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    // A client that goes away is nobody's fault.
                    let _ = receive(client, &context, &messages);
                }
            }))
        })
        .collect::<Result<_>>()?;
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn receive(client: TcpStream, context: &SslContext, messages: &AtomicU64) -> Result<()> {
    client.set_nodelay(true)?;
    let mut plain = BufReader::new(client);
    plain.get_mut().write_all(b"220 sink.test ESMTP\r\n")?;
    read_line(&mut plain)?;
    plain.get_mut().write_all(b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n")?;
    if !read_line(&mut plain)?.starts_with(b"STARTTLS") {
        return Ok(());
    }
    plain.get_mut().write_all(b"220 go ahead\r\n")?;
    let mut stream = BufReader::with_capacity(16 * 1024, Ssl::new(context)?.accept(plain.into_inner())?);
    let mut line = Vec::new();
    loop {
        read_line_into(&mut stream, &mut line)?;
        let reply: &[u8] = match line.get(..4) {
            Some(b"EHLO") => b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            Some(b"DATA") => {
                stream.get_mut().write_all(b"354 go on\r\n")?;
                while read_line_into(&mut stream, &mut line)? != b".\r\n" {}
                messages.fetch_add(1, Ordering::Relaxed);
                b"250 taken\r\n"
            }
            Some(b"QUIT") => {
                stream.get_mut().write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        // Replies to pipelined commands could go together, but the relay's end of it is what is measured.
        stream.get_mut().write_all(reply)?;
    }
}

struct Source {
    address: String,
    context: SslContext,
    left: AtomicU64,
    body: Vec<u8>,
    per_connection: u64,
}

impl Source {
    fn run(self, sessions: usize) -> Result<()> {
        let source = Arc::new(self);
        let threads: Vec<_> = (0..sessions)
            .map(|_| {
                let source = Arc::clone(&source);
                thread::spawn(move || source.work())
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a session panicked")??;
        }
        Ok(())
    }

    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn work(&self) -> Result<()> {
        while self.take() {
            let mut stream = self.connect()?;
            for number in 1.. {
                self.send(&mut stream)?;
                if number >= self.per_connection || !self.take() {
                    break;
                }
            }
            say(&mut stream, b"QUIT\r\n", b'2')?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<BufReader<SslStream<TcpStream>>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let mut plain = BufReader::new(stream);
        reply(&mut plain, b'2')?;
        say(&mut plain, b"EHLO client.test\r\n", b'2')?;
        say(&mut plain, b"STARTTLS\r\n", b'2')?;
        let mut stream = BufReader::new(Ssl::new(&self.context)?.connect(plain.into_inner())?);
        say(&mut stream, b"EHLO client.test\r\n", b'2')?;
        Ok(stream)
    }

    fn send(&self, stream: &mut BufReader<SslStream<TcpStream>>) -> Result<()> {
        say(stream, b"MAIL FROM:<sender@partner.test>\r\n", b'2')?;
        say(stream, b"RCPT TO:<user@onprem.test>\r\n", b'2')?;
        say(stream, b"DATA\r\n", b'3')?;
        say(stream, &self.body, b'2')
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

fn read_line(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    read_line_into(stream, &mut line)?;
    Ok(line)
}

fn read_line_into<'a>(stream: &mut impl BufRead, line: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    line.clear();
    if stream.read_until(b'\n', line)? == 0 {
        return Err("the connection was closed".into());
    }
    Ok(line)
}
