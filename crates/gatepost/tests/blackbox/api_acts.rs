//! What the HTTP API changes: the queue, rollouts, incidents and jobs; and what it says while it happens.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::{
    api::{TOKEN, administered, ask, authorized, get, send},
    support::{request, wait_for},
};

/// An action means what its client has seen.
#[test]
fn the_queue_is_changed_as_it_was_seen() {
    let (node, _server, base) = administered();
    let bearer = authorized();
    let act = |path: &str, body: &str| send("POST", &base, path, &bearer, body);
    let (code, rows) = get(&format!("{base}/api/v1/queue?connector=dead&limit=1"), &bearer);
    assert_eq!((code, rows["total"].as_u64()), (200, Some(2)), "{rows}");
    let next = rows["next"].as_str().unwrap();
    let (_, second) = get(&format!("{base}/api/v1/queue?connector=dead&limit=1&after={next}"), &bearer);
    assert_ne!(second["deliveries"][0]["recipient"], rows["deliveries"][0]["recipient"]);
    assert_eq!(second["next"], Value::Null);
    let all = r#"{"selection": {"connector": "dead"}, "expect": 2}"#;
    assert_eq!(act("queue/suspend", all), (200, serde_json::json!({ "changed": 2, "leased": 0 })));
    let (code, refused) = act("queue/resume", r#"{"selection": {"connector": "dead"}, "expect": 1}"#);
    assert_eq!(code, 409, "{refused}");
    assert!(
        refused["detail"].as_str().unwrap().starts_with("2 deliveries match now, and 1 were expected"),
        "{refused}"
    );
    assert_eq!(get(&format!("{base}/api/v1/queue?state=suspended"), &bearer).1["total"], 2);
    let one = r#"{"selection": {"recipient": "user@other.test", "state": "suspended"}, "expect": 1}"#;
    assert_eq!(act("queue/remove", one).1["changed"], 1);
    for (body, parameter) in [
        (r#"{"selection": {"connector": "dead"}}"#, "expect"),
        (r#"{"expect": 1}"#, "selection"),
        (r#"{"selection": {"conector": "dead"}, "expect": 1}"#, "selection.conector"),
        (r#"{"selection": {"message": ["1"]}, "expect": 1}"#, "selection.message"),
        (r#"{"selection": {"sender": "*"}, "expect": 1}"#, "selection.sender"),
    ] {
        let (code, answer) = act("queue/retry", body);
        assert_eq!((code, &answer["errors"][0]["parameter"]), (400, &parameter.into()), "{body}: {answer}");
    }
    // The audit says who did what, from where.
    let (_, audit) = get(&format!("{base}/api/v1/audit?kind=queue-command&limit=1"), &bearer);
    let row = &audit["audit"][0];
    assert_eq!((&row["who"], &row["from"]), (&"token monitoring".into(), &"127.0.0.1".into()), "{audit}");
    assert_eq!(node.queue().len(), 1);
}

/// Who has seen an older plan changes nothing.
#[test]
fn a_rollout_is_changed_as_it_was_seen() {
    let (_node, _server, base) = administered();
    let port = base.rsplit_once(':').unwrap().1.parse().unwrap();
    let seen = || {
        let (_, head, _) = request(port, "GET", "/api/v1/rollout", &authorized(), "");
        head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned()
    };
    let change = |etag: Option<&str>, body: &str| {
        let known = etag.map(|etag| ("If-Match", etag));
        let headers: Vec<_> = authorized().into_iter().chain(known).collect();
        send("POST", &base, "rollout", &headers, body)
    };
    let half = r#"{"set": {"from": "legacy", "to": "modern", "share": 50}}"#;
    assert_eq!(change(None, half).0, 428);
    assert_eq!(change(Some("7"), half).0, 400);
    let first = seen();
    let (code, rollout) = change(Some(&first), half);
    assert_eq!((code, &rollout["version"], &rollout["percent"]), (200, &1.into(), &50.into()), "{rollout}");
    let (code, refused) = change(Some(&first), r#"{"resume": {}}"#);
    assert_eq!(code, 412, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("version 1 by token monitoring"), "{refused}");
    assert_eq!(change(Some("\"1\""), r#"{"halt": {"because": "mail waits"}}"#).1["halted"], "mail waits");
    assert_eq!(change(Some(&seen()), r#"{"halt": {}, "resume": {}}"#).0, 400);
    assert_eq!(change(Some(&seen()), r#"{"set": {"from": "legacy", "to": "none", "share": ["edge-1"]}}"#).0, 409);
    assert_eq!(change(Some(&seen()), r#"{"resume": {}}"#).0, 200);
    let (_, history) = get(&format!("{base}/api/v1/rollout/history"), &authorized());
    assert_eq!(history["plans"].as_array().unwrap().len(), 3, "{history}");
    let (code, foreseen) = get(&format!("{base}/api/v1/policies/modern/impact"), &authorized());
    assert_eq!((code, &foreseen["impact"]["policy"]), (200, &"modern".into()), "{foreseen}");
    assert_eq!(get(&format!("{base}/api/v1/policies/none/impact"), &authorized()).0, 404);
}

/// A job is started, watched and cancelled; only its owner sees it.
#[test]
fn long_work_is_a_job() {
    let (_node, _server, base) = administered();
    let (code, job) = send("POST", &base, "probes", &authorized(), r#"{"connector": "onprem"}"#);
    assert_eq!(code, 202, "{job}");
    let path = format!("jobs/{}", job["id"].as_str().unwrap());
    let done = wait_for("the probe to end", || {
        let (_, job) = get(&format!("{base}/api/v1/{path}"), &authorized());
        (job["state"] == "done").then_some(job)
    });
    assert!(!done["steps"].as_array().unwrap().is_empty() && done["result"]["probe"].is_object(), "{done}");
    assert_eq!(get(&format!("{base}/api/v1/jobs"), &authorized()).1["jobs"][0]["id"], done["id"]);
    assert_eq!(send("DELETE", &base, &path, &authorized(), "").0, 204);
    let (code, checked) = send("POST", &base, "validations", &authorized(), r#"{"connector": "onprem"}"#);
    assert_eq!((code, &checked["kind"]), (202, &"validation".into()), "{checked}");
    for (what, body, expected) in [
        ("probes", r#"{"connector": "none"}"#, 409),
        ("probes", r#"{"connector": "onprem", "destination": "a:25"}"#, 400),
        ("probes", "{}", 400),
        ("probes", r#"{"incident": "018f0000-0000-7000-8000-000000000000"}"#, 404),
        ("validations", r#"{"connector": "none"}"#, 409),
    ] {
        let (code, answer) = send("POST", &base, what, &authorized(), body);
        assert_eq!(code, expected, "{body}: {answer}");
    }
}

#[test]
fn findings_and_incidents_have_notes_and_files() {
    let (node, _server, base) = administered();
    let incidents = wait_for("an incident", || {
        let listed = node.json(&["incident", "list"]);
        listed["incidents"][0]["id"].is_string().then_some(listed)
    });
    let incident = format!("incidents/{}", incidents["incidents"][0]["id"].as_str().unwrap());
    let (code, notes) =
        send("POST", &base, &format!("{incident}/notes"), &authorized(), r#"{"text": "<b>seen\nby ana"}"#);
    assert_eq!((code, &notes["notes"][0]["text"]), (201, &"<b>seen\nby ana".into()), "{notes}");
    assert_eq!(get(&format!("{base}/api/v1/{incident}/notes"), &authorized()).1, notes);
    let (code, report) = ask(&format!("{base}/api/v1/{incident}/report"), &authorized());
    assert!(code == 200 && report.starts_with("<!DOCTYPE html>") && !report.contains("user@other.test"), "{report}");
    let (code, found) = get(&format!("{base}/api/v1/findings?what=dead"), &authorized());
    assert_eq!((code, &found["findings"][0]["cause"]), (200, &"connection-refused".into()), "{found}");
    assert_eq!(get(&format!("{base}/api/v1/findings?what=nothing.test"), &authorized()).0, 404);
}

/// A stream continues where it was cut off.
#[test]
fn what_happens_is_streamed() {
    let (node, _server, base) = administered();
    let port: u16 = base.rsplit_once(':').unwrap().1.parse().unwrap();
    let open = |last: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!(
            "GET /api/v1/events?kind=node-drained,node-resumed HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
             {TOKEN}\r\nAccept: text/event-stream\r\n{last}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let read_until = |stream: &mut TcpStream, wanted: &str| {
        let (mut all, mut piece) = (String::new(), [0; 4096]);
        while !all.contains(wanted) {
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "{all}");
            all.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        all
    };
    let mut stream = open("");
    read_until(&mut stream, "retry: 2000");
    assert!(node.run(&["node", "drain", "edge-1"]).status.success());
    let said = read_until(&mut stream, "\"change\":\"node-drained\"");
    let id = said.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(stream);
    assert!(node.run(&["node", "resume", "edge-1"]).status.success());
    let said = read_until(&mut open(&format!("Last-Event-ID: {id}\r\n")), "\"change\":\"node-resumed\"");
    assert!(!said.contains("node-drained\""), "{said}");
    let (_, events) = get(&format!("{base}/api/v1/events?kind=node-resumed&after={id}"), &authorized());
    assert_eq!(events["events"][0]["change"], "node-resumed", "{events}");
}
