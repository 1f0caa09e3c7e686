//! Mail on its way out is never held up by what does not concern it: slow domains, limits that were changed, a
//! destination that answers byte by byte, a store that takes no results.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    Node,
    foreign::NameServer,
    free_port,
    script::{Client, Destination, Say, Silence},
    wait_for,
};

/// Hands in one message for several recipients.
fn send_to(node: &Node, recipients: &[&str]) {
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    assert!(client.say("MAIL FROM:<alice@partner.test>").starts_with("250"));
    for recipient in recipients {
        assert!(client.say(&format!("RCPT TO:<{recipient}>")).starts_with("250"));
    }
    client.say("DATA");
    let reply = client.say("Subject: a test\r\n\r\ntext\r\n.");
    assert!(reply.starts_with("250"), "{reply}");
}

fn send(node: &Node) {
    send_to(node, &["user@onprem.test"]);
}

fn delivered(destination: &Destination) -> usize {
    destination.heard().iter().filter(|line| *line == ".").count()
}

/// A node that delivers by MX to domains below onprem.test.
fn by_mx(zone: &str, port: u16, connector: &str, retry: &str) -> (Node, NameServer) {
    let server = NameServer::start("onprem.test", zone);
    let more = format!(
        "[dns]\nservers = [\"127.0.0.1:{}\"]\ntimeout = \"1s\"\n\
         [[accepted_domain]]\nname = \"*.onprem.test\"\nconnector = \"onprem\"\n",
        server.port
    );
    let node = Node::to(&["mx"]).connector(&format!("port = {port}\n{connector}")).retry(retry).more(&more).start();
    (node, server)
}

/// A destination on another address of the loopback network.
fn taking_at(address: &str, port: u16) -> Destination {
    Destination::listening(TcpListener::bind((address, port)).unwrap(), |_, _| None)
}

#[test]
fn one_message_to_three_domains_goes_to_three_exchangers() {
    let port = free_port();
    let addresses = ["127.0.3.1", "127.0.3.2", "127.0.3.3"];
    let destinations = addresses.map(|address| taking_at(address, port));
    let zone = "a MX 10 mxa\nb MX 10 mxb\nc MX 10 mxc\nmxa A 127.0.3.1\nmxb A 127.0.3.2\nmxc A 127.0.3.3";
    let (node, _server) = by_mx(zone, port, "", "");
    let recipients = ["one@a.onprem.test", "two@b.onprem.test", "three@c.onprem.test", "four@a.onprem.test"];
    send_to(&node, &recipients);
    node.wait_until_empty();
    for (destination, own) in destinations.iter().zip([&[0, 3][..], &[1], &[2]]) {
        let mut named: Vec<String> = destination.heard();
        named.retain(|line| line.starts_with("RCPT"));
        let expected: Vec<String> = own.iter().map(|index| format!("RCPT TO:<{}>", recipients[*index])).collect();
        assert_eq!(named, expected);
    }
}

#[test]
fn a_silent_domain_does_not_hold_up_others() {
    let port = free_port();
    let silent = Destination::listening(TcpListener::bind(("127.0.3.1", port)).unwrap(), |_, line| {
        (line == "banner").then_some(Silence)
    });
    let taking = taking_at("127.0.3.2", port);
    let zone = "slow MX 10 mxa\nfast MX 10 mxb\nmxa A 127.0.3.1\nmxb A 127.0.3.2";
    let connector = "concurrency = 6\ndomain_concurrency = 2\n[connector.timeouts]\nbanner = \"40s\"";
    let (node, _server) = by_mx(zone, port, connector, "");
    for _ in 0..30 {
        send_to(&node, &["user@slow.onprem.test"]);
    }
    wait_for("the silent domain to be tried", || (silent.connections() == 2).then_some(()));
    for _ in 0..10 {
        send_to(&node, &["user@fast.onprem.test"]);
    }
    wait_for("the other domain's mail", || (delivered(&taking) == 10).then_some(()));
    assert_eq!(silent.connections(), 2, "connections to one domain at once");
}

