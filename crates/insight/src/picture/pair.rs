//! A failed attempt and one that worked, step by step.

use diagnosis::Attempt;
use protocol::{
    smtp::Phase,
    tls::{CipherSuite, HandshakeFacts, WireVersion},
};

use super::bounded;
use crate::{
    views::{CellView, OfferView, PairStepView, PairView, SeenAttemptView},
    wording::handshake_ending,
};

/// Cipher suites of one offer that are named.
const SUITES_MAX: usize = 12;

pub(super) fn view(failed: &Attempt<'_>, worked: &Attempt<'_>) -> PairView {
    let steps = Step::ALL.into_iter().filter_map(|step| step.view(failed, worked)).collect();
    PairView { failed: SeenAttemptView::from(failed), worked: SeenAttemptView::from(worked), steps }
}

/// The steps of a delivery that are compared, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Banner,
    Ehlo,
    StartTls,
    Offer,
    Choice,
    Certificate,
    Mail,
    Rcpt,
    Message,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Connect,
        Self::Banner,
        Self::Ehlo,
        Self::StartTls,
        Self::Offer,
        Self::Choice,
        Self::Certificate,
        Self::Mail,
        Self::Rcpt,
        Self::Message,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::StartTls => "starttls",
            Self::Offer => "offer",
            Self::Choice => "choice",
            Self::Certificate => "certificate",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
        }
    }

    /// The phases of which it is a part, first and last.
    fn phases(self) -> (Phase, Phase) {
        match self {
            Self::Connect => (Phase::Resolve, Phase::Connect),
            Self::Banner => (Phase::Banner, Phase::Banner),
            Self::Ehlo => (Phase::Ehlo, Phase::Ehlo),
            Self::StartTls => (Phase::StartTls, Phase::StartTls),
            Self::Offer | Self::Choice | Self::Certificate => (Phase::Handshake, Phase::Handshake),
            Self::Mail => (Phase::Mail, Phase::Mail),
            Self::Rcpt => (Phase::Rcpt, Phase::Rcpt),
            Self::Message => (Phase::Data, Phase::Quit),
        }
    }

    fn is_of_tls(self) -> bool {
        matches!(self, Self::StartTls | Self::Offer | Self::Choice | Self::Certificate)
    }

    /// `None`: neither of the two shows anything of it.
    fn view(self, failed: &Attempt<'_>, worked: &Attempt<'_>) -> Option<PairStepView> {
        let offer = (self == Self::Offer).then(|| offers(failed, worked)).flatten();
        if self == Self::Offer && offer.is_none() {
            return None;
        }
        let (failed, worked) = (self.cell(failed), self.cell(worked));
        let is_empty = |cell: &CellView| cell.outcome != FAILED && cell.what.is_empty();
        if matches!(self, Self::Choice | Self::Certificate) && is_empty(&failed) && is_empty(&worked) {
            return None;
        }
        let differs = failed != worked || offer.as_ref().is_some_and(is_different);
        Some(PairStepView { step: self.name().to_owned(), failed, worked, differs, offer })
    }

    fn cell(self, attempt: &Attempt<'_>) -> CellView {
        let uses_tls = attempt.tls.is_some() || attempt.handshake.is_some();
        let failure = attempt.failure.as_ref();
        // A failure without a phase says only how all of it ended.
        let phase = failure.map(|failure| failure.phase.unwrap_or(Phase::EndOfData));
        let (first, last) = self.phases();
        let outcome = match phase {
            _ if self.is_of_tls() && !uses_tls && phase.is_none_or(|phase| phase > Phase::Handshake) => NOT_USED,
            Some(phase) if phase < first => NOT_REACHED,
            Some(phase) if phase > last => PASSED,
            Some(_) if self.is_passed_in_handshake(attempt) => PASSED,
            Some(_) if self.is_after_in_handshake(attempt) => NOT_REACHED,
            Some(_) => FAILED,
            None => PASSED,
        };
        let what = match outcome {
            FAILED => self.failure(attempt),
            PASSED => self.passed(attempt),
            _ => String::new(),
        };
        CellView { outcome: outcome.to_owned(), what: bounded(&what) }
    }

    /// Of a handshake that failed, this is what came before.
    fn is_passed_in_handshake(self, attempt: &Attempt<'_>) -> bool {
        let facts = attempt.handshake.as_deref();
        match self {
            Self::Offer => facts.is_some(),
            Self::Choice => facts.is_some_and(|facts| facts.server_hello.is_some()),
            _ => false,
        }
    }

    /// A certificate comes after the choice.
    fn is_after_in_handshake(self, attempt: &Attempt<'_>) -> bool {
        let facts = attempt.handshake.as_deref();
        self == Self::Certificate && facts.is_none_or(|facts| facts.server_hello.is_none())
    }

    fn failure(self, attempt: &Attempt<'_>) -> String {
        let of_handshake = attempt.handshake.as_deref().filter(|_| matches!(self, Self::Choice | Self::Certificate));
        let text = attempt.failure.as_ref().map(|failure| failure.text.to_string());
        of_handshake.map(handshake_ending).or(text).unwrap_or_default()
    }

    fn passed(self, attempt: &Attempt<'_>) -> String {
        let facts = attempt.handshake.as_deref();
        match self {
            Self::Connect => attempt.destination_address.map(|address| address.to_string()).unwrap_or_default(),
            Self::Choice => facts.and_then(chosen).or_else(|| named(attempt)).unwrap_or_default(),
            Self::Certificate => facts.and_then(certificate).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

const PASSED: &str = "passed";
const FAILED: &str = "failed";
const NOT_REACHED: &str = "not-reached";
const NOT_USED: &str = "not-used";

fn chosen(facts: &HandshakeFacts) -> Option<String> {
    facts.server_hello.as_ref().map(|hello| format!("{}, {}", hello.version, hello.cipher_suite))
}

fn named(attempt: &Attempt<'_>) -> Option<String> {
    attempt.tls.as_ref().map(|(version, cipher)| format!("{version}, {cipher}"))
}

fn certificate(facts: &HandshakeFacts) -> Option<String> {
    let leaf = facts.certificates.first()?;
    Some(format!("{} (SHA-1 {})", leaf.subject, leaf.thumbprint))
}

/// `None`: one of the two shows no offer.
fn offers(failed: &Attempt<'_>, worked: &Attempt<'_>) -> Option<OfferView> {
    let hello = |attempt: &Attempt<'_>| attempt.handshake.as_deref()?.client_hello.clone();
    let (ours, theirs) = (hello(failed)?, hello(worked)?);
    let chosen = worked.handshake.as_deref().and_then(|facts| facts.server_hello.as_ref());
    let chosen = chosen.map(|hello| hello.cipher_suite);
    let only = |of: &[CipherSuite], other: &[CipherSuite]| -> Vec<String> {
        let mut only: Vec<CipherSuite> = of.iter().filter(|suite| !other.contains(suite)).copied().collect();
        only.sort_by_key(|suite| Some(*suite) != chosen);
        only.into_iter().take(SUITES_MAX).map(|suite| suite.to_string()).collect()
    };
    let equal = ours.cipher_suites.iter().filter(|suite| theirs.cipher_suites.contains(suite)).count();
    let versions = |versions: &[WireVersion]| versions.iter().map(ToString::to_string).collect();
    Some(OfferView {
        versions_failed: versions(&ours.versions),
        versions_worked: versions(&theirs.versions),
        suites_failed: ours.cipher_suites.len() as u32,
        suites_worked: theirs.cipher_suites.len() as u32,
        suites_equal: equal as u32,
        suites_only_failed: only(&ours.cipher_suites, &theirs.cipher_suites),
        suites_only_worked: only(&theirs.cipher_suites, &ours.cipher_suites),
        chosen: chosen.map(|suite| suite.to_string()),
    })
}

fn is_different(offer: &OfferView) -> bool {
    let OfferView { versions_failed, versions_worked, suites_failed, suites_worked, suites_equal, .. } = offer;
    versions_failed != versions_worked || suites_failed != suites_equal || suites_worked != suites_equal
}
