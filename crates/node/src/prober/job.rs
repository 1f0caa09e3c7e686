//! A probe that somebody waits for: of an incident, a destination or a connector.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail};
use diagnosis::{Evidence, Explained, explain};
use insight::Received;
use insight::views::{
    ExperimentView, FindingView, JobKindView, JobResultView, JobStepStateView, NodeProbeView, NodesProbeView,
    ProbedFindingView, StepView,
};
use jiff::Timestamp;
use net::{
    probe::{Change, Ladder, Rung},
    send::ConnectionResult,
};
use protocol::{host_port, tls::TlsPolicy};
use store::{Incident, Incidents as _};
use uuid::Uuid;

use super::{
    can_be_probed,
    judge::judge,
    out_of_reach,
    run::{NodeResult, PolicyTried, Probed, Unanswered, Witness, run},
    target::{Target, destination, host_and_port},
};
use crate::{
    Node,
    config::Config,
    jobs::{NewJob, Step, Steps, TooMany},
    watch::{EVIDENCE_AGE_MAX, giving_way},
};

/// What to probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProbeOf {
    Incident(Uuid),
    /// A host with its port. `connector`: as its mail goes there; `None`: the one that has the host.
    Destination {
        destination: String,
        connector: Option<String>,
    },
    /// The first host of a connector.
    Connector(String),
}

/// Why a probe was not started.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    #[error("there is no such incident")]
    NoIncident,
    #[error("{0:#}")]
    NoTarget(anyhow::Error),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl Node {
    /// Starts a probe from each node, for `owner`.
    pub async fn start_probe(self: &Arc<Self>, of: ProbeOf, owner: &str) -> Result<Uuid, NotStarted> {
        let config = self.config.load_full();
        let incident = match &of {
            ProbeOf::Incident(id) => Some(self.store.incident(*id).await?.ok_or(NotStarted::NoIncident)?),
            ProbeOf::Destination { .. } | ProbeOf::Connector(_) => None,
        };
        let target = target(&config, &of, incident.as_ref()).map_err(NotStarted::NoTarget)?;
        let about = host_port::join(&target.host, Some(target.port));
        let new = NewJob { kind: JobKindView::Probe, about, owner: owner.to_owned() };
        let node = Arc::clone(self);
        Ok(self.jobs.start(new, |steps| async move {
            let view = node.probe(&config, target, incident, &steps).await?;
            Ok(JobResultView::Probe(Box::new(view)))
        })?)
    }

    async fn probe(
        &self,
        config: &Config,
        mut target: Target,
        incident: Option<Incident>,
        steps: &Steps,
    ) -> anyhow::Result<NodesProbeView> {
        let mut evidence = None;
        if let Some(incident) = &incident {
            let read = self.reads(incident).await?;
            // Nodes under the policy that works have nothing to find out.
            if let Some(policy) = read.failing_policy(config) {
                target = target.under(policy);
            }
            evidence = Some(read.evidence);
        }
        let mut shown = Shown::new(steps);
        let policy = if incident.is_some() { PolicyTried::OfTarget } else { PolicyTried::Failing };
        let probed = run(target, policy, Some(&self.store), Some(config), None, &mut shown).await?;
        drop(shown);
        let view = view(&probed);
        let finding = match (incident, evidence) {
            (Some(incident), Some(evidence)) => {
                giving_way(move || learn(&evidence, &incident, &probed)).await.context("the diagnosis did not run")?
            }
            _ => None,
        };
        Ok(NodesProbeView { finding, ..view })
    }

    /// The evidence on an incident, as `gatepost why` has it.
    async fn reads(&self, incident: &Incident) -> anyhow::Result<Read> {
        let since = incident.last_seen.min(Timestamp::now()) - EVIDENCE_AGE_MAX;
        let read = insight::of_connector(&self.store, &incident.connector, Received { since, until: None }).await?;
        let incident = incident.clone();
        let found = giving_way(move || {
            let evidence = read.evidence;
            let policy = finding_of(&evidence, &incident, |explained| explained.failing_policy().map(str::to_owned));
            Read { failing_policy: policy.flatten(), evidence }
        });
        found.await.context("the diagnosis did not run")
    }
}

struct Read {
    evidence: Evidence,
    /// Under which most attempts failed.
    failing_policy: Option<String>,
}

impl Read {
    fn failing_policy(&self, config: &Config) -> Option<TlsPolicy> {
        config.policy(self.failing_policy.as_deref()?)
    }
}

/// Looks at the finding of an incident.
fn finding_of<T>(evidence: &Evidence, incident: &Incident, look: impl FnOnce(&mut Explained<'_>) -> T) -> Option<T> {
    let mut findings = explain(evidence);
    let is_it = |explained: &&mut Explained<'_>| {
        let finding = &explained.finding;
        finding.cause.as_str() == incident.cause && finding.scope.connector.as_deref() == Some(&incident.connector)
    };
    findings.iter_mut().find(is_it).map(look)
}

