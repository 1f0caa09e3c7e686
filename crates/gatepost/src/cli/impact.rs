//! `gatepost policy impact`: shows which destinations would break under a policy.

use std::io::Write;

use anyhow::{Context as _, bail};
use diagnosis::{Offer, Verdict};
use insight::{Impact, views::PolicyImpactView};
use jiff::{Timestamp, ToSpan};
use node::config::Config;
use protocol::host_port;
use store::Store;
use trace::NextStep;

use super::{
    arguments::{Format, ImpactArguments},
    screen::{Colour, Screen, clean, counted, grouped, paragraph},
    table::{Cell, Column, Table},
};

/// True if something would break.
pub(crate) async fn run<S: Store>(
    arguments: &ImpactArguments,
    store: &S,
    config: &Config,
    screen: &Screen,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let offer = offer(config, &arguments.policy)?;
    let hours = i64::from(arguments.days) * 24;
    let since = screen.now.checked_sub(hours.hours()).context("--days is too large; give a smaller number")?;
    let (impacts, first) =
        insight::impact(store, config, &arguments.policy, &offer, since).await.context("failed to read the history")?;
    let report = Report { policy: &arguments.policy, since, days: days(first, since, screen.now), impacts };
    match arguments.output.format {
        Format::Json => writeln!(out, "{}", insight::json::pretty(&report.view())?)?,
        Format::Table => report.write(screen, out)?,
    }
    Ok(report.of(Verdict::Breaks).next().is_some())
}

fn offer(config: &Config, name: &str) -> anyhow::Result<Offer> {
    let Some(policy) = config.policy(name) else {
        let known: Vec<String> = config.policies().map(|policy| policy.name).collect();
        bail!("unknown TLS policy \"{name}\"; policies are: {}", known.join(", "));
    };
    let hello = net::tls::offer(&policy)?
        .with_context(|| format!("OpenSSL offers no cipher suite under the policy \"{name}\""))?;
    Ok(Offer::of_policy(&hello, policy.security_level))
}

/// Days of history, at most as many as asked for; at least one, so that one message an hour ago does not count as 24 a day.
fn days(first: Option<Timestamp>, since: Timestamp, now: Timestamp) -> f64 {
    let began = first.unwrap_or(since).max(since);
    (now.duration_since(began).as_secs_f64() / 86_400.0).max(1.0)
}

struct Report<'a> {
    policy: &'a str,
    since: Timestamp,
    /// Days with history.
    days: f64,
    impacts: Vec<Impact>,
}

impl Report<'_> {
    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Impact> {
        self.impacts.iter().filter(move |impact| impact.foresight.verdict == verdict)
    }

    fn breaking(&self, in_plaintext: bool) -> impl Iterator<Item = &Impact> {
        self.of(Verdict::Breaks).filter(move |impact| impact.in_plaintext == in_plaintext)
    }

    /// Messages a day.
    fn a_day(&self, impact: &Impact) -> f64 {
        impact.messages as f64 / self.days
    }

    fn view(&self) -> PolicyImpactView {
        PolicyImpactView::new(self.policy, self.since, self.days, &self.impacts)
    }

    fn write(&self, screen: &Screen, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.impacts.is_empty() {
            writeln!(out, "No delivery attempts since {}.", screen.time(self.since))?;
            return Ok(());
        }
        let sections = [
            ("BREAKS: mail would have been queued", self.breaking(false).collect::<Vec<_>>(), Colour::Red),
            ("LOSES ENCRYPTION: mail would have gone in plaintext", self.breaking(true).collect(), Colour::Red),
            ("UNDECIDED: run the probe to find out", self.of(Verdict::Undecided).collect(), Colour::Yellow),
            ("WORKS", self.of(Verdict::Works).collect(), Colour::Green),
        ];
        paragraph(&self.summary(), "", screen, out)?;
        for (title, impacts, colour) in sections.into_iter().filter(|section| !section.1.is_empty()) {
            writeln!(out, "\n{}", screen.paint(title, Some(colour)))?;
            self.table(&impacts, screen, out)?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let days = match self.days.round() as u64 {
            1 => "the last day".to_owned(),
            days => format!("the last {days} days"),
        };
        let part = |impacts: Vec<&Impact>, what: &str| {
            let hosts = impacts.len() as u64;
            let messages = counted(messages(impacts.into_iter()), "message", "messages");
            (hosts > 0).then(|| format!("{what} {messages} to {}", counted(hosts, "destination", "destinations")))
        };
        let parts: Vec<String> =
            [part(self.breaking(false).collect(), "queued"), part(self.breaking(true).collect(), "sent in plaintext")]
                .into_iter()
                .flatten()
                .collect();
        let undecided = match part(self.of(Verdict::Undecided).collect(), "Undecided:") {
            Some(undecided) => format!(" {undecided}."),
            None => String::new(),
        };
        let broken = self.broken();
        match parts.is_empty() {
            true => format!("In {days} the policy {} would have broken no destination.{undecided}", self.policy),
            false => {
                let parts = parts.join(", and ");
                format!("In {days} the policy {} would have {parts}.{broken}{undecided}", self.policy)
            }
        }
    }

    /// What happened already, because nodes use the policy or have used it.
    fn broken(&self) -> String {
        let all = || self.impacts.iter().filter_map(|impact| impact.broken);
        let attempts: u64 = all().map(|broken| broken.attempts).sum();
        let messages: u64 = all().map(|broken| broken.messages).sum();
        match attempts {
            0 => String::new(),
            _ => format!(
                " Under this policy, {} of {} have failed already.",
                counted(attempts, "attempt", "attempts"),
                counted(messages, "message", "messages")
            ),
        }
    }

    fn table(&self, impacts: &[&Impact], screen: &Screen, out: &mut dyn Write) -> std::io::Result<()> {
        const COLUMNS: [Column; 5] = [
            Column::cut("DESTINATION", 16),
            Column::cut("CONNECTOR", 8),
            Column::number("MESSAGES"),
            Column::number("A DAY"),
            Column::wrapped("THE SERVER", 20),
        ];
        let row = |impact: &&Impact| {
            let probe = format!("; {}", probe(impact));
            let check = if impact.foresight.verdict == Verdict::Undecided { probe.as_str() } else { "" };
            vec![
                Cell::new(host_port::join(&impact.host, Some(impact.port))),
                Cell::new(&impact.connector),
                Cell::new(grouped(impact.messages)),
                Cell::new(format!("{:.1}", self.a_day(impact))),
                Cell::new(format!("{}{check}", impact.foresight.because)),
            ]
        };
        Table::new(&COLUMNS, screen).write(&impacts.iter().map(row).collect::<Vec<_>>(), out)
    }
}

fn probe(impact: &Impact) -> String {
    clean(&NextStep::Probe(host_port::join(&impact.host, Some(impact.port))).to_string())
}

fn messages<'a>(impacts: impl Iterator<Item = &'a Impact>) -> u64 {
    impacts.map(|impact| impact.messages).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_history_counts_with_its_own_length() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |hours: i64| now - hours.hours();
        assert_eq!(days(Some(ago(48)), ago(720), now), 2.0);
        assert_eq!(days(Some(ago(1)), ago(720), now), 1.0);
        assert_eq!(days(None, ago(720), now), 30.0);
    }
}
