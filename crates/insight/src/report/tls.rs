//! The section that compares TLS handshakes: the offers and choices of failed and working attempts, how failed handshakes
//! ended, and the certificate. It needs handshake facts, which exist only if Gatepost saw the bytes.

use std::{collections::HashMap, fmt::Display, hash::Hash};

use diagnosis::{Attempt, Explained};
use jiff::Timestamp;
use maud::{Markup, html};
use protocol::tls::{Certificate, CipherSuite, HandshakeFacts, WireVersion};

use super::Report;
use crate::wording::{capitalised, counted, handshake_ending, moment};

/// Maximum number of cipher suites in the table; the important ones come first.
const SUITES_MAX: usize = 16;
/// Maximum number of ways in which handshakes ended.
const ENDINGS_MAX: usize = 5;

impl Report<'_> {
    pub(super) fn tls(&self, explained: &Explained<'_>) -> Markup {
        let (failing, working) = (facts(&explained.failing()), facts(&explained.working()));
        let is_of_tls = explained.finding.cause.concerns_tls() || failing.iter().any(|facts| !facts.completed);
        if failing.is_empty() || !is_of_tls {
            return html! {};
        }
        let (failed, worked) = (Agreement::of(&failing), Agreement::of(&working));
        html! {
            section {
                h2 { "TLS handshakes" }
                p { (sentence(&failed, &worked)) }
                @if let Some((facts, certificate)) = shown_certificate(&failing) { (self.certificate(facts, certificate)) }
                (table(&failed, &worked))
                h3 { "How failed handshakes ended" }
                ul { @for (answer, count) in endings(&failing) { li { (self.text(&capitalised(&answer))) ", " (times(count)) } } }
                p.quiet {
                    "From the bytes of the newest handshakes: " (failing.len()) " failed"
                    @if working.is_empty() { "." } @else { ", " (working.len()) " worked." }
                }
            }
        }
    }

    fn certificate(&self, facts: &HandshakeFacts, certificate: &Certificate) -> Markup {
        let time = |seconds| Timestamp::from_second(seconds).map(moment).unwrap_or_default();
        let Certificate { key, key_bits, .. } = certificate;
        html! {
            h3 { "The certificate of the destination" }
            dl.pairs {
                @if let Some(fault) = facts.certificate_fault { dt { "Problem" } dd { "The certificate " (fault) "." } }
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

/// The offers and choices in some handshakes.
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
    /// Offered values in the order of preference.
    offered: Vec<T>,
    /// Chosen values, and how often.
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

    /// Number of values that were chosen here or in `other`.
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

/// All values: first the chosen ones, then those offered in failed attempts, then the rest.
fn in_order<T: Copy + Eq + Hash + Display>(failed: &Choice<T>, worked: &Choice<T>) -> Vec<T> {
    let mut all = Choice::default();
    all.offer(&failed.offered);
    all.offer(&worked.offered);
    // A server may choose a value that nobody offered; show it too.
    all.offer(&failed.chosen.keys().chain(worked.chosen.keys()).copied().collect::<Vec<_>>());
    let is_chosen = |value: &T| failed.chosen.contains_key(value) || worked.chosen.contains_key(value);
    all.offered.sort_by_key(|value| !is_chosen(value));
    all.offered
}

fn table(failed: &Agreement, worked: &Agreement) -> Markup {
    let mut versions = in_order(&failed.versions, &worked.versions);
    versions.sort_by_key(|version| std::cmp::Reverse(*version));
    let suites = in_order(&failed.suites, &worked.suites);
    // If the server chose a suite, other offers do not matter.
    let shown = if failed.suites.chosen.is_empty() { SUITES_MAX } else { failed.suites.chosen_with(&worked.suites) };
    let more = suites.len().saturating_sub(shown);
    let has_worked = !worked.is_empty();
    html! {
        table.tls {
            thead {
                tr {
                    th scope="col" { "TLS version" }
                    th scope="col" { "Failed attempts" }
                    @if has_worked { th scope="col" { "Attempts that worked" } }
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
                tr { th scope="rowgroup" colspan=(if has_worked { 3 } else { 2 }) { "Cipher suite (IANA name)" } }
                @for suite in suites.into_iter().take(shown) {
                    tr {
                        th scope="row" { (suite) }
                        (failed.suites.cell(suite))
                        @if has_worked { (worked.suites.cell(suite)) }
                    }
                }
            }
        }
        @if more > 0 { p.quiet { (counted(more as u64, "more cipher suite")) " offered but never chosen." } }
    }
}

/// A sentence about the choices of the destination and missing offers.
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
                same if *same == failed.chosen() => ", the same as in attempts that worked".to_owned(),
                others => format!("; in attempts that worked it chose {}", and(others)),
            };
            format!("In attempts that failed, the destination chose {}{also}.", and(&failed.chosen()))
        }
        () if chosen.is_empty() => {
            "The destination chose nothing that the sender offered. No handshake worked, so the \
                                    supported values are not known; run the probe below to find them."
                .to_owned()
        }
        () => {
            let missing = match lacking.len() {
                0 => "In attempts that failed, the sender offered the same".to_owned(),
                all if all == chosen.len() => "In attempts that failed, the sender offered none of these".to_owned(),
                _ => format!("In attempts that failed, the sender did not offer {}", and(&lacking)),
            };
            format!("In attempts that worked, the destination chose {}. {missing}.", and(&chosen))
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

/// How handshakes ended and how often, the most frequent first.
fn endings(handshakes: &[&HandshakeFacts]) -> Vec<(String, usize)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for facts in handshakes {
        *counts.entry(handshake_ending(facts)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(ENDINGS_MAX);
    counts
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The certificate of the newest handshake that failed because of its certificate.
fn shown_certificate<'a>(failing: &[&'a HandshakeFacts]) -> Option<(&'a HandshakeFacts, &'a Certificate)> {
    let rejected = failing.iter().filter(|facts| !facts.completed && facts.certificate_fault.is_some());
    rejected.copied().find_map(|facts| Some((facts, facts.certificates.first()?)))
}
