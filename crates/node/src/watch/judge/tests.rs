//! Tests which mail opens an incident, keeps it open, or must not alert anybody.

use diagnosis::{Over, State};
use jiff::ToSpan;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

fn ago(minutes: i64) -> Timestamp {
    NOW - minutes.minutes()
}

/// A finding as the diagnosis makes it, about mail that has waited for `minutes`.
fn finding(cause: &str, confidence: f64, messages_pending: u64, minutes: i64) -> Finding {
    let base = unexplained("onprem", messages_pending, Some(ago(minutes)), &[]);
    Finding { cause: cause.parse().unwrap(), confidence, ..base }
}

fn pending(messages: u64, minutes: i64) -> Pending {
    Pending { connector: "onprem".to_owned(), messages, tried: messages, oldest: ago(minutes), oldest_untried: None }
}

fn facts<'a>(pending: Option<&'a Pending>, findings: &[Finding]) -> Facts<'a> {
    Facts {
        connector: "onprem",
        pending,
        findings: findings.to_vec(),
        last_delivered: None,
        is_of_accepted_domain: true,
        node: "mx1",
        now: NOW,
    }
}

/// Under the default thresholds.
fn verdict(pending: Option<&Pending>, findings: &[Finding], open: &[&Incident]) -> Verdict {
    judge(&Watch::default(), &facts(pending, findings), open)
}

fn opened(pending: &Pending, findings: &[Finding]) -> Vec<String> {
    verdict(Some(pending), findings, &[]).opened.into_iter().map(|incident| incident.cause).collect()
}

fn open_incident(cause: &'static str) -> Incident {
    let findings = [finding(cause, 0.9, 300, 70)];
    let incident = verdict(Some(&pending(300, 70)), &findings, &[]).opened.remove(0);
    Incident { opened: ago(30), ..incident }
}

#[test]
fn ordinary_trouble_opens_nothing() {
    for (pending, findings) in [
        // Greylisting, on a connector that has not delivered anything yet.
        (pending(5, 20), vec![finding("greylisted", 0.85, 5, 20)]),
        (pending(1, 59), vec![finding("rate-limited", 0.8, 1, 59)]),
        // A full mailbox and an unknown recipient may wait until they expire.
        (pending(2, 600), vec![finding("mailbox-full", 0.7, 1, 600), finding("recipient-unknown", 0.7, 1, 600)]),
        // One 4xx reply that is not recognised.
        (pending(1, 50), vec![finding("unknown", 0.3, 1, 50)]),
        // A cause that is not a root cause, and one that has just begun: a server that restarts.
        (pending(1, 50), vec![finding("connection-refused", 0.4, 1, 50)]),
        (pending(150, 4), vec![finding("connection-refused", 0.9, 150, 4)]),
        // Mail that bounced, and mail that was finally delivered.
        (pending(1, 1), vec![finding("connection-refused", 0.9, 0, 0)]),
        // On its way.
        (pending(199, 3), vec![]),
    ] {
        assert_eq!(opened(&pending, &findings), Vec::<String>::new(), "{findings:?}");
    }
    assert!(verdict(None, &[], &[]).is_empty());
}

#[test]
fn a_root_cause_opens_one_within_minutes_however_few_it_holds_up() {
    assert_eq!(opened(&pending(1, 5), &[finding("no-shared-cipher", 0.6, 1, 5)]), ["no-shared-cipher"]);
    let findings = [finding("no-shared-cipher", 0.9, 3, 6), finding("dns-failure", 0.8, 2, 7)];
    assert_eq!(opened(&pending(5, 6), &findings), ["no-shared-cipher", "dns-failure"]);
    // Two ways of failing may have one cause.
    let findings = [finding("no-shared-cipher", 0.9, 3, 6), finding("no-shared-cipher", 0.8, 2, 7)];
    assert_eq!(opened(&pending(5, 6), &findings), ["no-shared-cipher"]);
}

#[test]
fn the_thresholds_open_one_with_the_root_cause_or_without() {
    let many = pending(200, 2);
    assert_eq!(opened(&many, &[finding("connection-refused", 0.9, 200, 2)]), ["connection-refused"]);
    assert_eq!(opened(&many, &[finding("greylisted", 0.9, 200, 2)]), ["greylisted"]);
    assert_eq!(opened(&many, &[finding("greylisted", 0.4, 200, 2)]), ["unknown"]);
    assert_eq!(opened(&many, &[]), ["unknown"]);
    let old = pending(1, 60);
    assert_eq!(opened(&old, &[finding("greylisted", 0.9, 1, 60)]), ["greylisted"]);
    assert_eq!(opened(&old, &[finding("unknown", 0.3, 1, 60)]), ["unknown"]);
    assert_eq!(opened(&Pending { oldest_untried: Some(ago(60)), ..old.clone() }, &[]), ["unknown"]);
    // Only mail that must not wait counts for the age.
    let findings = [finding("greylisted", 0.9, 1, 10), finding("mailbox-full", 0.4, 1, 600)];
    assert_eq!(opened(&pending(2, 600), &findings), Vec::<String>::new());
    // An uncertain cause is reported as such.
    let guessed = verdict(Some(&many), &[finding("greylisted", 0.4, 200, 2)], &[]).opened.remove(0);
    assert_eq!((guessed.cause.as_str(), guessed.pending, guessed.oldest), ("unknown", 200, Some(ago(2))));
    assert!(guessed.finding.contains("Possible cause: greylisted (40%)"), "{}", guessed.finding);
}

