//! Tests a finding: what an experiment shows about its cause.

use super::{
    diagnose::diagnose,
    experiment::{ByNode, Experiment, Step, Verdict},
    finding::{Finding, Piece},
};
use crate::{
    causes::{Cause, CauseId, Check},
    evidence::{Attempt, Dimension, Evidence, Source},
};

/// Confirmed by a change of the kind that the cause foretells.
const CONFIRMED: f64 = 0.98;
/// What a refutation leaves of a confidence.
const REFUTED: f64 = 0.3;

impl Finding {
    /// A connection that carries no mail can tell.
    pub fn can_be_tried(&self) -> bool {
        self.cause.verify() == Check::Probe
    }

    /// Takes an experiment into account. `baseline` is the connection made from here as mail goes; `steps` begin with it;
    /// `place` says where, and under what.
    pub fn try_by(&mut self, baseline: &Attempt<'_>, steps: Vec<Step>, nodes: Vec<ByNode<'_>>, place: &str) {
        let cause = self.cause.cause();
        let cure = steps.iter().skip(1).find(|step| step.works);
        let is_so_here = steps.first().is_some_and(|step| !step.works) && cause_of(baseline) == Some(cause.id);
        let (verdict, mut because) = match cause.by_nodes(&nodes).filter(|_| !is_so_here) {
            Some(verdict) => (verdict, from_here(&steps)),
            None => self.verdict(cause, baseline, &steps, cure),
        };
        let is_foretold = cure.is_some_and(|step| cause.cures(step));
        self.confidence = match verdict {
            Verdict::Confirmed if is_foretold => self.confidence.max(CONFIRMED),
            Verdict::Confirmed => (1.0 + self.confidence) / 2.0,
            Verdict::Refuted => self.confidence * REFUTED,
            Verdict::Undecided => self.confidence,
        };
        self.confidence = (self.confidence * 100.0).round() / 100.0;
        because.push_str(&in_words(&nodes));
        // Where all works there is nothing to change.
        let working = nodes.iter().find(|by| by.step.works).filter(|_| verdict != Verdict::Refuted);
        let other_node = working.map(|by| format!("from node {}", by.node));
        let smallest_change = cure.map(|step| step.what.clone()).or(other_node);
        let nodes = nodes.into_iter().map(|by| by.step).collect();
        let piece = Piece { what: because.clone(), source: Source::Probe, place: place.to_owned() };
        self.evidence.insert(0, piece);
        self.experiment = Some(Experiment { verdict, because, steps, nodes, smallest_change });
    }

    fn verdict(&self, cause: &Cause, baseline: &Attempt<'_>, steps: &[Step], cure: Option<&Step>) -> (Verdict, String) {
        let detail = steps.first().map(|step| step.detail.as_str()).unwrap_or_default();
        if steps.first().is_some_and(|step| step.works) {
            return match self.varies_with_the_sender() {
                true => (
                    Verdict::Undecided,
                    format!("A probe from this host works ({detail}). Mail from other nodes may still fail."),
                ),
                false => (Verdict::Refuted, format!("A probe with the same settings as mail now works: {detail}.")),
            };
        }
        let is_foretold = cure.is_some_and(|step| cause.cures(step));
        let helps = cure.map(|step| format!("works {}", step.what));
        if cause_of(baseline) != Some(cause.id) && !is_foretold {
            let helps = helps.map(|helps| format!(", and {helps}")).unwrap_or_default();
            return (Verdict::Undecided, format!("A probe fails in a different way ({detail}){helps}."));
        }
        let fails = format!("A probe fails in the same way as mail ({detail})");
        match (helps, cure) {
            (Some(helps), Some(step)) if is_foretold || cause.cured_by.is_empty() || step.goes_round() => {
                (Verdict::Confirmed, format!("{fails}, and {helps}."))
            }
            (Some(helps), _) => (Verdict::Undecided, format!("{fails}, but {helps}, which points to another cause.")),
            (None, _) => (Verdict::Confirmed, format!("{fails}, and no change on the gateway's side helps.")),
        }
    }

