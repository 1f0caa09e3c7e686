//! Files of other systems, given to `why` and `trace` without options: recognised, read, and named if they are of no use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// Those that the readers' own tests read.
fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../trace/tests/foreign")
}

fn sample(name: &str) -> String {
    samples().join(name).display().to_string()
}

/// From anywhere, without a configuration.
fn gatepost(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(folder.path()).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn value(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", errors(output)))
}

#[test]
fn files_need_no_options() {
    let mut read = 0;
    for path in fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "rows") {
            continue;
        }
        let file = path.display().to_string();
        let output = gatepost(&["trace", &file, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{file}: {}", errors(&output));
        let shown = value(&output);
        assert!(!shown["messages"].as_array().unwrap().is_empty(), "{file}: {shown:#}");
        let output = gatepost(&["why", &file, "--format", "json"]);
        // Exim's listing has no reasons, so nothing can be judged by it.
        let expected: &[i32] = if file.contains("mailq-exim") { &[2] } else { &[0, 1] };
        assert!(expected.contains(&output.status.code().unwrap()), "{file}: {}", errors(&output));
        read += 1;
    }
    assert!(read > 15, "{read}");
}

#[test]
fn all_messages_of_a_queue_wait() {
    let queue = sample("exchange-queue.txt");
    let findings = |what: &[&str]| {
        let output = gatepost(&[&["why"], what, &[&queue, "--format", "json"]].concat());
        value(&output)["findings"].as_array().unwrap().clone()
    };
    let waiting =
        |findings: &[Value]| findings.iter().map(|finding| finding["messages_pending"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(waiting(&findings(&[])), 13);
    // One thing and a file.
    let about = findings(&["mx.partner.test"]);
    assert_eq!((about[0]["cause"].as_str(), waiting(&about)), (Some("connection-refused"), 1), "{about:#?}");
}

#[test]
fn files_of_no_use_are_named_and_the_rest_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let useless = [
        (file("empty.log", b""), "an empty file"),
        (file("garbage", &garbage), "binary data"),
        (file("book.xlsx", b"PK\x03\x04"), "save the sheet as CSV"),
        (file("letter.txt", b"Dear Sir or Madam,\n"), "text of an unknown kind"),
        (folder.path().display().to_string(), "this is a folder"),
        (folder.path().join("missing.log").display().to_string(), "No such file"),
    ];
    let mailq = sample("mailq-postfix.txt");
    for command in ["why", "trace"] {
        for (file, words) in &useless {
            let output = gatepost(&[command, file]);
            assert_eq!(output.status.code(), Some(2), "{command} {file}: {}", errors(&output));
            let said = errors(&output);
            assert!(said.contains(&format!("skipped {file}: ")) && said.contains(words), "{command} {file}: {said}");
        }
        let mut arguments = vec![command, "--format", "json", mailq.as_str()];
        arguments.extend(useless.iter().map(|(file, _)| file.as_str()));
        let output = gatepost(&arguments);
        assert_eq!(output.status.code(), Some(i32::from(command == "why")), "{command}: {}", errors(&output));
        assert_eq!(errors(&output).matches("skipped ").count(), useless.len(), "{}", errors(&output));
    }
}

/// No share of lines is told of files that have none.
#[test]
fn files_without_a_line_are_not_measured_in_lines() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("mail.log");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, folder.path().join("nosuch.log")] {
        let output = gatepost(&["why", file.to_str().unwrap()]);
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("no delivery attempts found in the files") && !said.contains("0 of 0"), "{said}");
    }
}

#[test]
fn names_and_files_are_told_apart() {
    let output = gatepost(&["why", "one.test", "another.test"]);
    assert!(output.status.code() == Some(2) && errors(&output).contains("are not files"), "{}", errors(&output));
    // A capture has no messages to list.
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures/no-shared-cipher.pcap");
    let capture = capture.display().to_string();
    let output = gatepost(&["trace", &capture]);
    assert!(output.status.code() == Some(2) && errors(&output).contains("use `gatepost why "), "{}", errors(&output));
    assert_eq!(gatepost(&["why", &capture]).status.code(), Some(1));
    // A name that was meant as a file's.
    let output = gatepost(&["why", "mailog"]);
    assert!(output.status.code() == Some(2) && errors(&output).contains("no file mailog"), "{}", errors(&output));
}

/// Another program's output, and nobody who reads what is said on standard error.
#[test]
fn files_come_and_errors_go_through_pipes() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["why", "-", "--format", "json"]).stdin(fs::File::open(sample("mailq-postfix.txt")).unwrap());
    let output = command.output().unwrap();
    let named = value(&gatepost(&["why", &sample("mailq-postfix.txt"), "--format", "json"]));
    assert!(named["overview"][0]["cause"].is_string() && value(&output)["overview"] == named["overview"], "{named:#}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let status = command.args(["why", "/nonexistent/mail.log"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
