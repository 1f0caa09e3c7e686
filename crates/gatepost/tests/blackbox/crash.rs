//! `kill -9`, SIGTERM and SIGHUP at random moments under load: every message that was answered 250 arrives, and a second
//! copy only where the history says that an attempt was interrupted.

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

use crate::support::Node;

const SENDERS: u64 = 4;

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

#[test]
fn what_was_answered_250_survives_kill_9() {
    disturb_under_load(100, kill);
}

#[test]
fn soak_what_was_answered_250_survives_kill_9() {
    disturb_under_load(400, kill);
}

/// Whatever is under way ends in an orderly way, and nothing is sent twice.
#[test]
fn soak_what_was_answered_250_survives_sigterm() {
    let twice = disturb_under_load(50, |node| {
        node.signal("-TERM");
        assert_eq!(node.wait(), Some(0));
        node.start();
    });
    assert_eq!(twice, 0);
}

#[test]
fn soak_what_was_answered_250_survives_sighup() {
    let twice = disturb_under_load(500, |node| node.signal("-HUP"));
    assert_eq!(twice, 0);
}

fn kill(node: &mut Node) {
    node.kill();
    node.start();
}

/// Disturbs a node so often while mail flows. Returns how many messages came more than once.
fn disturb_under_load(times: u32, disturb: impl Fn(&mut Node)) -> usize {
    let taken: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let mut node = Node::to_port(start_sink(Arc::clone(&taken))).retry("schedule = [\"1s\"]").start();
    let port = node.port;
    let answered: Arc<Mutex<Vec<String>>> = Arc::default();
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders = (0..SENDERS).map(|_| {
        let (next, stop, answered) = (Arc::clone(&next), Arc::clone(&stop), Arc::clone(&answered));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = send(port, &next, &stop, &answered);
                thread::sleep(Duration::from_millis(5));
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let seed = std::process::id();
    let mut random = u64::from(seed) | 1;
    for _ in 0..times {
        // xorshift: spread enough to hit every moment of a message's life.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_millis(20 + random % 200));
        disturb(&mut node);
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    let missing = || {
        let taken = taken.lock().unwrap();
        answered.iter().filter(|subject| !taken.contains_key(*subject)).count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while missing() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(missing(), 0, "of {} messages answered 250, with seed {seed}", answered.len());
    assert!(answered.len() > times as usize, "only {} messages went through: the load was too light", answered.len());
    // What is under way settles before the history is read.
    node.wait_until_empty();
    let excused = excused(&node);
    let taken = taken.lock().unwrap();
    let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
    for (subject, count) in &twice {
        assert_eq!(excused.get(*subject), Some(&true), "{subject} came {count} times, with seed {seed}");
    }
    println!("{times} times, {} messages answered 250, all arrived, {} more than once", answered.len(), twice.len());
    twice.len()
}
