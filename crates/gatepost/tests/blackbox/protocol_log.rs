//! The protocol logs of a node: what is in them, what is not, and what becomes of mail when they cannot be written.

use std::{fs, path::Path, process::Command};

use ::trace::protocol_log::{LogType, Row, RowKind, Session, read, sessions};
use lab::{Device, Options, Server, namespace::unshare};

use crate::support::{Exim, Node, swaks, wait_for};

/// All sessions of a log.
fn log(node: &Node, folder: &str, log_type: LogType) -> Vec<Session> {
    let Ok(entries) = fs::read_dir(node.path("data/protocol-log").join(folder)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files {
        let log = read(&fs::read(&file).unwrap());
        assert_eq!((log.log_type, log.rows_skipped), (Some(log_type), 0), "{}", file.display());
        rows.extend(log.rows);
    }
    sessions(rows)
}

/// Waits for the log to have a whole session, and returns the last one.
fn whole_session(node: &Node, folder: &str, log_type: LogType) -> Session {
    wait_for(&format!("a whole session in {folder}"), || {
        let is_whole = |session: &Session| session.rows.last().is_some_and(|row| row.kind == RowKind::Disconnect);
        log(node, folder, log_type).into_iter().rev().find(|session| is_whole(session) && session.rows.len() > 8)
    })
}

/// Symbol and text of each row.
fn said<'a>(session: &'a Session) -> Vec<(&'static str, &'a str)> {
    let text = |row: &'a Row| if row.data.is_empty() { row.context.as_str() } else { row.data.as_str() };
    session.rows.iter().map(|row| (row.kind.symbol(), text(row))).collect()
}

fn assert_is_in_order(session: &Session) {
    let numbers: Vec<u32> = session.rows.iter().map(|row: &Row| row.sequence).collect();
    assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
    assert!(session.id.len() == 16 && session.id.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')), "{}", session.id);
}

#[test]
fn root_both_sides_are_written_down_without_content() {
    let exim = Exim::start_with_rc4_only();
    let node = Node::to_port(exim.port).connector("tls_policy = \"legacy\"\n").start();
    swaks(node.port, &["--to", "user@onprem.test", "--tls", "--body", "a secret between two", "--auth-hide-password"]);
    let row = node.wait_for_status("user@onprem.test", "Delivered");
    let events = row["events"].as_array().unwrap();

    let receive = whole_session(&node, "SmtpReceive", LogType::Receive);
    assert_is_in_order(&receive);
    assert_eq!(receive.id, events[0]["session"].as_str().unwrap());
    assert_eq!(receive.rows[0].connector, "edge-1\\Inbound");
    assert_eq!(receive.rows[0].local, format!("127.0.0.1:{}", node.port));
    let lines = said(&receive);
    assert_eq!(&lines[..3], [("+", ""), (">", "220 edge.test ESMTP Gatepost"), ("<", "EHLO client.test")]);
    let tls = lines.iter().find(|(_, text)| text.starts_with("TLS protocol ")).unwrap();
    assert!(
        tls.1.starts_with(
            "TLS protocol SP_PROT_TLS1_3_SERVER negotiation succeeded using bulk encryption algorithm \
             CALG_AES_256 with strength 256 bits, MAC hash algorithm CALG_SHA_384"
        ),
        "{tls:?}"
    );
    let mail = lines.iter().position(|line| *line == ("<", "MAIL FROM:<alice@partner.test>")).unwrap();
    assert_eq!(lines[mail + 1], (">", "250 2.1.0 Sender OK"));
    assert_eq!(lines.last(), Some(&("-", "Local")));

    let send = whole_session(&node, "SmtpSend", LogType::Send);
    assert_is_in_order(&send);
    assert_eq!(send.id, events.last().unwrap()["attempt"]["session"].as_str().unwrap());
    assert_eq!(send.rows[0].connector, "onprem");
    let lines = said(&send);
    assert_eq!(&lines[..2], [("*", "attempting to connect"), ("+", "")]);
    let tls = lines.iter().find(|(_, text)| text.starts_with("TLS protocol ")).unwrap();
    assert!(
        tls.1.starts_with(
            "TLS protocol SP_PROT_TLS1_0_CLIENT negotiation succeeded using bulk encryption algorithm CALG_RC4 with \
             strength 128 bits, MAC hash algorithm CALG_SHA"
        ),
        "{tls:?}"
    );
    assert!(lines.contains(&(">", "RCPT TO:<user@onprem.test>")), "{lines:#?}");
    for session in [&receive, &send] {
        assert!(!format!("{session:?}").contains("secret"), "{session:#?}");
    }
}

#[test]
fn root_a_failed_handshake_is_worded_as_schannel_would() {
    let exim = Exim::start_with_rc4_only();
    let node = Node::to_port(exim.port).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_failure();
    let send = whole_session(&node, "SmtpSend", LogType::Send);
    let lines = said(&send);
    assert!(lines.contains(&("*", "TLS negotiation failed with error AlgorithmMismatch")), "{lines:#?}");
    assert!(
        lines.iter().any(|(_, text)| text.contains("server sent alert 40 handshake_failure (fatal)")),
        "{lines:#?}"
    );
}

#[test]
fn credentials_are_not_written_down() {
    let node = Node::to_port(9).start();
    let mut client = crate::support::script::Client::connect(node.port);
    client.say("EHLO client.test");
    // In whatever way they are sent, and before the refusal is heard.
    client.send(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nAUTH\tPLAIN\tAGFsaWNlAHNlY3JldA==\r\n");
    client.send(b"AUTH LOGIN\r\nAGFsaWNlAHNlY3JldA==\r\n");
    (0..4).for_each(|_| drop(client.reply()));
    client.say("QUIT");
    let receive = whole_session(&node, "SmtpReceive", LogType::Receive);
    assert!(!format!("{receive:?}").contains("AGFsaWNlAHNlY3JldA"), "{receive:#?}");
    assert!(said(&receive).contains(&("<", "<unrecognized, 20 bytes>")), "{receive:#?}");
}

#[test]
fn each_side_has_its_switch() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port())
        .connector("protocol_log = false\n")
        .more("[protocol_log]\nreceive = false\n")
        .start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    // SIGTERM writes what is still in memory.
    let mut node = node;
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    assert!(log(&node, "SmtpSend", LogType::Send).is_empty());
    assert!(log(&node, "SmtpReceive", LogType::Receive).is_empty());
}

