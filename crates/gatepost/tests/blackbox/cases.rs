//! `gatepost case`: the stories, played by the program itself, each to an empty queue.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use lab::postgres::PASSWORD;
use serde_json::Value;

use crate::support::{Node, database::Server};

fn gatepost(arguments: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

fn attempts<'a>(report: &'a Value, stage: &'a str) -> impl Iterator<Item = &'a Value> {
    report["attempts"].as_array().unwrap().iter().filter(move |attempts| attempts["stage"] == stage)
}

fn sum<'a>(attempts: impl Iterator<Item = &'a Value>, key: &str) -> u64 {
    attempts.map(|attempts| attempts[key].as_u64().unwrap()).sum()
}

/// The story that the product was born from, with a foreign mail server, real TLS 1.0 and real RC4.
#[test]
fn root_the_rc4_queue_grows_by_luck_and_drains_after_the_repair() {
    let (report, progress) = gatepost(&["case", "run", "rc4-queue", "--format", "json", "--keep"]);
    assert_eq!(report["destination"], "Exim with GnuTLS, limited to TLS 1.0 with RC4");
    assert_eq!((report["sent"].as_u64(), report["delivered"].as_u64()), (Some(200), Some(200)), "{report:#}");
    assert!(report["max_queued"].as_u64() >= report["queued_at_repair"].as_u64());
    assert!(report["queued_at_repair"].as_u64() > Some(0), "{report:#}");
    // Before the repair, what works is TLS 1.0 with RC4 under legacy, and nothing else does.
    let mut nodes = Vec::new();
    for attempts in attempts(&report, "broken") {
        let (ok, failed) = (attempts["ok"].as_u64().unwrap(), attempts["failed"].as_u64().unwrap());
        let (policy, tls) = (attempts["policy"].as_str().unwrap(), (&attempts["tls_version"], &attempts["cipher"]));
        if policy == "legacy" && ok == 0 {
            // The destination was being started anew.
            assert!(failed < 40 && tls.0.is_null(), "{attempts:#}");
            continue;
        }
        nodes.push((attempts["node"].clone(), policy));
        if policy == "legacy" {
            assert!(ok > 0, "{attempts:#}");
            assert_eq!(tls, (&"TLSv1".into(), &"RC4-SHA".into()));
        } else {
            assert!(policy == "intermediate" && ok == 0 && failed > 0, "{attempts:#}");
            assert!(tls.0.is_null() && tls.1.is_null(), "{attempts:#}");
        }
    }
    assert_eq!(nodes.len(), 4, "{report:#}");
    assert_eq!(nodes.iter().filter(|(_, policy)| *policy == "intermediate").count(), 2);
    // After it, all that waited goes, and no attempt fails.
    let (before, after) = (sum(attempts(&report, "broken"), "ok"), sum(attempts(&report, "repaired"), "ok"));
    assert!(before + after == 200 && after > 0, "{report:#}");
    assert_eq!(sum(attempts(&report, "repaired"), "failed"), 0, "{report:#}");
    assert!(attempts(&report, "repaired").all(|attempts| attempts["tls_version"].is_null()), "{report:#}");
    assert_eq!(report["messages"].as_array().unwrap().len(), 200);
    assert!(progress.contains("retry after 5 s instead of 15 minutes (180 times as fast)"), "{progress}");
    assert!(progress.contains(" queued; mx1 "), "{progress}");

    // Before the repair it was named, with whom it holds for and what works.
    let first = &report["findings"][0];
    assert_eq!(first["cause"], "no-shared-cipher", "{first:#}");
    assert!(first["confidence"].as_f64() > Some(0.9), "{first:#}");
    let split = &first["scope"]["split"];
    assert_eq!(
        (&split["dimension"], &split["fails"][0], &split["works"][0]),
        (&"tls-policy".into(), &"intermediate".into(), &"legacy".into()),
        "{first:#}"
    );
    assert_eq!(first["scope"]["works_with"], "TLSv1 RC4-SHA");
    // And put to the test: from each node, and with one change at a time.
    let experiment = &first["experiment"];
    assert_eq!(
        (&experiment["verdict"], &experiment["smallest_change"]),
        (&"confirmed".into(), &"with RC4 offered too".into())
    );
    let from_nodes: Vec<bool> = nodes
        .iter()
        .map(|(node, policy)| {
            let what = format!(
                "from node {} with the same settings as mail, under its policy {policy}",
                node.as_str().unwrap()
            );
            let step = experiment["nodes"].as_array().unwrap().iter().find(|step| step["what"] == *what);
            let works = step.unwrap_or_else(|| panic!("{what}: {experiment:#}"))["works"].as_bool().unwrap();
            assert_eq!(works, *policy == "legacy", "{what}: {experiment:#}");
            works
        })
        .collect();
    assert_eq!(from_nodes.len(), 4);

    // What was kept can be looked at.
    let kept = report["kept"].as_str().unwrap();
    let config = format!("{kept}/gatepost.toml");
    let (ledger, _) = gatepost(&["--config", &config, "policy", "ledger", "--format", "json"]);
    assert!(ledger["ledger"].as_array().unwrap().iter().any(|entry| entry["tls"]["cipher"] == "RC4-SHA"), "{ledger:#}");
    let (trace, _) = gatepost(&["--config", &config, "trace", "--detail", "--format", "json"]);
    let events = trace["messages"].as_array().unwrap().iter().flat_map(|row| row["events"].as_array().unwrap());
    let failed: Vec<&Value> = events.filter(|event| event["event"] == "deferred").collect();
    assert!(!failed.is_empty());
    let mut cut = 0;
    for event in failed {
        let attempt = &event["attempt"];
        assert_eq!(attempt["plan_version"], 1, "{attempt:#}");
        if event["failure"]["kind"] == "handshake-failed" {
            assert_eq!(attempt["tls_policy"], "intermediate", "{event:#}");
            assert_eq!(attempt["handshake"]["alerts"][0]["description"], 40, "{event:#}");
        } else {
            // While the destination restarted, it refused connections and cut open ones wherever they were. On a busy
            // machine it may need longer than the case's short timeouts.
            assert!(
                ["connection-refused", "connection-reset", "connection-closed", "tls-broken", "timed-out"]
                    .contains(&event["failure"]["kind"].as_str().unwrap()),
                "{event:#}"
            );
            cut += 1;
        }
    }
    assert!(cut < 40, "{cut} attempts failed for another reason than the handshake");
    assert_joined(kept, &config);
    std::fs::remove_dir_all(kept).unwrap();
}

