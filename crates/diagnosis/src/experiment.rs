//! Experiments: contrast shows association; that a single change helps, or that none is needed, makes or breaks a cause.

use std::fmt;

use serde::Serialize;

use crate::{
    causes::{CATALOGUE, Cause, Check},
    contrast::Dimension,
    diagnose::diagnose,
    evidence::{Evidence, Observed, Source},
    finding::{Finding, Piece},
};

/// What a change touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aspect {
    Address,
    PacketSize,
    ClientHello,
    ServerName,
    Certificate,
    KeyStrength,
    Cipher,
    Version,
    Encryption,
}

/// One connection of an experiment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// The change, as it reads on after "works"; of the first step, how mail goes.
    pub what: String,
    #[serde(skip)]
    pub aspects: &'static [Aspect],
    pub works: bool,
    /// What was agreed on, or how it failed.
    pub detail: String,
}

/// What an experiment says of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It fails in the same way, and no change of another kind helps.
    Confirmed,
    /// It works just as mail goes.
    Refuted,
    /// It fails in another way, or a change helps that has nothing to do with this cause, or this node is not among those
    /// that fail.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
        })
    }
}

/// From how mail goes to the smallest change that works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Experiment {
    pub verdict: Verdict,
    /// For people: why this verdict.
    pub because: String,
    /// How mail goes first, then one change at a time; the last one may work.
    pub steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_change: Option<String>,
}

/// Confirmed by a change of the kind that the cause foretells.
const CONFIRMED: f64 = 0.98;
/// What a refutation leaves of a confidence.
const REFUTED: f64 = 0.3;

impl Finding {
    /// A connection that carries no mail can tell.
    pub fn can_be_tried(&self) -> bool {
        self.known_cause().is_some_and(|cause| cause.check == Check::Probe)
    }

    fn known_cause(&self) -> Option<&'static Cause> {
        CATALOGUE.iter().find(|cause| cause.id == self.cause)
    }

    /// Takes an experiment into account. `baseline` is the connection made as mail goes; `steps` begin with it; `place` says
    /// where, and under what.
    pub fn try_by(&mut self, baseline: &Observed<'_>, steps: Vec<Step>, place: &str) {
        let Some(cause) = self.known_cause() else { return };
        let cure = steps.iter().skip(1).find(|step| step.works);
        let (verdict, because) = self.verdict(cause, baseline, &steps, cure);
        let is_foretold = cure.is_some_and(|step| cause.cures(step));
        self.confidence = match verdict {
            Verdict::Confirmed if is_foretold => self.confidence.max(CONFIRMED),
            Verdict::Confirmed => (1.0 + self.confidence) / 2.0,
            Verdict::Refuted => self.confidence * REFUTED,
            Verdict::Undecided => self.confidence,
        };
        self.confidence = (self.confidence * 100.0).round() / 100.0;
        let smallest_change = cure.map(|step| step.what.clone());
        let piece = Piece { what: because.clone(), source: Source::Probe, place: place.to_owned() };
        self.evidence.insert(0, piece);
        self.experiment = Some(Experiment { verdict, because, steps, smallest_change });
    }

    fn verdict(
        &self,
        cause: &Cause,
        baseline: &Observed<'_>,
        steps: &[Step],
        cure: Option<&Step>,
    ) -> (Verdict, String) {
        let detail = steps.first().map(|step| step.detail.as_str()).unwrap_or_default();
        if steps.first().is_some_and(|step| step.works) {
            return match self.varies_with_the_sender() {
                true => (Verdict::Undecided, format!("A probe from here works ({detail}); others may still fail.")),
                false => (Verdict::Refuted, format!("A probe now works just as mail goes: {detail}.")),
            };
        }
        let is_foretold = cure.is_some_and(|step| cause.cures(step));
        let helps = cure.map(|step| format!("it works {}", step.what));
        if cause_of(baseline) != Some(cause.id) && !is_foretold {
            let helps = helps.map(|helps| format!(", and {helps}")).unwrap_or_default();
            return (Verdict::Undecided, format!("A probe fails in another way ({detail}){helps}."));
        }
        let fails = format!("A probe fails as mail does ({detail})");
        match (helps, cure) {
            (Some(helps), Some(step)) if is_foretold || cause.cured_by.is_empty() || step.goes_round() => {
                (Verdict::Confirmed, format!("{fails}, and {helps}."))
            }
            (Some(helps), _) => (Verdict::Undecided, format!("{fails}, but {helps}: that is not this cause.")),
            (None, _) => (Verdict::Confirmed, format!("{fails}, whatever is changed on this side.")),
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

impl Step {
    /// Where the trouble is gone round, nothing is said of what it is.
    fn goes_round(&self) -> bool {
        self.aspects.iter().all(|aspect| matches!(aspect, Aspect::Address | Aspect::Encryption))
    }
}

impl Cause {
    fn cures(&self, step: &Step) -> bool {
        step.aspects.iter().any(|aspect| self.cured_by.contains(aspect))
    }
}

/// What a single attempt would be taken for.
fn cause_of(observed: &Observed<'_>) -> Option<&'static str> {
    let mut evidence = Evidence::default();
    evidence.add(observed, || None);
    diagnose(&evidence).first().map(|finding| finding.cause)
}

#[cfg(test)]
mod tests {
    use protocol::smtp::Phase;

    use super::*;
    use crate::{
        contrast::Split,
        evidence::Outcome,
        signs::{Sign, Signs},
        unexplained,
    };

    fn step(aspects: &'static [Aspect], works: bool) -> Step {
        Step { what: "with a change".to_owned(), aspects, works, detail: "some detail".to_owned() }
    }

    fn failed(sign: Sign) -> Observed<'static> {
        let mut signs = Signs::default();
        signs.add(sign);
        let outcome = Outcome::Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text: "no" };
        Observed { outcome, ..Observed::by(Source::Probe) }
    }

    fn finding(cause: &'static str, dimension: Option<Dimension>) -> Finding {
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
        let worked = || Observed::by(Source::Probe);
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
            let mut finding = finding("no-shared-cipher", dimension);
            finding.try_by(&baseline, steps, "mail.test");
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!((experiment.verdict, finding.confidence), (verdict, confidence), "{index}: {experiment:?}");
            assert_eq!(finding.evidence[0].source, Source::Probe);
        }
    }

    #[test]
    fn what_no_connection_can_tell_is_not_tried() {
        assert!(finding("no-shared-cipher", None).can_be_tried() && finding("weak-dh", None).can_be_tried());
        assert!(!finding("recipient-unknown", None).can_be_tried() && !finding("greylisted", None).can_be_tried());
    }
}
