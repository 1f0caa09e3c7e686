//! `gatepost why` and `gatepost probe` as an operator uses them: on a node whose mail is stuck, and on files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lab::{Device, Options, Server};
use serde_json::Value;

use crate::support::{Node, swaks, wait_for};

fn gatepost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).output().unwrap()
}

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A node whose destination speaks TLS 1.0 only, with one message stuck.
fn stuck() -> (Node, Server) {
    let server = Server::start(Device::Tls10Only, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    wait_for("an attempt", || node.queue().iter().any(|row| !row["failure"].is_null()).then_some(()));
    (node, server)
}

#[test]
fn stuck_mail_is_named_from_the_history_and_from_each_file() {
    let (node, _server) = stuck();
    let why = |arguments: &[&str]| node.run(&[&["why", "--format", "json"], arguments].concat());
    let id = node.queue()[0]["network_message_id"].as_str().unwrap().to_owned();
    for what in [&[][..], &["onprem"], &["127.0.0.1"], &[id.as_str()]] {
        let output = why(what);
        assert_eq!(output.status.code(), Some(1), "{what:?}");
        let first = &value(&output)["findings"][0];
        assert_eq!(
            (&first["cause"], &first["messages_pending"]),
            (&"no-shared-tls-version".into(), &1.into()),
            "{first:#}"
        );
    }
    let output = why(&["onprm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean onprem?"), "{output:?}");
    assert_eq!(why(&["01a2137e-b7ef-7443-bece-eb23c5d386a0"]).status.code(), Some(2));

    let export = |name: &str, arguments: &[&str]| {
        let path = node.path(name);
        fs::write(&path, node.run(&[&["trace"], arguments].concat()).stdout).unwrap();
        path
    };
    let trace = export("trace.csv", &["--detail", "--format", "csv"]);
    let tracking = export("tracking.log", &["--format", "tracking-log"]);
    let folder = node.path("data/protocol-log/SmtpSend");
    let log = wait_for("the protocol log", || fs::read_dir(&folder).ok()?.next()?.ok().map(|entry| entry.path()));
    let log = wait_for("its last line", || fs::read_to_string(&log).ok()?.contains(",-,").then(|| log.clone()));
    let garbage = node.path("garbage");
    fs::write(&garbage, (0..=255).cycle().take(100_000).collect::<Vec<u8>>()).unwrap();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    for (option, file, other_kind) in
        [("--message-trace", &trace, &log), ("--tracking-log", &tracking, &log), ("--protocol-log", &log, &trace)]
    {
        // No configuration is needed, and what is not what it should be is named and skipped.
        let wrong = ["/nonexistent".to_owned(), name(&garbage), name(other_kind)];
        let mut arguments = vec!["why", option, file.to_str().unwrap(), "--format", "json"];
        wrong.iter().for_each(|file| arguments.extend([option, file]));
        let output = gatepost(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{option}: {error}");
        for file in &wrong {
            assert!(error.contains(&format!("skipped {file}")), "{option} {file}: {error}");
            // Alone, there is nothing to tell from it.
            assert_eq!(gatepost(&["why", option, file]).status.code(), Some(2), "{option} {file}");
        }
        assert_eq!(value(&output)["findings"][0]["cause"], "no-shared-tls-version", "{option}");
    }
    let nothing = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = gatepost(&["why", "--protocol-log", nothing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));

    let text = String::from_utf8(node.run(&["why"]).stdout).unwrap();
    for part in ["1. no-shared-tls-version", "Evidence", "server sent alert 70", "Remedy", "gatepost probe 127.0.0.1:"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn healthy_mail_gives_no_finding_and_exit_status_0() {
    let server = Server::start(Device::Healthy, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    node.wait_for_status("user@onprem.test", "Delivered");
    let output = node.run(&["why"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("No findings in 1 attempt (1 message)."));
}

#[test]
fn a_question_is_matched_and_a_finding_ends_when_mail_flows_again() {
    let (node, server) = stuck();
    let why = |arguments: &[&str]| node.run(&[&["why", "--format", "json"], arguments].concat());
    // An address, a domain that is accepted, a host with its port, and an IP address.
    let host = format!("127.0.0.1:{}", server.port());
    for what in ["user@onprem.test", "USER@onprem.test", "onprem.test", host.as_str(), "127.0.0.1"] {
        let output = why(&[what]);
        let first = &value(&output)["findings"][0];
        assert_eq!((output.status.code(), &first["cause"]), (Some(1), &"no-shared-tls-version".into()), "{what}");
        assert_eq!(first["state"], "ongoing", "{what}");
    }
    let row = value(&why(&[]))["overview"][0].clone();
    assert_eq!((&row["cause"], &row["messages_pending"]), (&"no-shared-tls-version".into(), &1.into()), "{row:#}");
    // A name that matches nothing is an error with the names that are alike.
    for (arguments, similar) in [
        (&["why", "usr@onprem.test"][..], None),
        (&["why", "onprem.tst"], Some("onprem.test")),
        (&["queue", "retry", "--connector", "onprm"], Some("did you mean onprem?")),
        (&["queue", "suspend", "--recipient", "usr@onprem.test"], Some("did you mean user@onprem.test?")),
        (&["queue", "remove", "--sender", "nobody@elsewhere.test"], None),
        (&["queue", "list", "--connector", "onprm"], Some("did you mean onprem?")),
        (&["trace", "--recipient", "usr@onprem.test"], Some("did you mean user@onprem.test?")),
        // Nothing was seen in this time.
        (&["why", "--inbound", "--since", "2100-01-01T00:00:00Z"], Some("nothing was seen")),
    ] {
        let output = node.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(similar.is_none_or(|similar| error.contains(similar)), "{arguments:?}: {error}");
    }

    server.become_device(Device::Healthy).unwrap();
    assert_eq!(node.run(&["queue", "retry", "--connector", "onprem"]).status.code(), Some(0));
    node.wait_for_status("user@onprem.test", "Delivered");
    let output = why(&[]);
    let first = value(&output)["findings"][0].clone();
    assert_eq!((output.status.code(), &first["state"]), (Some(0), &"over".into()), "{first:#}");
    assert_eq!((&first["over"]["worked"], &first["messages_pending"]), (&1.into(), &0.into()), "{first:#}");
    let text = String::from_utf8(node.run(&["why"]).stdout).unwrap();
    for part in [", over since ", "1 attempt worked after the last failure.", "No finding is ongoing."] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_probe_says_what_it_means_for_mail() {
    let server = Server::start(Device::Rc4Only, Options::default()).unwrap();
    let destination = format!("127.0.0.1:{}", server.port());
    let output = gatepost(&["probe", &destination, "--pause", "1ms"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["supports TLS 1.0.", "only legacy works", "RC4-SHA", "  works", "(no mail sent)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = value(&gatepost(&["probe", &destination, "--pause", "1ms", "--format", "json"]));
    assert_eq!(json["destinations"][0]["probed"]["versions"][0]["suites"][0]["name"], "RC4-SHA", "{json:#}");
    assert_eq!(gatepost(&["probe", "localhost:x"]).status.code(), Some(2));
}

#[test]
fn a_probe_confirms_a_finding_by_the_smallest_change_that_works_and_refutes_it_after_the_repair() {
    let (node, server) = stuck();
    let why = |format: &str| node.run(&["why", "onprem", "--probe", "--probe-timeout", "2s", "--format", format]);
    let first = value(&why("json"))["findings"][0].clone();
    let experiment = &first["experiment"];
    assert_eq!(experiment["verdict"], "confirmed", "{first:#}");
    assert_eq!(experiment["smallest_change"], "with TLS 1.0 and AES-CBC allowed", "{first:#}");
    assert!(first["confidence"].as_f64() >= Some(0.98), "{first:#}");
    let steps = experiment["steps"].as_array().unwrap();
    assert!(steps.len() > 5 && steps.iter().filter(|step| step["works"] == true).count() == 1, "{first:#}");
    assert_eq!(first["evidence"][0]["source"], "probe");
    // The node itself was asked as well.
    let nodes = experiment["nodes"].as_array().unwrap();
    let said = (nodes.len(), &nodes[0]["works"], nodes[0]["what"].as_str().unwrap());
    assert!(matches!(said, (1, Value::Bool(false), what) if what.ends_with("under its policy modern")), "{said:?}");
    let text = String::from_utf8(why("table").stdout).unwrap();
    for part in [
        "The probe confirms the cause",
        "- fails with the same settings as mail, under the policy modern",
        "works with TLS 1.0 and AES-CBC",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    server.become_device(Device::Healthy).unwrap();
    let first = value(&why("json"))["findings"][0].clone();
    assert_eq!(first["experiment"]["verdict"], "refuted", "{first:#}");
    assert!(first["confidence"].as_f64() < Some(0.5), "{first:#}");
    assert!(
        first["experiment"]["because"].as_str().unwrap().contains("works with the same settings as mail"),
        "{first:#}"
    );
}

#[test]
fn notices_and_tls_reports_are_evidence_too() {
    assert_notices_and_tls_reports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples"));
}

/// Those that others have published.
#[test]
fn corpus_notices_and_tls_reports_are_evidence_too() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared: PathBuf = std::env::var_os("GATEPOST_SHARED").map_or_else(beside, Into::into);
    assert_notices_and_tls_reports(&shared.join("samples"));
}

fn assert_notices_and_tls_reports(samples: &Path) {
    let all = |folder: &str| {
        let entries = fs::read_dir(samples.join(folder)).unwrap();
        let mut files: Vec<String> = entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
        files.sort();
        files
    };
    let why = |option: &str, files: &[String]| {
        let arguments: Vec<&str> = files.iter().flat_map(|file| [option, file]).collect();
        gatepost(&[&["why", "--format", "json"], arguments.as_slice()].concat())
    };
    let causes = |output: &Output| -> Vec<String> {
        let findings = value(output)["findings"].as_array().unwrap().clone();
        findings.iter().map(|finding| finding["cause"].as_str().unwrap().to_owned()).collect()
    };
    let output = why("--dsn", &all("dsn"));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let named = causes(&output);
    assert!(named.iter().any(|cause| cause == "recipient-unknown"), "{named:?}");
    let unknown = named.iter().filter(|cause| *cause == "unknown").count();
    assert!(unknown * 2 < named.len(), "{named:?}");

    let output = why("--tls-report", &all("tlsrpt"));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let named = causes(&output);
    assert!(named.iter().any(|cause| cause == "certificate-expired"), "{named:?}");
    // What is no such file is named, and the rest is used.
    let output = why("--tls-report", &[all("tlsrpt").remove(0), all("dsn").remove(0)]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("skipped"));
    assert_eq!(output.status.code(), Some(1));
}

/// A destination that is silent keeps an attempt open for minutes. Nothing has failed, and something is wrong.
#[test]
fn an_attempt_that_does_not_end_is_not_passed_over() {
    let server = Server::start(Device::HangAfterData, Options::default()).unwrap();
    let node = Node::to_port(server.port()).start();
    swaks(node.port, &["--to", "user@onprem.test"]);
    let text = wait_for("a slow attempt", || {
        let text = String::from_utf8(node.run(&["why"]).stderr).unwrap();
        text.contains("an attempt that has not ended").then_some(text)
    });
    for part in ["1 message has an attempt", "waiting for the reply to the message", "gatepost queue list"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
