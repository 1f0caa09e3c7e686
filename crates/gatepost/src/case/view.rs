//! Shows a case while it runs: redrawn on a terminal, otherwise as plain lines.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::{
    queue_length,
    tally::{Stage, Tally},
};
use crate::cli::{
    Screen,
    table::{Cell, Column, Table},
    wrapped,
};

/// Interval between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Longest curve of the queue, in characters.
const CURVE_MAX: usize = 50;

pub(crate) struct View {
    screen: Screen,
    terminal: bool,
    began: Instant,
    /// Number of lines drawn last, to be erased before the next drawing.
    drawn: usize,
    last_line: Option<Instant>,
    queue: Vec<usize>,
}

impl View {
    /// Draws on standard error, so that standard output contains only the result.
    pub(crate) fn new(screen: &Screen) -> Self {
        Self {
            screen: screen.clone(),
            terminal: io::stderr().is_terminal(),
            began: Instant::now(),
            drawn: 0,
            last_line: None,
            queue: Vec::new(),
        }
    }

    /// Prints one line that stays on the screen.
    pub(crate) fn say(&mut self, text: &str) {
        self.erase();
        self.print(text);
        self.last_line = None;
    }

    pub(crate) fn show(&mut self, tally: &Tally, messages: usize) {
        self.queue.push(tally.queued);
        if self.terminal {
            self.draw(tally, messages);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            self.print(&format!("{}; {}", counts(tally, messages), by_node(tally)));
        }
    }

    fn print(&self, text: &str) {
        let seconds = format!("{:>4}s  ", self.began.elapsed().as_secs());
        // A view that cannot be shown must not end the case.
        let _ = wrapped(text, &seconds, "       ", &self.screen, &mut io::stderr());
    }

    /// Erases the view; printed lines stay.
    pub(crate) fn finish(&mut self) {
        self.erase();
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            eprint!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self, tally: &Tally, messages: usize) {
        let mut text = Vec::new();
        let most = self.queue.iter().copied().max().unwrap_or(0);
        let step = self.queue.len().div_ceil(CURVE_MAX);
        // Writing to memory cannot fail.
        let _ = writeln!(text, "\n       {}", counts(tally, messages));
        let _ = writeln!(text, "       queue {}\n", queue_length::draw(&self.queue, most, step));
        let _ = Table::new(&NODES, &self.screen).write(&rows(tally), &mut text);
        self.erase();
        self.drawn = text.iter().filter(|byte| **byte == b'\n').count();
        let _ = io::stderr().write_all(&text);
    }
}

const NODES: [Column; 6] = [
    Column::whole("NODE"),
    Column::whole("POLICY"),
    Column::number("ATTEMPTS"),
    Column::number("DELIVERED"),
    Column::number("DEFERRED"),
    Column::cut("LAST FAILURE", 10),
];

fn counts(tally: &Tally, messages: usize) -> String {
    format!("{} of {messages} accepted, {} delivered, {} queued", tally.taken, tally.delivered(), tally.queued)
}

/// Per node and policy: attempts that worked, attempts that failed, and the last failure.
fn nodes(tally: &Tally) -> BTreeMap<(&str, &str), (u64, u64, Option<&str>)> {
    let mut nodes: BTreeMap<(&str, &str), (u64, u64, Option<&str>)> = BTreeMap::new();
    for (group, attempts) in &tally.attempts {
        let node = nodes.entry((&group.node, &group.policy)).or_default();
        node.0 += attempts.ok;
        node.1 += attempts.failed;
        // Do not show failures from before the repair if attempts work after it.
        let works = group.stage == Stage::Repaired && attempts.ok > 0;
        node.2 = attempts.failure.as_deref().or(node.2).filter(|_| !works);
    }
    nodes
}

fn rows(tally: &Tally) -> Vec<Vec<Cell>> {
    let row = |((node, policy), (ok, failed, failure)): ((&str, &str), (u64, u64, Option<&str>))| {
        vec![
            Cell::new(node),
            Cell::new(policy),
            Cell::new((ok + failed).to_string()),
            Cell::new(ok.to_string()),
            Cell::new(failed.to_string()),
            Cell::new(failure.unwrap_or_default()),
        ]
    };
    nodes(tally).into_iter().map(row).collect()
}

fn by_node(tally: &Tally) -> String {
    let node = |((node, policy), (ok, failed, _)): ((&str, &str), (u64, u64, Option<&str>))| {
        format!("{node} ({policy}) {ok} delivered, {failed} deferred")
    };
    nodes(tally).into_iter().map(node).collect::<Vec<_>>().join("; ")
}