/// The nodes' protocol logs and the message trace tell of what the history has: nothing counts twice.
fn assert_joined(kept: &str, config: &str) {
    let csv = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["--config", config, "trace", "--detail", "--format", "csv"])
        .output()
        .unwrap();
    let trace = format!("{kept}/trace.csv");
    std::fs::write(&trace, csv.stdout).unwrap();
    let mut logs = Vec::new();
    for node in 1..=4 {
        let folder = std::fs::read_dir(format!("{kept}/mx{node}/protocol-log/SmtpSend")).unwrap();
        logs.extend(folder.map(|entry| entry.unwrap().path().display().to_string()));
    }
    let files = logs.iter().flat_map(|log| ["--protocol-log", log]).chain(["--message-trace", &trace]);
    let files: Vec<&str> = files.collect();
    let why = |more: &[&str]| found(&[&["--config", config, "why", "--format", "json"], more].concat());
    let (history, together) = (why(&[]), why(&[&["--with-history"], files.as_slice()].concat()));
    let without_history = why(&files);
    let count = |found: &Value, key: &str| found["read"][key].as_u64().unwrap();
    let attempts = count(&history, "attempts");
    for joined in [&together, &without_history] {
        assert_eq!(count(joined, "attempts_joined"), attempts, "{}", joined["read"]);
        // A connection that was cut between two messages is in the log only: the next one took its place.
        let cut = count(joined, "attempts") - attempts;
        assert!(cut < 20, "{}", joined["read"]);
        let (first, own) = (&joined["findings"][0], &history["findings"][0]);
        assert_eq!((&first["cause"], &first["scope"]["split"]), (&own["cause"], &own["scope"]["split"]), "{first:#}");
        assert_eq!(first["messages_pending"], own["messages_pending"], "{first:#}");
        let place = first["evidence"][1]["where"].as_str().unwrap();
        assert!(place.contains("SEND") && place.contains("trace.csv:"), "{place}");
    }
}