#[test]
fn a_domain_that_fails_is_tried_by_one_message_at_a_time() {
    let port = free_port();
    let refusing = Destination::listening(TcpListener::bind(("127.0.3.1", port)).unwrap(), |_, line| {
        (line == "banner").then_some(Say("421 4.3.2 closed"))
    });
    let zone = "down MX 10 mxa\nmxa A 127.0.3.1";
    let (node, _server) = by_mx(zone, port, "concurrency = 1", "back_off_first = \"1h\"\nback_off_max = \"1h\"");
    for _ in 0..20 {
        send_to(&node, &["user@down.onprem.test"]);
    }
    // Each of them shows why it waits, though most were never tried.
    let queue = wait_for("every delivery to have a cause", || {
        let queue = node.queue();
        let told = queue.iter().filter(|row| row["failure"]["reply"]["code"] == 421).count();
        (told == 20).then_some(queue)
    });
    let tried = queue.iter().filter(|row| row["attempts"] != 0).count();
    assert!(tried < 5 && refusing.connections() < 5, "{tried} tried over {} connections", refusing.connections());
    assert!(queue.iter().all(|row| row["waiting"]["waits"] == "timer"), "{queue:#?}");
    // An operator's wish reaches them all.
    let connections = refusing.connections();
    assert!(node.run(&["queue", "retry", "--all"]).status.success());
    wait_for("another try", || (refusing.connections() > connections).then_some(()));
}

/// Mail that waits for a rate is in the store, where a new configuration finds it.
#[test]
fn a_rate_that_is_taken_away_lets_everything_go_at_once() {
    let destination = Destination::taking(|_, _| None);
    let node = Node::to_port(destination.port).connector("rate = \"2/h\"").start();
    for _ in 0..20 {
        send(&node);
    }
    wait_for("the first message", || (delivered(&destination) == 1).then_some(()));
    let queue = node.queue();
    assert_eq!(queue.len(), 19);
    assert!(queue.iter().all(|row| row["state"] == "queued"), "{queue:#?}");
    let waits =
        wait_for("the limit to be told", || node.queue().into_iter().find(|row| row["waiting"]["limit"] == "rate 2/h"));
    assert_eq!(waits["waiting"]["waits"], "connector-limit");
    let file = std::fs::read_to_string(node.path("gatepost.toml")).unwrap();
    std::fs::write(node.path("gatepost.toml"), file.replace("rate = \"2/h\"", "")).unwrap();
    node.signal("-HUP");
    node.wait_until_empty();
    assert_eq!(delivered(&destination), 20);
}

#[test]
fn a_connector_that_is_renamed_under_load_keeps_no_lease() {
    let destination = Destination::taking(|_, line| (line == ".").then_some(Silence));
    let node = Node::to_port(destination.port).connector("concurrency = 2").start();
    for _ in 0..50 {
        send(&node);
    }
    wait_for("two attempts", || (delivered(&destination) == 2).then_some(()));
    let file = std::fs::read_to_string(node.path("gatepost.toml")).unwrap();
    std::fs::write(node.path("gatepost.toml"), file.replace("\"onprem\"", "\"office\"")).unwrap();
    node.signal("-HUP");
    wait_for("leases to be given back", || {
        let leased = node.queue().iter().filter(|row| row["state"] == "leased").count();
        (leased <= 2).then_some(())
    });
    let orphan = node.queue().into_iter().find(|row| row["state"] == "queued").unwrap();
    assert_eq!(orphan["waiting"]["waits"], "no-route");
}

/// Sends a reply byte by byte, for as long as anybody listens.
fn dripping(pace: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                while stream.write_all(b"2").is_ok() {
                    thread::sleep(pace);
                }
            });
        }
    });
    port
}

#[test]
fn a_reply_that_drips_ends_within_its_time_limit() {
    let port = dripping(Duration::from_millis(100));
    let node = Node::to_port(port).connector("[connector.timeouts]\nbanner = \"2s\"").start();
    send(&node);
    let row = node.wait_for_failure();
    assert_eq!((&row["failure"]["phase"], &row["failure"]["kind"]), (&"banner".into(), &"timed-out".into()), "{row:#}");
}

/// Each phase may take long, and all of them together no longer than an attempt may.
#[test]
fn an_attempt_ends_within_its_time_limit() {
    let destination = Destination::taking(|_, line| line.starts_with("MAIL").then_some(Silence));
    let timeouts = "[connector.timeouts]\nattempt = \"2s\"";
    let node = Node::to_port(destination.port).connector(timeouts).start();
    send(&node);
    let row = node.wait_for_failure();
    assert_eq!((&row["failure"]["phase"], &row["failure"]["kind"]), (&"mail".into(), &"timed-out".into()), "{row:#}");
    assert_eq!(row["failure"]["destination"]["port"], destination.port);
}

