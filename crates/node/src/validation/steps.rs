//! What a connection says about each step.

use std::time::Duration;

use insight::views::{JobStepStateView, ValidatedStepView, ValidationStepView};
use jiff::Timestamp;
use protocol::smtp::{
    Failure, Phase,
    client::{Extensions, TlsLevel},
};

use super::{
    EXPIRES_SOON,
    way::{Heard, Way, step_of},
};
use crate::{config::OnHandshakeFailure, jobs::milliseconds};

/// When the certificate expires that was seen.
pub(super) fn expires(heard: &Heard) -> Option<Timestamp> {
    Timestamp::from_second(heard.leaf()?.not_after_s).ok()
}

type Shown = (JobStepStateView, Option<String>);

const SKIPPED: Shown = (JobStepStateView::Skipped, None);

/// All steps in order.
pub(super) fn steps(way: &Way<'_>, heard: &Heard) -> Vec<ValidatedStepView> {
    use ValidationStepView::{Certificate, Connect, Greeting, Handshake, Recipient, StartTls, TestMail};
    let all = [
        (Connect, connect(heard)),
        (Greeting, greeting(heard)),
        (StartTls, starttls(way, heard)),
        (Handshake, handshake(way, heard)),
        (Certificate, certificate(way, heard)),
        (Recipient, recipient(way, heard)),
        (TestMail, test_mail(way, heard)),
    ];
    let wanted = all.into_iter().filter(|(step, _)| match step {
        StartTls | Handshake | Certificate => way.connector.tls != crate::config::TlsLevel::None,
        Recipient => way.mail.is_some(),
        TestMail => way.mail.is_some_and(|mail| mail.is_sent),
        _ => true,
    });
    wanted
        .map(|(step, (state, detail))| ValidatedStepView { step, state, detail, took_ms: took(heard, step) })
        .collect()
}

/// The phases of a step together.
fn took(heard: &Heard, step: ValidationStepView) -> Option<f64> {
    let phases = heard.seen.phases.iter().filter(|phase| step_of(phase.phase) == step);
    let us = phases.map(|phase| phase.duration_us).reduce(u64::saturating_add)?;
    Some(milliseconds(Duration::from_micros(us)))
}

/// What the phases came to: not reached, failed, or nothing against them.
fn reached(heard: &Heard, first: Phase, last: Phase) -> Result<(), Shown> {
    match heard.failure() {
        Some(failure) if failure.phase < first => Err(SKIPPED),
        Some(failure) if failure.phase <= last => Err((JobStepStateView::Failed, Some(in_words(failure)))),
        _ => Ok(()),
    }
}

fn in_words(failure: &Failure) -> String {
    Failure { destination: None, ..failure.clone() }.summary()
}

fn connect(heard: &Heard) -> Shown {
    reached(heard, Phase::Resolve, Phase::Connect).err().unwrap_or((JobStepStateView::Worked, None))
}

fn greeting(heard: &Heard) -> Shown {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let said = heard.seen.introduction.as_ref().map(|said| first(&said.greeting)).filter(|said| !said.is_empty());
    // A failure after the handshake is one of the second EHLO.
    let plain = heard.failure().is_none_or(|failure| failure.phase > Phase::Ehlo || heard.handshake().is_some());
    if plain {
        return (JobStepStateView::Worked, said);
    }
    reached(heard, Phase::Banner, Phase::Ehlo).err().unwrap_or((JobStepStateView::Worked, said))
}

fn starttls(way: &Way<'_>, heard: &Heard) -> Shown {
    if heard.handshake().is_some() {
        return (JobStepStateView::Worked, Some("offered".to_owned()));
    }
    if let Some(failure) = heard.failure() {
        return match failure.phase {
            Phase::StartTls => (JobStepStateView::Failed, Some(in_words(failure))),
            _ => SKIPPED,
        };
    }
    let ehlo = heard.seen.introduction.as_ref().and_then(|said| said.ehlo.as_ref()).map(Extensions::parse);
    let masked = ehlo.is_some_and(|offered| offered.starttls_masked);
    let why = if masked { "overwritten by a firewall" } else { "not offered" };
    let level = TlsLevel::from(way.connector.tls);
    let state = if level == TlsLevel::Opportunistic { JobStepStateView::Warned } else { JobStepStateView::Failed };
    (state, Some(format!("{why}; mail goes in plaintext")))
}

fn handshake(way: &Way<'_>, heard: &Heard) -> Shown {
    let Some(_) = heard.handshake() else { return SKIPPED };
    match (heard.failure(), &heard.seen.tls) {
        (Some(failure), _) => {
            let falls_back = way.connector.tls == crate::config::TlsLevel::Opportunistic
                && way.connector.on_handshake_failure == OnHandshakeFailure::Plaintext;
            match falls_back {
                true => (JobStepStateView::Warned, Some(format!("{}; mail goes in plaintext", in_words(failure)))),
                false => (JobStepStateView::Failed, Some(in_words(failure))),
            }
        }
        (None, Some(tls)) => (JobStepStateView::Worked, Some(format!("{} {}", tls.version, tls.cipher))),
        (None, None) => (JobStepStateView::Worked, None),
    }
}

fn certificate(way: &Way<'_>, heard: &Heard) -> Shown {
    let (Some(facts), Some(leaf)) = (heard.handshake(), heard.leaf()) else { return SKIPPED };
    let is_checked = way.tls.verify;
    if let Some(fault) = &facts.certificate_fault {
        return match is_checked {
            true => (JobStepStateView::Failed, Some(format!("it {fault}"))),
            false => {
                (JobStepStateView::Warned, Some(format!("it {fault}; this connector does not check certificates")))
            }
        };
    }
    let Ok(until) = Timestamp::from_second(leaf.not_after_s) else { return (JobStepStateView::Worked, None) };
    let left = until.duration_since(way.now);
    let days = left.as_hours() / 24;
    let detail = match days {
        _ if left.is_negative() => format!("{} has expired", leaf.subject),
        days => format!("{}, valid for {}", leaf.subject, insight::counted(days.unsigned_abs(), "day")),
    };
    let is_soon = left < EXPIRES_SOON;
    (if is_soon { JobStepStateView::Warned } else { JobStepStateView::Worked }, Some(detail))
}

fn recipient(way: &Way<'_>, heard: &Heard) -> Shown {
    match (&heard.reply, way.mail) {
        (Some(Err(failure)), _) if failure.phase <= Phase::Rcpt => (JobStepStateView::Failed, Some(in_words(failure))),
        (Some(Ok(reply)), Some(mail)) if !mail.is_sent => (JobStepStateView::Worked, Some(reply.to_string())),
        (Some(_), _) => (JobStepStateView::Worked, None),
        (None, _) => SKIPPED,
    }
}

fn test_mail(_: &Way<'_>, heard: &Heard) -> Shown {
    match &heard.reply {
        Some(Ok(reply)) => (JobStepStateView::Worked, Some(reply.to_string())),
        Some(Err(failure)) if failure.phase > Phase::Rcpt => (JobStepStateView::Failed, Some(in_words(failure))),
        Some(Err(_)) | None => SKIPPED,
    }
}