fn deliver(node: &Node, server: &Server, number: usize) {
    swaks(node.port, &["--to", "user@onprem.test"]);
    wait_for("delivery", || (server.messages_taken() >= number).then_some(()));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_once_and_mail_goes_on() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    // A file stands where the folder should be.
    let node =
        Node::to_port(server.port()).file("logs", b"in the way").more("[protocol_log]\nfolder = \"logs\"\n").start();
    for number in 1..=3 {
        deliver(&node, &server, number);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let told = || node.log().matches("failed to write the protocol log").count();
    // One for each log.
    wait_for("the faults to be told", || (told() == 2).then_some(()));
    fs::remove_file(node.path("logs")).unwrap();
    // From then on it is written again, and what was lost is counted.
    wait_for("the logs to be written again", || {
        deliver(&node, &server, server.messages_taken() + 1);
        let log = node.log();
        let counted =
            log.lines().filter(|line| line.contains("rows_lost") && !line.contains("\"rows_lost\":0")).count();
        (counted == 2).then_some(())
    });
    assert_eq!(told(), 2, "{}", node.log());
}

/// A file system of 64 KiB.
#[test]
fn namespace_a_full_disk_is_told_once_and_mail_goes_on() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let mut node = Node::to_port(server.port()).more("[protocol_log]\nfolder = \"small\"\n").start();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    let small = node.path("small");
    let _ = fs::remove_dir_all(&small);
    fs::create_dir(&small).unwrap();
    node.start_with(|program| in_small_disk(&program, &small));
    let told = |node: &Node| node.log().matches("failed to write the protocol log").count();
    let mut number = 0;
    wait_for("the disk to be full", || {
        number += 1;
        deliver(&node, &server, number);
        (told(&node) > 0).then_some(())
    });
    // Each log fills up once; what follows is not told again.
    for _ in 0..5 {
        number += 1;
        deliver(&node, &server, number);
    }
    assert!(told(&node) <= 2, "{}", node.log());
}

/// The command in a mount namespace of its own, where `folder` is a small file system.
fn in_small_disk(program: &Command, folder: &Path) -> Command {
    let mut command = unshare(&["--mount"]);
    let script = format!("mount -t tmpfs -o size=64k tmpfs {} && exec \"$0\" \"$@\"", folder.display());
    command.args(["sh", "-c", &script]).arg(program.get_program());
    command.args(program.get_args());
    command
}
