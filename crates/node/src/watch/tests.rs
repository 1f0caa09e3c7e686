//! Two nodes on one store, in one process: each event is reported by only one of them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use lab::{Device, Options, Server};
use serde_json::Value;
use store::{Backend, Incidents as _};
use tokio::task::JoinSet;

use super::pause;
use crate::{Running, config::Config, running::tests::NoConsole};

/// Accepts every call. Returns the bodies.
fn receiver() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, bodies) = channel();
    thread::spawn(move || {
        while let Some(body) = listener.accept().ok().and_then(|(stream, _)| take_call(stream).ok()) {
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

fn take_call(mut stream: TcpStream) -> std::io::Result<Value> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    Ok(serde_json::from_slice(&body)?)
}

fn config(name: &str, destination: SocketAddr, webhook: SocketAddr, folder: &Path) -> Config {
    let text = format!(
        "[node]\nname = \"{name}\"\nhostname = \"{name}.test\"\n[inbound]\nlisten = [\"127.0.0.1:0\"]\n\
         [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
         [[connector]]\nname = \"onprem\"\nhosts = [\"{destination}\"]\n\
         [retry]\nschedule = [\"300ms\"]\nback_off_first = \"100ms\"\nback_off_max = \"100ms\"\n\
         [watch]\ninterval = \"1h\"\noldest_named = \"200ms\"\nwebhook = \"http://{webhook}/\"\n\
         secret_file = \"secret\"\n"
    );
    Config::parse(&text, &folder.join("gatepost.toml")).unwrap()
}

/// Sends one message.
fn send(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let dialogue = "EHLO c.test\r\nMAIL FROM:<a@partner.test>\r\nRCPT TO:<user@onprem.test>\r\nDATA\r\n";
    for line in dialogue.split_inclusive("\r\n").chain(["Subject: x\r\n\r\nx\r\n.\r\n", "QUIT\r\n"]) {
        thread::sleep(Duration::from_millis(50));
        stream.write_all(line.as_bytes()).unwrap();
    }
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert!(heard.lines().rev().nth(1).unwrap().starts_with("250 "), "{heard}");
}

/// All nodes review at the same moment. There is one turn per millisecond, so most reviews do not get one.
async fn review_by_all(nodes: &[Running]) {
    let mut reviews = JoinSet::new();
    for running in nodes.iter().cycle().take(32) {
        let node = Arc::clone(&running.node);
        reviews.spawn(async move { super::review(&node).await });
    }
    while let Some(review) = reviews.join_next().await {
        review.unwrap().unwrap();
    }
}

/// Reviews until an event is reported, and checks that it is reported only once.
async fn told(nodes: &[Running], bodies: &Receiver<Value>) -> Value {
    for _ in 0..100 {
        review_by_all(nodes).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(body) = bodies.try_recv() {
            // Enough time for a second call.
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(bodies.try_recv().is_err(), "reported twice");
            return body;
        }
    }
    panic!("nothing was reported");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_of_an_incident_once() {
    let server = Server::start(Device::HandshakeReset, Options::default()).unwrap();
    let (webhook, bodies) = receiver();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz").unwrap();
    let store = Backend::open(&folder.path().join("data"), "fleet").unwrap();
    let mut nodes = Vec::new();
    for name in ["mx1", "mx2"] {
        let mut config = config(name, server.address(), webhook, folder.path());
        let own = folder.path().join(name);
        std::fs::create_dir(&own).unwrap();
        let running = Running::start(config.clone(), store.clone(), &own, async |_, _, _| Ok(NoConsole)).await.unwrap();
        // The nodes' own reviews would come first, so they wait for an hour. The reviews of this test do not wait.
        tokio::time::sleep(Duration::from_millis(100)).await;
        config.watch.interval = "1ms".parse().unwrap();
        running.node.config.store(Arc::new(config));
        nodes.push(running);
    }
    let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.node.addresses[0]).collect();
    tokio::task::spawn_blocking(move || addresses.into_iter().for_each(send)).await.unwrap();
    let opened = told(&nodes, &bodies).await;
    server.become_device(Device::Healthy).unwrap();
    let closed = told(&nodes, &bodies).await;
    assert_eq!((&opened["event"], &opened["cause"]), (&"incident.opened".into(), &"handshake-reset".into()));
    assert_eq!((&closed["event"], &closed["closed_because"]), (&"incident.closed".into(), &"mail-flows".into()));
    assert_eq!(opened["incident"], closed["incident"]);
    assert_ne!(opened["id"], closed["id"]);
    assert_eq!(closed["messages_pending_peak"], 2, "{closed:#}");
    assert_eq!(store.incidents(10).await.unwrap().len(), 1);
    for node in nodes {
        node.stop(tokio::time::sleep(Duration::from_secs(5))).await;
    }
    store.close().await;
}

#[test]
fn a_slow_check_is_followed_by_a_longer_pause_but_not_by_an_endless_one() {
    let (second, interval) = (Duration::from_secs(1), Duration::from_secs(5));
    for (last_took, expected) in [
        (Duration::ZERO, interval),
        (second / 10, interval),
        (second, 10 * second),
        // A check that took a minute on a machine that stood still.
        (60 * second, 10 * interval),
    ] {
        assert_eq!(pause(interval, last_took), expected, "{last_took:?}");
    }
}
