//! Every command that Gatepost prints as the next step works when it is pasted into a shell.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    Node,
    script::{Client, Destination, Say},
    wait_for,
};

/// Runs a line as an operator who pastes it, in the folder of the node.
fn paste(line: &str, folder: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    Command::new("sh").args(["-c", line]).current_dir(folder).env("PATH", path).output().unwrap()
}

/// The commands in a text: up to the end of the line, or of the backticks or the JSON text that they stand in.
fn commands(output: &Output) -> Vec<String> {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, _) in line.match_indices("gatepost ") {
            let rest = &line[at..];
            let is_path = at > 0 && line[..at].ends_with(['/', '-']);
            let end = rest.find(['`', '"', ')']).unwrap_or(rest.len());
            if !is_path {
                found.push(rest[..end].trim_end_matches(['.', ',', ' ']).to_owned());
            }
        }
    }
    found
}

/// Pastes all that is printed, and what that prints, until nothing new comes.
fn paste_all(first: &[&str], folder: &Path, config: &str) -> BTreeSet<String> {
    let mut pasted: BTreeSet<String> = BTreeSet::new();
    let mut next: Vec<String> = first.iter().map(|line| (*line).to_owned()).collect();
    while let Some(line) = next.pop() {
        // A node runs there already. A retry at each turn would never come to an end.
        if line.starts_with("gatepost serve") || !pasted.insert(line.clone()) {
            continue;
        }
        let output = paste(&line, folder);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line}: {:?} {told}", output.status);
        next.extend(commands(&output));
    }
    assert!(pasted.iter().any(|line| line.contains(config)), "none names the configuration: {pasted:#?}");
    pasted
}

#[test]
fn what_is_printed_works_when_pasted() {
    let greylisting =
        |_: u32, line: &str| line.starts_with("RCPT").then_some(Say("451 4.7.1 greylisted for 300 seconds"));
    let destination = Destination::taking(greylisting);
    let node = Node::to_port(destination.port)
        .retry("schedule = [\"1h\"]")
        .more("[watch]\noldest = \"1s\"\noldest_named = \"1s\"\ninterval = \"1s\"\n")
        .start();
    for number in 0..3 {
        assert!(Client::connect(node.port).send_message(&format!("number {number}")).starts_with("250"));
    }
    wait_for("all to be deferred", || node.queue().iter().all(|row| !row["failure"].is_null()).then_some(()));
    let id = node.queue()[0]["network_message_id"].as_str().unwrap().to_owned();
    node.run(&["queue", "suspend", "--message", &id]);
    fs::write(node.path("mail log"), POSTFIX_LOG).unwrap();
    fs::write(node.path("track.log"), TRACKING_LOG).unwrap();
    let config = node.path("gatepost.toml").display().to_string();
    let with_config = |line: &str| format!("gatepost --config {config} {line}");
    let show = with_config(&format!("queue show {id}"));
    let other = node.queue().iter().find_map(|row| {
        let other = row["network_message_id"].as_str().unwrap();
        (other != id).then(|| with_config(&format!("queue show {}", &other[..18])))
    });
    let lines: Vec<String> = [
        "queue list",
        "queue list --by cause",
        "queue list --by connector",
        "queue list --by destination",
        "queue list --by age",
        "queue list --by cause --format json",
        "queue list --format json",
        "why",
        "incident list",
        "rollout status",
        "policy list",
        "policy ledger",
        "policy impact modern",
        "trace --detail",
        "config check",
    ]
    .map(with_config)
    .into_iter()
    .chain([show, other.unwrap()])
    .chain(["gatepost why --postfix-log 'mail log'", "gatepost why --tracking-log track.log"].map(str::to_owned))
    .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let folder = node.path("");
    let pasted = paste_all(&lines, &folder, &config);
    for expected in [
        "gatepost queue retry --message ",
        "gatepost queue resume --message ",
        "gatepost queue list --cause rcpt-451-4.7.1-",
        "gatepost queue list --destination 127.0.0.1:",
        "gatepost queue list --younger-than ",
        "gatepost trace --from-postfix-log 'mail log' ",
        "gatepost trace --from-tracking-log track.log ",
    ] {
        assert!(pasted.iter().any(|line| line.starts_with(expected)), "{expected}: {pasted:#?}");
    }
    // A connector of another system is not a host.
    assert!(!pasted.iter().any(|line| line.contains("probe Internet")), "{pasted:#?}");
}

#[test]
fn errors_name_commands_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let missing = paste("gatepost --config 'my gate.toml' queue list", folder.path());
    let said = commands(&missing);
    assert_eq!(said, ["gatepost config example > 'my gate.toml'"], "{}", String::from_utf8_lossy(&missing.stderr));
    assert!(paste(&said[0], folder.path()).status.success());
    let no_store = paste("gatepost --config 'my gate.toml' queue list", folder.path());
    assert_eq!(commands(&no_store), ["gatepost serve --config 'my gate.toml'"]);
    // A node that somebody runs on this machine may have the example's port.
    let file = folder.path().join("my gate.toml");
    let example = fs::read_to_string(&file).unwrap();
    assert!(example.contains("127.0.0.1:2525"), "{example}");
    fs::write(&file, example.replace("127.0.0.1:2525", "127.0.0.1:0")).unwrap();
    let checked = paste("gatepost config check --config 'my gate.toml'", folder.path());
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

const POSTFIX_LOG: &str = "\
2026-11-25T12:00:00.100000+00:00 mx postfix/smtpd[10]: 4F1A2B3C4D: client=unknown[192.0.2.7]
2026-11-25T12:00:00.200000+00:00 mx postfix/qmgr[11]: 4F1A2B3C4D: from=<alice@partner.test>, size=1000, nrcpt=1 (queue active)
2026-11-25T12:00:01.000000+00:00 mx postfix/smtp[12]: 4F1A2B3C4D: to=<user@onprem.test>, relay=none, delay=1, \
delays=0/0/1/0, dsn=4.4.3, status=deferred (Host or domain name not found. Name service error for \
name=onprem.test type=MX: Host not found, try again)
";

const TRACKING_LOG: &str = "\
#Software: Microsoft Exchange Server
#Log-type: Message Tracking Log
#Fields: date-time,event-id,connector-id,recipient-address,recipient-status,message-id,sender-address
2026-11-25T12:00:00.000Z,DEFER,Internet,user@onprem.test,450 4.2.0 greylisted,<1@a.test>,alice@a.test
2026-11-25T12:01:00.000Z,DEFER,Internet,user@other.test,450 4.2.0 greylisted,<2@a.test>,alice@a.test
";
