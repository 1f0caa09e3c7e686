//! A destination that remembers what it took, when, and over which connections.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[derive(Clone)]
pub(crate) struct Sink {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Each message takes it this time.
    time: Duration,
    is_closed: AtomicBool,
    /// Number of the next message, so that no two have the same Subject.
    next: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How often, by Subject.
    taken: HashMap<String, u32>,
    /// Of the content, as it came last, by Subject.
    sizes: HashMap<String, usize>,
    /// When, in order.
    times: Vec<Instant>,
    /// Connections that are open, by the name in EHLO.
    open: BTreeMap<String, usize>,
    open_most: usize,
}

impl Seen {
    fn open(&mut self, client: &str) {
        *self.open.entry(client.to_owned()).or_default() += 1;
        self.open_most = self.open_most.max(self.open.values().sum());
    }

    fn close(&mut self, client: &str) {
        self.open.entry(client.to_owned()).and_modify(|open| *open -= 1);
    }

    fn take(&mut self, subject: &str, size: usize) {
        *self.taken.entry(subject.to_owned()).or_default() += 1;
        self.sizes.insert(subject.to_owned(), size);
        self.times.push(Instant::now());
    }
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::taking(Duration::ZERO)
    }

    /// Each message takes it this time.
    pub(crate) fn taking(time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Shared { time, is_closed: AtomicBool::default(), next: AtomicU64::default(), seen: Mutex::default() };
        let shared = Arc::new(shared);
        let there = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&there));
                // Replies to pipelined commands leave one by one; they must not wait for acknowledgements.
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let mut client = None;
                    let _ = serve(&stream, &shared, &mut client);
                    client.inspect(|client: &String| shared.seen.lock().unwrap().close(client));
                });
            }
        });
        Self { port, shared }
    }

    /// From now on, it takes no mail for the moment, or takes it again.
    pub(crate) fn close(&self, is_closed: bool) {
        self.shared.is_closed.store(is_closed, Ordering::Relaxed);
    }

    /// How often each message has come so far, by Subject.
    pub(crate) fn taken(&self) -> HashMap<String, u32> {
        self.shared.seen.lock().unwrap().taken.clone()
    }

    /// How many of these messages have not come.
    pub(crate) fn missing(&self, subjects: &[String]) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        subjects.iter().filter(|subject| !seen.taken.contains_key(*subject)).count()
    }

    /// Of the message with this Subject, if it has come.
    pub(crate) fn size_of(&self, subject: &str) -> Option<usize> {
        self.shared.seen.lock().unwrap().sizes.get(subject).copied()
    }

    /// When messages were taken, in order.
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.shared.seen.lock().unwrap().times.clone()
    }

    /// Connections that are open, by the client's name in EHLO.
    pub(crate) fn open(&self) -> BTreeMap<String, usize> {
        self.shared.seen.lock().unwrap().open.clone()
    }

    /// The most that were open at once.
    pub(crate) fn open_most(&self) -> usize {
        self.shared.seen.lock().unwrap().open_most
    }

    /// A Subject that no other message to it has.
    pub(crate) fn subject(&self) -> String {
        format!("message-{}", self.shared.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// `client` is its name while its connection is open.
fn serve(stream: &TcpStream, shared: &Shared, client: &mut Option<String>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    let seen = || shared.seen.lock().unwrap();
    writer.write_all(b"220 sink\r\n")?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default() {
            "EHLO" | "MAIL" if shared.is_closed.load(Ordering::Relaxed) => {
                return writer.write_all(b"421 4.3.2 not now\r\n");
            }
            "EHLO" => {
                let name = line[4..].trim();
                *client = Some(name.to_owned());
                seen().open(name);
                writer.write_all(b"250-sink\r\n250 PIPELINING\r\n")?;
            }
            "DATA" => {
                writer.write_all(b"354 go\r\n")?;
                let Some((subject, size)) = content(&mut reader)? else { return Ok(()) };
                thread::sleep(shared.time);
                seen().take(&subject, size);
                writer.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => {
                // The client may open another one as soon as it hears this.
                client.take().inspect(|client| seen().close(client));
                return writer.write_all(b"221 bye\r\n");
            }
            _ => writer.write_all(b"250 ok\r\n")?,
        }
    }
}

/// Subject and size; `None` if the connection ended before the final dot.
fn content(reader: &mut impl BufRead) -> std::io::Result<Option<(String, usize)>> {
    let (mut line, mut subject, mut size) = (String::new(), String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == ".\r\n" {
            return Ok(Some((subject, size)));
        }
        if let Some(value) = line.strip_prefix("Subject: ") {
            value.trim().clone_into(&mut subject);
        }
        size += line.len();
    }
}
