//! The HTTP API while other clients take all the connections that they get.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Node, connect_from, free_port};

/// A busy machine needs up to two seconds. Whom a crowd keeps out waits for its timeouts, ten seconds each.
const AT_ONCE: Duration = Duration::from_secs(5);

const CLIENT: [u8; 4] = [127, 0, 0, 1];
const OTHER_CLIENT: [u8; 4] = [127, 0, 0, 2];

fn node() -> (Node, u16) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let port = free_port();
    (Node::to_port(9).more(&format!("[api]\nlisten = [\"127.0.0.1:{port}\"]\n")).start(), port)
}

/// A request from that address, with its status and how long the answer took.
fn ask(from: [u8; 4], port: u16, path: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut stream = connect_from(from, port);
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{path} from {from:?}: {error}"));
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{path} from {from:?}: {answer:?}"));
    (status.parse().unwrap(), began.elapsed())
}

fn expect_answers(port: u16, crowd: &str) {
    for from in [CLIENT, OTHER_CLIENT] {
        for path in ["/healthz", "/readyz", "/metrics", "/api/v1/incidents"] {
            let (status, took) = ask(from, port, path);
            assert!(status == 200 && took < AT_ONCE, "{crowd}: {path} from {from:?}: {status} after {took:?}");
            println!("{crowd}: {path} from {from:?} after {took:?}");
        }
    }
}

/// Connections that a client opens and holds, whatever the server does with them.
fn crowd(count: usize, port: u16, sent: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect_from(CLIENT, port);
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
        stream.set_nonblocking(true).unwrap();
        // The server may have closed it already.
        let _ = stream.write(sent);
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn idle_clients_half_requests_and_slow_readers_keep_nobody_out() {
    let (_node, port) = node();
    let request = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (name, count, sent) in [
        ("idle clients", 1000, String::new()),
        ("half requests", 1000, "GET /api/v1/message-traces HTTP/1.1\r\nHost: loc".to_owned()),
        ("slow readers", 200, request.repeat(100)),
    ] {
        let crowd = crowd(count, port, sent.as_bytes());
        expect_answers(port, name);
        drop(crowd);
    }
}

/// A client that opens one connection after the other takes places only from itself.
#[test]
fn a_flood_from_one_client_keeps_nobody_else_out() {
    let (_node, port) = node();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    held.push(connect_from(CLIENT, port));
                    if held.len() >= 200 {
                        held.clear();
                    }
                }
            });
        }
        let ends = Instant::now() + Duration::from_secs(3);
        let (mut answers, mut slowest) = (0, Duration::ZERO);
        while Instant::now() < ends {
            for path in ["/healthz", "/readyz", "/api/v1/incidents"] {
                let (status, took) = ask(OTHER_CLIENT, port, path);
                assert_eq!(status, 200, "{path}");
                (answers, slowest) = (answers + 1, slowest.max(took));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        println!("{answers} answers, the slowest after {slowest:?}");
        assert!(slowest < 2 * AT_ONCE, "{slowest:?}");
    });
}
