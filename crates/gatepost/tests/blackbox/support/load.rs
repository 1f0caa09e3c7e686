//! Mail without a break, and an account of it at the end: every message that was answered 250 arrives, and a second copy only
//! where the history says that an attempt was interrupted.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Node;
pub(crate) use super::sink::Sink;

const SENDERS: usize = 4;

/// Kills the one node, the other, or both, after each of these pauses, and starts them again.
pub(crate) fn kill_in_turn(nodes: &mut [Node; 2], pauses: impl Iterator<Item = Duration>) {
    for (round, pause) in pauses.enumerate() {
        thread::sleep(pause);
        let killed = match round % 3 {
            0 => &mut nodes[..1],
            1 => &mut nodes[1..],
            _ => &mut nodes[..],
        };
        killed.iter_mut().for_each(Node::kill);
        killed.iter_mut().for_each(Node::start);
    }
}

/// Clients that send until they are told to stop.
pub(crate) struct Load {
    sink: Sink,
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
        Self::of(2000, ports, sink)
    }

    /// With messages of this size.
    pub(crate) fn of(bytes: usize, ports: &[u16], sink: &Sink) -> Self {
        let (answered, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let sender = |index: usize| {
            let (sink, stop, answered) = (sink.clone(), Arc::clone(&stop), Arc::clone(&answered));
            let ports: Vec<u16> = ports.iter().copied().cycle().skip(index).take(ports.len()).collect();
            thread::spawn(move || {
                for port in ports.iter().cycle() {
                    if AtomicBool::load(&stop, Ordering::Relaxed) {
                        return;
                    }
                    let _ = send(*port, bytes, &sink, &stop, &answered);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let senders = (0..SENDERS).map(sender).collect();
        Self { sink: sink.clone(), answered, stop, senders }
    }

    /// Messages that were answered 250 so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Sends nothing more.
    pub(crate) fn pause(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops the clients. Returns the messages that were answered 250.
    pub(crate) fn stop(self) -> Vec<String> {
        self.pause();
        self.senders.into_iter().for_each(|sender| sender.join().unwrap());
        std::mem::take(&mut *self.answered.lock().unwrap())
    }

    /// Stops the clients, and waits until all has arrived. `node` is any of the nodes.
    pub(crate) fn end(self, node: &Node) -> Account {
        let sink = self.sink.clone();
        let answered = self.stop();
        let deadline = Instant::now() + Duration::from_secs(90);
        while sink.missing(&answered) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(sink.missing(&answered), 0, "of {} messages answered 250", answered.len());
        // What is under way settles before the history is read. A lease that its node never heard of lasts its term.
        while !node.queue().is_empty() {
            assert!(Instant::now() < deadline, "the queue is not empty");
            thread::sleep(Duration::from_millis(100));
        }
        let (excused, taken) = (excused(node), sink.taken());
        let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
        for (subject, count) in &twice {
            assert_eq!(excused.get(*subject), Some(&true), "{subject} came {count} times");
        }
        println!("{} messages answered 250, all arrived, {} more than once", answered.len(), twice.len());
        Account { answered: answered.len(), twice: twice.len() }
    }
}

/// Sends messages on one connection until it breaks; `answered` gets those that were answered 250.
fn send(port: u16, bytes: usize, sink: &Sink, stop: &AtomicBool, answered: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(25)))?;
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
        let subject = sink.subject();
        writer.write_all(b"MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@onprem.test>\r\nDATA\r\n")?;
        reply("250")?;
        reply("250")?;
        reply("354")?;
        let body = vec!["x".repeat(500); bytes.div_ceil(500)].join("\r\n");
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
