//! What senders are told, and what is carried on for others to tell (RFC 3461). Senders may be forged, and destinations
//! may be strangers: neither may flood somebody, fill the disk or reach into a private network.

use serde_json::Value;

use crate::support::{
    Node, Postfix,
    foreign::NameServer,
    script::{Client, Destination, Say},
    swaks, wait_for,
};

/// Settings by which notices leave for a port of this machine.
fn notices_to(port: u16, settings: &str) -> String {
    format!(
        "[[connector]]\nname = \"outgoing\"\nhosts = [\"127.0.0.1:{port}\"]\n\
         [notices]\nconnector = \"outgoing\"\n{settings}\n"
    )
}

/// A node whose destination knows nobody, and whose notices go to another server.
fn node_with_notices_to(port: u16, destination: &Destination) -> Node {
    Node::to_port(destination.port).more(&notices_to(port, "")).start()
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
    assert_eq!(events(&failed), ["received", "failed", "notified"]);
}

fn events(row: &Value) -> Vec<&str> {
    row["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Sends one message of 45 KB from alice@partner.test.
fn send(node: &Node, recipients: &[String]) {
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    assert!(client.say("MAIL FROM:<alice@partner.test>").starts_with("250"));
    for recipient in recipients {
        assert!(client.say(&format!("RCPT TO:<{recipient}>")).starts_with("250"), "{recipient}");
    }
    client.say("DATA");
    let header = format!("Subject: forged\r\n{}", "X-Filler: 0123456789012345678901234567890\r\n".repeat(700));
    let text = "a line of text that nobody asked for\r\n".repeat(400);
    assert!(client.say(&format!("{header}\r\n{text}.")).starts_with("250"));
}

/// Waits until no sender is owed anything; the notices that were made, newest first.
fn wait_for_notices(node: &Node, failed: usize) -> Vec<Value> {
    let is_told = |row: &&Value| events(row).iter().any(|event| ["notified", "notice-withheld"].contains(event));
    wait_for("all senders to be told", || (node.trace().iter().filter(is_told).count() == failed).then_some(()));
    // Again: a trace is read page by page, and the notice's own row may have come after its page.
    node.trace().into_iter().filter(|row| row["sender"] == "").collect()
}

#[test]
fn a_forged_sender_gets_one_notice_for_a_thousand_recipients() {
    let (destination, outgoing) = (unknown(), Destination::taking(|_, _| None));
    let node = node_with_notices_to(outgoing.port, &destination);
    let recipients: Vec<String> = (0..1000).map(|number| format!("user-{number}@onprem.test")).collect();
    send(&node, &recipients);
    let notices = wait_for_notices(&node, 1000);
    let bytes: u64 = notices.iter().map(|notice| notice["size_bytes"].as_u64().unwrap()).sum();
    eprintln!("1 message of 45 KB, 1,000 unknown recipients: {} notices, {bytes} bytes", notices.len());
    assert_eq!(notices.len(), 1);
    assert!(bytes < 45_000, "{bytes} bytes");
}

#[test]
fn recipients_of_several_connectors_share_a_notice() {
    let (destination, outgoing) = (unknown(), Destination::taking(|_, _| None));
    let more = format!(
        "{}[[connector]]\nname = \"other\"\nhosts = [\"127.0.0.1:{}\"]\n\
         [[accepted_domain]]\nname = \"other.test\"\nconnector = \"other\"\n",
        notices_to(outgoing.port, ""),
        destination.port
    );
    let node = Node::to_port(destination.port).more(&more).start();
    send(&node, &["a@onprem.test", "b@other.test", "c@onprem.test", "d@other.test"].map(str::to_owned));
    assert_eq!(wait_for_notices(&node, 4).len(), 1);
}

#[test]
fn one_address_gets_only_so_many_notices() {
    let (destination, outgoing) = (unknown(), Destination::taking(|_, _| None));
    let more = notices_to(outgoing.port, "per_sender = \"2/h\"");
    let node = Node::to_port(destination.port).more(&more).start();
    for number in 0..5 {
        send(&node, &[format!("user-{number}@onprem.test")]);
    }
    assert_eq!(wait_for_notices(&node, 5).len(), 2);
    let withheld = node.trace().iter().filter(|row| events(row).contains(&"notice-withheld")).count();
    assert_eq!(withheld, 3);
    assert!(node.log().contains("notice withheld"), "{}", node.log());
}

#[test]
fn notices_are_for_the_domains_that_the_settings_name() {
    for (settings, expected) in [
        ("enabled = false", vec!["received", "failed"]),
        ("sender_domains = [\"other.test\"]", vec!["received", "failed"]),
        ("sender_domains = [\"*.test\", \"Partner.Test\"]", vec!["received", "failed", "notified"]),
    ] {
        let (destination, outgoing) = (unknown(), Destination::taking(|_, _| None));
        let node = Node::to_port(destination.port).more(&notices_to(outgoing.port, settings)).start();
        send(&node, &["user@onprem.test".to_owned()]);
        wait_for(settings, || {
            let failed = node.wait_for_status("user@onprem.test", "Failed");
            (events(&failed) == expected).then_some(())
        });
    }
}

#[test]
fn success_is_told_to_trusted_networks_only() {
    for (networks, is_told) in
        [("", false), ("success_to = [\"192.0.2.0/24\"]", false), ("success_to = [\"127.0.0.1\"]", true)]
    {
        let (destination, outgoing) = (Destination::taking(|_, _| None), Destination::taking(|_, _| None));
        let node = Node::to_port(destination.port).more(&notices_to(outgoing.port, networks)).start();
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        client.say("MAIL FROM:<alice@partner.test>");
        client.say("RCPT TO:<user@onprem.test> NOTIFY=SUCCESS");
        client.say("DATA");
        assert!(client.say("Subject: a\r\n\r\n.").starts_with("250"));
        node.wait_for_status("user@onprem.test", "Delivered");
        let expected: &[&str] =
            if is_told { &["received", "delivered", "notified"] } else { &["received", "delivered"] };
        wait_for(networks, || {
            let row = node.wait_for_status("user@onprem.test", "Delivered");
            (events(&row) == expected).then_some(())
        });
    }
}

/// Where a stranger's sender points to a private network, nothing is sent there, and nothing is tried for days.
#[test]
fn notices_do_not_go_into_private_networks() {
    let zone = "@ MX 5 inside\n@ MX 10 mapped\ninside A 10.1.2.3\nmapped AAAA ::ffff:127.0.0.1";
    let server = NameServer::start("partner.test", zone);
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"1s\"\n", server.port);
    let destination = unknown();
    let node = Node::to_port(destination.port).more(&dns).start();
    for (sender, address) in [
        ("x@[127.0.0.1]", "127.0.0.1"),
        ("x@[169.254.169.254]", "169.254.169.254"),
        ("x@[IPv6:::1]", "::1"),
        ("x@[ipv6:fd00::1]", "fd00::1"),
        ("x@partner.test", "10.1.2.3"),
    ] {
        let mut client = Client::connect(node.port);
        client.say("EHLO client.test");
        assert!(client.say(&format!("MAIL FROM:<{sender}>")).starts_with("250"), "{sender}");
        client.say("RCPT TO:<user@onprem.test>");
        client.say("DATA");
        assert!(client.say("Subject: a\r\n\r\n.").starts_with("250"));
        let row = node.wait_for_status(sender, "Failed");
        assert_eq!(
            (row["failure"]["kind"].as_str(), row["failure"]["address"].as_str()),
            (Some("address-not-allowed"), Some(address)),
            "{row:#}"
        );
    }
    let trace = String::from_utf8(node.run(&["trace", "--detail", "--recipient", "x@partner.test"]).stdout).unwrap();
    assert!(trace.contains("10.1.2.3") && trace.contains("[internet] allow"), "{trace}");
}

#[test]
fn a_private_network_may_be_allowed() {
    let more = "[internet]\nallow = [\"127.0.0.98/31\"]\n";
    let destination = unknown();
    let node = Node::to_port(destination.port).more(more).start();
    swaks(node.port, &["--to", "user@onprem.test", "--from", "x@[127.0.0.99]"]);
    let row = wait_for("an attempt", || {
        node.trace().into_iter().find(|row| row["recipient"] == "x@[127.0.0.99]" && !row["failure"].is_null())
    });
    // Nothing listens on port 25 there.
    assert_eq!(row["failure"]["kind"], "connection-refused", "{row:#}");
}

#[test]
fn an_address_literal_that_is_none_is_refused() {
    let node = Node::to_port(unknown().port).start();
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    for sender in ["x@[127.0.0]", "x@[IPv6:]", "x@[IPv6:127.0.0.1]", "x@[IPv6:fe80::1%eth0]", "x@[mail]", "x@[]"] {
        let reply = client.say(&format!("MAIL FROM:<{sender}>"));
        assert!(reply.starts_with("501") || reply.starts_with("553"), "{sender}: {reply}");
    }
}

/// The worst that a destination can say, in every reply: what is stored of an attempt has a bound.
#[test]
fn a_destination_cannot_fill_the_disk() {
    let many = |code: &str, enhanced: &str, text: &str| -> &'static str {
        let line = text.repeat(3900 / text.len());
        let lines: Vec<String> = (0..127).map(|_| format!("{code}-{enhanced}{line}")).collect();
        Box::leak(format!("{}\r\n{code} {enhanced}the end", lines.join("\r\n")).into_boxed_str())
    };
    for text in ["x", "\"", "\\", "\u{fffd}"] {
        let (banner, hello) = (many("220", "", text), many("250", "", text));
        let refusals = [many("450", "4.2.1 ", text), many("550", "5.1.1 ", text)];
        let destination = Destination::taking(move |number, line| match line.get(..4) {
            Some("bann") => Some(Say(banner)),
            Some("EHLO") => Some(Say(hello)),
            Some("RCPT") => Some(Say(refusals[usize::from(number > 3)])),
            _ => None,
        });
        let node = Node::to_port(destination.port)
            .retry("schedule = [\"500ms\"]\n")
            .connector("messages_per_connection = 1\n")
            .start();
        send(&node, &["user@onprem.test".to_owned()]);
        let row = node.wait_for_status("user@onprem.test", "Failed");
        let of_row = row["failure"].to_string().len();
        let attempts = row["events"].as_array().unwrap().iter().filter(|event| !event["attempt"].is_null());
        let sizes: Vec<usize> = attempts.map(|event| event.to_string().len() + of_row).collect();
        eprintln!("{text:?}: {sizes:?} bytes in the event and in the queue");
        assert!(sizes.len() >= 2 && sizes.iter().all(|bytes| *bytes <= 8192), "{sizes:?}");
        let reply = &row["failure"]["reply"];
        assert_eq!((&reply["code"], &reply["enhanced"]), (&550.into(), &"5.1.1".into()));
        assert!(reply["text"].as_str().unwrap().ends_with("\nthe end"), "{reply}");
        assert!(reply["lines_omitted"].as_u64().unwrap() > 100, "{reply}");
        let logged = node.logged_bytes();
        eprintln!("{text:?}: {logged} bytes in the protocol log");
        assert!(logged < 8192 * (sizes.len() as u64 + 1), "{logged} bytes in the protocol log");
    }
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
    let rows = node.trace();
    assert_eq!(rows.len(), 2, "a notice was made");
    assert!(rows.iter().all(|row| events(row) == ["received", "failed"]), "{rows:#?}");
    assert_eq!(outgoing.connections(), 0);
}

#[test]
fn a_delay_and_the_end_of_the_wait_are_told() {
    let destination = Destination::taking(|_, line| line.starts_with("RCPT").then_some(Say("450 4.2.1 busy")));
    let server = Postfix::start();
    let more = notices_to(server.port, "");
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
