//! A configuration for all nodes of a fleet, from one command.

use std::{
    fs,
    process::{Output, Stdio},
};

use lab::Identity;
use serde_json::Value;

use crate::support::{
    Node,
    database::Server,
    load::{Load, Sink},
    script::{Client, Destination},
    wait_for,
};

/// The settings of the fleet: a domain and its connector for each destination.
fn settings(destinations: &[(&str, u16)], more: &str) -> String {
    let domain = |(name, port): &(&str, u16)| {
        format!(
            "[[accepted_domain]]\nname = \"{name}.test\"\nconnector = \"{name}\"\n\
             [[connector]]\nname = \"{name}\"\nhosts = [\"127.0.0.1:{port}\"]\n"
        )
    };
    format!("{}{more}", destinations.iter().map(domain).collect::<String>())
}

/// Two nodes whose own files lead to that port.
fn two_nodes(server: &Server, port: u16) -> [Node; 2] {
    ["edge-1", "edge-2"].map(|name| server.node(name, Node::to_port(port)).start())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// The file as `fleet.toml` beside the node's own, and a command about it.
fn with_file(node: &Node, settings: &str, arguments: &[&str]) -> Output {
    fs::write(node.path("fleet.toml"), settings).unwrap();
    let file = node.path("fleet.toml").display().to_string();
    let arguments: Vec<&str> =
        arguments.iter().map(|argument| if *argument == "FILE" { file.as_str() } else { argument }).collect();
    node.run(&arguments)
}

/// The exit status and the JSON.
fn json(output: &Output) -> (Option<i32>, Value) {
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)));
    (output.status.code(), value)
}

fn apply(node: &Node, settings: &str) -> (Option<i32>, Value) {
    json(&with_file(node, settings, &["config", "apply", "FILE", "--format", "json"]))
}

/// Each node with its version of the configuration.
fn versions(node: &Node) -> Vec<(String, Option<u64>)> {
    let list = node.json(&["node", "list"]);
    let version = |node: &Value| (node["node"].as_str().unwrap().to_owned(), node["config_version"].as_u64());
    list["nodes"].as_array().unwrap().iter().map(version).collect()
}

fn wait_until_all_follow(node: &Node, version: u64) {
    wait_for(&format!("all nodes to follow version {version}"), || {
        versions(node).iter().all(|(_, follows)| *follows == Some(version)).then_some(())
    });
}

fn send(node: &Node, recipient: &str) -> String {
    let mut client = Client::connect(node.port);
    client.say("EHLO client.test");
    client.say("MAIL FROM:<alice@partner.test>");
    let reply = client.say(&format!("RCPT TO:<{recipient}>"));
    if reply.starts_with("250") {
        assert!(client.say("DATA").starts_with("354"));
        return client.say("Subject: x\r\n\r\ntext\r\n.");
    }
    reply
}

fn count(server: &Server, table: &str) -> String {
    server.cluster.sql("gatepost", &format!("SELECT count(*) FROM {table}")).unwrap()
}