    /// Who sends, when or what makes the difference: one probe from one node cannot refute that.
    fn varies_with_the_sender(&self) -> bool {
        const OF_DESTINATION: [Dimension; 3] =
            [Dimension::TlsPolicy, Dimension::DestinationHost, Dimension::DestinationAddress];
        let split = self.scope.split.as_ref();
        split.is_some_and(|split| split.dimension.iter().any(|dimension| !OF_DESTINATION.contains(dimension)))
    }
}

/// What a probe from here did, in a sentence.
fn from_here(steps: &[Step]) -> String {
    steps.first().map_or_else(String::new, |step| {
        let does = if step.works { "works with the same settings as mail" } else { "fails" };
        format!("A probe from this host {does} ({}).", step.detail)
    })
}

/// Which nodes reach the destination, and which do not, in a sentence.
fn in_words(nodes: &[ByNode<'_>]) -> String {
    let those = |works: bool| nodes.iter().filter(|by| by.step.works == works).collect::<Vec<_>>();
    let names = |those: &[&ByNode<'_>]| those.iter().map(|by| by.node).collect::<Vec<_>>().join(", ");
    let (working, failing) = (those(true), those(false));
    match (working.as_slice(), failing.as_slice()) {
        ([], []) => String::new(),
        (working, []) => format!(" With the same settings as mail, a probe works from {}.", names(working)),
        ([], [first, ..]) => {
            format!(" With the same settings as mail, a probe fails from {} ({}).", names(&failing), first.step.detail)
        }
        (working, [first, ..]) => {
            let (works, fails) = (names(working), names(&failing));
            format!(
                " With the same settings as mail, a probe works from {works} and fails from {fails} ({}).",
                first.step.detail
            )
        }
    }
}

impl Cause {
    /// What nodes tell, where the probe from here does not show this cause. `None`: nothing, or no more than that probe.
    fn by_nodes(&self, nodes: &[ByNode<'_>]) -> Option<Verdict> {
        let mut failing = nodes.iter().filter(|by| !by.step.works);
        if failing.any(|by| cause_of(&by.attempt) == Some(self.id)) {
            return Some(Verdict::Confirmed);
        }
        let all_work = nodes.iter().all(|by| by.step.works);
        (!nodes.is_empty()).then_some(if all_work { Verdict::Refuted } else { Verdict::Undecided })
    }

    fn cures(&self, step: &Step) -> bool {
        step.aspects.iter().any(|aspect| self.cured_by.contains(aspect))
    }
}

/// What a single attempt would be taken for.
fn cause_of(attempt: &Attempt<'_>) -> Option<CauseId> {
    let mut evidence = Evidence::default();
    evidence.add(attempt, || None);
    diagnose(&evidence).first().map(|finding| finding.cause)
}

#[cfg(test)]
mod tests {
    use protocol::smtp::Phase;

    use super::*;
    use crate::{
        causes::{Aspect, CauseId},
        comparison::Split,
        evidence::{Failed, Sign, Signs},
        unexplained,
    };

    fn step(aspects: &'static [Aspect], works: bool) -> Step {
        Step { what: "with a change".to_owned(), aspects, works, detail: "some detail".to_owned() }
    }

    fn failed(sign: Sign) -> Attempt<'static> {
        let mut signs = Signs::default();
        signs.add(sign);
        let text = "no".into();
        let failure = Some(Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text });
        Attempt { failure, ..Attempt::by(Source::Probe) }
    }

    fn finding(cause: CauseId, dimension: Option<Dimension>) -> Finding {
        let mut finding = Finding { cause, confidence: 0.8, ..unexplained("onprem", 1, None, &[]) };
        finding.scope.split = dimension.map(|dimension| Split {
            dimension: vec![dimension],
            fails: vec!["a".to_owned()],
            works: vec!["b".to_owned()],
            failed: 9,
            of: 9,
            worked: 9,
            of_works: 9,
            p_value: 1e-6,
        });
        finding
    }

    #[test]
    fn a_change_makes_or_breaks_a_cause() {
        use Verdict::{Confirmed, Refuted, Undecided};
        let cipher = || failed(Sign::NoSharedCipherSaid);
        let worked = || Attempt::by(Source::Probe);
        let fails =
            |cure: &'static [Aspect]| vec![step(&[], false), step(&[Aspect::PacketSize], false), step(cure, true)];
        let policy = Some(Dimension::TlsPolicy);
        let table = [
            // As foretold, alone or with what else it takes.
            (policy, cipher(), fails(&[Aspect::Cipher]), Confirmed, 0.98),
            (policy, cipher(), fails(&[Aspect::Version, Aspect::Cipher]), Confirmed, 0.98),
            // It is gone round.
            (policy, cipher(), fails(&[Aspect::Encryption]), Confirmed, 0.9),
            (policy, cipher(), vec![step(&[], false), step(&[Aspect::Cipher], false)], Confirmed, 0.9),
            // Something else helps.
            (policy, cipher(), fails(&[Aspect::ServerName]), Undecided, 0.8),
            (policy, failed(Sign::ConnectionRefused), vec![step(&[], false)], Undecided, 0.8),
            (policy, worked(), vec![step(&[], true)], Refuted, 0.24),
            (None, worked(), vec![step(&[], true)], Refuted, 0.24),
            // This node may be one that works.
            (Some(Dimension::Node), worked(), vec![step(&[], true)], Undecided, 0.8),
        ];
        for (index, (dimension, baseline, steps, verdict, confidence)) in table.into_iter().enumerate() {
            let mut finding = finding(CauseId::NoSharedCipher, dimension);
            finding.try_by(&baseline, steps, Vec::new(), "mail.test");
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!((experiment.verdict, finding.confidence), (verdict, confidence), "{index}: {experiment:?}");
            assert_eq!(finding.evidence[0].source, Source::Probe);
        }
    }

    #[test]
    fn nodes_tell_what_a_probe_from_here_cannot() {
        use Verdict::{Confirmed, Refuted, Undecided};
        let by = |node, sign: Option<Sign>| ByNode {
            node,
            step: step(&[], sign.is_none()),
            attempt: sign.map_or_else(|| Attempt::by(Source::Probe), failed),
        };
        let (cipher, refused) = (Some(Sign::NoSharedCipherSaid), Some(Sign::ConnectionRefused));
        let here = |works| (if works { Attempt::by(Source::Probe) } else { failed(Sign::NoSharedCipherSaid) }, works);
        let table = [
            (here(true), vec![by("mx1", None), by("mx2", cipher)], Confirmed, Some("from node mx1")),
            (here(true), vec![by("mx1", None), by("mx2", refused)], Undecided, Some("from node mx1")),
            (here(true), vec![by("mx1", None), by("mx2", None)], Refuted, None),
            (here(false), vec![by("mx1", None), by("mx2", None)], Confirmed, Some("from node mx1")),
            (here(false), vec![by("mx1", cipher), by("mx2", refused)], Confirmed, None),
        ];
        for (index, ((baseline, works), nodes, verdict, smallest)) in table.into_iter().enumerate() {
            let mut finding = finding(CauseId::NoSharedCipher, Some(Dimension::Node));
            finding.try_by(&baseline, vec![step(&[], works)], nodes, "mail.test");
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!(experiment.verdict, verdict, "{index}: {experiment:?}");
            assert_eq!(experiment.smallest_change.as_deref(), smallest, "{index}");
            assert_eq!(experiment.nodes.len(), 2);
        }
    }

    #[test]
    fn what_no_connection_can_tell_is_not_tried() {
        assert!(finding(CauseId::NoSharedCipher, None).can_be_tried() && finding(CauseId::WeakDh, None).can_be_tried());
        assert!(
            !finding(CauseId::RecipientUnknown, None).can_be_tried()
                && !finding(CauseId::Greylisted, None).can_be_tried()
        );
    }
}
