//! The console's pages about mail that is stuck: Overview, incidents, one incident with its report, and Why.

use lab::{Device, Options, Server};

use crate::support::{
    Node,
    browser::{Browser, user},
    free_port, swaks, wait_for,
};

/// All that would take minutes takes a moment.
const QUICK: &str = "[watch]\ninterval = \"100ms\"\noldest_named = \"300ms\"\n";
const RETRY: &str = "schedule = [\"30s\"]\nback_off_first = \"100ms\"\nback_off_max = \"200ms\"\n";
/// What a page may weigh, in bytes.
const PAGE_MAX: usize = 60 * 1024;
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\"'";

/// A node whose mail is stuck, and the path of its incident.
fn stuck(port: u16, server: &Server) -> (Node, String) {
    let console = format!("{QUICK}[console]\nlisten = [\"127.0.0.1:{port}\"]\n");
    let node = Node::to_port(server.port()).retry(RETRY).more(&console).start();
    for number in 0..12 {
        swaks(node.port, &["--to", &format!("user{number}@onprem.test")]);
    }
    let id = wait_for("an incident", || {
        let incidents = node.json(&["incident", "list"]);
        let incident = incidents["incidents"].as_array()?.first()?;
        (incident["messages_pending"].as_u64()? == 12).then(|| incident["id"].as_str().map(str::to_owned))?
    });
    (node, format!("/incidents/{id}"))
}

fn page(browser: &mut Browser, path: &str) -> String {
    let answer = browser.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert!(answer.body.len() < PAGE_MAX, "{path}: {} bytes", answer.body.len());
    assert!(!answer.body.contains("<script>alert"), "{path}");
    answer.body
}

fn expect(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn an_incident_is_shown_with_its_picture_until_it_ends() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let port = free_port();
    let (node, path) = stuck(port, &server);
    let mut browser = user(&node, port, "ana", "operator");
    expect(&page(&mut browser, "/"), &["Mail is stuck on 1 of 1 connector.", &path, "12 waiting", "<b>12</b>"]);
    expect(&page(&mut browser, "/incidents"), &["<h2>Open</h2>", &path]);
    let incident = wait_for("the picture and all mail to wait", || {
        let page = page(&mut browser, &path);
        (page.contains("Retry 12 now") && page.contains("table class=\"lanes\"")).then_some(page)
    });
    expect(
        &incident,
        &[
            ">Open</span> for ",
            "12 messages, oldest ",
            "no-shared-tls-version",
            "attempts failed, 0 worked",
            "Retry 12 now",
        ],
    );
    assert!(!incident.contains("What differs"), "nothing has worked: {incident}");
    let report = browser.get(&format!("{path}/report.html"));
    let policy = report.header("content-security-policy").unwrap();
    assert!(policy.contains("style-src 'sha256-") && policy.contains("sandbox"), "{policy}");
    expect(&report.body, &["Mail delivery report", "supports no TLS version that this gateway offers"]);
    assert!(!report.body.contains("user1@onprem.test"), "addresses are withheld");
    let csrf = browser.token(&path);
    let note = |browser: &mut Browser, text: &str| {
        browser.post(&format!("{path}/notes"), &[("csrf", &csrf), ("text", text)]).status
    };
    assert_eq!(
        [note(&mut browser, HOSTILE), note(&mut browser, " "), note(&mut browser, &"x".repeat(10_000))],
        [303, 400, 400]
    );
    expect(&page(&mut browser, &path), &["&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}&quot;"]);
    server.become_device(Device::Healthy).unwrap();
    let retry =
        [("csrf", csrf.as_str()), ("connector", "onprem"), ("state", "queued"), ("expect", "12"), ("back", &path)];
    let retried = browser.post("/queue/retry", &retry);
    assert_eq!((retried.status, retried.header("location")), (303, Some(&*format!("{path}?done=retry-12-0"))));
    let ended = wait_for("the end", || Some(page(&mut browser, &path)).filter(|page| page.contains("How it ended")));
    expect(&ended, &[">Closed</span>", "mail flows again", "Incident closed", "none of them in plaintext"]);
    assert!(!ended.contains("Retry 12 now"), "{ended}");
}

#[test]
fn viewers_see_no_address_and_may_not_act() {
    let server = Server::start(Device::RecipientUnknown, Options::default()).unwrap();
    let port = free_port();
    let console = format!("[console]\nlisten = [\"127.0.0.1:{port}\"]\n");
    let node = Node::to_port(server.port()).more(&console).start();
    swaks(node.port, &["--to", "secret.name@onprem.test"]);
    let (mut viewer, mut tracer) = (user(&node, port, "vic", "viewer"), user(&node, port, "tom", "tracer"));
    wait_for("a finding", || page(&mut tracer, "/why").contains("recipient-unknown").then_some(()));
    let seen = page(&mut viewer, "/why?what=onprem");
    assert!(seen.contains("recipient-unknown") && !seen.contains("secret.name"), "{seen}");
    assert_eq!(viewer.get("/why?what=secret.name%40onprem.test").status, 403);
    assert_eq!(tracer.get("/why?what=secret.name%40onprem.test").status, 200);
    let nobody = format!("/incidents/{}/notes", "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e");
    assert_eq!(viewer.post(&nobody, &[("text", "x")]).status, 403);
}

/// Each is answered with the parameter named, and none with 500.
#[test]
fn what_cannot_be_understood_is_refused() {
    let port = free_port();
    let console = format!("[console]\nlisten = [\"127.0.0.1:{port}\"]\n");
    let node = Node::to_port(free_port()).more(&console).start();
    let mut browser = user(&node, port, "ana", "operator");
    let long = format!("/why?what={}", "x".repeat(7000));
    for (path, status, part) in [
        ("/incidents/x", 400, "not the id of an incident"),
        ("/incidents/0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e", 404, "no such incident"),
        ("/incidents/0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e/report.html", 404, "no such incident"),
        ("/incidents/%00/bundle.zip", 400, "not the id of an incident"),
        ("/?range=year", 400, "range: must be one of 1h, 24h, 7d"),
        ("/?page=2", 400, "page: unknown parameter"),
        ("/why?since=soon", 400, "since: "),
        ("/why?since=9999-12-31T23:59:59Z", 400, "since: "),
        ("/why?since=0000-01-01T00:00:00Z", 200, "No findings."),
        ("/why?what=a&what=b", 400, "what: the parameter is there twice"),
        (&long, 400, "what: is too long"),
        ("/why?what=%3Cscript%3Ealert(1)%3C/script%3E", 200, "&lt;script&gt;alert(1)"),
        ("/why?what=%00%E2%80%AE", 200, "<h1>Why</h1>"),
        ("/why?what=0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e", 400, "there is no message"),
    ] {
        let answer = browser.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        expect(&answer.body, &[part]);
        assert!(!answer.body.contains("<script>alert"), "{path}");
    }
}