#[test]
fn postgres_gives_all_nodes_a_configuration() {
    let (server, first, second) = (Server::start(), Destination::taking(|_, _| None), Destination::taking(|_, _| None));
    let mut nodes = two_nodes(&server, first.port);
    assert!(send(&nodes[0], "r@more.test").starts_with("550"));
    let both = settings(&[("onprem", first.port), ("more", second.port)], "[retry]\nexpire = \"5d\"\n");
    // A trial changes nothing.
    let trial = with_file(&nodes[0], &both, &["config", "apply", "FILE", "--dry-run"]);
    assert_eq!(trial.status.code(), Some(0), "{}", text(&trial));
    assert!(text(&trial).contains("edge-2: can follow") && text(&trial).contains("[retry] expire: \"24h\" → \"5d\""));
    assert_eq!(count(&server, "configuration"), "0");
    let (status, applied) = apply(&nodes[0], &both);
    assert_eq!((status, &applied["result"], &applied["version"]), (Some(0), &"applied".into(), &1.into()));
    wait_until_all_follow(&nodes[1], 1);
    for (node, recipient) in nodes.iter().zip(["a@more.test", "b@more.test"]) {
        assert!(send(node, recipient).starts_with("250"), "{recipient}");
        node.wait_for_status(recipient, "Delivered");
    }
    assert_eq!(second.heard().iter().filter(|line| line.starts_with("MAIL")).count(), 2);
    // Once more: there is nothing to do. Commands go by it, too.
    assert_eq!(apply(&nodes[1], &both).1["result"], "unchanged");
    assert_eq!(with_file(&nodes[0], &both, &["config", "diff", "FILE"]).status.code(), Some(0));
    let shown = nodes[1].json(&["config", "show"]);
    assert_eq!((&shown["connector"][1]["name"], &shown["node"]["name"]), (&"more".into(), &"edge-2".into()));
    // Each node names what it does not use of its own file, and keeps that in mind when it reads the file again.
    let check = nodes[0].run(&["config", "check"]);
    assert_eq!(check.status.code(), Some(0));
    assert!(text(&check).contains("[[connector]] is not used, because version 1 of the fleet's configuration applies"));
    nodes[0].signal("-HUP");
    wait_for("the reload", || nodes[0].log().contains("configuration reloaded").then_some(()));
    assert!(nodes[0].log().contains("[[accepted_domain]] is not used"), "{}", nodes[0].log());
    assert!(send(&nodes[0], "c@more.test").starts_with("250"));
    // It starts with what it is to follow.
    nodes[0].kill();
    nodes[0].start();
    assert!(send(&nodes[0], "f@more.test").starts_with("250"));
    rolls_back(&nodes, &settings(&[("onprem", first.port)], ""), &both);
}

