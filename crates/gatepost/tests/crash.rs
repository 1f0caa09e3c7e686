//! `kill -9` at random moments under load: every message that was answered 250 arrives, and a second copy only where
//! the history says that an attempt was interrupted.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const KILLS: u32 = 100;
const SENDERS: u64 = 4;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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

struct Node {
    child: Child,
}

impl Node {
    fn start(folder: &std::path::Path, port: u16) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg("--config")
            .arg(folder.join("gatepost.toml"))
            .arg("serve")
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(folder.join("log")).unwrap());
            thread::sleep(Duration::from_millis(2));
        }
        Self { child }
    }
}

impl Drop for Node {
    /// SIGKILL: the process has no say.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The number of deliveries whose history has an interruption or a failure after the final dot, by Subject.
fn excused(folder: &std::path::Path, messages: u64) -> HashMap<String, bool> {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("--config")
        .arg(folder.join("gatepost.toml"))
        .args(["trace", "--detail", "--format", "json", "--limit", &(messages + 1000).to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let excused = trace["messages"].as_array().unwrap().iter().map(|message| {
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
    let folder = tempfile::tempdir().unwrap();
    let taken: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let (sink_port, port) = (start_sink(Arc::clone(&taken)), free_port());
    let config = format!(
        "[inbound]\nlisten = [\"127.0.0.1:{port}\"]\n\
         [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
         [[connector]]\nname = \"onprem\"\nhosts = [\"127.0.0.1:{sink_port}\"]\n\
         [retry]\nschedule = [\"1s\"]\n"
    );
    std::fs::write(folder.path().join("gatepost.toml"), config).unwrap();
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
    for _ in 0..KILLS {
        let node = Node::start(folder.path(), port);
        // xorshift: spread enough to hit every moment of a message's life.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_millis(20 + random % 200));
        drop(node);
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let node = Node::start(folder.path(), port);
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
    assert!(answered.len() > KILLS as usize, "only {} messages went through: the load was too light", answered.len());
    // What is under way settles before the history is read.
    thread::sleep(Duration::from_secs(1));
    let excused = excused(folder.path(), next.load(Ordering::Relaxed));
    let taken = taken.lock().unwrap();
    let twice: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
    for (subject, count) in &twice {
        assert_eq!(excused.get(*subject), Some(&true), "{subject} came {count} times, with seed {seed}");
    }
    println!("{KILLS} kills, {} messages answered 250, all arrived, {} more than once", answered.len(), twice.len());
    drop(node);
}
