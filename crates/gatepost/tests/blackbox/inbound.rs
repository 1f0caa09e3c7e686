//! What a node takes and what it refuses, and that bad input ends in a clear reply while the node lives on.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Node,
    foreign::try_swaks,
    script::{Client, Destination},
};

fn node() -> (Node, Destination) {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).inbound("size_max = \"1MiB\"\nline_max = \"4KiB\"").start();
    (node, destination)
}

fn assert_alive(node: &Node) {
    assert!(Client::connect(node.port).send_message("still alive").starts_with("250"), "{}", node.log());
}

/// No open relay: whatever way a foreign domain is written, it is refused, and with it the message.
#[test]
fn mail_for_other_domains_is_refused() {
    let (node, destination) = node();
    for recipient in [
        "user@elsewhere.test",
        "user@onprem.test.elsewhere.test",
        "user@sub.onprem.test",
        "user%elsewhere.test@onprem.test@elsewhere.test",
        "@onprem.test:user@elsewhere.test",
        "elsewhere.test!user@elsewhere.test",
        "user@[127.0.0.1]",
        "user@127.0.0.1",
        "user",
        "\"user@elsewhere.test\"@elsewhere.test",
        "",
    ] {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        client.say("MAIL FROM:<alice@partner.test>");
        let reply = client.say(&format!("RCPT TO:<{recipient}>"));
        assert!(reply.starts_with('5'), "{recipient}: {reply}");
        let reply = client.say("DATA");
        assert!(reply.starts_with("503") || reply.starts_with("554"), "{recipient}: {reply}");
    }
    // Percent hack and bang path within an accepted domain are local parts like any other: never rewritten.
    for recipient in ["user%elsewhere.test@onprem.test", "elsewhere.test!user@onprem.test"] {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        client.say("MAIL FROM:<alice@partner.test>");
        let reply = client.say(&format!("RCPT TO:<{recipient}>"));
        if reply.starts_with("250") {
            client.say("DATA");
            client.say("Subject: literal\r\n\r\n.");
            node.wait_for_status(recipient, "Delivered");
            assert!(destination.heard().iter().any(|line| line.contains(&format!("RCPT TO:<{recipient}>"))));
        } else {
            assert!(reply.starts_with('5'), "{recipient}: {reply}");
        }
    }
    let output = try_swaks(node.port, &["--to", "user@elsewhere.test"]);
    assert_eq!(output.status.code(), Some(24), "swaks: no recipient was taken");
    assert!(destination.heard().iter().all(|line| !line.contains("@elsewhere.test>")));
}

#[test]
fn the_size_limit_is_announced_and_kept() {
    let (node, destination) = node();
    let mut client = Client::connect(node.port);
    assert!(client.say("EHLO client.test").contains("SIZE 1048576"));
    let reply = client.say("MAIL FROM:<alice@partner.test> SIZE=1048577");
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    client.begin_content();
    for _ in 0..1200 {
        client.send(&[&[b'x'; 998][..], b"\r\n"].concat());
    }
    let reply = client.say(".");
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert!(node.trace().is_empty());
    // The session goes on.
    assert!(client.say("RSET").starts_with("250"));
    assert_alive(&node);
    node.wait_until_empty();
    assert_eq!(destination.heard().iter().filter(|line| *line == ".").count(), 1);
}

/// Each of these gets an error that says what is wrong, and no message comes of it.
#[test]
fn bad_bytes_are_refused() {
    let (node, _destination) = node();
    let content: [(&[u8], &str); 4] = [
        (b"Subject: a\n\ntext\r\n.\r\n", "5"),
        (b"Subject: a\r\n\r\nte\0xt\r\n.\r\n", "5"),
        (b"Subject: a\r\n\r\nte\rxt\r\n.\r\n", "5"),
        (b"Subject: a\r\n\r\ntext\r\n.\n.\r\n.\r\n", "5"),
    ];
    for (bytes, expected) in content {
        let mut client = Client::connect(node.port);
        client.begin_content();
        client.send(bytes);
        let reply = client.reply();
        assert!(reply.starts_with(expected), "{}: {reply}", bytes.escape_ascii());
    }
    for line in
        [&b"MAIL FROM:<\xfc@partner.test>\r\n"[..], b"MAIL FROM:<a\0b@partner.test>\r\n", b"\xff\xfe\r\n", b"\0\r\n"]
    {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        client.send(line);
        let reply = client.reply();
        assert!(reply.starts_with('5'), "{}: {reply}", line.escape_ascii());
    }
    assert!(node.trace().is_empty());
    assert_alive(&node);
}

/// An endless line, in a command and in content, is answered and takes no memory.
#[test]
fn endless_lines_end() {
    let (node, _destination) = node();
    let before = node.memory_kib();
    for in_content in [false, true] {
        let mut client = Client::connect(node.port);
        if in_content {
            client.begin_content();
        }
        let stream = client.stream();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            if (&*stream).write_all(&piece).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = (&*stream).write_all(b"\r\n.\r\n");
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = (&*stream).read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with('5') || answer.starts_with("421") || answer.is_empty(), "{answer}");
    }
    assert!(node.memory_kib() < before + 20 * 1024, "{} KiB before, {} after", before, node.memory_kib());
    assert_alive(&node);
}

