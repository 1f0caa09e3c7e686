//! The console's pages about mail: queue, trace and message, as a browser and people of each right see them.

use lab::{Device, Options, Server};

use crate::support::{
    Node,
    browser::{Answer, Browser},
    free_port, swaks, wait_for,
};

const PASSWORD: &str = "correct horse battery";
const HOSTILE: &str = "<script>alert(1)</script> \u{202e}\u{0}";

/// A node with a console, three messages that wait for two recipients each, and one that was delivered.
struct Site {
    node: Node,
    port: u16,
    _server: Server,
}

impl Site {
    fn new() -> Self {
        let (server, port) = (Server::start(Device::Healthy, Options::default()).unwrap(), free_port());
        let node = Node::to_port(server.port())
            .more("[[accepted_domain]]\nname = \"other.test\"\nconnector = \"dead\"\n")
            .more("[[connector]]\nname = \"dead\"\nhosts = [\"127.0.0.1:9\"]\n")
            .more(&format!("[console]\nlisten = [\"127.0.0.1:{port}\"]\n"))
            .start();
        let site = Self { node, port, _server: server };
        for number in 1..=3 {
            site.send(&format!("a{number}@other.test,b{number}@other.test"), &format!("Number {number}"));
        }
        site.send("user@onprem.test", "=1+1 <script>");
        site.node.wait_for_status("user@onprem.test", "Delivered");
        wait_for("all to wait after a failure", || {
            let rows = site.node.queue();
            (rows.len() == 6 && rows.iter().all(|row| !row["failure"].is_null())).then_some(())
        });
        site
    }

    fn send(&self, to: &str, subject: &str) {
        swaks(self.node.port, &["--to", to, "--from", "ana@sender.test", "--header", &format!("Subject: {subject}")]);
    }

    fn user(&self, name: &str, role: &str) -> Person {
        let invited = self.node.json(&["user", "invite", name, "--role", role]);
        let url = invited["url"].as_str().unwrap();
        let mut browser = Browser::at(self.port);
        let fields = [("password", PASSWORD), ("repeated", PASSWORD)];
        assert_eq!(browser.post(&url[url.find("/invite/").unwrap()..], &fields).status, 303);
        let token = browser.token("/");
        Person { browser, token }
    }

    fn state_of(&self, recipient: &str) -> Option<String> {
        let rows = self.node.queue();
        let row = rows.iter().find(|row| row["recipient"] == recipient)?;
        row["state"].as_str().map(str::to_owned)
    }
}

struct Person {
    browser: Browser,
    token: String,
}

impl Person {
    fn page(&mut self, path: &str) -> String {
        let answer = self.browser.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.body.len() < 60 << 10, "{path} has {} bytes", answer.body.len());
        assert!(!answer.body.contains("<script>") && !answer.body.contains(['\u{202e}', '\0']), "{path}");
        answer.body
    }

    fn act(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        self.browser.post(path, &[&[("csrf", token.as_str())], fields].concat())
    }
}

/// What stands between two texts of a page.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("{start} is not in {page}"));
    rest.split_once(end).unwrap().0
}

#[test]
fn a_group_of_the_queue_opens_to_its_rows() {
    let site = Site::new();
    let mut ana = site.user("ana", "operator");
    for by in ["cause", "connector", "destination", "age"] {
        let page = ana.page(&format!("/queue?by={by}"));
        assert!(page.contains(">6 deliveries</a></b> in the queue") && page.contains("Retry 6"), "{page}");
        let rows = between(&page, "href=\"/queue/list?", "\"").replace("&amp;", "&");
        let page = ana.page(&format!("/queue/list?{rows}"));
        assert!(page.contains("<b>6 deliveries</b> match."), "{by}: {page}");
        for row in site.node.queue() {
            assert!(page.contains(row["recipient"].as_str().unwrap()), "{by}");
        }
    }
    let page = ana.page("/queue/list?recipient=a2@other.test");
    assert!(page.contains("<b>1 delivery</b> matches."), "{page}");
    assert!(ana.page("/queue/list?recipient=nobody@other.test").contains("<b>0 deliveries</b> match."));
}