/// Exit status 1 if a finding is ongoing; after the repair it may be over.
fn found(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let is_ongoing = found["findings"].as_array().unwrap().iter().any(|finding| finding["state"] == "ongoing");
    assert_eq!(output.status.code(), Some(i32::from(is_ongoing)), "{}", String::from_utf8_lossy(&output.stderr));
    found
}

/// The same story with a rollout that defends itself: the queue does not grow beyond the first wave.
#[test]
fn root_the_rc4_queue_does_not_grow_where_the_rollout_defends_itself() {
    let (both, progress) = gatepost(&["case", "run", "rc4-queue", "--defended", "--format", "json", "--keep"]);
    let (plain, defended) = (&both["plain"], &both["defended"]);
    assert!(plain["halted"].is_null(), "{plain:#}");
    for report in [plain, defended] {
        assert_eq!((report["sent"].as_u64(), report["delivered"].as_u64()), (Some(200), Some(200)), "{report:#}");
    }
    let halted = &defended["halted"];
    assert!(halted["after_s"].as_f64() < Some(15.0), "{defended:#}");
    assert_eq!(halted["trouble"]["cause"], "no-shared-cipher", "{halted:#}");
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("under TLS policy intermediate failed") && reason.contains("always with TLSv1 RC4-SHA"));
    assert!(progress.contains("the rollout halted automatically: "), "{progress}");
    let most = |report: &Value| report["max_queued"].as_u64().unwrap();
    assert!(most(defended) * 2 < most(plain), "{} and {}", most(defended), most(plain));

    // Whatever failed under intermediate was delivered under legacy with the next try, and the first wave was all that failed.
    let late = defended["messages"].as_array().unwrap().iter().filter(|way| way["tries"] != 1).count() as u64;
    let failed = sum(attempts(defended, "broken").filter(|attempts| attempts["policy"] == "intermediate"), "failed");
    assert!(failed > 0 && failed == late, "{defended:#}");
    assert!(
        defended["messages"].as_array().unwrap().iter().all(|way| way["tries"].as_u64() <= Some(2)),
        "{defended:#}"
    );
    assert_eq!(sum(attempts(defended, "broken").filter(|attempts| attempts["policy"] == "intermediate"), "ok"), 0);

    // Those that were moved stay so, and the others keep the old policy.
    let config = format!("{}/gatepost.toml", defended["kept"].as_str().unwrap());
    let (status, _) = gatepost(&["--config", &config, "rollout", "status", "--format", "json"]);
    let moved = status["nodes"].as_array().unwrap().iter().filter(|node| node["moved"] == true).count();
    assert!(status["version"] == 2 && moved == 2, "{status:#}");
    for report in [plain, defended] {
        std::fs::remove_dir_all(report["kept"].as_str().unwrap()).unwrap();
    }
}

#[test]
fn every_case_is_listed_with_what_happens() {
    let (list, _) = gatepost(&["case", "list", "--format", "json"]);
    let cases = list["cases"].as_array().unwrap();
    assert_eq!(cases[0]["case"], "rc4-queue");
    // One for each faulty device, and three stories.
    assert_eq!(cases.len(), lab::Device::ALL.len() + 2);
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost")).args(["case", "run", "rc4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("gatepost: unknown case \"rc4\"; cases are: rc4-queue, "), "{error}");
}

fn device_case_drains(name: &str) {
    let (report, _) = gatepost(&["case", "run", name, "--format", "json"]);
    let delivered = if lab::Device::from_name(name).unwrap().refuses_for_good() { 0 } else { 20 };
    let told = (report["sent"].as_u64(), report["delivered"].as_u64());
    assert_eq!(told, (Some(20), Some(delivered)), "{name}: {report:#}");
    assert!(sum(attempts(&report, "broken"), "failed") > 0, "{name}: {report:#}");
    assert!(report["kept"].is_null());
    // Its cause was named before the repair, or it was said that none can be known.
    let first = &report["findings"][0];
    match report["cause"].as_str() {
        Some(cause) => {
            assert!(first["cause"] == cause && first["confidence"].as_f64() > Some(0.5), "{name}: {first:#}")
        }
        None => assert!(first["confidence"].as_f64() <= Some(0.5), "{name}: {first:#}"),
    }
}

