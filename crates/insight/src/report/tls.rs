//! TLS side by side: what was offered and chosen when it failed, and when it worked; how the destination answered; its
//! certificate. From handshake facts: only where bytes were seen.

use std::{collections::HashMap, fmt::Display, hash::Hash};

use diagnosis::{Attempt, Explained};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::tls::{Certificate, CipherSuite, HandshakeFacts, WireVersion};

use super::Report;
use crate::words::{capitalised, moment};

/// Cipher suites in the table; those that matter come first.
const SUITES_MAX: usize = 16;
/// Ways in which handshakes ended.
const ENDINGS_MAX: usize = 5;

/// Causes that lie in TLS although the handshake came to its end.
const AFTER_HANDSHAKE: [&str; 3] = ["hang-after-handshake", "weak-dh", "client-certificate-required"];

impl Report<'_> {
    pub(super) fn tls(&self, explained: &Explained<'_>) -> Markup {
        let (failing, working) = (facts(&explained.failing()), facts(&explained.working()));
        let cause = explained.finding.cause;
        let is_of_tls = AFTER_HANDSHAKE.contains(&cause) || failing.iter().any(|facts| !facts.completed);
        if failing.is_empty() || !is_of_tls {
            return html! {};
        }
        let (failed, worked) = (Agreement::of(&failing), Agreement::of(&working));
        html! {
            section {
                h2 { "TLS, side by side" }
                p { (sentence(&failed, &worked)) }
                @if let Some((facts, certificate)) = shown_certificate(&failing) { (self.certificate(facts, certificate)) }
                (table(&failed, &worked))
                h3 { "How the handshakes that failed ended" }
                ul { @for (answer, count) in endings(&failing) { li { (self.text(&capitalised(&answer))) ", " (times(count)) } } }
                p.quiet {
                    "Read from the bytes of the newest handshakes: " (failing.len()) " that failed"
                    @if working.is_empty() { "." } @else { ", " (working.len()) " that worked." }
                }
            }
        }
    }

    fn certificate(&self, facts: &HandshakeFacts, certificate: &Certificate) -> Markup {
        let time = |seconds| Timestamp::from_second(seconds).map(moment).unwrap_or_default();
        let Certificate { key, key_bits, .. } = certificate;
        html! {
            h3 { "The certificate that the destination showed" }
            dl.pairs {
                @if let Some(fault) = facts.certificate_fault { dt { "Fault" } dd { "It " (fault) "." } }
                dt { "Subject" } dd { (self.text(&certificate.subject)) }
                dt { "Names" } dd { (self.text(&certificate.names.join(", "))) }
                dt { "Issuer" } dd { (self.text(&certificate.issuer)) }
                dt { "Valid" } dd { (time(certificate.not_before_s)) " to " (time(certificate.not_after_s)) }
                dt { "Key" } dd { (self.text(key)) @if *key_bits > 0 { ", " (key_bits) " bits" } }
                dt { "Signature" } dd { (self.text(&certificate.signature)) }
                dt { "SHA-1" } dd { code { (self.text(&certificate.thumbprint)) } }
            }
        }
    }
}

fn facts<'a>(attempts: &[&'a Attempt<'_>]) -> Vec<&'a HandshakeFacts> {
    attempts.iter().filter_map(|attempt| attempt.handshake.as_deref()).collect()
}

/// What was offered and chosen in some handshakes.
struct Agreement {
    versions: Choice<WireVersion>,
    suites: Choice<CipherSuite>,
}

impl Agreement {
    fn of(handshakes: &[&HandshakeFacts]) -> Self {
        let mut agreement = Self { versions: Choice::default(), suites: Choice::default() };
        for facts in handshakes {
            if let Some(hello) = &facts.client_hello {
                agreement.versions.offer(&hello.versions);
                agreement.suites.offer(&hello.cipher_suites);
            }
            if let Some(hello) = &facts.server_hello {
                agreement.versions.choose(hello.version);
                agreement.suites.choose(hello.cipher_suite);
            }
        }
        agreement
    }

    fn chosen(&self) -> Vec<String> {
        [names(self.versions.chosen.keys()), names(self.suites.chosen.keys())].concat()
    }

    fn is_empty(&self) -> bool {
        self.versions.offered.is_empty() && self.versions.chosen.is_empty()
    }
}

struct Choice<T> {
    /// In the order of preference.
    offered: Vec<T>,
    /// How often each was.
    chosen: HashMap<T, usize>,
}

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Self { offered: Vec::new(), chosen: HashMap::new() }
    }
}

impl<T: Copy + Eq + Hash + Display> Choice<T> {
    fn offer(&mut self, values: &[T]) {
        for value in values {
            if !self.offered.contains(value) {
                self.offered.push(*value);
            }
        }
    }

    fn choose(&mut self, value: T) {
        *self.chosen.entry(value).or_default() += 1;
    }

    /// How many were chosen here or there.
    fn chosen_with(&self, other: &Self) -> usize {
        self.chosen.len() + other.chosen.keys().filter(|value| !self.chosen.contains_key(value)).count()
    }