/// All workers are busy for longer than mail may wait.
#[test]
fn mail_that_waits_in_memory_expires_all_the_same() {
    let destination = Destination::taking(|_, line| line.starts_with("MAIL").then_some(Silence));
    let node = Node::to_port(destination.port).connector("concurrency = 1").retry("expire = \"3s\"").start();
    for _ in 0..5 {
        send(&node);
    }
    let expired = || node.trace().iter().filter(|row| row["failure"]["kind"] == "expired").count();
    // The one that is under way has a time limit of its own.
    wait_for("four of them to expire", || (expired() == 4).then_some(()));
}

#[test]
fn what_an_attempt_is_doing_is_shown() {
    let destination = Destination::taking(|_, line| (line == ".").then_some(Silence));
    let node = Node::to_port(destination.port).connector("concurrency = 1").start();
    send(&node);
    send(&node);
    let doing = wait_for("the attempt to be told of", || {
        node.queue().into_iter().find(|row| row["waiting"]["doing"]["phase"] == "end-of-data")
    });
    assert_eq!(doing["waiting"]["doing"]["destination"]["port"], destination.port, "{doing:#}");
    let table = String::from_utf8(node.run(&["queue", "list"]).stdout).unwrap();
    assert!(table.contains("waiting for the reply to the message"), "{table}");
    // The other waits for its turn, and is not being delivered.
    wait_for("the other's standing", || {
        node.queue().into_iter().find(|row| row["waiting"]["limit"] == "concurrency 1")
    });
}

#[test]
fn mail_behind_a_paused_connector_shows_the_cause() {
    let node = Node::to_port(free_port()).retry("back_off_first = \"1h\"\nback_off_max = \"1h\"").start();
    send(&node);
    node.wait_for_failure();
    send(&node);
    let untried = wait_for("the second message's cause", || {
        node.queue().into_iter().find(|row| row["attempts"] == 0 && row["failure"]["kind"] == "connection-refused")
    });
    assert_eq!(untried["waiting"]["waits"], "connector-backed-off");
}

/// The second host delivers, and what is wrong with the first is not hidden by that.
#[test]
fn a_failover_is_visible() {
    let (dead, second) = (free_port(), Destination::taking(|_, _| None));
    let hosts = [format!("127.0.0.1:{dead}"), format!("127.0.0.1:{}", second.port)];
    let node = Node::to(&hosts.each_ref().map(String::as_str)).start();
    send_to(&node, &["one@onprem.test", "two@onprem.test"]);
    node.wait_until_empty();
    let row = node.wait_for_status("one@onprem.test", "Delivered");
    let events: Vec<&Value> = row["events"].as_array().unwrap().iter().collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names, ["received", "host-failed", "delivered"], "{row:#}");
    assert_eq!(events[1]["failure"]["destination"]["port"], dead);
    assert_eq!(row["last_attempt"]["to_ip"], "127.0.0.1");
    let text = String::from_utf8(node.run(&["trace", "--detail"]).stdout).unwrap();
    assert!(text.contains("host failed") && text.contains("connection refused"), "{text}");
    let findings: Value = serde_json::from_slice(&node.run(&["why", "--format", "json"]).stdout).unwrap();
    assert_eq!(findings["findings"][0]["cause"], "connection-refused", "{findings:#}");
}

/// A destination that refuses in the middle of the content, and resets the connection: its words are the result.
#[test]
fn a_refusal_within_the_content_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut input = [0; 4096];
            for reply in ["220 small.test\r\n", "250 small.test\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"] {
                stream.write_all(reply.as_bytes()).unwrap();
                assert!(stream.read(&mut input).unwrap() > 0);
            }
            stream.write_all(b"552 5.3.4 the message is too large\r\n").unwrap();
            // Closed with content unread: the kernel answers with a reset.
            thread::sleep(Duration::from_millis(500));
        }
    });
    let node = Node::to_port(port).start();
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    client.say("MAIL FROM:<>");
    client.say("RCPT TO:<user@onprem.test>");
    client.say("DATA");
    let line = format!("{}\r\n", "x".repeat(998));
    client.send(b"Subject: large\r\n\r\n");
    client.send(line.repeat(20_000).as_bytes());
    assert!(client.say(".").starts_with("250"));
    let row = node.wait_for_status("user@onprem.test", "Failed");
    assert_eq!((&row["failure"]["phase"], &row["failure"]["reply"]["code"]), (&"data".into(), &552.into()), "{row:#}");
}

