//! The result of a case: for people next to the figures of the original incident, for programs as JSON.

use std::{collections::BTreeMap, io::Write, path::Path, time::Duration};

use diagnosis::{Finding, Severity};
use insight::views::{CaseAttemptsView, CaseHaltedView, CaseMessageView, CaseResultView, FindingView};
use node::fleet::{Rollout, trouble_view};

use super::{
    scenario::{RC4_QUEUE, STORY_RETRY, Scenario},
    tally::{Attempts, Group, Stage, Tally, Way},
};
use crate::cli::{
    Screen, counted, paragraph,
    table::{Cell, Column, Table},
    write_findings,
};

/// A rollout that halted automatically.
pub(crate) struct Halted {
    /// Time since the first message.
    pub after: Duration,
    /// Number of messages received until then.
    pub taken: usize,
    pub rollout: Rollout,
}

pub(crate) struct Report {
    pub scenario: Scenario,
    pub destination: String,
    pub tally: Tally,
    pub queued_at_repair: usize,
    pub most_queued: usize,
    /// Length of the queue every half second.
    pub queue: Vec<usize>,
    pub halted: Option<Halted>,
    /// From the repair to an empty queue.
    pub drained: Duration,
    /// Findings before the repair.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The root cause that Gatepost found, or what it warns of, if it found one.
    pub(crate) fn named(&self) -> Option<&str> {
        let is_sure = |finding: &&Finding| finding.is_root_cause() || finding.severity == Severity::Warning;
        self.findings.first().filter(is_sure).map(|finding| finding.cause.as_str())
    }

    pub(crate) fn view(&self, kept: Option<&Path>) -> CaseResultView {
        CaseResultView {
            case: self.scenario.name.clone(),
            cause: self.scenario.cause.map(str::to_owned),
            destination: self.destination.clone(),
            sent: self.tally.taken,
            delivered: self.tally.delivered(),
            max_queued: self.most_queued,
            queued_at_repair: self.queued_at_repair,
            queue: self.queue.clone(),
            halted: self.halted.as_ref().map(Halted::view),
            attempts: self.tally.attempts.iter().map(|(group, attempts)| attempts_view(group, attempts)).collect(),
            retry_s: self.scenario.retry.as_secs_f64(),
            drained_s: seconds(self.drained),
            messages: self.tally.ways.iter().map(message_view).collect(),
            findings: self.findings.iter().map(FindingView::from).collect(),
            kept: kept.map(Path::to_owned),
        }
    }

    pub(crate) fn write(&self, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self { scenario, tally, .. } = self;
        paragraph(&format!("{}: {}", scenario.name, scenario.story), "", screen, out)?;
        writeln!(out, "Destination: {}\n", self.destination)?;
        self.write_attempts(screen, out)?;
        writeln!(out, "\nOutput of gatepost why before the repair:\n")?;
        write_findings(self.findings.get(..1).unwrap_or_default(), screen, out)?;
        writeln!(out)?;
        self.write_waits(screen, out)?;
        if scenario.name == RC4_QUEUE {
            writeln!(out)?;
            self.write_story(screen, out)?;
        }
        if tally.failed > 0 {
            writeln!(out, "\n{} bounced.", counted(tally.failed as u64, "message", "messages"))?;
        }
        Ok(())
    }

    fn write_attempts(&self, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
        const COLUMNS: [Column; 7] = [
            Column::whole("STAGE"),
            Column::whole("NODE"),
            Column::whole("POLICY"),
            Column::whole("ENCRYPTION"),
            Column::number("DELIVERED"),
            Column::number("DEFERRED"),
            Column::wrapped("FAILURE", 14),
        ];
        let rows = self.tally.attempts.iter().map(|(group, attempts)| {
            let encryption = match &group.tls {
                Some((version, cipher)) => format!("{version} {cipher}"),
                None if attempts.ok > 0 => "plaintext".to_owned(),
                None => "none".to_owned(),
            };
            let stage = if group.stage == Stage::Broken { "broken" } else { "repaired" };
            vec![
                Cell::new(stage),
                Cell::new(&group.node),
                Cell::new(&group.policy),
                Cell::new(encryption),
                Cell::new(attempts.ok.to_string()),
                Cell::new(attempts.failed.to_string()),
                Cell::new(attempts.failure.as_deref().unwrap_or_default()),
            ]
        });
        Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
    }