    fn cell(&self, value: T) -> Markup {
        html! {
            @match self.chosen.get(&value) {
                Some(count) => td { b { "chosen" } ", " (times(*count)) }
                None if self.offered.contains(&value) => td { "offered" }
                None => td.quiet { "not offered" }
            }
        }
    }
}

/// What was chosen first, then what was offered when it failed, then the rest.
fn in_order<T: Copy + Eq + Hash + Display>(failed: &Choice<T>, worked: &Choice<T>) -> Vec<T> {
    let mut all = Choice::default();
    all.offer(&failed.offered);
    all.offer(&worked.offered);
    // What a server chose without having been offered it is to be seen as well.
    all.offer(&failed.chosen.keys().chain(worked.chosen.keys()).copied().collect::<Vec<_>>());
    let is_chosen = |value: &T| failed.chosen.contains_key(value) || worked.chosen.contains_key(value);
    all.offered.sort_by_key(|value| !is_chosen(value));
    all.offered
}

fn table(failed: &Agreement, worked: &Agreement) -> Markup {
    let mut versions = in_order(&failed.versions, &worked.versions);
    versions.sort_by_key(|version| std::cmp::Reverse(*version));
    let suites = in_order(&failed.suites, &worked.suites);
    // Where the two agreed, what else was offered is of no interest.
    let shown = if failed.suites.chosen.is_empty() { SUITES_MAX } else { failed.suites.chosen_with(&worked.suites) };
    let more = suites.len().saturating_sub(shown);
    let has_worked = !worked.is_empty();
    html! {
        table.tls {
            thead {
                tr {
                    th scope="col" { "TLS version" }
                    th scope="col" { "When it failed" }
                    @if has_worked { th scope="col" { "When it worked" } }
                }
            }
            tbody {
                @for version in versions {
                    tr {
                        th scope="row" { (version) }
                        (failed.versions.cell(version))
                        @if has_worked { (worked.versions.cell(version)) }
                    }
                }
            }
            tbody {
                tr { th scope="rowgroup" colspan=(if has_worked { 3 } else { 2 }) { "Cipher suite, by its IANA name" } }
                @for suite in suites.into_iter().take(shown) {
                    tr {
                        th scope="row" { (suite) }
                        (failed.suites.cell(suite))
                        @if has_worked { (worked.suites.cell(suite)) }
                    }
                }
            }
        }
        @if more > 0 { p.quiet { "And " (more) " more suites, never chosen." } }
    }
}

/// What the two have in common, and what is missing.
fn sentence(failed: &Agreement, worked: &Agreement) -> String {
    let chosen = worked.chosen();
    let lacking = [
        names(worked.versions.chosen.keys().filter(|version| !failed.versions.offered.contains(version))),
        names(worked.suites.chosen.keys().filter(|suite| !failed.suites.offered.contains(suite))),
    ]
    .concat();
    match () {
        () if !failed.versions.chosen.is_empty() => {
            let also = match &chosen {
                none if none.is_empty() => String::new(),
                same if *same == failed.chosen() => ", as it did when it worked".to_owned(),
                others => format!("; when it worked, {}", and(others)),
            };
            format!("They did agree: when it failed, the destination had chosen {}{also}.", and(&failed.chosen()))
        }
        () if chosen.is_empty() => "The destination chose nothing of what the sender offered, and no handshake that \
                                    worked tells what it would take; the probe below finds that out."
            .to_owned(),
        () => {
            let missing = match lacking.len() {
                0 => "The sender had offered that when it failed, too".to_owned(),
                all if all == chosen.len() => "Nothing of that had the sender offered when it failed".to_owned(),
                _ => format!("When it failed, the sender had not offered {}", and(&lacking)),
            };
            format!("When it works, the destination chooses {}. {missing}.", and(&chosen))
        }
    }
}

/// `a, b and c`
fn and(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn names<T: Display>(values: impl Iterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = values.map(|value| value.to_string()).collect();
    names.sort();
    names
}

/// How handshakes ended, each with how many did, the most frequent first.
fn endings(handshakes: &[&HandshakeFacts]) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for facts in handshakes {
        *counts.entry(ending(facts)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(ENDINGS_MAX);
    counts
}

fn ending(facts: &HandshakeFacts) -> String {
    let mut parts: Vec<String> = facts.alerts.iter().map(ToString::to_string).collect();
    parts.extend(facts.malformed.clone());
    parts.extend(facts.certificate_fault.map(|fault| format!("the certificate {fault}")));
    parts.extend(facts.ended.map(|ended| ended.to_string()));
    if facts.completed {
        parts.insert(0, "the handshake itself succeeded".to_owned());
    }
    if parts.is_empty() { "nobody said why".to_owned() } else { parts.join("; ") }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// That of the newest handshake that was given up for it.
fn shown_certificate<'a>(failing: &[&'a HandshakeFacts]) -> Option<(&'a HandshakeFacts, &'a Certificate)> {
    let given_up = failing.iter().filter(|facts| !facts.completed && facts.certificate_fault.is_some());
    given_up.copied().find_map(|facts| Some((facts, facts.certificates.first()?)))
}
