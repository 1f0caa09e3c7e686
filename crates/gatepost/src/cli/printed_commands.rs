//! Tests that the command line accepts every printed or documented command: suggestions, examples in `--help`, and the
//! documents. The black-box tests paste them into a shell.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};
use trace::NextStep;
use uuid::Uuid;

use super::Arguments;

/// Placeholders of the documents, each with an example value.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("NETWORK-MESSAGE-ID", "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"),
    ("ID", "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"),
    ("HOST:PORT", "mail.onprem.test:25"),
    ("NAME", "monitoring"),
    ("FILE", "a.log"),
];

/// Splits a line into words as a shell does, up to a comment, a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quote, is_begun) = (!quote, true),
            c if c.is_whitespace() && !quote => {
                if std::mem::take(&mut is_begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            '#' | '|' | '>' if !quote && !is_begun => break,
            c => (word, is_begun) = (format!("{word}{c}"), true),
        }
    }
    if is_begun {
        words.push(word);
    }
    words
}

fn check(line: &str, whence: &str) {
    let known = |word: String| {
        let placeholder = PLACEHOLDERS.iter().find(|(placeholder, _)| *placeholder == word);
        placeholder.map_or(word, |(_, example)| (*example).to_owned())
    };
    let line: Vec<String> = words(line).into_iter().map(known).collect();
    if let Err(error) = Arguments::try_parse_from(&line) {
        panic!("{whence}: {}\n{error}", line.join(" "));
    }
}

#[test]
fn suggestions_are_commands() {
    for step in NextStep::examples(Uuid::from_u128(7), "mail log.txt") {
        check(&step.to_string(), "next_step.rs");
    }
}

/// The examples of a help text: indented by two cells, and followed by spaces and an explanation.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  gatepost "));
    lines.map(|line| format!("gatepost {}", line.split("   ").next().unwrap_or(line))).collect()
}

fn check_help(command: &clap::Command) -> usize {
    let name = command.get_name().to_owned();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples(&help);
    examples.iter().for_each(|example| check(example, &name));
    examples.len() + command.get_subcommands().map(check_help).sum::<usize>()
}

#[test]
fn examples_of_help_are_commands() {
    assert!(check_help(&Arguments::command()) > 30);
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README and all documents, decisions and benchmarks too.
fn documents() -> Vec<PathBuf> {
    let (mut documents, mut folders) = (vec![project().join("README.md")], vec![project().join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false if entry.extension().is_some_and(|extension| extension == "md") => documents.push(entry),
                false => {}
            }
        }
    }
    documents
}

/// The commands of a document: lines of code blocks, indented or fenced. An ellipsis marks output.
fn commands(text: &str) -> Vec<&str> {
    let mut is_fenced = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        let code = line.trim_start();
        is_fenced ^= code.starts_with("```");
        let command = code.trim_start_matches("$ ").trim_start_matches("target/release/");
        let is_code = is_fenced || line.starts_with("    ");
        if is_code && command.starts_with("gatepost ") && !command.contains('…') {
            commands.push(command);
        }
    }
    commands
}

#[test]
fn documented_commands_are_commands() {
    let mut found = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let commands = commands(&text);
        commands.iter().for_each(|command| check(command, &document.display().to_string()));
        found += commands.len();
    }
    assert!(found > 30, "{found}");
}

/// Commands within sentences and tables, if they have an option: a renamed option must not stay in the documents.
#[test]
fn options_in_sentences_are_options() {
    let mut found = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap().replace('\n', " ");
        for span in text.split('`').skip(1).step_by(2) {
            if span.starts_with("gatepost ") && span.contains("--") && !span.contains('…') {
                named(span, &document.display().to_string());
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found}");
}

/// Options that a sentence names exist. It may leave out what else the command requires, or an option's value.
fn named(span: &str, whence: &str) {
    let mut command = Arguments::command();
    command.build();
    let words = words(span);
    let mut options = Vec::new();
    for word in words.iter().skip(1) {
        match (word.strip_prefix("--"), command.find_subcommand(word)) {
            (Some(option), _) => options.push(option.to_owned()),
            (None, Some(subcommand)) => command = subcommand.clone(),
            (None, None) => {}
        }
    }
    for option in options {
        let is_known = command.get_arguments().any(|known| known.get_long() == Some(option.as_str()));
        assert!(is_known || option == "help", "{whence}: {span}: there is no option --{option}");
    }
}

/// Only `next_step.rs` makes suggestions, because the tests look there. Other texts only name commands.
#[test]
fn no_command_is_written_elsewhere() {
    let mut folders = vec![project().join("crates")];
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if entry.is_dir() && !["tests", "examples", "arguments", "target", "benches"].contains(&name.as_str()) {
                folders.push(entry);
            } else if name.ends_with(".rs")
                && !["next_step.rs", "tests.rs", "printed_commands.rs"].contains(&name.as_str())
            {
                let text = fs::read_to_string(&entry).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let suspects =
                    code.lines().filter(|line| suggests(line)).map(|line| format!("{}: {line}", entry.display()));
                wrong.extend(suspects);
                // Remedies of the catalogue have commands in backticks.
                let remedies = entry.components().any(|part| part.as_os_str() == "causes");
                let quoted =
                    code.split('`').skip(1).step_by(2).filter(|text| remedies && text.starts_with("gatepost "));
                quoted.for_each(|command| check(command, &name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "make these with NextStep");
}

/// True for a text (not a comment) with a command that has an argument or follows a colon.
fn suggests(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let Some((before, command)) = code.split_once("gatepost ") else { return false };
    let subcommands: Vec<String> =
        Arguments::command().get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let is_command =
        command.split([' ', '"', '`']).next().is_some_and(|word| subcommands.iter().any(|one| one == word));
    let is_suggested = before.ends_with(": ") || (before.ends_with('"') && command.contains('{'));
    is_command && is_suggested && before.contains('"')
}
