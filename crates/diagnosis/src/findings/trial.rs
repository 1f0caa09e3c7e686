//! Tests a finding: what an experiment shows about its cause.

use protocol::smtp::Phase;

use super::{
    diagnose::diagnose,
    experiment::{ByNode, Experiment, Step, Tried, Verdict},
    finding::{Finding, Piece, Scope},
};
use crate::{
    causes::{Aspect, Cause, CauseId, Check},
    evidence::{Attempt, Dimension, Evidence, Source},
};

/// Confirmed by a change of the kind that the cause foretells.
const CONFIRMED: f64 = 0.98;
/// What a refutation leaves of a confidence.
const REFUTED: f64 = 0.3;

impl Finding {
    /// A connection that carries no mail can tell.
    pub fn can_be_tried(&self) -> bool {
        let Scope { everywhere, connector, destination, .. } = &self.scope;
        let is_address = connector.is_some() || destination.contains(':');
        everywhere.is_none() && is_address && self.cause.verify() == Check::Probe
    }

    /// The failure comes after the point at which a probe stops. The confidence stays as it is.
    pub fn not_tested(&mut self, because: String) {
        let (steps, nodes) = (Vec::new(), Vec::new());
        let verdict = Verdict::NotTested;
        self.experiment = Some(Experiment { verdict, because, steps, nodes, smallest_change: None, works_with: None });
    }

    /// Takes an experiment into account. What it shows decides the cause, and with it headline and remedy.
    pub fn try_by(&mut self, tried: Tried<'_>) {
        let named = self.cause;
        let shown = self.shown_by(&tried);
        if let Some(id) = shown {
            self.becomes(id);
        }
        let (step, attempt) = &tried.baseline;
        let is_so_here = !step.works && (shown.is_some() || cause_of(attempt) == Some(named));
        let cure = tried.changes.iter().find(|step| step.works);
        let is_foretold = cure.is_some_and(|step| self.cause.cause().cures(step));
        let (verdict, mut because) = match by_nodes(&[named, self.cause], &tried.nodes).filter(|_| !is_so_here) {
            Some(verdict) => (verdict, from_here(step)),
            None => self.verdict(&tried, is_so_here, cure),
        };
        self.confidence = match verdict {
            Verdict::Confirmed if is_foretold => self.confidence.max(CONFIRMED),
            Verdict::Confirmed => (1.0 + self.confidence) / 2.0,
            Verdict::Refuted => self.confidence * REFUTED,
            Verdict::Undecided | Verdict::NotTested => self.confidence,
        };
        self.confidence = (self.confidence * 100.0).round() / 100.0;
        because.push_str(&in_words(&tried.nodes));
        // Where all works there is nothing to change.
        let working = tried.nodes.iter().find(|by| by.step.works).filter(|_| verdict != Verdict::Refuted);
        let other_node = working.map(|by| format!("from node {}", by.node));
        let smallest_change = cure.map(|step| step.what.clone()).or(other_node);
        let works_with = cure.and_then(|step| step.chose);
        let Tried { baseline, others, changes, nodes, place } = tried;
        let as_mail = std::iter::once(baseline).chain(others).map(|(step, _)| step);
        let steps = as_mail.chain(changes).collect();
        let nodes = nodes.into_iter().map(|by| by.step).collect();
        self.evidence.insert(0, Piece { what: because.clone(), source: Source::Probe, place });
        self.experiment = Some(Experiment { verdict, because, steps, nodes, smallest_change, works_with });
    }

    /// The cause that the experiment shows in place of the one that attempts alone suggested.
    fn shown_by(&self, tried: &Tried<'_>) -> Option<CauseId> {
        let (_, attempt) = &tried.baseline;
        let is_before_mail = attempt.failure.as_ref()?.phase.is_none_or(|phase| phase < Phase::Mail);
        let fails_as = cause_of(attempt).filter(|id| *id != CauseId::Unknown);
        let is_unknown = self.cause == CauseId::Unknown;
        if !is_before_mail || !(is_unknown || fails_as == Some(self.cause)) {
            return None;
        }
        let is_cured_by = |aspect| tried.changes.iter().any(|step| step.works && step.aspects.contains(&aspect));
        if is_cured_by(Aspect::TlsAtOnce) {
            return Some(CauseId::ImplicitTlsMismatch);
        }
        let (version, suite) =
            tried.changes.iter().find(|step| step.works).map_or((false, false), |step| lacks(attempt, step));
        match self.cause {
            CauseId::NoSharedTlsVersion if version => None,
            CauseId::NoSharedCipher if suite => None,
            CauseId::HandshakeReset
            | CauseId::HandshakeTimeout
            | CauseId::NoSharedTlsVersion
            | CauseId::NoSharedCipher
            | CauseId::Unknown => {
                let of_version = version.then_some(CauseId::NoSharedTlsVersion);
                of_version.or(suite.then_some(CauseId::NoSharedCipher)).or(fails_as.filter(|_| is_unknown))
            }
            _ => None,
        }
    }

