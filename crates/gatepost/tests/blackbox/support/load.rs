//! Mail without a break, and an account of it at the end: every message that was answered 250 arrives, and a second copy only
//! where the history says that an attempt was interrupted.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Node;

const SENDERS: usize = 4;

/// A destination that remembers how often it took each message, by its Subject.
pub(crate) struct Sink {
    pub port: u16,
    taken: Arc<Mutex<HashMap<String, u32>>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let taken = Arc::default();
        Self { port: start_sink(Arc::clone(&taken)), taken }
    }
}

/// Clients that send until they are told to stop.
pub(crate) struct Load {
    taken: Arc<Mutex<HashMap<String, u32>>>,
    answered: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    senders: Vec<thread::JoinHandle<()>>,
}

/// What came of it.
pub(crate) struct Account {
    /// Messages that were answered 250.
    pub answered: usize,
    /// Those that came more than once, each with an interruption in the history.
    pub twice: usize,
}

impl Load {
    /// To the nodes at these ports, in turn, and on to the sink.
    pub(crate) fn start(ports: &[u16], sink: &Sink) -> Self {
        let (answered, next, stop) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicU64::new(0)), Arc::default());
        let sender = |index: usize| {
            let (next, stop, answered) = (Arc::clone(&next), Arc::clone(&stop), Arc::clone(&answered));
            let ports: Vec<u16> = ports.iter().copied().cycle().skip(index).take(ports.len()).collect();
            thread::spawn(move || {
                for port in ports.iter().cycle() {
                    if AtomicBool::load(&stop, Ordering::Relaxed) {
                        return;
                    }
                    let _ = send(*port, &next, &stop, &answered);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let senders = (0..SENDERS).map(sender).collect();
        Self { taken: Arc::clone(&sink.taken), answered, stop, senders }
    }

    /// Messages that were answered 250 so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Stops the clients, and waits until all has arrived. `node` is any of the nodes.
    pub(crate) fn end(self, node: &Node) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        self.senders.into_iter().for_each(|sender| sender.join().unwrap());
        let answered = std::mem::take(&mut *self.answered.lock().unwrap());
        let missing = || {
            let taken = self.taken.lock().unwrap();
            answered.iter().filter(|subject| !taken.contains_key(*subject)).count()
        };
        let deadline = Instant::now() + Duration::from_secs(90);
        while missing() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(missing(), 0, "of {} messages answered 250", answered.len());
        // What is under way settles before the history is read. A lease that its node never heard of lasts its term.
        while !node.queue().is_empty() {
            assert!(Instant::now() < deadline, "the queue is not empty");
            thread::sleep(Duration::from_millis(100));
        }
        let excused = excused(node);
        let taken = self.taken.lock().unwrap();
        let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
        for (subject, count) in &twice {
            assert_eq!(excused.get(*subject), Some(&true), "{subject} came {count} times");
        }
        println!("{} messages answered 250, all arrived, {} more than once", answered.len(), twice.len());
        Account { answered: answered.len(), twice: twice.len() }
    }
}

/// A destination that remembers how often it took each message, by its Subject.
fn start_sink(taken: Arc<Mutex<HashMap<String, u32>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, taken) = (stream.unwrap(), Arc::clone(&taken));
            // Replies to pipelined commands leave one by one; they must not wait for acknowledgements.
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let _ = serve_sink(&stream, &taken);
            });
        }
    });
    port
}

fn serve_sink(stream: &TcpStream, taken: &Mutex<HashMap<String, u32>>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    writer.write_all(b"220 sink\r\n")?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default() {
            "EHLO" => writer.write_all(b"250-sink\r\n250 PIPELINING\r\n")?,
            "DATA" => {
                writer.write_all(b"354 go\r\n")?;
                let mut subject = String::new();
                loop {
                    line.clear();
                    if reader.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if let Some(value) = line.strip_prefix("Subject: ") {
                        subject = value.trim().to_owned();
                    }
                    if line == ".\r\n" {
                        break;
                    }
                }
                *taken.lock().unwrap().entry(subject).or_default() += 1;
                writer.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n"),
            _ => writer.write_all(b"250 ok\r\n")?,
        }
    }
}

/// Sends messages on one connection until it breaks; `answered` gets those that were answered 250.
fn send(port: u16, next: &AtomicU64, stop: &AtomicBool, answered: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
    let mut reply = |expected: &str| -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || !line.starts_with(expected) {
                return Err(std::io::Error::other(line));
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(());
            }
        }
    };
    reply("220")?;
    writer.write_all(b"EHLO sender.test\r\n")?;
    reply("250")?;
    while !stop.load(Ordering::Relaxed) {
        let subject = format!("message-{}", next.fetch_add(1, Ordering::Relaxed));
        writer.write_all(b"MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@onprem.test>\r\nDATA\r\n")?;
        reply("250")?;
        reply("250")?;
        reply("354")?;
        let body = "x".repeat(2000);
        writer.write_all(format!("Subject: {subject}\r\n\r\n{body}\r\n.\r\n").as_bytes())?;
        reply("250")?;
        answered.lock().unwrap().push(subject);
    }
    Ok(())
}

/// By Subject: true where the history has an interruption, or an attempt that ended after the final dot.
fn excused(node: &Node) -> HashMap<String, bool> {
    let excused = node.trace().into_iter().map(|message| {
        let excused = message["events"].as_array().unwrap().iter().any(|event| {
            event["event"] == "interrupted"
                || (event["event"] == "deferred" && event["failure"]["phase"] == "end-of-data")
        });
        (message["subject"].as_str().unwrap().to_owned(), excused)
    });
    excused.collect()
}