#[test]
fn all_that_match_are_changed_and_no_more_than_was_shown() {
    let site = Site::new();
    let mut ana = site.user("ana", "administrator");
    let dead = ("connector", "dead");
    // Somebody looked when there were five.
    let asked = ana.act("/queue/suspend", &[dead, ("expect", "5")]);
    assert_eq!(asked.status, 412);
    assert!(asked.body.contains("showed <b>5</b>. Now <b>6</b> match. Nothing was changed."), "{}", asked.body);
    assert_eq!(site.state_of("a1@other.test").as_deref(), Some("queued"));
    assert_eq!(between(&asked.body, "name=\"expect\" value=\"", "\""), "6");
    let done = ana.act("/queue/suspend", &[dead, ("expect", "6")]);
    assert_eq!((done.status, done.header("location")), (303, Some("/queue/list?connector=dead&done=suspend-6-0")));
    assert!(ana.page(done.header("location").unwrap()).contains("6 deliveries are suspended."));
    // As a button says it, for one group.
    let cause = site.node.json(&["queue", "list", "--by", "cause"])["groups"][0]["group"].as_str().unwrap().to_owned();
    let done = ana.act("/queue/resume", &[("choice", &format!("cause={cause}&expect=6")), ("back", "/queue")]);
    assert_eq!(done.header("location"), Some("/queue?done=resume-6-0"));
    // Rows that are ticked.
    let page = ana.page("/queue/list?recipient=b1@other.test");
    let key = between(&page, "name=\"delivery\" value=\"", "\"").to_owned();
    assert_eq!(ana.act("/queue/suspend", &[("ticked", "yes"), ("delivery", &key)]).status, 303);
    assert_eq!(site.state_of("b1@other.test").as_deref(), Some("suspended"));
    assert_eq!(site.state_of("a1@other.test").as_deref(), Some("queued"));
    assert_eq!(ana.act("/queue/suspend", &[("ticked", "yes")]).status, 400);

    let remove = |ana: &mut Person, typed: &[(&str, &str)]| {
        ana.act("/queue/remove", &[&[("recipient", "a1@other.test"), ("expect", "1")], typed].concat())
    };
    assert!(remove(&mut ana, &[]).body.contains("<b>1</b> to confirm"));
    let wrong = remove(&mut ana, &[("confirm", "2")]);
    assert!(wrong.body.contains("Nothing was removed: what you typed is not 1."), "{}", wrong.body);
    assert_eq!(site.state_of("a1@other.test").as_deref(), Some("queued"));
    assert_eq!(remove(&mut ana, &[("confirm", "1")]).status, 303);
    assert_eq!(site.state_of("a1@other.test"), None);

    let changes = site.node.json(&["changes", "--kind", "queue-command"]);
    let facts: Vec<_> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|change| change["what"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "queue suspend (connector dead): 6 deliveries".to_owned(),
        format!("queue resume (cause {cause}): 6 deliveries"),
        "queue suspend (chosen rows: 1): 1 delivery".to_owned(),
        "queue remove (recipient withheld@other.test): 1 delivery".to_owned(),
    ];
    assert_eq!(facts, expected);
    assert!(changes["changes"].as_array().unwrap().iter().all(|change| change["from"] == "127.0.0.1"));
}

