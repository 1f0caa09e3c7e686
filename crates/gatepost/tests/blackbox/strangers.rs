//! What strangers may cost: connections, time and memory of clients that mean no good, and what is left for others.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Node, connect_from, free_port,
    node::Setup,
    script::{Client, Destination},
    wait_for,
};

fn node(inbound: &str) -> (Node, Destination) {
    let destination = Destination::taking(|_, _| None);
    let node = setup(&destination, inbound).start();
    (node, destination)
}

fn setup(destination: &Destination, inbound: &str) -> Setup {
    Node::to_port(destination.port).inbound(inbound)
}

/// The code of the first line that a client hears.
fn first_code(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.chars().take(3).collect()
}

/// Connections that were greeted, of one from each address.
fn greeted(addresses: impl Iterator<Item = [u8; 4]>, port: u16) -> Vec<TcpStream> {
    let streams = addresses.map(|address| connect_from(address, port));
    streams.filter(|stream| first_code(stream) == "220").collect()
}

/// Its addresses share its limit, and so do the node's listeners.
#[test]
fn a_network_is_one_client_to_all_listeners() {
    let (mut node, _destination) = node("connections_per_client_max = 4\nclient_prefix_ipv4 = 24");
    node.kill();
    let (file, second) = (node.path("gatepost.toml"), free_port());
    let configuration = std::fs::read_to_string(&file).unwrap();
    let first = format!("listen = [\"127.0.0.1:{}\"", node.port);
    std::fs::write(&file, configuration.replace(&first, &format!("{first}, \"127.0.0.1:{second}\""))).unwrap();
    node.start();
    let addresses = |network: u8| (1..=6).map(move |host| [127, 9, network, host]);
    let open = greeted(addresses(1).take(3), node.port);
    assert_eq!((open.len(), greeted(addresses(1), second).len()), (3, 1));
    assert_eq!(greeted(addresses(2), second).len(), 4, "another network");
}

/// Clients that take all they can leave a share to those that have nothing yet.
#[test]
fn new_clients_find_a_place_beside_greedy_ones() {
    let (node, _destination) = node("connections_max = 40\nconnections_per_client_max = 12");
    // The connection by which the test knew that the node is up may still be counted.
    let greedy = |client: u8| greeted((0..20).map(move |_| [127, 9, 0, client]), node.port);
    let open: Vec<_> = (1..=4).flat_map(greedy).collect();
    // One in ten is left, and the first connection of a client that had none.
    assert!((36..=37).contains(&open.len()), "{} connections", open.len());
    let new = greeted((1..=4).map(|client| [127, 9, 1, client]), node.port);
    assert!(new.len() >= 3, "{} connections", new.len());
}

#[test]
fn content_that_drips_ends_and_content_that_flows_does_not() {
    let (node, destination) = node("data_timeout = \"5s\"\ndata_rate_min = 1000");
    let port = node.port;
    let steady = thread::spawn(move || {
        let mut client = Client::connect(port);
        client.begin_content();
        let line = format!("{}\r\n", "x".repeat(998));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) {
            client.send(line.as_bytes());
            thread::sleep(Duration::from_millis(100));
        }
        client.say(".")
    });
    let mut client = Client::connect(node.port);
    client.begin_content();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(15) && client.stream().write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    let reply = client.reply();
    assert!(reply.starts_with("421 4.4.2 The message takes too long"), "{reply}");
    let reply = steady.join().unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    node.wait_until_empty();
    assert_eq!(destination.heard().iter().filter(|line| *line == ".").count(), 1);
}

#[test]
fn a_session_has_an_age_and_so_has_content() {
    let (node, _destination) = node("session_max = \"2s\"\ndata_rate_min = 1\njunk_commands_max = 1000000");
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    let refused = wait_for("the end of the session", || {
        let reply = client.say("NOOP");
        (!reply.starts_with("250")).then_some(reply)
    });
    assert!(refused.starts_with("421 4.4.2 The session has lasted too long"), "{refused}");
    let mut client = Client::connect(node.port);
    client.begin_content();
    wait_for("the end of the content", || client.stream().write_all(b"text\r\n").is_err().then_some(()));
}

