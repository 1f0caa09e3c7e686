//! Mail from swaks and smtp-source, through a node, to Postfix, Exim and smtp-sink: it arrives, and unchanged.

use crate::support::{Exim, Node, Postfix, SmtpSink, foreign::MailServer, script::Client, smtp_source, swaks};

/// STARTTLS on both sides, with OpenSSL (Postfix) and GnuTLS (Exim) behind.
fn arrives_with_tls_on_both_sides(server: &MailServer, tls_in_its_received_field: &str) {
    let node = Node::to_port(server.port).connector("tls = \"require\"").start();
    let dialogue = swaks(node.port, &["--to", "user@onprem.test", "--tls", "--header", "Subject: over TLS"]);
    assert!(dialogue.contains("=== TLS started with cipher TLSv1.3"), "{dialogue}");
    let message = String::from_utf8(server.wait_for_messages(1).remove(0)).unwrap();
    assert!(message.contains("Subject: over TLS"), "{message}");
    // What the gateway says of the way in (RFC 3848), the server of the way on.
    assert!(message.contains("by edge.test (Gatepost) with ESMTPS"), "{message}");
    assert!(message.contains(tls_in_its_received_field), "{message}");
    let delivered = node.wait_for_status("user@onprem.test", "Delivered");
    let attempt = delivered["events"].as_array().unwrap().iter().find(|event| event["event"] == "delivered").unwrap();
    assert_eq!(attempt["attempt"]["tls"]["version"], "TLSv1.3", "{attempt}");
}

#[test]
fn swaks_to_postfix_with_tls() {
    arrives_with_tls_on_both_sides(&Postfix::start(), "(using TLSv1.3 with cipher");
}

#[test]
fn root_swaks_to_exim_with_tls() {
    arrives_with_tls_on_both_sides(&Exim::start(), "(TLS1.3) tls TLS_");
}

/// Content that software on the way likes to touch. CRLF lines, with a header and without the final dot.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let header = "From: alice@partner.test\r\nTo: user@onprem.test\r\nDate: Thu, 30 Jul 2026 10:00:00 +0000\r\n\
                  Message-ID: <content@partner.test>\r\n";
    let with = |body: &[u8]| [format!("{header}\r\n").as_bytes(), body].concat();
    let line = "0123456789abcdef".repeat(60) + "\r\n";
    vec![
        ("empty", with(b"")),
        ("dots", with(b".\r\n..\r\n.leading\r\n...\r\ntext.\r\n\r\n.\r\n")),
        ("trailing spaces", with(b"a  \r\n \r\n\t\r\nb \t\r\n")),
        ("8-bit", with("Grüße aus Zürich, 日本語\r\n".as_bytes())),
        ("latin-1", with(b"Gr\xfc\xdfe\r\n")),
        ("long lines", with(format!("{}\r\n", "x".repeat(998)).repeat(3).as_bytes())),
        ("empty lines at the end", with(b"text\r\n\r\n\r\n\r\n")),
        ("5 MB", with(line.repeat(5_000_000 / line.len()).as_bytes())),
    ]
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len() + 100);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}

fn content_is_kept_to_the_byte(server: &MailServer) {
    let node = Node::to_port(server.port).start();
    for (index, (name, content)) in contents().into_iter().enumerate() {
        let mut client = Client::connect(node.port);
        assert!(client.say("EHLO client.test").contains("8BITMIME"));
        assert!(client.say("MAIL FROM:<alice@partner.test> BODY=8BITMIME").starts_with("250"));
        assert!(client.say("RCPT TO:<user@onprem.test>").starts_with("250"));
        if index % 2 == 0 {
            assert!(client.say("DATA").starts_with("354"));
            client.send(&stuffed(&content));
            assert!(client.say(".").starts_with("250"), "{name}");
        } else {
            // In chunks that respect no line (RFC 3030).
            for chunk in content.chunks(100_003) {
                client.send(format!("BDAT {}\r\n", chunk.len()).as_bytes());
                client.send(chunk);
                assert!(client.reply().starts_with("250"), "{name}");
            }
            assert!(client.say("BDAT 0 LAST").starts_with("250"), "{name}");
        }
        let messages = server.wait_for_messages(index + 1);
        let expected = String::from_utf8_lossy(&content).replace("\r\n", "\n");
        let expected = if content.is_ascii() { expected.into_bytes() } else { crlf_to_lf(&content) };
        let kept = messages.iter().filter(|message| message.ends_with(&expected)).count();
        assert_eq!(kept, 1, "{name} was changed on the way");
    }
}

fn crlf_to_lf(content: &[u8]) -> Vec<u8> {
    content.iter().copied().filter(|byte| *byte != b'\r').collect()
}

#[test]
fn content_to_postfix_is_kept_to_the_byte() {
    content_is_kept_to_the_byte(&Postfix::start());
}

#[test]
fn root_content_to_exim_is_kept_to_the_byte() {
    content_is_kept_to_the_byte(&Exim::start());
}

#[test]
fn five_hundred_messages_from_smtp_source() {
    let sink = SmtpSink::start(&[]);
    let node = Node::to_port(sink.port).start();
    for options in [["-s", "20"], ["-s", "1"]] {
        smtp_source(node.port, &[&options[..], &["-d", "-m", "250", "-l", "10240"]].concat());
    }
    sink.wait_for_messages(500);
    node.wait_until_empty();
    assert_eq!(node.trace().iter().filter(|row| row["status"] == "Delivered").count(), 500);
}

/// UTF-8 addresses (RFC 6531) to a server that takes them.
#[test]
fn smtputf8_to_postfix() {
    let server = Postfix::start();
    let node = Node::to_port(server.port).start();
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    assert!(client.say("MAIL FROM:<jürgen@partner.test> SMTPUTF8 BODY=8BITMIME").starts_with("250"));
    assert!(client.say("RCPT TO:<müller@onprem.test>").starts_with("250"));
    assert!(client.say("DATA").starts_with("354"));
    assert!(client.say("Subject: Grüße\r\n\r\ntext\r\n.").starts_with("250"));
    let message = String::from_utf8(server.wait_for_messages(1).remove(0)).unwrap();
    assert!(message.contains("Return-Path: <jürgen@partner.test>"), "{message}");
    assert!(message.contains("with UTF8SMTP"), "{message}");
}