#[test]
fn notices_to_foreign_servers_count_by_their_number_only() {
    let (few, many) = (pending(5, 600), pending(200, 600));
    let findings = [finding("dns-failure", 0.9, 5, 600)];
    let of = |pending| Facts { is_of_accepted_domain: false, ..facts(Some(pending), &findings) };
    assert!(judge(&Watch::default(), &of(&few), &[]).is_empty());
    assert_eq!(judge(&Watch::default(), &of(&many), &[]).opened[0].cause, "dns-failure");
}

#[test]
fn an_incident_stays_open_while_anything_is_held_up_by_it() {
    let open = open_incident("connection-refused");
    // Much mail is delivered again, so the cause is less certain.
    let few = pending(2, 70);
    let kept = verdict(Some(&few), &[finding("connection-refused", 0.2, 2, 70)], &[&open]);
    assert!(kept.opened.is_empty() && kept.closed.is_empty(), "{kept:?}");
    let seen = &kept.seen[0];
    assert_eq!((seen.id, seen.pending, seen.pending_peak, seen.last_seen), (open.id, 2, 300, NOW));
    assert_eq!(seen.opened, open.opened);
}

#[test]
fn an_incident_closes_and_says_why() {
    let open = open_incident("connection-refused");
    let closed = |facts: Facts<'_>| {
        let verdict = judge(&Watch::default(), &facts, &[&open]);
        assert!(verdict.seen.is_empty(), "{verdict:?}");
        let closed = verdict.closed.first().cloned().unwrap();
        assert_eq!((closed.id, closed.pending_peak, &closed.finding), (open.id, 300, &open.finding));
        (closed.closed.unwrap(), verdict.opened.len())
    };
    let delivered = |minutes| Facts { last_delivered: Some(ago(minutes)), ..facts(None, &[]) };
    assert_eq!(closed(delivered(1)), ((NOW, Closed::MailFlows), 0));
    // Before it began.
    assert_eq!(closed(delivered(31)), ((NOW, Closed::NothingPending), 0));
    assert_eq!(closed(facts(None, &[])), ((NOW, Closed::NothingPending), 0));
    let other = pending(9, 10);
    let findings = [finding("no-shared-cipher", 0.9, 9, 10), finding("connection-refused", 0.9, 0, 0)];
    assert_eq!(closed(facts(Some(&other), &findings)), ((NOW, Closed::CauseChanged), 1));
}

#[test]
fn an_unknown_one_does_not_flap_and_gives_way_to_a_name() {
    let open = verdict(Some(&pending(200, 2)), &[], &[]).opened.remove(0);
    let after = |messages, findings: &[Finding]| verdict(Some(&pending(messages, 2)), findings, &[&open]);
    assert_eq!(after(199, &[]).seen.len(), 1);
    assert_eq!(after(100, &[]).seen.len(), 1);
    assert_eq!(after(99, &[]).closed.len(), 1);
    let named = after(150, &[finding("starttls-masked", 0.9, 150, 2)]);
    assert_eq!(named.opened[0].cause, "starttls-masked");
    assert_eq!(named.closed[0].closed, Some((NOW, Closed::CauseChanged)));
}

#[test]
fn a_finding_that_is_over_opens_nothing_and_ends_with_the_mail_that_waits_for_it() {
    let over = |messages_pending| {
        let state = State::Over(Over { since: ago(5), worked: 9, changes: Vec::new(), plaintext: 0, messages: 9 });
        Finding { state, ..finding("no-shared-cipher", 0.9, messages_pending, 70) }
    };
    assert!(verdict(Some(&pending(300, 70)), &[over(300)], &[]).opened.is_empty());
    assert_eq!(opened(&pending(300, 70), &[finding("no-shared-cipher", 0.9, 300, 70)]), ["no-shared-cipher"]);
    // It stays open while mail waits for its next attempt, and no longer.
    let incident = open_incident("no-shared-cipher");
    assert_eq!(verdict(Some(&pending(2, 70)), &[over(2)], &[&incident]).seen.len(), 1);
    assert_eq!(verdict(Some(&pending(2, 1)), &[over(0)], &[&incident]).closed.len(), 1);
    // What is ongoing beside it counts.
    let both = [finding("connection-refused", 0.9, 300, 70), over(300)];
    assert_eq!(opened(&pending(600, 70), &both), ["connection-refused"]);
}
