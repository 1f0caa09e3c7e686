//! Mail that waits without a root cause, said honestly.

use jiff::Timestamp;

use crate::{
    causes::UNKNOWN,
    finding::{Finding, Scope},
};

/// Pieces of evidence shown, of all guesses together.
const PIECES_MAX: usize = 5;

/// The finding `unknown` for a connector where so many messages wait since then. `guesses` are what was found and is no
/// root cause, the likeliest first.
pub fn unexplained(connector: &str, messages_pending: u64, since: Option<Timestamp>, guesses: &[Finding]) -> Finding {
    let mut summary =
        format!("{messages_pending} messages are pending for {connector}, and no known cause explains it");
    match guesses.first() {
        Some(guess) => {
            let sure = guess.confidence * 100.0;
            summary.push_str(&format!("; likeliest is {} ({sure:.0} % sure): {}", guess.cause, guess.summary));
        }
        None => summary.push_str("; there is no failed attempt to learn from"),
    }
    Finding {
        cause: UNKNOWN.id,
        confidence: 0.0,
        scope: Scope {
            destination: guesses.first().map_or(connector, |guess| &guess.scope.destination).to_owned(),
            connector: Some(connector.to_owned()),
            failed: guesses.iter().map(|guess| guess.scope.failed).sum(),
            attempts: guesses.iter().map(|guess| guess.scope.attempts).max().unwrap_or(0),
            split: None,
            works_with: None,
        },
        messages_pending,
        pending_since: since,
        first_seen: guesses.iter().filter_map(|guess| guess.first_seen).min(),
        last_seen: guesses.iter().filter_map(|guess| guess.last_seen).max(),
        summary,
        evidence: guesses.iter().flat_map(|guess| &guess.evidence).take(PIECES_MAX).cloned().collect(),
        remedy: UNKNOWN.remedies(),
        check: format!("gatepost queue list --connector {connector}"),
    }
}
