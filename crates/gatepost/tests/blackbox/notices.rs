//! What senders are told, and what is carried on for others to tell (RFC 3461).

use crate::support::{
    Node, Postfix,
    script::{Client, Destination, Say},
    swaks,
};

/// A node whose destination knows nobody, and whose notices go to a real server.
fn node_with_notices_to(port: u16, destination: &Destination) -> Node {
    let more = format!(
        "[[connector]]\nname = \"outgoing\"\nhosts = [\"127.0.0.1:{port}\"]\n[notices]\nconnector = \"outgoing\"\n"
    );
    Node::to_port(destination.port).more(&more).start()
}

fn unknown() -> Destination {
    Destination::taking(|_, line| line.starts_with("RCPT").then_some(Say("550 5.1.1 no such user")))
}

#[test]
fn a_failure_is_told_to_the_sender() {
    let server = Postfix::start();
    let destination = unknown();
    let node = node_with_notices_to(server.port, &destination);
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Subject: to nobody", "--body", "secret text"]);
    let notice = String::from_utf8(server.wait_for_messages(1).remove(0)).unwrap();
    for expected in [
        "Return-Path: <>",
        "From: Mail Delivery System <MAILER-DAEMON@edge.test>",
        "To: <alice@partner.test>",
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Final-Recipient: rfc822;user@onprem.test",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp;550 5.1.1 no such user",
        "Subject: to nobody",
    ] {
        assert!(notice.contains(expected), "{expected} is missing in\n{notice}");
    }
    assert!(!notice.contains("secret text"), "content is not returned");
    let failed = node.wait_for_status("user@onprem.test", "Failed");
    let events: Vec<_> = failed["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events, ["received", "failed", "notified"]);
}

#[test]
fn the_null_sender_and_notify_never_are_told_nothing() {
    let (destination, outgoing) = (unknown(), Destination::taking(|_, _| None));
    let node = node_with_notices_to(outgoing.port, &destination);
    swaks(node.port, &["--to", "null@onprem.test", "--from", "<>"]);
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    client.say("MAIL FROM:<alice@partner.test>");
    client.say("RCPT TO:<never@onprem.test> NOTIFY=NEVER");
    client.say("DATA");
    assert!(client.say("Subject: a\r\n\r\n.").starts_with("250"));
    for recipient in ["null@onprem.test", "never@onprem.test"] {
        node.wait_for_status(recipient, "Failed");
    }
    assert_eq!(node.trace().len(), 2, "a notice was made");
    assert_eq!(outgoing.connections(), 0);
}

#[test]
fn a_delay_and_the_end_of_the_wait_are_told() {
    let destination = Destination::taking(|_, line| line.starts_with("RCPT").then_some(Say("450 4.2.1 busy")));
    let server = Postfix::start();
    let more = format!(
        "[[connector]]\nname = \"outgoing\"\nhosts = [\"127.0.0.1:{}\"]\n[notices]\nconnector = \"outgoing\"\n",
        server.port
    );
    let retry = "schedule = [\"1s\"]\ndelay_notice = \"2s\"\nexpire = \"5s\"\n";
    let node = Node::to_port(destination.port).retry(retry).more(&more).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    let notices = server.wait_for_messages(2).into_iter().map(|notice| String::from_utf8(notice).unwrap());
    let notices: Vec<String> = notices.collect();
    let with = |text: &str| notices.iter().filter(|notice| notice.contains(text)).count();
    assert_eq!((with("Action: delayed"), with("Action: failed")), (1, 1), "{notices:#?}");
    assert_eq!((with("Will-Retry-Until: "), with("Status: 5.4.7"), with("450 4.2.1 busy")), (1, 1, 2), "{notices:#?}");
    let row = node.wait_for_status("user@onprem.test", "Failed");
    assert_eq!((&row["failure"]["kind"], &row["failure"]["cause"]["kind"]), (&"expired".into(), &"rejected".into()));
}

#[test]
fn dsn_parameters_are_carried_to_the_end() {
    let destination = Destination::taking(|_, line| {
        line.starts_with("EHLO").then_some(Say("250-dsn.test\r\n250-PIPELINING\r\n250 DSN"))
    });
    let node = Node::to_port(destination.port).start();
    let mut client = Client::connect(node.port);
    assert!(client.say("EHLO client.test").contains("DSN"));
    assert!(client.say("MAIL FROM:<alice@partner.test> RET=HDRS ENVID=QQ+2B314").starts_with("250"));
    let rcpt = "RCPT TO:<user@onprem.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Buser@onprem.test";
    assert!(client.say(rcpt).starts_with("250"));
    client.say("DATA");
    assert!(client.say("Subject: a\r\n\r\n.").starts_with("250"));
    node.wait_until_empty();
    let heard = destination.heard();
    let mail = heard.iter().find(|line| line.starts_with("MAIL")).unwrap();
    assert!(mail.contains("RET=HDRS") && mail.contains("ENVID=QQ+2B314"), "{mail}");
    let rcpt = heard.iter().find(|line| line.starts_with("RCPT")).unwrap();
    assert!(rcpt.contains("NOTIFY=SUCCESS,DELAY") && rcpt.contains("ORCPT=rfc822;old+2Buser@onprem.test"), "{rcpt}");
}
