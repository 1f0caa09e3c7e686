//! What a probe says about a finding: its connections as steps of an experiment.

use std::borrow::Cow;

use anyhow::Context as _;
use diagnosis::{
    Attempt, CauseId, Explained, Failed, Source,
    experiment::{Aspect, ByNode, Step, Tried},
};
use net::{
    probe::{Change, OldSuite, Trial},
    send::{ConnectionResult, Seen},
};

use super::run::{NodeResult, Probed};

/// Lets a finding learn from a probe of its destination.
pub(super) fn judge(explained: &mut Explained<'_>, probed: &Probed) -> anyhow::Result<()> {
    let Probed { trial, ladder, nodes, .. } = probed;
    let policy = &trial.tls.policy.name;
    let baseline = ladder.baseline().with_context(|| format!("{} has no address", trial.host))?;
    let has_others = ladder.as_mail.len() > 1;
    let as_mail = |result| {
        let at = seen_at(result).filter(|_| has_others).unwrap_or_default();
        (
            step(format!("with the same settings as mail, under the policy {policy}{at}"), &[], result),
            attempt(result, trial),
        )
    };
    let others = ladder.as_mail.iter().filter(|result| !std::ptr::eq(*result, baseline));
    let tried = Tried {
        baseline: as_mail(baseline),
        others: others.map(as_mail).collect(),
        changes: ladder.changes.iter().map(|(change, result)| step(change.what(), aspects(*change), result)).collect(),
        nodes: nodes.iter().map(|answer| by_node(answer, trial)).collect(),
        place: format!("{}{}, policy {policy}", trial.host, seen_at(baseline).unwrap_or_default()),
    };
    explained.finding.try_by(tried);
    // The remedy names the policy that works, not one that is as stuck.
    let is_about_offer = matches!(explained.finding.cause, CauseId::NoSharedTlsVersion | CauseId::NoSharedCipher);
    let cure = ladder.changes.last().filter(|(_, result)| result.works() && is_about_offer);
    if let Some(tls) = cure.and_then(|(_, result)| result.seen.tls.as_ref()) {
        explained.finding.works_with(&tls.version, &tls.cipher);
    }
    Ok(())
}

/// ` at 192.0.2.25:25`
fn seen_at(result: &ConnectionResult) -> Option<String> {
    result.seen.address.map(|address| format!(" at {address}"))
}

fn step(what: String, aspects: &'static [Aspect], result: &ConnectionResult) -> Step {
    let facts = result.seen.handshake.as_deref().filter(|_| result.works());
    let chose = facts.and_then(|facts| facts.server_hello.as_ref());
    let chose = chose.map(|hello| (hello.version, hello.cipher_suite));
    Step { what, aspects, works: result.works(), detail: result.in_words(), chose }
}

fn by_node<'a>(answer: &'a NodeResult, trial: &'a Trial) -> ByNode<'a> {
    let NodeResult { node, tls_policy, result } = answer;
    let step =
        step(format!("from node {node} with the same settings as mail, under its policy {tls_policy}"), &[], result);
    let (name, policy) = (Some(node.into()), Some(tls_policy.into()));
    ByNode { node, step, attempt: Attempt { node: name, tls_policy: policy, ..attempt(result, trial) } }
}

fn attempt<'a>(result: &'a ConnectionResult, trial: &'a Trial) -> Attempt<'a> {
    let Seen { address, tls, handshake, .. } = &result.seen;
    Attempt {
        destination: address.map(|address| (Cow::from(&trial.host), Some(address.port()))),
        destination_address: address.map(|address| address.ip()),
        tls: tls.as_ref().map(|tls| (Cow::from(&tls.version), Cow::from(&tls.cipher))),
        handshake: handshake.as_deref().map(Cow::Borrowed),
        failure: result.failure.as_ref().map(|failure| Failed::of(failure, failure.summary())),
        ..Attempt::by(Source::Probe)
    }
}

/// The aspects of a connection that a change affects.
fn aspects(change: Change) -> &'static [Aspect] {
    match change {
        Change::SmallSegments => &[Aspect::PacketSize],
        Change::SmallHello | Change::LargeHello => &[Aspect::ClientHello],
        Change::NoServerName => &[Aspect::ServerName],
        Change::UncheckedCertificate => &[Aspect::Certificate],
        Change::WithoutFiniteFieldDh | Change::WeakKeys => &[Aspect::KeyStrength],
        Change::With(OldSuite::AesCbc | OldSuite::TripleDes | OldSuite::Rc4) | Change::WithoutAes => &[Aspect::Cipher],
        Change::UpToTls12 | Change::FromTls10 => &[Aspect::Version],
        Change::FromTls10With(_) => &[Aspect::Version, Aspect::Cipher],
        Change::InTheClear => &[Aspect::Encryption],
        Change::TlsAtOnce => &[Aspect::TlsAtOnce],
    }
}
