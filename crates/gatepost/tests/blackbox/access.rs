//! People at the console: invitations, log-in and what is refused, as a browser sees it.

use crate::support::{
    Node,
    browser::{Answer, Browser, PASSWORD, user},
    free_port, wait_for,
};

/// A node with a console, and its port.
fn node(more: &str) -> (Node, u16) {
    let port = free_port();
    let console = format!("[console]\nlisten = [\"127.0.0.1:{port}\"]\n{more}");
    (Node::to_port(free_port()).more(&console).start(), port)
}

fn log_in(browser: &mut Browser, name: &str, password: &str) -> Answer {
    browser.post("/login", &[("name", name), ("password", password)])
}

/// True if the console shows a page to this browser, and does not ask to log in.
fn is_logged_in(browser: &mut Browser) -> bool {
    let answer = browser.get("/");
    assert!(answer.status == 200 || answer.header("location") == Some("/login?then=%2F"), "{}", answer.status);
    answer.status == 200
}

#[test]
fn an_invitation_makes_a_user_who_logs_in() {
    let (node, port) = node("");
    let mut browser = Browser::at(port);
    let first = browser.get("/login");
    let command =
        format!("gatepost user invite admin --role administrator --config {}", node.path("gatepost.toml").display());
    assert!(first.body.contains(&command), "{}", first.body);
    let said = node.run(&["user", "invite", "ana", "--role", "administrator"]);
    let said = String::from_utf8(said.stdout).unwrap();
    let link = said.lines().last().unwrap().trim();
    let path = link.strip_prefix(&format!("http://127.0.0.1:{port}")).unwrap();
    assert!(browser.get("/login").body.contains(&command), "nobody has accepted yet");

    let page = browser.get(path);
    assert!(
        page.body.contains("<strong><bdi>ana</bdi></strong>") && page.body.contains("administrator"),
        "{}",
        page.body
    );
    for (password, repeated, fault) in
        [("short", "short", "too short"), (PASSWORD, "other", "differ"), ("", "", "too short")]
    {
        let answer = browser.post(path, &[("password", password), ("repeated", repeated)]);
        assert!(answer.status == 400 && answer.body.contains(fault), "{}", answer.body);
    }
    let answer = browser.post(path, &[("password", PASSWORD), ("repeated", PASSWORD)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("gatepost=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
    let page = browser.get("/");
    assert!(page.status == 200 && page.body.contains("<bdi>ana</bdi>"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(browser.get(path).body.contains("not valid any more"));
    let again = browser.post(path, &[("password", "another password"), ("repeated", "another password")]);
    assert_eq!(again.status, 404);

    let token = browser.token("/");
    assert_eq!(browser.post("/logout", &[("csrf", &token)]).header("location"), Some("/login"));
    assert!(!is_logged_in(&mut browser));
    let refused = log_in(&mut browser, "ana", "wrong password");
    assert!(refused.status == 403 && refused.body.contains("wrong"), "{}", refused.body);
    assert_eq!(log_in(&mut browser, "Ana", PASSWORD).header("location"), Some("/"));
    assert!(is_logged_in(&mut browser));
    let secret = path.strip_prefix("/invite/").unwrap();
    assert!(!node.log().contains(secret) && !node.log().contains(PASSWORD));
}

#[test]
fn a_session_ends_with_what_its_user_was() {
    let (node, port) = node("");
    let mut ana = user(&node, port, "ana", "viewer");
    let mut bob = user(&node, port, "barbara", "viewer");
    let run = |arguments: &[&str]| {
        let output = node.run(arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["user", "role", "ana", "viewer"]).1, "ana is viewer already.\n");
    assert!(is_logged_in(&mut ana));
    assert_eq!(run(&["user", "role", "ana", "operator"]).1, "ana is operator from now on, and must log in again.\n");
    assert!(!is_logged_in(&mut ana), "the right has changed");
    assert_eq!(log_in(&mut ana, "ana", PASSWORD).status, 303);
    let mut elsewhere = user(&node, port, "ana", "operator");
    assert!(!is_logged_in(&mut ana) && is_logged_in(&mut elsewhere), "the password has changed");
    let listed = node.json(&["user", "list"]);
    let users: Vec<_> =
        listed["users"].as_array().unwrap().iter().map(|user| (&user["user"], &user["right"])).collect();
    assert_eq!(
        format!("{users:?}"),
        "[(String(\"ana\"), String(\"operator\")), (String(\"barbara\"), String(\"viewer\"))]"
    );
    assert_eq!(run(&["user", "remove", "ana"]).1, "ana is removed and logged out.\n");
    assert!(!is_logged_in(&mut elsewhere) && is_logged_in(&mut bob));
    assert_eq!(log_in(&mut elsewhere, "ana", PASSWORD).status, 403);
    for arguments in [&["user", "remove", "barbra"][..], &["user", "role", "barbra", "viewer"]] {
        let (code, _, error) = run(arguments);
        assert!(code == Some(2) && error.contains("did you mean barbara?"), "{error}");
    }
    for name in ["<script>", "a b", "", "x\u{202e}"] {
        assert_eq!(run(&["user", "invite", name, "--role", "viewer"]).0, Some(2), "{name}");
    }
    // What was done is recorded, with who and from where.
    let changes = node.json(&["changes", "--audit"]);
    let of_ana: Vec<_> =
        changes["changes"].as_array().unwrap().iter().filter(|change| change["who"] == "ana").collect();
    assert!(of_ana.iter().all(|change| change["from"] == "127.0.0.1"), "{of_ana:?}");
    let kinds: Vec<_> = of_ana.iter().map(|change| change["change"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["logged-in", "password-set", "logged-in", "logged-in", "password-set"]);
    assert!(node.json(&["changes"])["changes"].as_array().unwrap().iter().all(|change| change["who"] != "ana"));
}

#[test]
fn requests_that_other_pages_forge_are_refused() {
    let (node, port) = node("");
    let mut ana = user(&node, port, "ana", "administrator");
    let token = ana.token("/");
    let own = format!("http://127.0.0.1:{port}");
    let fields = [("csrf", token.as_str())];
    for (headers, status) in [
        (&[("Origin", "https://evil.test")][..], 403),
        (&[("Origin", "null")], 403),
        (&[], 403),
        (&[("Sec-Fetch-Site", "cross-site"), ("Origin", own.as_str())], 403),
        (&[("Sec-Fetch-Site", "same-site"), ("Origin", own.as_str())], 403),
        (&[("Host", "evil.test"), ("Origin", "http://evil.test")], 421),
        (&[("Host", "evil.test"), ("Sec-Fetch-Site", "same-origin")], 421),
    ] {
        assert_eq!(ana.post_as("/logout", &fields, headers).status, status, "{headers:?}");
        let log_in = [("name", "ana"), ("password", PASSWORD)];
        assert_eq!(Browser::at(port).post_as("/login", &log_in, headers).status, status, "{headers:?}");
    }
    for fields in [&[][..], &[("csrf", "")], &[("csrf", "x")], &[("token", token.as_str())]] {
        assert_eq!(ana.post("/logout", fields).status, 403, "{fields:?}");
    }
    // The token of another session.
    let mut bob = user(&node, port, "bob", "administrator");
    let of_bob = bob.token("/");
    assert_eq!(ana.post("/logout", &[("csrf", &of_bob)]).status, 403);
    assert!(is_logged_in(&mut ana));
    let json =
        ana.send("POST", "/logout", &[("Origin", &own), ("Content-Type", "text/plain")], &format!("csrf={token}"));
    assert_eq!(json.status, 400);
    assert_eq!(ana.get_as("/", &[("Host", "evil.test")]).status, 421);
    assert_eq!(ana.post_as("/logout", &fields, &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")]).status, 303);
}

#[test]
fn guesses_are_slowed_logged_and_recorded() {
    let (node, port) = node("");
    user(&node, port, "ana", "viewer");
    let mut stranger = Browser::at(port);
    // A name that nobody has may be a password.
    assert_eq!(log_in(&mut stranger, "correct-horse-battery", "x").status, 403);
    let began = std::time::Instant::now();
    let guesses: Vec<Answer> = (0..20).map(|n| log_in(&mut stranger, "ana", &format!("guess number {n}"))).collect();
    let slowed = guesses.iter().filter(|answer| answer.status == 429).count();
    assert!(slowed >= 10 && guesses[0].status == 403, "{slowed}");
    assert!(began.elapsed().as_secs() >= 5, "{:?}", began.elapsed());
    let last = guesses.last().unwrap();
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && last.body.contains(&format!("Try again in {wait} s")), "{}", last.body);
    // The right password has to wait as well, and says nothing.
    assert_eq!(log_in(&mut stranger, "ana", PASSWORD).status, 429);
    let changes = node.json(&["changes", "--audit"]);
    let refused = changes["changes"].as_array().unwrap().iter().filter(|change| change["change"] == "log-in-refused");
    let counts: Vec<_> =
        refused.map(|change| (change["who"].as_str().unwrap(), &change["facts"]["attempts"])).collect();
    assert_eq!(
        format!("{counts:?}"),
        "[(\"ana\", Number(20)), (\"ana\", Number(10)), (\"ana\", Number(5)), (\"ana\", Number(2)), (\"unknown\", Number(1))]"
    );
    assert_eq!(node.log().matches("log-in to the console refused").count(), 5);
    assert!(!node.log().contains("guess number") && !node.log().contains("correct-horse"));
}

#[test]
fn what_was_wanted_comes_after_log_in() {
    let (node, port) = node("url = \"https://console.test\"\n");
    user(&node, port, "ana", "viewer");
    let mut browser = Browser::at(port);
    let asked = browser.get("/no-such-page?since=2h&x=%22");
    assert_eq!(asked.status, 404, "pages that do not exist say so");
    let then = |browser: &mut Browser, then: &str| {
        let fields = [("name", "ana"), ("password", PASSWORD), ("then", then)];
        browser.post("/login", &fields).header("location").map(str::to_owned)
    };
    assert_eq!(then(&mut browser, "/queue?by=cause&x=%22").as_deref(), Some("/queue?by=cause&x=%22"));
    for elsewhere in ["//evil.test", "https://evil.test/", "/\\evil.test", "/\t/evil.test", "javascript:alert(1)", ""] {
        assert_eq!(then(&mut browser, elsewhere).as_deref(), Some("/"), "{elsewhere}");
    }
    assert_eq!(browser.get("/login?then=//evil.test").header("location"), Some("/"));
    let page = Browser::at(port).get("/login?then=/queue%22%3E%3Cscript%3E");
    assert!(
        !page.body.contains("<script>") && page.body.contains("value=\"/queue&quot;&gt;&lt;script&gt;\""),
        "{}",
        page.body
    );
    // A script that asks for something gets no log-in page.
    assert_eq!(Browser::at(port).get_as("/", &[("Sec-Fetch-Mode", "cors")]).status, 401);
    // Behind a proxy that takes HTTPS, the cookie is for HTTPS alone.
    let mut proxied = Browser::at(port);
    let fields = [("name", "ana"), ("password", PASSWORD)];
    let headers = [("Host", "console.test"), ("Origin", "https://console.test")];
    let answer = proxied.post_as("/login", &fields, &headers);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-gatepost=") && cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(proxied.get_as("/", &[("Host", "console.test")]).status, 200);
    assert_eq!(proxied.get("/").status, 303, "not over plain HTTP");
}

#[test]
fn bad_input_stays_inert() {
    let (node, port) = node("");
    user(&node, port, "ana", "viewer");
    let long = "x".repeat(10_000);
    for name in ["<script>alert(1)</script>", "\"><b>", "\u{202e}ana", "ana\0", &long, "' OR 1=1 --"] {
        let mut browser = Browser::at(port);
        let answer = log_in(&mut browser, name, PASSWORD);
        assert!(matches!(answer.status, 403 | 429), "{name}: {}", answer.status);
        assert!(!answer.body.contains("<script>") && !answer.body.contains("<b>") && answer.body.len() < 20_000);
    }
    let mut browser = Browser::at(port);
    for token in ["x", &"A".repeat(43), &long[..4000], "%00", "%3Cscript%3E", "..%2F..%2F"] {
        let answer = browser.get(&format!("/invite/{token}"));
        assert!(answer.status == 404 && answer.body.contains("not valid any more"), "{token}: {}", answer.status);
        assert_eq!(browser.post(&format!("/invite/{token}"), &[("password", PASSWORD)]).status, 404);
    }
    let large = "x".repeat(600 * 1024);
    assert_eq!(log_in(&mut browser, "ana", &large).status, 400);
    let head = browser.send("HEAD", "/login", &[], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(browser.send("DELETE", "/login", &[("Origin", &format!("http://127.0.0.1:{port}"))], "").status, 405);
    let cookies =
        ["gatepost=", "gatepost=x", &format!("gatepost={}", "A".repeat(43)), "=;=;", &format!("gatepost={long}")];
    for cookie in cookies {
        assert_eq!(Browser::at(port).get_as("/", &[("Cookie", cookie)]).status, 303);
    }
    wait_for("the node to be there still", || (Browser::at(port).get("/healthz").status == 200).then_some(()));
}
