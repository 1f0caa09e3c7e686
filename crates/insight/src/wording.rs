//! Wording that several outputs share: how sure a finding is, counts, times and full stops.

use diagnosis::CauseId;
use diagnosis::Outcome;
use jiff::{Timestamp, tz::TimeZone};
use protocol::tls::HandshakeFacts;
use store::Closed;

use crate::views::{FindingView, ScopeView};

/// From this confidence on a cause counts as certain.
const CERTAIN: f64 = 0.95;
/// Above this confidence a cause is a root cause, as in `Finding::is_root_cause`.
const ROOT_CAUSE: f64 = 0.5;

/// Smaller numbers are not shown.
const SHOWN_MIN: f64 = 0.005;

/// Nothing is ever shown as more than this.
const PERCENT_MAX: f64 = 99.0;

/// Such as `certain (98%)`, `likely (79%)`, `possible (30%)` or `cause unknown`.
pub fn confidence(cause: &str, confidence: f64) -> String {
    let word = match confidence {
        _ if cause == CauseId::Unknown.as_str() => return "cause unknown".to_owned(),
        CERTAIN.. => "certain",
        sure if sure > ROOT_CAUSE => "likely",
        // A number that rounds to 0 says less than the word.
        ..SHOWN_MIN => return "possible".to_owned(),
        _ => "possible",
    };
    format!("{word} ({:.0}%)", (confidence * 100.0).min(PERCENT_MAX))
}

/// The title of a finding, such as `no-shared-cipher, certain (98%)`.
pub fn title(cause: &str, sure: f64) -> String {
    let sure = confidence(cause, sure);
    if cause == CauseId::Unknown.as_str() { sure } else { format!("{cause}, {sure}") }
}

/// What a comparison with the attempts that worked showed, if the summary does not say it; `None`: there were none.
pub fn difference(finding: &FindingView) -> Option<String> {
    let ScopeView { failed, attempts, split, compared, works_with, .. } = &finding.scope;
    let has = |outcome: Outcome| compared.iter().any(|compared| compared.outcome == outcome.name());
    let worked = attempts.saturating_sub(*failed);
    let with = works_with.as_ref().map(|with| format!(" Attempts that worked used {with}."));
    let found = match () {
        () if compared.is_empty() || split.is_some() || has(Outcome::SoFar) => String::new(),
        () if has(Outcome::NoDifference) || has(Outcome::OtherCauses) => {
            "No difference found between the attempts that failed and those that worked.".to_owned()
        }
        () if has(Outcome::NotEnoughAttempts) => {
            format!("There are not enough attempts to tell what separates them ({failed} failed, {worked} did not).")
        }
        () => String::new(),
    };
    let with = with.filter(|_| split.is_none()).unwrap_or_default();
    Some(format!("{found}{with}").trim().to_owned()).filter(|text| !text.is_empty())
}

/// How a finding ended; `None`: it is ongoing.
pub fn ending(finding: &FindingView) -> Option<String> {
    let over = finding.over.as_ref()?;
    let mut text = match over.worked {
        0 => "Later attempts failed for another reason.".to_owned(),
        1 => "1 attempt worked after the last failure.".to_owned(),
        worked => format!("{worked} attempts worked after the last failure."),
    };
    if !over.changes.is_empty() {
        let changes: Vec<&str> = over.changes.iter().map(|change| change.what.as_str()).collect();
        text.push_str(&format!(" What changed then: {}.", changes.join("; ")));
    }
    if over.messages_in_plaintext > 0 {
        let (plaintext, all) = (over.messages_in_plaintext, over.messages);
        text.push_str(&format!(" {plaintext} of the {} left in plaintext.", counted(all, "message")));
    }
    Some(text)
}

/// The text with one full stop at its end.
pub fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// `1 attempt`, `2 attempts`
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Such as `10.2 KiB`.
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", bytes as f64 / factor as f64),
        None => format!("{bytes} bytes"),
    }
}

/// Such as `1,204`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default() + letters.as_str()
}

/// A time in UTC, because readers of a report may be in another time zone.
pub fn moment(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `08:10:00`, in UTC.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

/// A probability in words, such as `about 1 in 250`.
pub(crate) fn probability(p: f64) -> String {
    match p {
        ..0.000_001 => "less than 1 in a million".to_owned(),
        ..0.1 => format!("about 1 in {:.0}", 1.0 / p),
        _ => format!("{:.0}%", p * 100.0),
    }
}

/// How a TLS handshake ended.
pub(crate) fn handshake_ending(facts: &HandshakeFacts) -> String {
    let mut parts: Vec<String> = facts.alerts.iter().map(ToString::to_string).collect();
    parts.extend(facts.malformed.clone());
    parts.extend(facts.certificate_fault.map(|fault| format!("the certificate {fault}")));
    parts.extend(facts.ended.map(|ended| ended.to_string()));
    if facts.completed {
        parts.insert(0, "the handshake itself completed".to_owned());
    }
    if parts.is_empty() { "no reason given".to_owned() } else { parts.join("; ") }
}

/// Why an incident was closed, as a sentence without its full stop.
pub fn closed_in_words(because: Closed) -> &'static str {
    match because {
        Closed::MailFlows => "mail flows again",
        Closed::NothingPending => "no more mail is waiting because of it, but no mail was delivered either",
        Closed::CauseChanged => "mail is waiting for another cause now, which has its own incident",
    }
}

/// The second time; without the day if it is the same.
pub fn later(first: Timestamp, last: Timestamp) -> String {
    let (from, to) = (moment(first), moment(last));
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((before, _)), Some((day, time))) if day == before => time.to_owned(),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_follows_the_unrounded_number() {
        for (sure, expected) in [
            (0.0, "possible"),
            (0.004, "possible"),
            (0.3, "possible (30%)"),
            (0.5, "possible (50%)"),
            (0.501, "likely (50%)"),
            (0.79, "likely (79%)"),
            (0.9499, "likely (95%)"),
            (0.95, "certain (95%)"),
            (0.98, "certain (98%)"),
            (0.999, "certain (99%)"),
        ] {
            assert_eq!(confidence("greylisted", sure), expected);
        }
        assert_eq!(title("greylisted", 0.98), "greylisted, certain (98%)");
        assert_eq!(title("unknown", 0.3), "cause unknown");
    }

    #[test]
    fn numbers_have_separators() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn a_sentence_has_one_full_stop() {
        assert_eq!((sentence("a b"), sentence("a b.")), ("a b.".to_owned(), "a b.".to_owned()));
    }
}
