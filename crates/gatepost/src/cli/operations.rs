//! Tests that the API can do what the commands do: each command that reads or acts has an operation, and each operation names
//! a command.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::Arguments;

/// Why a command has no operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// It is the program that has the API.
    RunsTheNode,
    /// It is for a person at the machine, whose node does not run meanwhile.
    NeedsAStoppedNode,
    /// It reads or writes files of the machine.
    OfLocalFiles,
    /// It plays, with servers of its own.
    Plays,
}

use Reason::{NeedsAStoppedNode, OfLocalFiles, Plays, RunsTheNode};

const WITHOUT: [(&str, Reason); 17] = [
    ("serve", RunsTheNode),
    ("backup", OfLocalFiles),
    ("restore", NeedsAStoppedNode),
    ("store migrate", NeedsAStoppedNode),
    ("config check", OfLocalFiles),
    ("config reference", OfLocalFiles),
    ("config example", OfLocalFiles),
    // A file is applied where it is kept, so that it can be compared first.
    ("config apply", OfLocalFiles),
    ("config diff", OfLocalFiles),
    ("config rollback", OfLocalFiles),
    ("config history", OfLocalFiles),
    // Its token is for a file.
    ("api token", OfLocalFiles),
    ("capture", OfLocalFiles),
    ("case list", Plays),
    ("case run", Plays),
    ("case send", Plays),
    ("case device", Plays),
];

/// Commands that do something, such as `queue list`.
fn commands(command: &clap::Command, before: &str) -> BTreeSet<String> {
    let others = command.get_subcommands().filter(|other| other.get_name() != "help");
    let deeper = |other: &clap::Command| {
        let name = format!("{before} {}", other.get_name()).trim().to_owned();
        let below = commands(other, &name);
        if below.is_empty() { BTreeSet::from([name]) } else { below }
    };
    others.flat_map(deeper).collect()
}

#[test]
fn each_command_has_an_operation_and_each_operation_a_command() {
    let commands = commands(&Arguments::command(), "");
    let operations = console::operations();
    let served: BTreeSet<&str> = operations.iter().flat_map(|operation| operation.commands).copied().collect();
    let without: BTreeSet<&str> = WITHOUT.iter().map(|(command, _)| *command).collect();
    let is_missing = |command: &&String| !served.contains(command.as_str()) && !without.contains(command.as_str());
    assert_eq!(commands.iter().filter(is_missing).collect::<Vec<_>>(), Vec::<&String>::new(), "have no operation");
    assert_eq!(served.intersection(&without).collect::<Vec<_>>(), Vec::<&&str>::new(), "have an operation");
    let is_gone = |command: &&&str| !commands.contains(**command);
    assert_eq!(served.union(&without).filter(is_gone).collect::<Vec<_>>(), Vec::<&&str>::new(), "are no commands");
    let is_alone = |operation: &&console::OperationFacts| operation.commands.is_empty();
    assert_eq!(operations.iter().filter(is_alone).collect::<Vec<_>>(), Vec::<&console::OperationFacts>::new());
}