#[test]
fn a_device_is_a_case() {
    device_case_drains("handshake-reset");
    device_case_drains("recipient-unknown");
    device_case_drains("internal-failure");
}

/// The first needs a probe, since silence has many causes; in the last, most attempts work.
#[test]
fn devices_that_disagree_with_the_sender_are_cases() {
    device_case_drains("implicit-tls");
    device_case_drains("pipelining-broken");
    device_case_drains("hang-after-data");
    device_case_drains("tickets-refused");
}

#[test]
fn an_expired_client_certificate_is_a_case() {
    let (report, _) = gatepost(&["case", "run", "local-tls-credentials", "--format", "json"]);
    assert_eq!(report["delivered"], 20, "{report:#}");
    let first = &report["findings"][0];
    assert!(first["cause"] == "local-tls-credentials" && first["confidence"].as_f64() > Some(0.5), "{first:#}");
}

/// Nothing waits where a connector allows plaintext, and Gatepost warns anyway.
#[test]
fn mail_that_leaves_without_tls_is_a_case() {
    let (report, _) = gatepost(&["case", "run", "delivered-without-tls", "--format", "json"]);
    assert_eq!((report["delivered"].as_u64(), report["queued_at_repair"].as_u64()), (Some(20), Some(0)), "{report:#}");
    assert_eq!(report["findings"][0]["cause"], "delivered-without-tls", "{report:#}");
}

/// Four processes on one server find the cause that four nodes in one process find.
#[test]
fn postgres_the_rc4_queue_has_the_same_cause_on_a_server() {
    let server = Server::start();
    let url = format!("postgres://gatepost:{PASSWORD}@127.0.0.1:{}/gatepost", server.cluster.port());
    let (report, _) = gatepost(&["case", "run", "rc4-queue", "--store", &url, "--format", "json"]);
    assert_eq!((report["sent"].as_u64(), report["delivered"].as_u64()), (Some(200), Some(200)), "{report:#}");
    let first = &report["findings"][0];
    assert_eq!(first["cause"], "no-shared-cipher", "{first:#}");
    assert_eq!(first["scope"]["split"]["dimension"], "tls-policy", "{first:#}");
    let nodes: BTreeSet<&str> = attempts(&report, "broken").filter_map(|attempts| attempts["node"].as_str()).collect();
    assert_eq!(nodes, BTreeSet::from(["mx1", "mx2", "mx3", "mx4"]));
    // The database has mail now.
    let again =
        Command::new(env!("CARGO_BIN_EXE_gatepost")).args(["case", "run", "rc4-queue", "--store", &url]).output();
    let again = again.unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("name an empty database"));
}

#[test]
fn soak_every_device_is_a_case() {
    for device in lab::Device::ALL.into_iter().filter(|device| *device != lab::Device::Healthy) {
        device_case_drains(device.name());
    }
}

/// README's first mail: a device and a message, started by hand.
#[test]
fn a_device_and_a_message_by_hand() {
    let mut device = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_gatepost")])
        .args(["case", "device", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(device.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = printed.next().unwrap();
    let address = first.strip_prefix("healthy listens on ").and_then(|rest| rest.split_once(": ")).expect(&first).0;
    let node = Node::to(&[address]).start();
    let send = |recipient: &str| {
        let server = format!("127.0.0.1:{}", node.port);
        Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(["case", "send", recipient, "--server", &server])
            .output()
            .unwrap()
    };
    let output = send("someone@onprem.test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    node.wait_for_status("someone@onprem.test", "Delivered");
    let second = printed.next().unwrap();
    assert!(second.starts_with("accepted a message from sender@partner.test to someone@onprem.test, "), "{second}");
    let output = send("someone@elsewhere.test");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("failed to send the message to ") && error.contains(": 550 "), "{error}");
    device.kill().unwrap();
    device.wait().unwrap();
}
