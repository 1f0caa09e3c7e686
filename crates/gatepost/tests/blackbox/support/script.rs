//! Both ends in the test's own hands: a destination that answers what a test says, and a client that sends bytes as
//! they are.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// A destination of which each line's answer is chosen by the test.
pub(crate) struct Destination {
    pub port: u16,
    connections: Arc<AtomicU32>,
    heard: Arc<Mutex<Vec<String>>>,
}

/// What to answer to one command: reply lines without the final CRLF, or nothing more at all.
pub(crate) enum Answer {
    Say(&'static str),
    /// Bytes as they are.
    Raw(&'static [u8]),
    Close,
    /// Say nothing and keep the connection.
    Silence,
    /// Keep on sending these lines.
    Endless(&'static str),
}

pub(crate) use Answer::{Close, Endless, Raw, Say, Silence};

impl Destination {
    /// `answer` is asked with the number of the connection (from 1) and the command line; "banner" stands for the
    /// greeting and "." for the end of the content.
    pub(crate) fn start(answer: impl Fn(u32, &str) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    /// One that takes everything, on a port that was dead before.
    pub(crate) fn on(port: u16) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", port)).unwrap(), |_, line| usual(line))
    }

    /// One that takes everything at that listener, except where `answer` has something to say.
    pub(crate) fn listening(
        listener: TcpListener,
        answer: impl Fn(u32, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(listener, move |number, line| answer(number, line).unwrap_or_else(|| usual(line)))
    }

    fn listen(listener: TcpListener, answer: impl Fn(u32, &str) -> Answer + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (connections, heard) = (Arc::<AtomicU32>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (count, lines, answer) = (Arc::clone(&connections), Arc::clone(&heard), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (number, lines) = (count.fetch_add(1, Ordering::Relaxed) + 1, Arc::clone(&lines));
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let _ = converse(&stream.unwrap(), &lines, |line| answer(number, line));
                });
            }
        });
        Self { port, connections, heard }
    }

    /// One that takes everything, except where `answer` has something to say.
    pub(crate) fn taking(answer: impl Fn(u32, &str) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::start(move |number, line| answer(number, line).unwrap_or_else(|| usual(line)))
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// All command lines so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

pub(crate) fn usual(line: &str) -> Answer {
    match line.get(..4).unwrap_or(line) {
        "bann" => Say("220 scripted.test ESMTP"),
        "EHLO" => Say("250-scripted.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE"),
        "DATA" => Say("354 go on"),
        "QUIT" => Say("221 bye"),
        "." => Say("250 2.0.0 taken"),
        _ => Say("250 ok"),
    }
}

/// Returns true if the connection goes on.
fn give(stream: &TcpStream, answer: Answer) -> std::io::Result<bool> {
    let mut writer = stream;
    match answer {
        Say(text) => writer.write_all(format!("{text}\r\n").as_bytes())?,
        Raw(bytes) => writer.write_all(bytes)?,
        Close => return Ok(false),
        Silence => {
            thread::sleep(Duration::from_secs(60));
            return Ok(false);
        }
        Endless(text) => loop {
            writer.write_all(text.as_bytes())?;
        },
    }
    Ok(true)
}

fn converse(stream: &TcpStream, heard: &Mutex<Vec<String>>, answer: impl Fn(&str) -> Answer) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    if !give(stream, answer("banner"))? {
        return Ok(());
    }
    let (mut line, mut in_content) = (Vec::new(), false);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if in_content && text != "." {
            continue;
        }
        heard.lock().unwrap().push(text.clone());
        let said = answer(&text);
        in_content = text == "DATA" && matches!(said, Say(reply) if reply.starts_with("354"));
        if !give(stream, said)? {
            return Ok(());
        }
    }
}

/// A client that says what it is told to.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects and reads the banner.
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("a banner with 220")
    }

    /// `None` where the banner is another.
    pub(crate) fn try_connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { reader: BufReader::new(stream) };
        client.reply().starts_with("220 ").then_some(client)
    }

    /// On a connection that is there; nothing was read yet.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// Sends a line and reads its reply.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// A whole reply, its lines joined by `\n`; empty where the connection ended.
    pub(crate) fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return text;
            }
            text.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return text;
            }
            text.push('\n');
        }
    }

    /// EHLO, MAIL, RCPT and DATA up to 354.
    pub(crate) fn begin_content(&mut self) {
        for (line, code) in [
            ("EHLO client.test", "250"),
            ("MAIL FROM:<alice@partner.test>", "250"),
            ("RCPT TO:<user@onprem.test>", "250"),
            ("DATA", "354"),
        ] {
            let reply = self.say(line);
            assert!(reply.starts_with(code), "{line}: {reply}");
        }
    }

    /// Sends one small message; the reply to its end.
    pub(crate) fn send_message(&mut self, subject: &str) -> String {
        self.begin_content();
        self.say(&format!("Subject: {subject}\r\n\r\ntext\r\n."))
    }
}