fn rolls_back(nodes: &[Node; 2], one: &str, both: &str) {
    let output = with_file(&nodes[0], one, &["config", "apply", "FILE", "--comment", "by mistake"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("connector \"more\": removed"), "{}", text(&output));
    wait_until_all_follow(&nodes[0], 2);
    assert!(send(&nodes[1], "d@more.test").starts_with("550"));
    let last = nodes[0].run(&["config", "diff"]);
    assert_eq!((last.status.code(), text(&last).contains("[retry] expire: \"5d\" → \"24h\"")), (Some(1), true));
    let unknown = nodes[0].run(&["config", "rollback", "9"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    let output = nodes[1].run(&["config", "rollback", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    wait_until_all_follow(&nodes[1], 3);
    assert!(send(&nodes[1], "e@more.test").starts_with("250"));
    let versions = nodes[0].json(&["config", "history"])["versions"].clone();
    let seen = |index: usize| ["version", "repeats", "comment", "nodes"].map(|key| versions[index][key].clone());
    assert_eq!(seen(0), [3.into(), 1.into(), Value::Null, 2.into()]);
    assert_eq!(seen(1), [2.into(), Value::Null, "by mistake".into(), 0.into()]);
    let table = text(&nodes[0].run(&["config", "history"]));
    assert!(table.contains("version 1 again") && table.contains("by mistake"), "{table}");
    // What is printed can be applied.
    let printed = text(&nodes[0].run(&["config", "history", "3"]));
    assert_eq!(apply(&nodes[0], &printed).1["result"], "unchanged");
    assert_eq!(apply(&nodes[0], both).1["result"], "unchanged");
}

/// What would stop all mail needs a word more, and what would strand mail is said.
#[test]
fn postgres_warns_of_what_a_configuration_takes_away() {
    let server = Server::start();
    let nodes = two_nodes(&server, 1);
    let both = settings(&[("onprem", 1), ("more", 1)], "");
    assert_eq!(apply(&nodes[0], &both).0, Some(0));
    wait_until_all_follow(&nodes[0], 1);
    assert!(send(&nodes[0], "a@more.test").starts_with("250"));
    let one = settings(&[("onprem", 1)], "");
    let trial = with_file(&nodes[0], &one, &["config", "apply", "FILE", "--dry-run"]);
    let said = text(&trial).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(trial.status.code(), Some(0), "{said}");
    assert!(said.contains("Warning: connector more is removed, and 1 delivery waits for it."), "{said}");
    let view = json(&with_file(&nodes[0], &one, &["config", "apply", "FILE", "--dry-run", "--format", "json"])).1;
    assert_eq!(view["without_connector"], serde_json::json!([{ "connector": "more", "deliveries": 1 }]));
    for nothing in ["", "[node]\nname = \"edge-1\"\n"] {
        let refused = with_file(&nodes[0], nothing, &["config", "apply", "FILE"]);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
        assert!(text(&refused).contains("refused with 550") && text(&refused).contains("--no-domains"));
    }
    assert_eq!(count(&server, "configuration"), "1");
    let wanted = with_file(&nodes[0], "", &["config", "apply", "FILE", "--no-domains"]);
    assert_eq!(wanted.status.code(), Some(0), "{}", text(&wanted));
    wait_until_all_follow(&nodes[0], 2);
    assert!(send(&nodes[0], "a@more.test").starts_with("550"));
}

/// Line and column are those of the file that was to be applied, and no secret goes into the store.
#[test]
fn postgres_refuses_a_faulty_configuration() {
    let server = Server::start();
    let nodes = two_nodes(&server, 1);
    let faulty = with_file(
        &nodes[0],
        "[[accepted_domain]]\nname = \"a.test\"\nconnector = \"none\"\n",
        &["config", "apply", "FILE"],
    );
    assert_eq!(faulty.status.code(), Some(2));
    assert!(text(&faulty).contains("fleet.toml:3:13: unknown connector \"none\""), "{}", text(&faulty));
    // A whole file of a node, with a connector that leads back to the other node.
    let own = fs::read_to_string(nodes[0].path("gatepost.toml")).unwrap();
    let secret = "[watch]\nwebhook = \"https://hooks.test/token-of-the-hook\"\nsecret_file = \"secret\"\n";
    let loops = own.replace("127.0.0.1:1\"", &format!("127.0.0.1:{}\"", nodes[1].port)) + secret;
    let refused = with_file(&nodes[0], &loops, &["config", "apply", "FILE"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    let line = loops.lines().position(|line| line.starts_with("hosts")).unwrap() + 1;
    for expected in [
        "Not applied, because each node has its own: [inbound] listen, [node], [store], [watch] secret_file",
        "edge-1: can follow",
        "edge-2: cannot follow, 1 error:",
        &format!("fleet.toml:{line}:10: 127.0.0.1:{} is this node itself", nodes[1].port),
        "Nothing was applied, because a node is not ready: edge-2.",
    ] {
        assert!(text(&refused).contains(expected), "{expected}: {}", text(&refused));
    }
    assert_eq!(count(&server, "configuration"), "0");
    let stored = server.cluster.sql("gatepost", "SELECT string_agg(question, '') FROM inquiry").unwrap();
    assert!(stored.contains("accepted_domain"), "{stored}");
    for secret in ["token-of-the-hook", "password", "postgres://", "secret"] {
        assert!(!stored.contains(secret), "{stored}");
    }
    let embedded = Node::to_port(1).start();
    let refused = with_file(&embedded, "", &["config", "apply", "FILE"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("there is one node, and its file is its configuration"), "{}", text(&refused));
}

#[test]
fn postgres_shows_a_node_that_cannot_follow() {
    let (server, destination) = (Server::start(), Destination::taking(|_, _| None));
    let mut nodes = two_nodes(&server, destination.port);
    let authority = Identity::for_host("mail.test").unwrap().certificate_pem();
    fs::write(nodes[0].path("ca.pem"), &authority).unwrap();
    let verified = settings(&[("onprem", destination.port)], "tls_authorities = \"ca.pem\"\n");
    let (status, refused) = apply(&nodes[0], &verified);
    assert_eq!((status, &refused["result"], &refused["version"]), (Some(1), &"refused".into(), &Value::Null));
    let errors = |node: usize| refused["nodes"][node]["errors"].as_array().unwrap().clone();
    assert_eq!((errors(0).len(), refused["nodes"][0]["answer"].as_str()), (0, Some("can-follow")));
    assert_eq!(errors(1)[0]["setting"], "connector \"onprem\" tls_authorities");
    assert_eq!((&errors(1)[0]["line"], &errors(1)[0]["column"]), (&7.into(), &19.into()));
    let forced = with_file(&nodes[0], &verified, &["config", "apply", "FILE", "--without", "edge-2"]);
    assert_eq!(forced.status.code(), Some(0), "{}", text(&forced));
    let refusal = |node: &Node| {
        let list = node.json(&["node", "list"]);
        list["nodes"][1]["config_refused"]["why"][0].as_str().map(str::to_owned)
    };
    let why = wait_for("the refusal", || refusal(&nodes[0]));
    assert!(why.starts_with("connector \"onprem\": tls_authorities: ") && why.contains("ca.pem"), "{why}");
    wait_for("edge-1 to follow", || (versions(&nodes[0])[0].1 == Some(1)).then_some(()));
    assert_eq!(versions(&nodes[0])[1], ("edge-2".to_owned(), None));
    let list = text(&nodes[0].run(&["node", "list"])).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(list.contains("edge-2 cannot follow version 1 of the fleet's configuration, and goes by its own file"));
    cannot_join(&nodes[0]);
    // It keeps what it had, also when it starts again, and follows as soon as it can.
    nodes[1].kill();
    nodes[1].start();
    assert!(send(&nodes[1], "r@onprem.test").starts_with("250"));
    nodes[1].wait_for_status("r@onprem.test", "Delivered");
    fs::write(nodes[1].path("ca.pem"), &authority).unwrap();
    wait_until_all_follow(&nodes[0], 1);
    assert_eq!(refusal(&nodes[0]), None);
}

/// A new node has nothing to keep.
fn cannot_join(node: &Node) {
    let folder = tempfile::tempdir().unwrap();
    let own = fs::read_to_string(node.path("gatepost.toml")).unwrap();
    let own = own.replace("edge-1", "edge-3").replace(&format!("127.0.0.1:{}", node.port), "127.0.0.1:0");
    fs::write(folder.path().join("gatepost.toml"), own).unwrap();
    fs::copy(node.path("password"), folder.path().join("password")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.arg("--config").arg(folder.path().join("gatepost.toml")).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    for expected in ["cannot follow version 1 of the fleet's configuration, and has followed no other", "ca.pem"] {
        assert!(text(&output).contains(expected), "{expected}: {}", text(&output));
    }
}

/// It is named after ten seconds. Meanwhile, somebody else may be faster.
#[test]
fn postgres_does_not_wait_for_a_dead_node_for_ever() {
    let (server, destination) = (Server::start(), Destination::taking(|_, _| None));
    let nodes = two_nodes(&server, destination.port);
    let settings = settings(&[("onprem", destination.port)], "");
    nodes[1].signal("-STOP");
    let (status, refused) = apply(&nodes[0], &settings);
    assert_eq!((status, &refused["nodes"][1]["answer"]), (Some(1), &"no-answer".into()), "{refused:#}");
    fs::write(nodes[0].path("fleet.toml"), &settings).unwrap();
    let mut waiting = nodes[0].command();
    waiting.args(["config", "apply"]).arg(nodes[0].path("fleet.toml")).args(["--without", "edge-2"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let asked = "SELECT count(*) FROM inquiry";
    wait_for("the questions", || (server.cluster.sql("gatepost", asked).unwrap() == "4").then_some(()));
    let other = "INSERT INTO configuration VALUES (1, 0, 'amy', NULL, NULL, '0.1.0', '[retry]\nexpire = \"9d\"\n')";
    server.cluster.sql("gatepost", other).unwrap();
    nodes[1].signal("-CONT");
    let overtaken = waiting.wait_with_output().unwrap();
    assert_eq!(overtaken.status.code(), Some(1), "{}", text(&overtaken));
    assert!(text(&overtaken).contains("somebody else has applied another configuration"), "{}", text(&overtaken));
    assert_eq!(count(&server, "configuration"), "1");
    wait_until_all_follow(&nodes[0], 1);
}

#[test]
fn postgres_applies_configurations_under_load() {
    let (server, sink) = (Server::start(), Sink::start());
    let retry = "schedule = [\"1s\"]\nback_off_first = \"1s\"\n";
    let nodes = ["edge-1", "edge-2"].map(|name| server.node(name, Node::to_port(sink.port).retry(retry)).start());
    let load = Load::start(&[nodes[0].port, nodes[1].port], &sink);
    for round in 1..=3u64 {
        // A connector that comes and goes, and limits that change.
        let more: &[(&str, u16)] = if round % 2 == 0 { &[("more", 1)] } else { &[] };
        let domains: Vec<(&str, u16)> = more.iter().copied().chain([("onprem", sink.port)]).collect();
        let limits = format!("concurrency = {round}\nmessages_per_connection = {round}\n[retry]\n{retry}");
        let (status, applied) = apply(&nodes[round as usize % 2], &settings(&domains, &limits));
        assert_eq!((status, &applied["version"]), (Some(0), &round.into()), "{applied:#}");
        wait_until_all_follow(&nodes[0], round);
        let before = load.answered();
        wait_for("mail to flow", || (load.answered() > before + 20).then_some(()));
    }
    load.end(&nodes[0]);
}

/// Nodes and commands of this version work beside those of a later one, which has written what this one does not know.
#[test]
fn postgres_works_beside_a_newer_version() {
    let (server, destination) = (Server::start(), Destination::taking(|_, _| None));
    let mut nodes = two_nodes(&server, destination.port);
    let sql = |sql: &str| server.cluster.sql("gatepost", sql).unwrap();
    assert_eq!(apply(&nodes[0], &settings(&[("onprem", destination.port)], "")).0, Some(0));
    wait_until_all_follow(&nodes[0], 1);
    assert!(send(&nodes[0], "r@onprem.test").starts_with("250"));
    nodes[0].wait_for_status("r@onprem.test", "Delivered");
    // The schema of the next version, an event, the report of a node, and a setting.
    sql("INSERT INTO gatepost_schema (version) SELECT max(version) + 1 FROM gatepost_schema");
    sql("INSERT INTO event (received, message, uid, json)
         SELECT received, message, gen_random_uuid(),
             jsonb_set(json::jsonb || '{\"stamp\": 7}', '{event}', '\"stamped\"')::text
         FROM event WHERE json LIKE '%\"received\"%' LIMIT 1");
    sql("INSERT INTO node_report (node, json)
         SELECT 'edge-9', (json::jsonb || '{\"node\": \"edge-9\", \"version\": \"9.9.9\", \"mood\": {\"good\": true}}')::text
         FROM node_report WHERE node = 'edge-1'");
    sql("INSERT INTO member SELECT 'edge-9', 999999, host, process, machine, started, seen, false
         FROM member WHERE name = 'edge-1'");
    sql("INSERT INTO configuration VALUES (2, 0, 'amy', NULL, NULL, '9.9.9', '[retry]\nexpire = \"9d\"\nmood = 1\n')");
    nodes_name_what_they_do_not_know(&nodes);
    for arguments in [
        &["trace", "--detail"][..],
        &["queue", "list"],
        &["node", "list"],
        &["policy", "list"],
        &["config", "show"],
        &["config", "history"],
        &["config", "history", "2"],
        &["rollout", "status"],
    ] {
        let output = nodes[1].run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }
    let diff = nodes[1].run(&["config", "diff"]);
    assert_eq!(diff.status.code(), Some(1), "{}", text(&diff));
    assert!(text(&diff).contains("[retry] mood: unset → 1"), "{}", text(&diff));
    assert!(text(&nodes[1].run(&["trace", "--detail"])).contains("stamped"));
    assert!(text(&nodes[1].run(&["node", "list"])).contains("9.9.9"));
    let rollback = nodes[1].run(&["config", "rollback", "2"]);
    assert_eq!(rollback.status.code(), Some(2), "{}", text(&rollback));
    assert!(text(&rollback).contains("version 2 of the fleet's configuration:3:1: unknown key \"mood\""));
    // Started again, they keep the version that they know, and take mail.
    nodes[1].kill();
    nodes[1].start();
    assert!(send(&nodes[1], "s@onprem.test").starts_with("250"));
    nodes[1].wait_for_status("s@onprem.test", "Delivered");
}

fn nodes_name_what_they_do_not_know(nodes: &[Node; 2]) {
    let list = wait_for("the refusals", || {
        let list = nodes[0].json(&["node", "list"]);
        let is_refused = |index: usize| list["nodes"][index]["config_refused"]["version"] == 2;
        (is_refused(0) && is_refused(1)).then_some(list)
    });
    let why = list["nodes"][0]["config_refused"]["why"].to_string();
    assert!(why.contains("[retry] mood: unknown key"), "{why}");
    assert!(why.contains("was applied with Gatepost 9.9.9"), "{why}");
    assert_eq!(list["nodes"][0]["config_version"], 1);
    let queue = nodes[0].run(&["queue", "list"]);
    assert!(String::from_utf8_lossy(&queue.stderr).contains("going by version 1 of the fleet's configuration"));
    let check = nodes[0].run(&["store", "check"]);
    let words = text(&check).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("not yet: first update edge-1, edge-2"), "{words}");
}
