//! The finding for mail that waits without a root cause.

use jiff::Timestamp;
use trace::NextStep;

use super::{
    finding::{Finding, Scope, Severity},
    state::State,
    wording::messages,
};
use crate::causes::{CauseId, Remedy, Situation};

/// Pieces of evidence shown, of all guesses together.
const PIECES_MAX: usize = 5;

/// The finding `unknown` for a connector where `messages_pending` messages wait since `since`. `guesses` are findings
/// that are not root causes, the most likely first.
pub fn unexplained(connector: &str, messages_pending: u64, since: Option<Timestamp>, guesses: &[Finding]) -> Finding {
    let best = guesses.first();
    let seen = match best {
        Some(guess) if guess.cause == CauseId::Unknown => guess.summary.clone(),
        Some(guess) => {
            let sure = guess.confidence * 100.0;
            let sure = if sure < 0.5 { String::new() } else { format!(" ({sure:.0}%)") };
            format!("Possible cause: {}{sure}. {}", guess.cause, guess.summary)
        }
        None => "No failed attempt is recorded".to_owned(),
    };
    Finding {
        cause: CauseId::Unknown,
        severity: Severity::Stuck,
        confidence: best.filter(|guess| guess.cause == CauseId::Unknown).map_or(0.0, |guess| guess.confidence),
        scope: Scope {
            destination: best.map_or(connector, |guess| &guess.scope.destination).to_owned(),
            connector: Some(connector.to_owned()),
            failed: guesses.iter().map(|guess| guess.scope.failed).sum(),
            attempts: guesses.iter().map(|guess| guess.scope.attempts).max().unwrap_or(0),
            failed_otherwise: 0,
            destinations: 1,
            everywhere: None,
            split: None,
            compared: Vec::new(),
            works_with: None,
        },
        state: State::Ongoing,
        messages_known: true,
        messages_pending,
        messages_bounced: 0,
        messages_removed: 0,
        pending_since: since,
        first_seen: guesses.iter().filter_map(|guess| guess.first_seen).min(),
        last_seen: guesses.iter().filter_map(|guess| guess.last_seen).max(),
        summary: format!(
            "{} waiting on connector {connector}: no root cause found. {seen}",
            messages(messages_pending)
        ),
        evidence: guesses.iter().flat_map(|guess| &guess.evidence).take(PIECES_MAX).cloned().collect(),
        remedy: best
            .filter(|guess| guess.cause == CauseId::Unknown)
            .map_or_else(default_remedies, |guess| guess.remedy.clone()),
        situation: Situation::default(),
        check: NextStep::QueueList(vec![("--connector", connector.to_owned())]).to_string(),
        experiment: None,
    }
}

fn default_remedies() -> Vec<Remedy> {
    CauseId::Unknown.cause().remedies(&Situation::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_with_what_was_seen() {
        let nothing = unexplained("onprem", 300, None, &[]);
        assert_eq!((nothing.cause.as_str(), nothing.confidence, nothing.is_root_cause()), ("unknown", 0.0, false));
        assert!(nothing.summary.ends_with(". No failed attempt is recorded"), "{}", nothing.summary);
        assert!(!nothing.remedy.is_empty());
        let seen = |cause| Finding { cause, confidence: 0.3, summary: "mail.test fails".to_owned(), ..nothing.clone() };
        let guessed = unexplained("onprem", 300, None, &[seen(CauseId::Greylisted), seen(CauseId::Unknown)]);
        assert!(guessed.summary.ends_with("Possible cause: greylisted (30%). mail.test fails"), "{}", guessed.summary);
        let odd = unexplained("onprem", 300, None, &[seen(CauseId::Unknown)]);
        assert_eq!(odd.summary, "300 messages waiting on connector onprem: no root cause found. mail.test fails");
        assert_eq!((odd.confidence, guessed.confidence), (0.3, 0.0));
    }
}