/// Attempts that have not sent their final dot do not keep a node from stopping, and their mail is in the queue.
#[test]
fn a_silent_destination_does_not_hold_up_a_shutdown() {
    let destination = Destination::taking(|_, line| line.starts_with("RCPT").then_some(Silence));
    let mut node = Node::to_port(destination.port).start();
    send(&node);
    wait_for("the attempt", || destination.heard().iter().any(|line| line.starts_with("RCPT")).then_some(()));
    let began = Instant::now();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0));
    // Far below the minute that a shutdown may take.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    let queue = node.queue();
    assert_eq!((queue.len(), &queue[0]["state"]), (1, &"queued".into()), "{queue:#?}");
}

/// Holds the database's write lock until it is killed: results cannot be recorded meanwhile.
fn lock_database(node: &Node) -> std::process::Child {
    let file = node.path("data/gatepost.db");
    let script = "import sqlite3, sys, time\n\
                  c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n\
                  c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(600)";
    let mut command = std::process::Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "python3", "-c", script]).arg(file);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut told = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut told).unwrap();
    child
}

/// What is sent while results cannot be recorded would be sent again after a crash.
#[test]
fn nothing_is_begun_while_results_cannot_be_recorded() {
    let destination = Destination::taking(|_, line| {
        if line == "." {
            thread::sleep(Duration::from_millis(100));
        }
        None
    });
    let node = Node::to_port(destination.port).connector("concurrency = 2").start();
    for _ in 0..300 {
        send(&node);
    }
    let mut lock = lock_database(&node);
    let stopped = wait_for("the node to stop sending", || {
        let before = delivered(&destination);
        thread::sleep(Duration::from_secs(1));
        (delivered(&destination) == before).then_some(before)
    });
    assert!(stopped < 300, "all of it was sent");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(delivered(&destination), stopped);
    lock.kill().unwrap();
    lock.wait().unwrap();
    node.wait_until_empty();
    assert_eq!(delivered(&destination), 300);
}

/// Another node has taken over what this one was about to send.
#[test]
fn soak_a_lost_lease_stops_its_attempt() {
    let destination = Destination::taking(|_, line| line.starts_with("RCPT").then_some(Silence));
    let node = Node::to_port(destination.port).start();
    send(&node);
    wait_for("the attempt", || destination.heard().iter().any(|line| line.starts_with("RCPT")).then_some(()));
    let script = "import sqlite3, sys\n\
                  c = sqlite3.connect(sys.argv[1], timeout=30)\n\
                  c.execute(\"UPDATE delivery SET lease_node = 'edge-2', lease = lease + 1, lease_until = lease_until + 3600000\"); c.commit()";
    let done = std::process::Command::new("python3").args(["-c", script]).arg(node.path("data/gatepost.db")).status();
    assert!(done.unwrap().success());
    // Leases are renewed every minute.
    let deadline = Instant::now() + Duration::from_secs(90);
    while !node.log().contains("lost leases") {
        assert!(Instant::now() < deadline, "the loss was not noticed");
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(Duration::from_secs(1));
    let row = node.queue().remove(0);
    assert_eq!((&row["state"], &row["attempts"]), (&"leased".into(), &0.into()), "{row:#}");
    assert!(row["failure"].is_null(), "{row:#}");
}

/// A destination that says more than it was asked and resets the connection: the last word counts, and nothing spins.
#[test]
fn a_last_word_before_a_reset_is_the_result() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut input = [0; 4096];
            for reply in ["220 odd.test\r\n", "250 odd.test\r\n"] {
                stream.write_all(reply.as_bytes()).unwrap();
                assert!(stream.read(&mut input).unwrap() > 0);
            }
            stream.write_all(b"250 ok\r\n421 4.3.2 bye\r\n").unwrap();
            let reset = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(&stream, reset).unwrap();
        }
    });
    let node = Node::to_port(port).connector("[connector.timeouts]\nattempt = \"5s\"").start();
    send(&node);
    let row = node.wait_for_failure();
    assert!(
        ["rejected", "connection-reset", "connection-closed"].contains(&row["failure"]["kind"].as_str().unwrap()),
        "{row:#}"
    );
    assert!(!node.log().contains("fault of the program"), "{}", node.log());
}
