//! `gatepost why --report` and `--bundle`: what is sent to strangers. Read as they would read it: by a parser of HTML, by
//! Python's zipfile and csv, and by `gatepost why` itself.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
    process::{Command, Output},
};

use lab::{Device, Options, Server};
use serde_json::Value;
use zip::ZipArchive;

use crate::support::{
    Node,
    script::{Destination, Say},
    swaks, wait_for,
};

/// All that a report is made of: nothing that loads or runs anything.
#[rustfmt::skip]
const TAGS: [&str; 36] = [
    "article", "b", "body", "code", "dd", "div", "dl", "dt", "figcaption", "figure", "h1", "h2", "h3", "head", "header",
    "html", "li", "main", "meta", "p", "pre", "rect", "section", "span", "style", "sup", "svg", "table", "tbody", "td",
    "th", "thead", "time", "title", "tr", "ul",
];

/// A node with a message from alice.secret to bob.secret that has met a failure, and its protocol log.
fn stuck(port: u16) -> Node {
    let node = Node::to_port(port).start();
    swaks(node.port, &["--from", "alice.secret@partner.test", "--to", "bob.secret@onprem.test"]);
    node.wait_for_failure();
    let folder = node.path("data/protocol-log/SmtpSend");
    wait_for("the protocol log", || {
        let log = fs::read_dir(&folder).ok()?.next()?.ok()?.path();
        fs::read_to_string(log).ok()?.contains(",-,").then_some(())
    });
    node
}

/// Report and bundle of a node, and what the command printed.
fn write(node: &Node, more: &[&str]) -> Output {
    let (report, bundle) = (node.path("case.html"), node.path("case.zip"));
    let files = ["--report", report.to_str().unwrap(), "--bundle", bundle.to_str().unwrap()];
    node.run(&[&["why", "--format", "json"], &files[..], more].concat())
}

fn check(node: &Node) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support/report_check.py");
    let output =
        Command::new("python3").arg(script).arg(node.path("case.html")).arg(node.path("case.zip")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    for tag in checked["tags"].as_array().unwrap() {
        assert!(TAGS.contains(&tag.as_str().unwrap()), "{tag}");
    }
    for attribute in checked["attributes"].as_array().unwrap() {
        let name = attribute.as_str().unwrap();
        assert!(!name.starts_with("on") && !["src", "href", "style", "srcset"].contains(&name), "{name}");
    }
    assert!(checked["policy"].as_str().unwrap().starts_with("default-src 'none'; style-src 'sha256-"), "{checked:#}");
    assert_eq!((&checked["tables_without_header"], &checked["whole_rows"]), (&0.into(), &true.into()));
    checked
}

/// The bundle's files by their names.
fn files(path: &Path) -> Vec<(String, String)> {
    let mut zip = ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        files.push((file.name().unwrap().into_owned(), text));
    }
    files
}

#[test]
fn a_real_case_is_told_in_a_report_and_a_bundle() {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let node = stuck(server.port());
    let output = write(&node, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));

    let checked = check(&node);
    let headings = [
        "Failed and working attempts",
        "Evidence",
        "TLS handshakes",
        "What to do",
        "How to check it",
        "About this report",
    ];
    assert_eq!(checked["headings"].as_array().unwrap()[1..], headings, "{checked:#}");
    let names =
        ["README.txt", "findings.json", "handshakes.json", "message-trace.csv", "protocol-log.csv", "report.html"];
    assert_eq!(checked["files"], serde_json::json!(names));
    assert_eq!(checked["events"], serde_json::json!(["DEFER", "RECEIVE"]));
    assert_eq!((&checked["columns"], &checked["log_fields"]), (&27.into(), &serde_json::json!([9])));
    assert!(checked["handshakes"].as_u64() > Some(0), "{checked:#}");

    let files = files(&node.path("case.zip"));
    let file = |name: &str| files.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    assert_eq!(file("findings.json").as_bytes(), output.stdout);
    let page = fs::read_to_string(node.path("case.html")).unwrap();
    for part in ["no-shared-tls-version", "server sent alert 70", "gatepost probe 127.0.0.1:", "TLS_AES_256_GCM_SHA384"]
    {
        assert!(page.contains(part), "{part}");
    }
    // Nobody's address, in none of them, unless it was asked for.
    for (name, text) in files.iter().map(|(name, text)| (name.as_str(), text)).chain([("case.html", &page)]) {
        assert!(!text.contains("secret"), "{name}: {text}");
    }
    // What was quoted can be explained again.
    for (option, name) in [("--message-trace", "message-trace.csv"), ("--protocol-log", "protocol-log.csv")] {
        let path = node.path(name);
        fs::write(&path, file(name)).unwrap();
        let again = node.run(&["why", option, path.to_str().unwrap(), "--format", "json"]);
        let value: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(value["findings"][0]["cause"], "no-shared-tls-version", "{option}");
    }
    write(&node, &["--show-addresses"]);
    assert_eq!(check(&node)["recipients"], serde_json::json!(["bob.secret@onprem.test"]));
    // A file that was there is replaced, and nothing is left beside it.
    let left = fs::read_dir(node.path("")).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with(".gatepost-")).count(), 0);
}

#[test]
fn what_a_destination_says_is_text_and_names_nobody() {
    let destination = Destination::taking(|_, line| match line.get(..4)? {
        "bann" => Some(Say("220 \"><script>alert(1)</script> ESMTP")),
        "RCPT" => Some(Say(
            "450 4.1.1 <script>alert(2)</script><img src=x onerror=alert(3)> </pre></body> bob.secret: <bob.secret@onprem.test>",
        )),
        _ => None,
    });
    let node = stuck(destination.port);
    assert_eq!(write(&node, &[]).status.code(), Some(1));
    let checked = check(&node);
    assert_eq!(checked["recipients"], serde_json::json!(["withheld-1@onprem.test"]), "{checked:#}");
    let page = fs::read_to_string(node.path("case.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(2)&lt;/script&gt;"), "{page}");
    assert!(page.contains("withheld: &lt;withheld-"), "{page}");
    for (name, text) in files(&node.path("case.zip")) {
        assert!(!text.contains("secret"), "{name}: {text}");
    }
}

#[test]
fn what_cannot_be_written_is_named_and_healthy_mail_has_a_report_too() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    let report = node.path("case.html");
    assert_eq!(node.run(&["why", "--report", report.to_str().unwrap()]).status.code(), Some(0));
    assert!(fs::read_to_string(&report).unwrap().contains("<h1>No findings</h1>"));

    let error = |arguments: &[&str]| {
        let output = node.run(&[&["why"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = node.path("none/case.html");
    let text = error(&["--report", missing.to_str().unwrap()]);
    assert!(text.starts_with(&format!("gatepost: failed to write {}: check that", missing.display())), "{text}");
    assert!(error(&["--bundle", node.path("").to_str().unwrap()]).contains("it exists and is not a file"));
    let same = report.to_str().unwrap();
    assert!(error(&["--report", same, "--bundle", same]).contains("name the same file"));
    assert!(error(&["--show-addresses"]).contains("--report"));
}