/// Many large messages at once: the memory of a session does not grow with its message.
#[test]
fn bodies_stream() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).start();
    let before = node.memory_kib();
    let senders = (0..8).map(|_| {
        let port = node.port;
        thread::spawn(move || {
            let mut client = Client::connect(port);
            client.begin_content();
            let piece = format!("{}\r\n", "x".repeat(998)).repeat(1000);
            for _ in 0..30 {
                client.send(piece.as_bytes());
            }
            assert!(client.say(".").starts_with("250"));
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut most = 0;
    while senders.iter().any(|sender| !sender.is_finished()) {
        most = most.max(node.memory_kib());
        thread::sleep(Duration::from_millis(10));
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    node.wait_until_empty();
    // 8 messages of 30 MB are 240 MB; the store's caches are in it too.
    assert!(most < before + 100 * 1024, "{before} KiB before, {most} KiB at most");
}

#[test]
fn a_slow_client_is_cut_off_and_told_why() {
    let destination = Destination::taking(|_, _| None);
    let inbound = "command_timeout = \"1s\"\ndata_timeout = \"1s\"";
    let node = Node::to_port(destination.port).inbound(inbound).start();
    let mut client = Client::connect(node.port);
    assert!(client.reply().starts_with("421 4.4.2"), "while a command is awaited");
    let mut client = Client::connect(node.port);
    client.begin_content();
    client.send(b"Subject: never ends\r\n");
    assert!(client.reply().starts_with("421 4.4.2"), "within content");
    // A byte now and then does not make a client quick.
    let mut client = Client::connect(node.port);
    let began = Instant::now();
    for _ in 0..30 {
        if client.stream().write_all(b"N").is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert!(client.reply().starts_with("421 4.4.2") || began.elapsed() < Duration::from_secs(6));
    assert_alive(&node);
}

#[test]
fn too_many_connections_are_told_so() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).inbound("connections_per_client_max = 3").start();
    // The connection by which the test knew that the node is up may still be counted.
    let open = || crate::support::wait_for("a place", || Client::try_connect(node.port));
    let mut clients: Vec<Client> = (0..3).map(|_| open()).collect();
    let mut refused = String::new();
    TcpStream::connect(("127.0.0.1", node.port)).unwrap().read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("421 4.7.0"), "{refused}");
    assert!(clients.remove(0).say("QUIT").starts_with("221"));
    crate::support::wait_for("a free place", || {
        let mut stream = TcpStream::connect(("127.0.0.1", node.port)).ok()?;
        let mut banner = [0; 3];
        stream.read_exact(&mut banner).ok()?;
        (&banner == b"220").then_some(())
    });
}

/// The header of a proxy at 127.0.0.1 whose client is 203.0.113.9.
const PROXIED: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x12\x34\0\x19";

#[test]
fn a_proxy_says_who_its_client_is() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port)
        .inbound("proxy_from = [\"127.0.0.2/31\"]\nconnections_per_client_max = 3")
        .start();
    let from = |address: [u8; 4], first: &[u8]| {
        let mut stream = crate::support::connect_from(address, node.port);
        stream.write_all(first).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    };
    let banner = |stream: &mut TcpStream| {
        let mut banner = [0; 4];
        match stream.read_exact(&mut banner) {
            Ok(()) => String::from_utf8_lossy(&banner).into_owned(),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                String::new()
            }
            Err(error) => panic!("neither a banner nor an end: {error}"),
        }
    };
    let mut client = Client::over(from([127, 0, 0, 2], PROXIED));
    assert!(client.reply().starts_with("220 "));
    assert!(client.send_message("through a proxy").starts_with("250"));
    node.wait_until_empty();
    assert_eq!(node.trace()[0]["events"][0]["from"], "203.0.113.9");
    // Connections are counted for the client.
    let others = ["220 ", "220 ", "421 "].map(|expected| {
        let mut other = from([127, 0, 0, 3], PROXIED);
        assert_eq!(banner(&mut other), expected);
        other
    });
    // The proxy's own check, and what is not a proxy's.
    let check = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    assert_eq!(banner(&mut from([127, 0, 0, 3], check)), "220 ");
    assert_eq!(banner(&mut from([127, 0, 0, 3], b"EHLO client.test\r\nQUIT\r\n")), "", "no header, no banner");
    let mut stranger = Client::over(from([127, 0, 0, 9], b""));
    assert!(stranger.reply().starts_with("220 "));
    stranger.send(PROXIED);
    assert!(stranger.reply().starts_with('5'), "a stranger is nobody's proxy");
    drop(others);
}

/// CVE-2011-0411: what is sent in clear behind STARTTLS is not taken for part of the session under TLS.
#[test]
fn bytes_behind_starttls_are_discarded() {
    let (node, destination) = node();
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    client.send(b"STARTTLS\r\nMAIL FROM:<injected@partner.test>\r\nRCPT TO:<user@onprem.test>\r\n");
    assert!(client.reply().starts_with("220"));
    // Nothing answers the injected commands; the handshake is waited for.
    client.stream().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(client.reply(), "");
    assert!(destination.heard().is_empty() && node.trace().is_empty());
    assert_alive(&node);
}
