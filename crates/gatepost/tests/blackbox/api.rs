//! The HTTP API, asked by foreign clients: Microsoft's own for Graph, and one that checks the answers against the
//! OpenAPI document.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{
    Node, database::Server as Database, free_port, http, load::Sink, python_packages, request, swaks, wait_for,
};

pub(crate) const TOKEN: &str = "gatepost_test";
/// SHA-256 of [`TOKEN`].
const HASH: &str = "a060ab00c55b81a4d47543b47a2119b5b7d7b218c64591971f12be8f2a138650";

/// A node with an API, one message delivered and one deferred for two recipients.
fn node(tokens: &str) -> (Node, Server, String) {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let port = free_port();
    let node = Node::to_port(server.port())
        .more("[[accepted_domain]]\nname = \"other.test\"\nconnector = \"dead\"\n")
        .more("[[connector]]\nname = \"dead\"\nhosts = [\"127.0.0.1:9\"]\n")
        .more("[watch]\ninterval = \"100ms\"\noldest_named = \"1ms\"\n")
        .more(&format!("[api]\nlisten = [\"127.0.0.1:{port}\"]\n{tokens}"))
        .start();
    swaks(node.port, &["--to", "user@onprem.test", "--header", "Subject: Invoice & \"more\""]);
    swaks(node.port, &["--to", "user@other.test,second@other.test", "--header", "Subject: Reminder"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    for recipient in ["user@other.test", "second@other.test"] {
        wait_for("it to be deferred", || {
            node.queue().into_iter().find(|row| row["recipient"] == recipient && !row["failure"].is_null())
        });
    }
    (node, server, format!("http://127.0.0.1:{port}"))
}

fn with_token() -> (Node, Server, String) {
    node(&format!("[[api_token]]\nname = \"monitoring\"\nsha256 = \"{HASH}\"\n"))
}

/// The same with a token that may do everything.
pub(crate) fn administered() -> (Node, Server, String) {
    node(&format!("[[api_token]]\nname = \"monitoring\"\nsha256 = \"{HASH}\"\nscopes = [\"administer\"]\n"))
}

/// Of the token that [`with_token`] configures.
pub(crate) fn authorized() -> [(&'static str, &'static str); 1] {
    [("Authorization", "Bearer gatepost_test")]
}

/// Of the first attempt for a delivery.
fn session_of(trace: &Value) -> String {
    let events = trace["events"].as_array().unwrap();
    let session = events.iter().find_map(|event| event["attempt"]["session"].as_str());
    session.unwrap_or_else(|| panic!("{trace}")).to_owned()
}

fn python(script: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support").join(script);
    Command::new("python3").arg(script).args(arguments).env("PYTHONPATH", python_packages()).output().unwrap()
}

fn value(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Status and JSON of one request.
pub(crate) fn get(address: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let (status, body) = ask(address, headers);
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{address}: {body}")))
}

/// Status and JSON of a request below `/api/v1`; null without a body.
pub(crate) fn send(method: &str, base: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let port = base.rsplit_once(':').unwrap().1.parse().unwrap();
    let json = [("Content-Type", "application/json")];
    let has_kind = headers.iter().any(|(name, _)| *name == "Content-Type");
    let headers: Vec<_> = headers.iter().chain(json.iter().filter(|_| !has_kind)).copied().collect();
    let (status, _, body) = request(port, method, &format!("/api/v1/{path}"), &headers, body);
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// Status and body of one request.
pub(crate) fn ask(address: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
    http(port, &format!("/{path}"), headers)
}

#[test]
fn a_load_balancer_learns_whether_the_node_takes_mail() {
    let (node, _server, base) = with_token();
    let health = |path: &str| ask(&format!("{base}{path}"), &[]);
    assert_eq!(health("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(health("/readyz"), (200, "ready\n".to_owned()));
    assert!(node.run(&["node", "drain", "edge-1"]).status.success());
    let drained = (503, "an operator has drained this node\n".to_owned());
    wait_for("the node to be drained", || (health("/readyz") == drained).then_some(()));
    assert_eq!(health("/healthz").0, 200);
    assert!(node.run(&["node", "resume", "edge-1"]).status.success());
    wait_for("the node to be ready", || (health("/readyz").0 == 200).then_some(()));
    // The rest needs a token.
    assert_eq!(ask(&format!("{base}/api/v1/incidents"), &[]).0, 401);
}

#[test]
fn microsoft_s_client_for_graph_reads_the_traces() {
    let (node, _server, base) = with_token();
    let ask = |filter: &str, top| value(&python("graph_client.py", &[&format!("{base}/v1.0"), TOKEN, filter, top]));
    let all = ask("", "1");
    assert_eq!(all["pages"], 3, "{all:#}");
    let rows = all["rows"].as_array().unwrap();
    let recipients: Vec<&str> = rows.iter().map(|row| row["recipient"].as_str().unwrap()).collect();
    assert_eq!(recipients, ["user@other.test", "second@other.test", "user@onprem.test"]);
    assert_eq!([&rows[0]["status"], &rows[2]["status"]], ["pending", "delivered"]);
    assert_eq!(rows[2]["subject"], "Invoice & \"more\"");
    assert_eq!([&rows[2]["from"], &rows[2]["to"]], ["127.0.0.1", "127.0.0.1"]);
    let known = node.trace().into_iter().find(|row| row["recipient"] == "user@onprem.test").unwrap();
    assert_eq!(rows[2]["id"], known["network_message_id"]);
    assert_eq!(rows[2]["size"], known["size_bytes"]);
    assert_eq!(rows[2]["message_id"], format!("<{}>", known["message_id"].as_str().unwrap()));
    let events = |row: &Value| -> Vec<String> {
        row["events"].as_array().unwrap().iter().map(|event| event[0].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(events(&rows[2]), ["Receive", "Send external"]);
    assert_eq!(events(&rows[0]), ["Receive", "Defer"]);
    let data = rows[0]["events"][1][2].as_str().unwrap();
    assert!(data.starts_with("<root><MEP Name=") && data.contains("LED=") && data.ends_with("</root>"), "{data}");

    let some = ask("status eq 'pending' and startsWith(subject,'remind')", "100");
    assert_eq!((some["pages"].as_u64(), some["rows"].as_array().unwrap().len()), (Some(1), 2));
    assert_eq!(ask("status eq 'quarantined'", "100")["rows"], Value::Array(vec![]));
    let refused = python("graph_client.py", &[&format!("{base}/v1.0"), TOKEN, "size eq 1", "1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("eq on \"size\" is not supported"));
    let unknown = python("graph_client.py", &[&base, "wrong", "", "1"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("the token is not valid"));
}

#[test]
fn the_openapi_document_is_valid_and_true() {
    let (node, _server, base) = with_token();
    let id = node.trace()[0]["network_message_id"].as_str().unwrap().to_owned();
    let session = session_of(&node.trace()[0]);
    let incidents = wait_for("an incident", || {
        let listed = node.json(&["incident", "list"]);
        listed["incidents"][0]["id"].is_string().then_some(listed)
    });
    let incident = incidents["incidents"][0]["id"].as_str().unwrap();
    let list = "/api/v1/message-traces";
    let samples = [
        [list, list],
        [list, &format!("{list}?limit=1&status=delivered")],
        [&format!("{list}/{{id}}/events"), &format!("{list}/{id}/events")],
        [&format!("{list}/{{id}}/attempts/{{session}}"), &format!("{list}/{id}/attempts/{session}")],
        ["/api/v1/incidents", "/api/v1/incidents"],
        ["/api/v1/incidents/{id}", &format!("/api/v1/incidents/{incident}")],
        ["/api/v1/queue/groups", "/api/v1/queue/groups?by=destination"],
        ["/api/v1/queue/counts", "/api/v1/queue/counts"],
        ["/api/v1/nodes", "/api/v1/nodes"],
        ["/api/v1/ledger", "/api/v1/ledger"],
        ["/api/v1/tallies", "/api/v1/tallies?step=minute&by=outcome,connector,node,tls_policy,tls,cause"],
        ["/api/v1/changes", "/api/v1/changes?limit=1"],
        [&format!("{list}/{{id}}"), &format!("{list}/{id}")],
        ["/api/v1/policies", "/api/v1/policies"],
    ];
    let arguments = [&[base.as_str(), TOKEN, "/api/v1/openapi.json"], samples.as_flattened()].concat();
    let checked = value(&python("openapi_check.py", &arguments));
    assert_eq!(checked["checked"], samples.len());
    let operations = checked["operations"].as_array().unwrap();
    assert!(operations.contains(&"post /api/v1/tokens".into()), "{operations:?}");
    assert!(checked["examples"].as_u64() > Some(100), "{checked}");
}

#[test]
fn queue_and_fleet_are_those_of_the_command_line() {
    let (node, _server, base) = node("");
    node.wait_for_failure();
    for by in ["cause", "connector", "destination", "age"] {
        let (_, mut groups) = get(&format!("{base}/api/v1/queue/groups?by={by}"), &[]);
        let listed = node.json(&["queue", "list", "--by", by]);
        assert!(groups["groups"][0]["deliveries"].as_u64() > Some(0), "{groups}");
        // The command names the folder of the store.
        for group in groups["groups"].as_array_mut().unwrap().iter_mut() {
            group["command"] = listed["groups"][0]["command"].clone();
        }
        assert_eq!(groups, listed);
    }
    let (_, counts) = get(&format!("{base}/api/v1/queue/counts"), &[]);
    assert_eq!(counts["counts"][0]["state"], "queued", "{counts}");
    let (_, nodes) = get(&format!("{base}/api/v1/nodes"), &[]);
    let listed = node.json(&["node", "list", "--all"]);
    assert_eq!(nodes["nodes"][0]["node"], listed["nodes"][0]["node"]);
    assert_eq!(nodes["nodes"][0]["state"], "running");
    let (_, tallies) = get(&format!("{base}/api/v1/tallies?by=outcome,cause"), &[]);
    assert_eq!(tallies, node.json(&["tallies", "--by", "outcome,cause"]));
    let (_, changes) = get(&format!("{base}/api/v1/changes?limit=2&kind=started,incident-opened"), &[]);
    let listed = node.json(&["changes", "--limit", "2", "--kind", "started,incident-opened"]);
    assert_eq!(changes["changes"], listed["changes"]);
    let (_, ledger) = get(&format!("{base}/api/v1/ledger"), &[]);
    assert_eq!(ledger["ledger"], node.json(&["policy", "ledger"])["ledger"]);
    let (_, policies) = get(&format!("{base}/api/v1/policies"), &[]);
    assert_eq!(policies["policies"], node.json(&["policy", "list"])["policies"]);
}

/// The node that is asked over the API asks the one that made the attempt.
#[test]
fn postgres_the_dialogue_of_another_node_is_shown() {
    let (server, sink) = (Database::start(), Sink::start());
    let port = free_port();
    let token = format!("[[api_token]]\nname = \"a\"\nsha256 = \"{HASH}\"\n");
    let api = format!("[api]\nlisten = [\"127.0.0.1:{port}\"]\n{token}");
    let mut nodes = [("edge-1", ""), ("edge-2", api.as_str())]
        .map(|(name, more)| server.node(name, Node::to_port(sink.port)).more(more).start());
    swaks(nodes[0].port, &["--to", "user@onprem.test"]);
    let trace = nodes[0].wait_for_status("user@onprem.test", "Delivered");
    let (id, session) = (trace["network_message_id"].as_str().unwrap(), session_of(&trace));
    let attempt = format!("http://127.0.0.1:{port}/api/v1/message-traces/{id}/attempts/{session}");
    let (status, shown) = get(&attempt, &authorized());
    assert_eq!((status, &shown["node"]), (200, &"edge-1".into()), "{shown}");
    assert_eq!(shown["events"][0]["event"], "delivered");
    let said: Vec<&str> =
        shown["dialogue"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert!(said.contains(&"250 taken") && said.iter().any(|line| line.starts_with("EHLO ")), "{said:?}");
    nodes[0].kill();
    let (status, shown) = get(&attempt, &authorized());
    assert_eq!((status, &shown["dialogue"]), (200, &Value::Null), "{shown}");
    assert!(shown["missing"].as_str().unwrap().starts_with("node edge-1 did not answer"), "{shown}");
}

#[test]
fn filters_pages_and_events_are_those_of_the_command_line() {
    let (node, _server, base) = with_token();
    let list = |query: &str| get(&format!("{base}/api/v1/message-traces?{query}"), &authorized()).1;
    let command = node.json(&["trace", "--recipient", "@other.test"]);
    let mut answer = list("recipient=@other.test");
    // Seconds until a retry are a matter of when one looks, times are not.
    assert_eq!(answer["messages"].as_array_mut().unwrap().len(), 2);
    assert_eq!(answer["messages"], command["messages"]);
    let first = list("limit=2");
    let next = first["next"].as_str().unwrap();
    let second = list(&format!("limit=2&after={next}"));
    assert_eq!(second["messages"].as_array().unwrap().len(), 1);
    assert_eq!(second["next"], Value::Null);
    // A range that ends before it begins has no mail.
    assert_eq!(list("since=2h&until=3h"), serde_json::json!({ "messages": [], "next": null }));
    let other = list(&format!("limit=2&node=edge-1&after={next}"));
    assert_eq!(other["errors"][0]["parameter"], "after", "{other}");
    let id = second["messages"][0]["network_message_id"].as_str().unwrap();
    let (_, events) = get(&format!("{base}/api/v1/message-traces/{id}/events"), &authorized());
    assert_eq!(events["events"][1]["event"], "delivered");
    assert_eq!(events["events"][1]["attempt"]["tls"]["version"], "TLSv1.3");
    let (_, shown) = get(&format!("{base}/api/v1/message-traces/{id}"), &authorized());
    assert_eq!(shown, node.json(&["queue", "show", id]));
    // Who asked what is in the log.
    let log = node.log();
    assert!(log.contains("API request") && log.contains("/api/v1/message-traces?since=2h"), "{log}");
    assert!(log.contains("token monitoring"), "{log}");
}

/// What is wrong is said, with the parameter; nothing that a client sends is the server's failure.
#[test]
fn bad_requests_are_answered_with_the_parameter() {
    let (_node, _server, base) = with_token();
    let traces = "/api/v1/message-traces";
    let unknown = "018f0000-0000-7000-8000-000000000000";
    for (path, status, parameter, detail) in [
        (format!("{traces}?colour=red"), 400, "colour", "unknown parameter"),
        (format!("{traces}?sender=*"), 400, "sender", "matches every message"),
        (format!("{traces}?since=0000-01-01T00:00:00Z"), 400, "since", "is not a time in UTC from 1970 to 2099"),
        (format!("{traces}?until=9999-12-31T23:59:59Z"), 400, "until", "is not a time in UTC"),
        (format!("{traces}?since=2026-11-25T12:00:00%2B02:00"), 400, "since", "is not a time in UTC"),
        (format!("{traces}?since=1h&since=2h"), 400, "since", "twice"),
        (format!("{traces}?limit=0"), 400, "limit", "from 1 to 5000"),
        (format!("{traces}?subject=%00"), 400, "subject", "control characters"),
        (format!("{traces}?subject={}", "x".repeat(10_000)), 400, "subject", "at most 500 characters"),
        (format!("{traces}?subject=%3Cscript%3E%E2%80%AE%FF"), 200, "", ""),
        (format!("{traces}?%3Cscript%3E%E2%80%AE{}=1", "y".repeat(10_000)), 400, "<script>", "unknown parameter"),
        (format!("{traces}?after=1-1~0000000000000000"), 404, "", "no such page"),
        (format!("{traces}?after=1-1"), 400, "after", "start of a page"),
        (format!("{traces}/1/events"), 400, "id", "is not an id"),
        (format!("{traces}/{unknown}/events"), 404, "", "no message"),
        (format!("{traces}/{unknown}/attempts/1"), 400, "session", "is not a session"),
        (format!("{traces}/{unknown}/attempts/08DF4D549346540D"), 404, "", "no such attempt"),
        ("/api/v1/tallies?step=day".to_owned(), 400, "step", "must be one of minute, hour"),
        ("/api/v1/changes?kind=fire".to_owned(), 400, "kind", "must be one of started"),
        ("/api/v1/queue/groups?by=size".to_owned(), 400, "by", "must be one of cause, connector, destination, age"),
        ("/api/v1/incidents/1".to_owned(), 400, "id", "is not an id"),
        (format!("/api/v1/incidents/{unknown}"), 404, "", "no incident"),
        ("/".to_owned(), 404, "", "openapi.json"),
        ("/api/v1/tokens".to_owned(), 403, "", "needs the scope administer"),
    ] {
        let (code, body) = get(&format!("{base}{path}"), &authorized());
        let path = path.chars().take(100).collect::<String>();
        assert_eq!(code, status, "{path}: {body}");
        if code == 200 {
            continue;
        }
        assert_eq!((&body["status"], body["type"].is_string()), (&code.into(), true), "{path}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(detail), "{path}: {body}");
        let named = body["errors"][0]["parameter"].as_str().unwrap_or_default();
        assert!(named.starts_with(parameter), "{path}: {body}");
        assert!(body.to_string().len() < 2000 && !body.to_string().contains('\u{202e}'), "{path}: {body}");
    }
    // Graph's paths keep their own form.
    let (code, body) = get(&format!("{base}/admin/exchange/tracing/messageTraces?$filter=a+or+b"), &authorized());
    assert_eq!((code, &body["error"]["code"]), (400, &"BadRequest".into()), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("or"), "{body}");
}

/// Pages of other sites run in browsers on this machine, too.
#[test]
fn without_tokens_this_machine_may_look_and_nothing_else() {
    let (node, _server, base) = node("");
    let (code, incidents) = wait_for("an incident", || {
        let (code, body) = get(&format!("{base}/api/v1/incidents"), &[]);
        (!body["incidents"].as_array()?.is_empty()).then_some((code, body))
    });
    assert_eq!(code, 200);
    assert!(!incidents.to_string().contains("user@"), "{incidents}");
    for path in
        ["message-traces", "message-traces/018f0000-0000-7000-8000-000000000000/events", "tokens", "configuration"]
    {
        let (code, body) = get(&format!("{base}/api/v1/{path}"), &[]);
        assert_eq!(code, 403, "{path}: {body}");
        assert!(body["detail"].as_str().unwrap().contains("gatepost token create NAME --scope"), "{path}: {body}");
    }
    for host in ["evil.example", "localhost:2580.evil", "127.0.0.1:2580@evil"] {
        let (code, _) = get(&format!("{base}/api/v1/incidents"), &[("Host", host)]);
        assert_eq!(code, 403, "{host}");
    }
    for (path, body) in [("nodes/edge-1/drain", ""), ("tokens", "{\"name\": \"a\", \"scopes\": [\"administer\"]}")] {
        let (code, answer) = send("POST", &base, path, &[], body);
        assert_eq!(code, 403, "{path}: {answer}");
    }
    assert_eq!(node.json(&["node", "list"])["nodes"][0]["drained"], Value::Null);
}

/// A token in the store works at once, says when it was used, and opens what its scopes say until it is revoked.
#[test]
fn tokens_are_created_and_revoked_without_a_restart() {
    let (node, _server, base) = node("");
    let create = |arguments: &[&str]| {
        let made = node.run(&[&["token", "create"], arguments].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim())
    };
    let admin = create(&["ana", "--scope", "administer"]);
    let viewer = create(&["viewer", "--scope", "look", "--expires", "1h"]);
    let code = |path: &str, token: &str| get(&format!("{base}/api/v1/{path}"), &[("Authorization", token)]).0;
    assert_eq!([code("incidents", &viewer), code("message-traces", &viewer), code("tokens", &viewer)], [200, 403, 403]);
    assert_eq!([code("incidents", &admin), code("message-traces", &admin), code("tokens", &admin)], [200, 200, 200]);
    assert_eq!(get(&format!("{base}/api/v1/incidents"), &[]).0, 401, "from now on a token is required");
    let used = wait_for("the use to be noted", || {
        let listed = node.json(&["token", "list"]);
        listed["tokens"].as_array()?.iter().all(|token| token["last_used"].is_string()).then_some(listed)
    });
    assert_eq!((&used["tokens"][1]["name"], &used["tokens"][1]["scopes"][0]), (&"viewer".into(), &"look".into()));
    let bearer = [("Authorization", admin.as_str())];
    let (code, made) =
        send("POST", &base, "tokens", &bearer, r#"{"name": "ci", "scopes": ["operate"], "expires": "1s"}"#);
    assert_eq!(code, 201, "{made}");
    let ci = format!("Bearer {}", made["token"].as_str().unwrap());
    let operator = [("Authorization", ci.as_str())];
    assert_eq!(send("POST", &base, "nodes/edge-1/drain", &operator, "").0, 200);
    assert_eq!(send("POST", &base, "tokens", &bearer, r#"{"name": "ci", "scopes": ["operate"]}"#).0, 409);
    wait_for("the token to expire", || {
        (send("POST", &base, "nodes/edge-1/resume", &operator, "").0 == 401).then_some(())
    });
    assert_eq!(send("DELETE", &base, "tokens/ci", &bearer, "").0, 204);
    assert_eq!(send("DELETE", &base, "tokens/ci", &bearer, "").0, 404);
    assert!(node.run(&["token", "revoke", "viewer"]).status.success());
    assert_eq!(get(&format!("{base}/api/v1/incidents"), &[("Authorization", &viewer)]).0, 401);
    for (kind, body, expected) in [
        ("text/plain", "{}", 415),
        ("application/json", "{", 400),
        ("application/json", r#"{"name": "x", "scopes": ["operate"], "more": 1}"#, 400),
        ("application/json", r#"{"name": "x", "scopes": []}"#, 400),
        ("application/json", r#"{"scopes": ["look"]}"#, 400),
    ] {
        let headers = [("Authorization", admin.as_str()), ("Content-Type", kind)];
        let (code, answer) = send("POST", &base, "tokens", &headers, body);
        assert_eq!(code, expected, "{body}: {answer}");
    }
}

/// What a client has is not sent again.
#[test]
fn what_clients_poll_has_a_version() {
    let (_node, _server, base) = with_token();
    let path = "/api/v1/queue/counts";
    let port = base.rsplit_once(':').unwrap().1.parse().unwrap();
    let (code, head, _) = request(port, "GET", path, &authorized(), "");
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(code, 200);
    let (code, _, body) = request(port, "GET", path, &[authorized()[0], ("If-None-Match", &etag)], "");
    assert_eq!((code, body.as_str()), (304, ""));
}

/// Clients that ask for much and read nothing cost others nothing, however many they are.
#[test]
fn clients_that_never_read_keep_nobody_out() {
    let (node, _server, base) = node("");
    let host = base.strip_prefix("http://").unwrap();
    let request = format!("GET /api/v1/openapi.json HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let deaf = || {
        let mut stream = TcpStream::connect(host).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
        // More than both ends' buffers hold.
        stream.write_all(request.repeat(100).as_bytes()).unwrap();
        stream
    };
    let open = || fs::read_dir(format!("/proc/{}/fd", node.process_id())).unwrap().count();
    let before = open();
    let clients: Vec<TcpStream> = (0..120).map(|_| deaf()).collect();
    let mut client = TcpStream::connect(host).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Nor do they stay for ever.
    wait_for("the connections to be given up", || (open() < before + 20).then_some(()));
    drop(clients);
}

/// A client without access holds no connection, and writes nothing misleading into the log.
#[test]
fn a_refused_client_is_closed_and_shows_in_the_log_as_it_is() {
    let (node, _server, base) = with_token();
    let host = base.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(host).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(format!("GET /\u{202e}gnp HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the connection to be closed");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let mut client = TcpStream::connect(host).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the connection to be closed");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    assert!(!node.log().contains('\u{202e}'), "{}", node.log());
}

#[test]
fn a_token_is_made_and_taken_at_a_reload_and_asked_for_from_then_on() {
    let (node, _server, base) = node("");
    let address = format!("{base}/api/v1/incidents");
    assert_eq!(get(&address, &[]).0, 200);
    let made = String::from_utf8(node.run(&["api", "token", "mon\"itoring"]).stdout).unwrap();
    let token = made.lines().find_map(|line| line.strip_prefix("#   ")).unwrap();
    let file = node.path("gatepost.toml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &made).unwrap();
    node.signal("-HUP");
    wait_for("the token to be asked for", || (get(&address, &[]).0 == 401).then_some(()));
    assert_eq!(get(&address, &[("Authorization", &format!("Bearer {token}"))]).0, 200);
    assert_eq!(get(&address, &[("Authorization", &format!("Bearer {token}x"))]).0, 401);
    assert!(node.log().contains(r#"mon\"itoring"#), "{}", node.log());
}

#[test]
fn beyond_loopback_it_speaks_https_only() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let port = free_port();
    let node = Node::to_port(server.port())
        .more(&format!("[api]\nlisten = [\"0.0.0.0:{port}\"]\n[[api_token]]\nname = \"a\"\nsha256 = \"{HASH}\"\n"))
        .start();
    let script = "import http.client, socket, ssl, sys; \
        port, file, token = sys.argv[1:]; \
        context = ssl.create_default_context(cafile=file); \
        connection = http.client.HTTPSConnection('edge.test', int(port), context=context); \
        raw = socket.create_connection(('127.0.0.1', int(port))); \
        connection.sock = context.wrap_socket(raw, server_hostname='edge.test'); \
        connection.request('GET', '/api/v1/message-traces', headers={'Authorization': 'Bearer ' + token}); \
        print(connection.getresponse().read().decode())";
    let certificate = node.path("data/self-signed.pem");
    let asked = Command::new("python3")
        .args(["-c", script, &port.to_string(), certificate.to_str().unwrap(), TOKEN])
        .output()
        .unwrap();
    assert_eq!(value(&asked), serde_json::json!({"messages": [], "next": null}));
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

/// SIGHUP gives the API its new certificate, as it does SMTP.
#[test]
fn a_reload_renews_the_certificate() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let port = free_port();
    let node = Node::to_port(server.port())
        .more(&format!("[api]\nlisten = [\"0.0.0.0:{port}\"]\n[[api_token]]\nname = \"a\"\nsha256 = \"{HASH}\"\n"))
        .start();
    let other = Node::to_port(server.port()).start();
    let shown = || {
        let script = "import ssl, sys; print(ssl.get_server_certificate(('127.0.0.1', int(sys.argv[1]))))";
        let output = Command::new("python3").args(["-c", script, &port.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let before = shown();
    for name in ["data/self-signed.key", "data/self-signed.pem"] {
        fs::copy(other.path(name), node.path(name)).unwrap();
    }
    node.signal("-HUP");
    let renewed = fs::read_to_string(other.path("data/self-signed.pem")).unwrap();
    assert_ne!(before, renewed.trim());
    wait_for("the new certificate", || (shown() == renewed.trim()).then_some(()));
}
