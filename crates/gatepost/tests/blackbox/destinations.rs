//! Destinations that fail, each in its own way: the delivery waits or fails with the reason apart from the words, and
//! goes through once it can.

use serde_json::{Value, json};

use crate::support::{
    Node, free_port,
    script::{Answer, Client, Close, Destination, Endless, Raw, Say, Silence},
    swaks, wait_for,
};

fn send(node: &Node) {
    assert!(Client::connect(node.port).send_message("a test").starts_with("250"));
}

fn answer(phase: &'static str, answer: fn() -> Answer) -> Destination {
    Destination::taking(move |_, line| line.starts_with(phase).then(&answer))
}

/// What the queue says of a failure: phase, kind and reply, each apart.
#[test]
fn what_a_destination_does_wrong_is_told_by_phase_kind_and_reply() {
    let garbage: fn() -> Answer = || Raw(b"\x16\x03\x01\x00\xffnot SMTP at all\r\n");
    type Row = (&'static str, fn() -> Answer, &'static str, &'static str, Value);
    let table: [Row; 14] = [
        ("banner", garbage, "banner", "bad-reply", Value::Null),
        (
            "banner",
            || Say("554 5.3.2 go away"),
            "banner",
            "rejected",
            json!({"code": 554, "enhanced": "5.3.2", "text": "go away"}),
        ),
        ("banner", || Close, "banner", "connection-closed", Value::Null),
        ("banner", || Silence, "banner", "timed-out", Value::Null),
        ("banner", || Endless("220-and so on\r\n"), "banner", "bad-reply", Value::Null),
        ("banner", || Endless("x"), "banner", "bad-reply", Value::Null),
        ("EHLO", || Close, "ehlo", "connection-closed", Value::Null),
        (
            "MAIL",
            || Say("451 4.7.1 greylisted"),
            "mail",
            "rejected",
            json!({"code": 451, "enhanced": "4.7.1", "text": "greylisted"}),
        ),
        ("MAIL", || Silence, "mail", "timed-out", Value::Null),
        (
            "RCPT",
            || Say("452 4.2.2 mailbox\tfull"),
            "rcpt",
            "rejected",
            json!({"code": 452, "enhanced": "4.2.2", "text": "mailbox full"}),
        ),
        (
            "DATA",
            || Say("421 4.3.2 closing"),
            "data",
            "rejected",
            json!({"code": 421, "enhanced": "4.3.2", "text": "closing"}),
        ),
        ("DATA", || Raw(b"999 what\r\n"), "data", "bad-reply", Value::Null),
        (".", || Close, "end-of-data", "connection-closed", Value::Null),
        (
            ".",
            || Say("451-4.3.0 local\r\n451 4.3.0 trouble"),
            "end-of-data",
            "rejected",
            json!({"code": 451, "enhanced": "4.3.0", "text": "local\ntrouble"}),
        ),
    ];
    for (at, what, phase, kind, reply) in table {
        let destination = answer(at, what);
        let timeouts = "[connector.timeouts]\nbanner = \"1s\"\nmail = \"1s\"\n";
        let node = Node::to_port(destination.port).connector(timeouts).start();
        send(&node);
        let row = node.wait_for_failure();
        let failure = &row["failure"];
        assert_eq!((&failure["phase"], &failure["kind"]), (&json!(phase), &json!(kind)), "{row:#}");
        let seen = &failure["reply"];
        for key in ["code", "text"] {
            assert_eq!(seen[key], reply[key], "{row:#}");
        }
        assert_eq!(failure["destination"]["port"], json!(destination.port), "{row:#}");
        assert_eq!(row["attempts"], 1);
    }
}

#[test]
fn a_destination_that_was_down_gets_its_mail_at_a_retry() {
    let port = free_port();
    let node = Node::to_port(port).start();
    for _ in 0..3 {
        send(&node);
    }
    wait_for("every delivery to have a place in the queue", || (node.queue().len() == 3).then_some(()));
    let row = node.wait_for_failure();
    assert_eq!(row["failure"]["kind"], "connection-refused");
    assert_eq!(row["failure"]["phase"], "connect");
    assert_eq!(row["waiting"]["waits"], "timer", "{row:#}");
    assert!(row["waiting"]["command"].as_str().unwrap().starts_with("gatepost queue retry"), "{row:#}");

    // What came after the failure waits for the connector, not for a timer.
    send(&node);
    let waits = wait_for("the connector's standing", || {
        node.queue().into_iter().find(|row| row["waiting"]["waits"] == "connector-backed-off")
    });
    assert!(waits["waiting"]["until"].is_string(), "{waits:#}");

    let destination = Destination::on(port);
    let output = node.run(&["queue", "retry", "--all"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    node.wait_until_empty();
    assert_eq!(destination.heard().iter().filter(|line| *line == ".").count(), 4);
    let names = node.trace().last().unwrap()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].clone())
        .collect::<Vec<_>>();
    assert_eq!(names, ["received", "deferred", "retried", "delivered"]);
}

#[test]
fn the_next_host_takes_over() {
    let (dead, second) = (free_port(), Destination::taking(|_, _| None));
    let refusing = Destination::taking(|_, line| (line == "banner").then_some(Say("421 4.3.2 too busy")));
    let hosts = [dead, refusing.port, second.port].map(|port| format!("127.0.0.1:{port}"));
    let node = Node::to(&hosts.each_ref().map(String::as_str)).start();
    for _ in 0..5 {
        send(&node);
    }
    node.wait_until_empty();
    assert_eq!(second.heard().iter().filter(|line| *line == ".").count(), 5);
    assert!(refusing.connections() >= 1);
}

#[test]
fn each_recipient_has_a_result_of_its_own() {
    let destination = Destination::taking(|_, line| match line {
        _ if line.contains("<good@") => None,
        _ if line.contains("<unknown@") => Some(Say("550 5.1.1 no such user")),
        _ if line.contains("<later@") => Some(Say("450 4.2.1 busy")),
        _ => None,
    });
    let node = Node::to_port(destination.port).start();
    swaks(node.port, &["--to", "good@onprem.test,unknown@onprem.test,later@onprem.test", "--from", "<>"]);
    node.wait_for_status("good@onprem.test", "Delivered");
    let unknown = node.wait_for_status("unknown@onprem.test", "Failed");
    let failed = unknown["events"].as_array().unwrap().iter().find(|event| event["event"] == "failed").unwrap();
    assert_eq!(failed["failure"]["reply"]["code"], 550);
    let later = node.wait_for_failure();
    assert_eq!((&later["recipient"], &later["failure"]["reply"]["code"]), (&json!("later@onprem.test"), &json!(450)));
}

/// A message that the destination could only damage fails; it is not mangled, and not tried for a day.
#[test]
fn what_a_destination_lacks_fails_clearly() {
    let destination = Destination::taking(|_, line| line.starts_with("EHLO").then_some(Say("250 plain.test")));
    let node = Node::to_port(destination.port).start();
    let cases: [(&str, &str, &str); 2] = [
        ("MAIL FROM:<alice@partner.test> BODY=8BITMIME", "eight@onprem.test", "8BITMIME"),
        ("MAIL FROM:<alice@partner.test> SMTPUTF8", "ütf@onprem.test", "SMTPUTF8"),
    ];
    for (mail, recipient, extension) in cases {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        assert!(client.say(mail).starts_with("250"));
        assert!(client.say(&format!("RCPT TO:<{recipient}>")).starts_with("250"));
        client.say("DATA");
        assert!(client.say("Subject: Grüße\r\n\r\nGrüße\r\n.").starts_with("250"));
        let row = node.wait_for_status(recipient, "Failed");
        assert_eq!(row["failure"]["kind"], "extension-missing", "{row:#}");
        assert_eq!(row["failure"]["extension"], extension, "{row:#}");
    }
    assert!(destination.heard().iter().all(|line| !line.starts_with("DATA")));
}

#[test]
fn tls_required_and_not_offered_keeps_the_mail() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).connector("tls = \"require\"").start();
    send(&node);
    let row = node.wait_for_failure();
    assert_eq!(
        (&row["failure"]["phase"], &row["failure"]["kind"]),
        (&json!("starttls"), &json!("starttls-not-offered"))
    );
    assert!(destination.heard().iter().all(|line| !line.starts_with("MAIL")));
}

#[test]
fn several_messages_share_a_connection_and_rates_are_kept() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).connector("concurrency = 1\nmessages_per_connection = 4").start();
    for _ in 0..10 {
        send(&node);
    }
    node.wait_until_empty();
    assert!((3..=10).contains(&destination.connections()), "{}", destination.connections());

    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).connector("rate = \"4/s\"").start();
    let began = std::time::Instant::now();
    for _ in 0..9 {
        send(&node);
    }
    node.wait_until_empty();
    assert!(began.elapsed().as_millis() >= 1900, "{:?}", began.elapsed());
}
