//! The effect of a TLS policy on all destinations together, for people and for programs.

use diagnosis::Verdict;
use jiff::Timestamp;

use crate::{
    Impact,
    views::PolicyImpactView,
    wording::{counted, grouped},
};

/// What a policy would break, or has broken.
pub struct Effect {
    /// Name of the policy.
    pub policy: String,
    pub since: Timestamp,
    /// Days with history.
    pub days: f64,
    /// Those that break come first, then by the number of messages.
    pub impacts: Vec<Impact>,
}

impl Effect {
    /// `first`: when the first message in the history was received.
    pub fn new(policy: &str, since: Timestamp, now: Timestamp, first: Option<Timestamp>, impacts: Vec<Impact>) -> Self {
        Self { policy: policy.to_owned(), since, days: days(first, since, now), impacts }
    }

    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Impact> {
        self.impacts.iter().filter(move |impact| impact.foresight.verdict == verdict)
    }

    /// Destinations whose mail would wait, or go in plaintext.
    pub fn breaking(&self, in_plaintext: bool) -> impl Iterator<Item = &Impact> {
        self.of(Verdict::Breaks).filter(move |impact| impact.in_plaintext == in_plaintext)
    }

    /// Destinations that a probe would decide.
    pub fn undecided(&self) -> impl Iterator<Item = &Impact> {
        self.of(Verdict::Undecided)
    }

    pub fn working(&self) -> impl Iterator<Item = &Impact> {
        self.of(Verdict::Works)
    }

    pub fn breaks_any(&self) -> bool {
        self.of(Verdict::Breaks).next().is_some()
    }

    /// Messages a day.
    pub fn a_day(&self, impact: &Impact) -> f64 {
        impact.messages as f64 / self.days
    }

    pub fn view(&self) -> PolicyImpactView {
        PolicyImpactView::new(&self.policy, self.since, self.days, &self.impacts)
    }

    /// Such as `In the last 7 days the policy modern would have queued 9 messages to 1 destination.`
    pub fn summary(&self) -> String {
        let days = match self.days.round() as u64 {
            1 => "the last day".to_owned(),
            days => format!("the last {days} days"),
        };
        let part = |impacts: Vec<&Impact>, what: &str| {
            let hosts = impacts.len() as u64;
            let messages: u64 = impacts.iter().map(|impact| impact.messages).sum();
            (hosts > 0).then(|| format!("{what} {} to {}", many(messages, "message"), many(hosts, "destination")))
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
                many(attempts, "attempt"),
                many(messages, "message")
            ),
        }
    }
}

/// `1 message`, `1,204 messages`
fn many(count: u64, what: &str) -> String {
    counted(count, what).replacen(&count.to_string(), &grouped(count), 1)
}

/// Days of history, at most as many as asked for; at least one, so that one message an hour ago does not count as 24 a day.
fn days(first: Option<Timestamp>, since: Timestamp, now: Timestamp) -> f64 {
    let began = first.unwrap_or(since).max(since);
    (now.duration_since(began).as_secs_f64() / 86_400.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn a_short_history_counts_with_its_own_length() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |hours: i64| now - hours.hours();
        assert_eq!(days(Some(ago(48)), ago(720), now), 2.0);
        assert_eq!(days(Some(ago(1)), ago(720), now), 1.0);
        assert_eq!(days(None, ago(720), now), 30.0);
    }

    #[test]
    fn large_numbers_are_readable() {
        assert_eq!((many(1, "message"), many(1204, "message")), ("1 message".to_owned(), "1,204 messages".to_owned()));
    }
}