/// None of them is waited for, whatever it was about to say.
#[test]
fn strangers_do_not_hold_up_a_stop() {
    let (mut node, _destination) = node("recipients_max = 1");
    let mut half_command = Client::connect(node.port);
    half_command.send(b"EHLO cli");
    let mut idle = Client::connect(node.port);
    let mut in_content = Client::connect(node.port);
    in_content.begin_content();
    in_content.send(b"Subject: never ends\r\n");
    let mut in_chunk = Client::connect(node.port);
    for line in ["EHLO client.test", "MAIL FROM:<alice@partner.test>", "RCPT TO:<user@onprem.test>"] {
        in_chunk.say(line);
    }
    in_chunk.send(b"BDAT 1000\r\nSubject: never ends\r\n");
    let mut in_handshake = Client::connect(node.port);
    in_handshake.say("EHLO client.test");
    in_handshake.say("STARTTLS");
    // The beginning of a ClientHello.
    in_handshake.send(b"\x16\x03\x01\x02\x00\x01");
    let mut deaf = Client::connect(node.port);
    deaf.say("EHLO client.test");
    deaf.say("MAIL FROM:<alice@partner.test>");
    deaf.say("RCPT TO:<user@onprem.test>");
    deaf.stream().set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let more = "RCPT TO:<a@onprem.test>\r\n".repeat(1000);
    while deaf.stream().write_all(more.as_bytes()).is_ok() {}

    let began = Instant::now();
    node.signal("-TERM");
    assert_eq!(node.wait(), Some(0), "{}", node.log());
    println!("stopped in {:.1} s", began.elapsed().as_secs_f64());
    assert!(!node.log().contains("stopped with deliveries in progress"), "{}", node.log());
    for (name, client) in [
        ("half a command", &mut half_command),
        ("nothing", &mut idle),
        ("content", &mut in_content),
        ("a chunk", &mut in_chunk),
    ] {
        let reply = client.reply();
        assert!(reply.starts_with("421 4.3.2"), "{name}: {reply}");
    }
    assert_eq!(in_handshake.reply(), "");
}

/// Content in memory has a limit in all; beyond it mail is taken as before, by way of the disk.
#[test]
fn memory_for_content_is_bounded_and_mail_goes_on() {
    const CLIENTS: usize = 600;
    let (node, _destination) = node("connections_per_client_max = 1000\ncontent_memory_max = \"1MiB\"");
    let before = node.memory_kib();
    let line = format!("{}\r\n", "x".repeat(998));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(node.port)).collect();
    for client in &mut clients {
        client.begin_content();
        client.send(format!("Subject: held\r\n\r\n{}", line.repeat(240)).as_bytes());
    }
    let watched = Instant::now();
    let mut most = 0;
    while watched.elapsed() < Duration::from_secs(3) {
        most = most.max(node.memory_kib());
        thread::sleep(Duration::from_millis(50));
    }
    println!("{CLIENTS} clients with 240 KiB each: {before} KiB before, {most} KiB at most");
    // All of it would be 140 MiB. Each client has buffers of some 50 KiB, and the store has its caches.
    assert!(most < before + 100 * 1024, "{before} KiB before, {most} KiB at most");

    let mut endless_header = Client::connect(node.port);
    endless_header.begin_content();
    endless_header.send(format!("X-Long: {line}").repeat(30).as_bytes());
    let reply = endless_header.say("\r\n.");
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let reply = clients[0].say("last line\r\n.");
    assert!(reply.starts_with("250"), "{reply}");
    let row = node.wait_for_status("user@onprem.test", "Delivered");
    let content = "Subject: held\r\n\r\n".len() + 240 * 1000 + "last line\r\n".len();
    let size = row["size_bytes"].as_u64().unwrap() as usize;
    assert!((content..content + 500).contains(&size), "{size} bytes, of which {content} are the client's");
    assert_eq!(row["subject"], "held");
    drop(clients);
    wait_for("the memory to be given back", || {
        let mut client = Client::connect(node.port);
        client.begin_content();
        client.send(format!("X-Long: {line}").repeat(30).as_bytes());
        client.say("\r\n.").starts_with("250").then_some(())
    });
}

/// Ten thousand connections from one network, and from as many networks as it takes to reach the limit.
#[test]
fn soak_ten_thousand_connections_leave_others_a_banner() {
    raise_descriptor_limit();
    for (name, prefix, expected) in [("one network", 16, 200), ("200 at a time from many networks", 24, 9050)] {
        let (node, _destination) = node(&format!("client_prefix_ipv4 = {prefix}\ncommand_timeout = \"1h\""));
        let addresses = (0..10_000_u32).map(|number| [127, 9, (number / 200) as u8, (number % 200) as u8 + 1]);
        let port = node.port;
        // Held open on the client's side, whether they were greeted or refused.
        let attackers: Vec<TcpStream> = addresses.map(|address| connect_from(address, port)).collect();
        let began = Instant::now();
        let code = first_code(&connect_from([127, 10, 0, 1], port));
        let waited = began.elapsed();
        assert_eq!(code, "220", "{name}");
        let open = attackers.iter().filter(|stream| first_code(stream) == "220").count();
        println!("10,000 connections from {name}: {open} stay open, another client has its banner in {waited:.1?}");
        assert!(open <= expected, "{name}: {open} stay open");
        assert!(waited < Duration::from_secs(10), "{name}: {waited:?}");
    }
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