    /// Replaces the cause, and all that follows from it.
    fn becomes(&mut self, id: CauseId) {
        let headline = |id: CauseId| format!("{} {}", self.scope.destination, id.cause().does);
        let rest = self.summary.strip_prefix(&headline(self.cause)).unwrap_or_default();
        self.summary = format!("{}{rest}", headline(id));
        self.remedy = id.cause().remedies(&self.situation);
        self.cause = id;
    }

    fn verdict(&self, tried: &Tried<'_>, is_so_here: bool, cure: Option<&Step>) -> (Verdict, String) {
        let cause = self.cause.cause();
        let (step, _) = &tried.baseline;
        let detail = &step.detail;
        if step.works {
            return self.verdict_of_what_works(tried);
        }
        let is_foretold = cure.is_some_and(|step| cause.cures(step));
        let helps = cure.map(|step| format!("works {}", step.what));
        if !is_so_here && !is_foretold {
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

    fn verdict_of_what_works(&self, tried: &Tried<'_>) -> (Verdict, String) {
        let (step, _) = &tried.baseline;
        let detail = &step.detail;
        // Mail tries the next address only after the first has failed, and some systems do not.
        if let Some((failed, _)) = tried.others.iter().find(|(_, attempt)| cause_of(attempt) == Some(self.cause)) {
            let because = format!(
                "A probe fails in the same way as mail {} ({}), and works {} ({detail}).",
                failed.what, failed.detail, step.what
            );
            return (Verdict::Confirmed, because);
        }
        match self.varies_with_the_sender() {
            true => (
                Verdict::Undecided,
                format!("A probe from this host works ({detail}). Mail from other nodes may still fail."),
            ),
            false => (Verdict::Refuted, format!("A probe with the same settings as mail now works: {detail}.")),
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
fn from_here(step: &Step) -> String {
    let does = if step.works { "works with the same settings as mail" } else { "fails" };
    format!("A probe from this host {does} ({}).", step.detail)
}

/// Whether the ClientHello that failed lacks the version, and the cipher suite, that the destination chose in this step.
fn lacks(failed: &Attempt<'_>, step: &Step) -> (bool, bool) {
    let hello = failed.handshake.as_deref().and_then(|facts| facts.client_hello.as_ref());
    let (Some(hello), Some((version, suite))) = (hello, step.chose) else { return (false, false) };
    let changes = |aspect| step.aspects.contains(&aspect);
    (
        changes(Aspect::Version) && !hello.versions.contains(&version),
        changes(Aspect::Cipher) && !hello.cipher_suites.contains(&suite),
    )
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

/// What nodes tell, where the probe from here does not show the cause. `None`: nothing, or no more than that probe.
fn by_nodes(named: &[CauseId], nodes: &[ByNode<'_>]) -> Option<Verdict> {
    let mut failing = nodes.iter().filter(|by| !by.step.works);
    if failing.any(|by| cause_of(&by.attempt).is_some_and(|id| named.contains(&id))) {
        return Some(Verdict::Confirmed);
    }
    let all_work = nodes.iter().all(|by| by.step.works);
    (!nodes.is_empty()).then_some(if all_work { Verdict::Refuted } else { Verdict::Undecided })
}

impl Cause {
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
    use std::borrow::Cow;

    use protocol::{
        smtp::Phase,
        tls::{CipherSuite, ClientHello, HandshakeFacts, WireVersion},
    };

    use super::*;
    use crate::{
        causes::Situation,
        comparison::Split,
        evidence::{Failed, Sign, Signs},
        unexplained,
    };

    fn step(aspects: &'static [Aspect], works: bool) -> Step {
        Step { what: "with a change".to_owned(), aspects, works, detail: "some detail".to_owned(), chose: None }
    }

    /// The first step is the baseline.
    fn tried<'a>(attempt: Attempt<'a>, mut steps: Vec<Step>, nodes: Vec<ByNode<'a>>) -> Tried<'a> {
        let baseline = (steps.remove(0), attempt);
        Tried { baseline, others: Vec::new(), changes: steps, nodes, place: "mail.test".to_owned() }
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
            finding.try_by(tried(baseline, steps, Vec::new()));
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
            finding.try_by(tried(baseline, vec![step(&[], works)], nodes));
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!(experiment.verdict, verdict, "{index}: {experiment:?}");
            assert_eq!(experiment.smallest_change.as_deref(), smallest, "{index}");
            assert_eq!(experiment.nodes.len(), 2);
        }
    }

    const TLS10: WireVersion = WireVersion::TLS10;
    const RC4: CipherSuite = CipherSuite(5);
    const AES: CipherSuite = CipherSuite(0x2f);

    /// A handshake that offered TLS 1.2 with one cipher suite.
    fn handshake(versions: &[WireVersion], signs: &[Sign]) -> Attempt<'static> {
        let hello = ClientHello {
            versions: versions.to_vec(),
            cipher_suites: vec![AES],
            extensions: vec![],
            server_name: None,
            groups: vec![],
            signature_algorithms: vec![],
            length_bytes: 200,
        };
        let facts = HandshakeFacts { client_hello: Some(hello), ..HandshakeFacts::default() };
        let mut attempt = failed(Sign::HandshakeFailed);
        let failure = attempt.failure.as_mut().unwrap();
        signs.iter().for_each(|sign| failure.signs.add(*sign));
        Attempt { handshake: Some(Cow::Owned(facts)), ..attempt }
    }

    #[test]
    fn what_an_experiment_shows_decides_cause_headline_and_remedy() {
        use CauseId::{HandshakeReset, NoSharedCipher, NoSharedTlsVersion, Unknown};
        const BOTH: &[Aspect] = &[Aspect::Version, Aspect::Cipher];
        let closed = [Sign::ConnectionClosed, Sign::NoServerHello];
        let (new, old) = ([WireVersion::TLS12], [WireVersion::TLS12, TLS10]);
        let table = [
            // It closes without an alert, and needs TLS 1.0.
            (HandshakeReset, &new[..], &[Aspect::Version][..], AES, NoSharedTlsVersion),
            (HandshakeReset, &new, BOTH, RC4, NoSharedTlsVersion),
            (HandshakeReset, &old, &[Aspect::Cipher], RC4, NoSharedCipher),
            (Unknown, &old, &[Aspect::Cipher], RC4, NoSharedCipher),
            // Without TLS 1.3 it agrees on what was offered all along: it cannot stand the ClientHello.
            (HandshakeReset, &old, &[Aspect::Version], AES, HandshakeReset),
            (HandshakeReset, &new, &[Aspect::PacketSize], AES, HandshakeReset),
            (Unknown, &new, &[Aspect::PacketSize], AES, HandshakeReset),
        ];
        for (index, (named, versions, aspects, suite, shown)) in table.into_iter().enumerate() {
            let mut finding = finding(named, None);
            finding.scope.destination = "mail.test:25".to_owned();
            finding.summary = format!("mail.test:25 {}: all 9 attempts failed", named.cause().does);
            let cure = Step { chose: Some((TLS10, suite)), ..step(aspects, true) };
            finding.try_by(tried(handshake(versions, &closed), vec![step(&[], false), cure], Vec::new()));
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!((finding.cause, experiment.verdict), (shown, Verdict::Confirmed), "{index}: {finding:#?}");
            assert_eq!(finding.summary, format!("mail.test:25 {}: all 9 attempts failed", shown.cause().does));
            assert!(shown == named || finding.remedy == shown.cause().remedies(&Situation::default()), "{index}");
            assert!(finding.is_root_cause() && experiment.works_with == Some((TLS10, suite)), "{index}");
        }
    }

    /// Silence has many causes, and a handshake in place of the greeting has one.
    #[test]
    fn a_handshake_in_place_of_the_greeting_shows_implicit_tls() {
        let mut attempt = failed(Sign::TimedOut);
        attempt.failure.as_mut().unwrap().phase = Some(Phase::Banner);
        for (works, shown, confidence) in
            [(true, CauseId::ImplicitTlsMismatch, CONFIRMED), (false, CauseId::BannerTimeout, 0.9)]
        {
            let mut finding = finding(CauseId::BannerTimeout, None);
            let steps = vec![step(&[], false), step(&[Aspect::TlsAtOnce], works)];
            finding.try_by(tried(attempt.clone(), steps, Vec::new()));
            assert_eq!((finding.cause, finding.confidence), (shown, confidence), "{finding:#?}");
        }
    }

    #[test]
    fn mail_that_reaches_the_next_address_confirms_what_fails_at_the_first() {
        let table = [(Sign::NoSharedCipherSaid, Verdict::Confirmed), (Sign::ConnectionRefused, Verdict::Refuted)];
        for (sign, verdict) in table {
            let mut finding = finding(CauseId::NoSharedCipher, Some(Dimension::DestinationAddress));
            let mut tried = tried(Attempt::by(Source::Probe), vec![step(&[], true)], Vec::new());
            tried.others = vec![(step(&[], false), failed(sign))];
            finding.try_by(tried);
            let experiment = finding.experiment.as_ref().unwrap();
            assert_eq!((experiment.verdict, experiment.steps.len()), (verdict, 2), "{experiment:?}");
        }
    }

    #[test]
    fn what_comes_after_the_end_of_a_probe_is_not_tested() {
        let mut finding = finding(CauseId::Greylisted, None);
        finding.not_tested("a probe sends no mail".to_owned());
        assert_eq!((finding.confidence, finding.evidence.len()), (0.8, 0));
        assert_eq!(finding.experiment.unwrap().verdict.to_string(), "not-tested");
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