#[test]
fn a_message_shows_its_attempts_and_who_has_looked() {
    let site = Site::new();
    let mut ana = site.user("ana", "administrator");
    let page = ana.page("/trace?recipient=user@onprem.test");
    let path = format!("/messages/{}", between(&page, "href=\"/messages/", "\""));
    let page = ana.page(&path);
    assert!(page.contains("=1+1 &lt;script&gt;") && page.contains("Delivered"), "{page}");
    let attempt = between(&page, &format!("href=\"{path}/attempts/"), "\"").to_owned();
    let page = ana.page(&format!("{path}/attempts/{attempt}"));
    for part in ["EHLO edge.test", "STARTTLS", "RCPT TO:&lt;user@onprem.test&gt;", "TLS handshake", "Certificate of"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let waiting = site.node.queue()[0]["network_message_id"].as_str().unwrap().to_owned();
    let page = ana.page(&format!("/messages/{waiting}"));
    assert!(page.contains("connection refused while connecting") && page.contains("Retry 2"), "{page}");
    let content = ana.browser.get(&format!("/messages/{waiting}/message.eml"));
    assert_eq!(content.header("content-type"), Some("message/rfc822"));
    assert_eq!(content.header("x-content-type-options"), Some("nosniff"));
    assert!(content.header("content-disposition").unwrap().starts_with("attachment"));
    assert!(content.body.contains("Subject: Number"), "{}", content.body);
    assert_eq!(ana.browser.get(&format!("{path}/message.eml")).status, 404, "nobody needs it any more");

    let audit = site.node.json(&["changes", "--audit", "--kind", "message-viewed"]);
    let seen: Vec<_> = audit["changes"].as_array().unwrap().iter().map(|change| &change["facts"]["message"]).collect();
    let delivered = path.strip_prefix("/messages/").unwrap();
    assert_eq!(seen, [waiting.as_str(), &waiting, delivered, delivered]);
}

#[test]
fn a_trace_finds_what_the_command_finds() {
    let site = Site::new();
    let mut ana = site.user("ana", "tracer");
    for query in ["", "sender=ana@sender.test", "status=delivered", "recipient=@other.test&limit=2", "subject=1%2B1"] {
        let csv = ana.browser.get(&format!("/trace.csv?{query}")).body;
        let arguments: Vec<String> =
            query.split('&').filter(|one| !one.is_empty()).map(|one| format!("--{one}")).collect();
        let arguments: Vec<String> = arguments.iter().map(|one| one.replace("%2B", "+")).collect();
        let mut command = vec!["trace", "--format", "csv"];
        command.extend(arguments.iter().map(String::as_str));
        let expected = String::from_utf8(site.node.run(&command).stdout).unwrap();
        assert_eq!(unchunked(&csv), expected, "{query}");
    }
    assert!(
        ana.browser.get("/trace.csv?status=delivered").body.contains(",'=1+1 <script>,"),
        "formula signs are guarded"
    );
    assert!(ana.page("/trace?recipient=ana@sender.test").contains("Search for this address as the sender"));
    assert!(ana.page("/trace?status=pending&status=delivered").contains("user@onprem.test"));
    let id = site.node.queue()[0]["network_message_id"].as_str().unwrap().to_owned();
    for (text, expected) in [
        ("ana@sender.test", "/trace?sender=ana%40sender.test".to_owned()),
        ("a1@other.test", "/trace?recipient=a1%40other.test".to_owned()),
        (&id, format!("/messages/{id}")),
        ("dead", "/connectors/dead".to_owned()),
        ("edge-1", "/nodes/edge-1".to_owned()),
        ("mx.test:2525", "/destinations/mx.test:2525".to_owned()),
        ("127.0.0.1", "/trace?from_ip=127.0.0.1".to_owned()),
        ("Number 1", "/trace?subject=Number+1".to_owned()),
        ("", "/trace".to_owned()),
    ] {
        let query = text.replace(' ', "%20");
        assert_eq!(
            ana.browser.get(&format!("/search?q={query}")).header("location"),
            Some(expected.as_str()),
            "{text}"
        );
    }
}

/// The content of an answer that came in chunks.
fn unchunked(body: &str) -> String {
    let (mut rest, mut content) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        content.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    content
}

#[test]
fn each_right_sees_and_does_what_it_may() {
    let site = Site::new();
    let id = site.node.queue()[0]["network_message_id"].as_str().unwrap().to_owned();
    let (message, content) = (format!("/messages/{id}"), format!("/messages/{id}/message.eml"));
    let pages = ["/queue", "/search?q=dead", "/queue/list", "/trace", "/trace.csv", &message, &content];
    let actions = ["/queue/retry", "/queue/suspend", "/queue/resume", "/queue/remove"];
    for (role, seen, done) in [("viewer", 2, 0), ("tracer", 6, 0), ("operator", 6, 3), ("administrator", 7, 4)] {
        let mut person = site.user(role, role);
        for (at, path) in pages.iter().enumerate() {
            assert_eq!(person.browser.get(path).status == 403, at >= seen, "{role} {path}");
        }
        for (at, path) in actions.iter().enumerate() {
            let nobody = [("recipient", "nobody@x.test"), ("expect", "0"), ("confirm", "0")];
            assert_eq!(person.act(path, &nobody).status, if at >= done { 403 } else { 303 }, "{role} {path}");
        }
    }
    let mut viewer = site.user("viewer", "viewer");
    let page = viewer.page("/queue");
    assert!(page.contains("connection refused") && !page.contains("@other.test") && !page.contains("Retry"), "{page}");
    assert_eq!(viewer.browser.get("/queue?recipient=a1@other.test").status, 403);
}

#[test]
fn bad_input_stays_inert_and_is_named() {
    let site = Site::new();
    let mut ana = site.user("ana", "administrator");
    let long = "x".repeat(10_000);
    for (path, named) in [
        ("/queue?by=size", "by: "),
        ("/queue?from=-1", "from: "),
        ("/queue/list?after=1-1-1", "after: "),
        ("/queue/list?state=delivered", "state: "),
        ("/queue/list?older_than=99999d", "older_than: "),
        ("/queue/list?delivery=9999999999999999999", "delivery: "),
        ("/queue/list?connector=a&connector=b", "connector: "),
        ("/queue/list?x=1", "unknown parameter"),
        ("/messages/1", "id: "),
        ("/trace?limit=0", "limit: "),
        ("/trace?message=12", "message: "),
        ("/trace?message=00000000", "message: "),
        ("/trace?x=%3Cscript%3E", "unknown parameter"),
        ("/trace?since=9999-12-32", "since: "),
        ("/trace.csv?after=x", "after: "),
    ] {
        let answer = ana.browser.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(answer.body.contains(named) && !answer.body.contains("<script>"), "{path}: {}", answer.body);
    }
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in ["/queue/list?recipient=", "/queue?connector=", "/trace?recipient=", "/trace?subject=", "/queue?cause="]
    {
        ana.page(&format!("{path}{encoded}"));
        let answer = ana.browser.get(&format!("{path}{long}"));
        assert_eq!(answer.status, 400, "{path}");
    }
    let fields = [("recipient", HOSTILE), ("expect", "1")];
    let asked = ana.act("/queue/remove", &fields);
    assert!(asked.status == 200 && !asked.body.contains("<script>"), "{}", asked.body);
    for (fields, named) in [
        (&[("expect", "x")][..], "expect: "),
        (&[("connector", "dead")], "expect: "),
        (&[("connecter", "dead"), ("expect", "1")], "unknown parameter"),
    ] {
        let answer = ana.act("/queue/retry", fields);
        assert!(answer.status == 400 && answer.body.contains(named), "{}", answer.body);
    }
    let elsewhere = ana.act("/queue/retry", &[("connector", "dead"), ("expect", "9"), ("back", "//evil.test/")]);
    assert!(elsewhere.header("location").unwrap().starts_with("/queue/list?"));
}