/// What a probe says about an incident's cause.
fn learn(evidence: &Evidence, incident: &Incident, probed: &Probed) -> Option<ProbedFindingView> {
    let learn = |explained: &mut Explained<'_>| {
        let before = explained.finding.confidence;
        match out_of_reach(explained, false) {
            Some(because) => explained.finding.not_tested(because),
            None if can_be_probed(explained) => judge(explained, probed).ok()?,
            None => return None,
        }
        let FindingView { cause, confidence, experiment, .. } = FindingView::from(&explained.finding);
        let experiment: ExperimentView = experiment?;
        Some(ProbedFindingView { cause, confidence_before: before, confidence, experiment })
    };
    finding_of(evidence, incident, learn).flatten()
}

fn target(config: &Config, of: &ProbeOf, incident: Option<&Incident>) -> anyhow::Result<Target> {
    let named = |name: &str| config.connector(name).with_context(|| format!("there is no connector \"{name}\""));
    let (connector, (host, port)) = match (of, incident) {
        (ProbeOf::Incident(_), Some(incident)) => {
            let connector = named(&incident.connector)?;
            let host = destination(&incident.destination, Some(&connector))?;
            (connector, host)
        }
        (ProbeOf::Connector(name), _) => {
            let connector = named(name)?;
            let host = destination(name, Some(&connector))?;
            (connector, host)
        }
        (ProbeOf::Destination { destination, connector }, _) => {
            let (host, port) = host_and_port(destination)?;
            let connector = match connector {
                Some(name) => named(name)?,
                None => {
                    // A smart host that is an address has no brackets.
                    let (bare, _) = host_port::split(destination);
                    let of_host = config.connector_to(&host, port).or_else(|| config.connector_to(bare, port));
                    of_host.unwrap_or_else(|| config.internet())
                }
            };
            (connector, (host, port))
        }
        (ProbeOf::Incident(_), None) => bail!("there is no such incident"),
    };
    Ok(Target::new(config, connector, host, port, None))
}

/// Shows the connections as steps of the job.
struct Shown<'a> {
    steps: &'a Steps,
    nodes: Vec<(String, Step)>,
    here: Option<Step>,
}

impl<'a> Shown<'a> {
    fn new(steps: &'a Steps) -> Self {
        Self { steps, nodes: Vec::new(), here: None }
    }
}

impl Witness for Shown<'_> {
    fn asked(&mut self, nodes: &[String]) {
        let begin = |node: &String| (node.clone(), self.steps.begin_on(node, "as mail goes from there"));
        self.nodes = nodes.iter().map(begin).collect();
    }

    fn answered(&mut self, answer: Result<&NodeResult, &Unanswered>) {
        let (node, state, detail) = match answer {
            Ok(NodeResult { node, tls_policy, result }) => {
                (node, state(result), format!("under {tls_policy}: {}", result.in_words()))
            }
            Err(Unanswered { node, why }) => (node, JobStepStateView::Skipped, why.clone()),
        };
        if let Some(place) = self.nodes.iter().position(|(name, _)| name == node) {
            self.nodes.swap_remove(place).1.end(state, detail);
        }
    }

    fn rung(&mut self, rung: Rung<'_>) {
        match rung {
            Rung::AsMail(address, policy) => self.here = Some(self.steps.begin(as_mail(policy, Some(address)))),
            Rung::With(change) => self.here = Some(self.steps.begin(change.what())),
            Rung::Ended(result) => {
                if let Some(step) = self.here.take() {
                    step.end(state(result), result.in_words());
                }
            }
        }
    }
}

fn as_mail(policy: &str, address: Option<SocketAddr>) -> String {
    let at = address.map(|address| format!(" to {address}")).unwrap_or_default();
    format!("as mail goes under {policy}{at}")
}

fn state(result: &ConnectionResult) -> JobStepStateView {
    if result.works() { JobStepStateView::Worked } else { JobStepStateView::Failed }
}

fn view(probed: &Probed) -> NodesProbeView {
    let Probed { target, ladder, nodes, unanswered, .. } = probed;
    let Ladder { as_mail: tried, changes } = ladder;
    let step = |what, result: &ConnectionResult| StepView { what, works: result.works(), detail: result.in_words() };
    let first = tried.iter().map(|result| step(as_mail(target.policy(), result.seen.address), result));
    let changed = changes.iter().map(|(change, result)| step(change.what(), result));
    let mut from: Vec<NodeProbeView> = nodes.iter().map(node_view).collect();
    from.extend(unanswered.iter().map(|Unanswered { node, why }| NodeProbeView {
        node: node.clone(),
        works: None,
        tls_policy: None,
        address: None,
        detail: why.clone(),
    }));
    from.sort_by(|a, b| a.node.cmp(&b.node));
    NodesProbeView {
        host: target.host.clone(),
        port: target.port,
        connector: target.connector.as_ref().map(|connector| connector.name.clone()),
        nodes: from,
        policy: target.policy().to_owned(),
        steps: first.chain(changed).collect(),
        smallest_change: ladder.smallest().map(Change::what),
        finding: None,
    }
}

fn node_view(answer: &NodeResult) -> NodeProbeView {
    let NodeResult { node, tls_policy, result } = answer;
    NodeProbeView {
        node: node.clone(),
        works: Some(result.works()),
        tls_policy: Some(tls_policy.clone()),
        address: result.seen.address,
        detail: result.in_words(),
    }
}