    /// Writes how many attempts messages needed, and how long they waited.
    fn write_waits(&self, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
        const COLUMNS: [Column; 5] = [
            Column::number("ATTEMPTS"),
            Column::number("MESSAGES"),
            Column::number("LONGEST WAIT"),
            Column::whole("SCALED TO 15 MIN"),
            Column::whole(""),
        ];
        let mut by_tries: BTreeMap<u32, Vec<&Way>> = BTreeMap::new();
        for way in &self.tally.ways {
            by_tries.entry(way.tries).or_default().push(way);
        }
        let most = by_tries.values().map(Vec::len).max().unwrap_or(1);
        let rows = by_tries.iter().map(|(tries, ways)| {
            let longest = ways.iter().map(|way| way.waited).max().unwrap_or_default();
            vec![
                Cell::new(tries.to_string()),
                Cell::new(ways.len().to_string()),
                Cell::new(format!("{:.1} s", longest.as_secs_f64())),
                Cell::new(self.scaled(longest)),
                Cell::new("█".repeat((ways.len() * 30).div_ceil(most))),
            ]
        });
        Table::new(&COLUMNS, screen).write(&rows.collect::<Vec<_>>(), out)
    }

    fn write_story(&self, screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
        const COLUMNS: [Column; 3] = [Column::whole(""), Column::whole("THE STORY"), Column::whole("HERE")];
        let longest = self.tally.ways.iter().map(|way| way.waited).max().unwrap_or_default();
        let tries = self.tally.ways.iter().map(|way| way.tries).max().unwrap_or_default();
        let retry = self.scenario.retry.as_secs_f64();
        let rows = [
            ["time between attempts", "15 minutes", &format!("{retry} s")],
            ["longest wait", "hours", &format!("{:.1} s (scaled: {})", longest.as_secs_f64(), self.scaled(longest))],
            ["attempts per message", "not reported", &format!("up to {tries}")],
            ["queued at the repair", "about 200", &self.queued_at_repair.to_string()],
            ["repair", "TLS 1.0 turned off", "STARTTLS turned off"],
            [
                "queue empty",
                "in less than 15 minutes",
                &format!("in {:.1} s (scaled: {})", self.drained.as_secs_f64(), self.scaled(self.drained)),
            ],
        ];
        let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(Cell::new).collect()).collect();
        Table::new(&COLUMNS, screen).write(&rows, out)
    }

    /// The same wait with the retries of the original incident.
    pub(crate) fn scaled(&self, wait: Duration) -> String {
        let minutes = wait.as_secs_f64() / self.scenario.retry.as_secs_f64() * STORY_RETRY.as_secs_f64() / 60.0;
        if minutes < 60.0 { format!("{minutes:.0} min") } else { format!("{:.1} h", minutes / 60.0) }
    }
}

impl Halted {
    fn view(&self) -> CaseHaltedView {
        CaseHaltedView {
            after_s: seconds(self.after),
            taken: self.taken,
            reason: self.rollout.halted.clone(),
            trouble: self.rollout.trouble.as_ref().map(trouble_view),
        }
    }
}

fn attempts_view(group: &Group, attempts: &Attempts) -> CaseAttemptsView {
    let stage = if group.stage == Stage::Broken { "broken" } else { "repaired" };
    CaseAttemptsView {
        node: group.node.clone(),
        policy: group.policy.clone(),
        stage: stage.to_owned(),
        tls_version: group.tls.as_ref().map(|tls| tls.0.clone()),
        cipher: group.tls.as_ref().map(|tls| tls.1.clone()),
        ok: attempts.ok,
        failed: attempts.failed,
        failure: attempts.failure.clone(),
    }
}

fn message_view(way: &Way) -> CaseMessageView {
    CaseMessageView { waited_s: seconds(way.waited), tries: way.tries }
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
