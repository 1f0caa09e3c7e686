//! Probes findings: connects to the destination as mail does, then with one change at a time until a connection works.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use anyhow::{Context as _, anyhow};
use diagnosis::{
    Attempt, CauseId, Explained, Failed, Source,
    experiment::{Aspect, ByNode, Step},
};
use net::{
    probe::{Change, Ladder, OldSuite, ProbeOptions, Trial, climb},
    resolve::Resolver,
    send::{ConnectionResult, Seen},
    tls::TlsSettings,
};
use node::{
    config::{Config, Connector, Hosts},
    inquiry::{self, Answer, Question},
    policy::tls_settings,
};
use protocol::{
    smtp::{Failure, client::TlsLevel},
    tls::TlsPolicy,
};
use store::Store;

use crate::cli::{Progress, clean, host_and_port};

/// Number of findings to probe, from the first on.
const TRIED_MAX: usize = 3;

/// Settings of a probe. `S` is the store that carries questions to the nodes.
pub(crate) struct Prober<'a, S> {
    /// `None`: probe from this machine only.
    pub fleet: Option<&'a S>,
    /// `None`: connect as mail does under the policy modern.
    pub config: Option<&'a Config>,
    /// Timeout for each answer; `None`: the default.
    pub timeout: Option<Duration>,
}

impl<S: Store> Prober<'_, S> {
    /// Probes the first findings that a connection can test. Returns texts about findings that could not be probed.
    pub(crate) async fn try_all(&self, findings: &mut [Explained<'_>]) -> Vec<String> {
        let mut untried = Vec::new();
        let leading = findings.iter_mut().filter(|explained| explained.finding.can_be_tried()).take(TRIED_MAX);
        for explained in leading {
            if let Err(error) = self.try_one(explained).await {
                untried.push(format!("failed to probe {}: {error:#}", explained.finding.scope.destination));
            }
        }
        untried
    }

    async fn try_one(&self, explained: &mut Explained<'_>) -> anyhow::Result<()> {
        let connector = explained.finding.scope.connector.as_deref();
        let connector = connector.and_then(|name| self.config.and_then(|config| config.connector(name)));
        let (host, port) = destination(explained, connector.as_ref())?;
        let policy = self.policy(explained, connector.as_ref());
        let name = policy.name.clone();
        let (level, tls) = match &connector {
            Some(connector) => (connector.tls.into(), tls_settings(connector, policy)),
            None => without_configuration(explained.finding.cause, policy),
        };
        let addresses = self.resolver()?.addresses(&host).await.map_err(|kind| anyhow!("{host}: {kind}"))?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let trial = Trial { host, addresses, level, tls };
        let own = self.config.map_or("localhost", |config| &config.node.hostname);
        let ehlo_name = connector.as_ref().map_or(own, |connector| &connector.hello).to_owned();
        let mut options = ProbeOptions { ehlo_name, ..ProbeOptions::default() };
        options.timeout = self.timeout.unwrap_or(options.timeout);
        let progress = Progress::new(&trial.host);
        progress.show("asking each node to connect");
        let answers = self.ask(connector.as_ref(), &trial.host, port, options.timeout).await?;
        let ladder = climb(&trial, &options, |step| progress.show(step)).await;
        progress.clear();
        let ladder = ladder.with_context(|| format!("{} has no address", trial.host))?;
        judge(explained, &trial, &ladder, &answers, &name);
        Ok(())
    }

    /// The result of a connection from each node. Prints why a node gave no result.
    async fn ask(
        &self,
        connector: Option<&Connector>,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> anyhow::Result<Vec<ByNodeResult>> {
        let (Some(store), Some(connector)) = (self.fleet, connector) else { return Ok(Vec::new()) };
        let timeout_ms = timeout.as_millis().try_into().unwrap_or(u64::MAX);
        let question = Question { connector: connector.name.clone(), host: host.to_owned(), port, timeout_ms };
        let mut tried = Vec::new();
        for (node, answer) in inquiry::ask_all(store, &question).await.context("failed to ask the nodes for a probe")? {
            let why = match answer {
                Some(Answer::Tried { tls_policy, result }) => {
                    tried.push(ByNodeResult { node, tls_policy, result: *result });
                    continue;
                }
                Some(Answer::Refused(why)) => why,
                None => "the node did not answer".to_owned(),
            };
            eprintln!("gatepost: node {} did not connect to {}: {}", clean(&node), clean(host), clean(&why));
        }
        Ok(tried)
    }

    /// The policy under which most attempts failed, if it is known here.
    fn policy(&self, explained: &Explained<'_>, connector: Option<&Connector>) -> TlsPolicy {
        let named = |name: &str| match self.config {
            Some(config) => config.policy(name),
            None => TlsPolicy::built_in().into_iter().find(|policy| policy.name == name),
        };
        let failing = explained.failing_policy().and_then(named);
        failing.or_else(|| named(&connector?.tls_policy)).unwrap_or_else(TlsPolicy::modern)
    }

    fn resolver(&self) -> anyhow::Result<Resolver> {
        let dns = self.config.map(|config| config.dns.clone()).unwrap_or_default();
        Resolver::new(&dns.servers, *dns.timeout).map_err(anyhow::Error::msg)
    }
}

/// The host of the finding, or the first host of its connector.
fn destination(explained: &Explained<'_>, connector: Option<&Connector>) -> anyhow::Result<(String, u16)> {
    let destination = explained.finding.scope.destination.as_str();
    match connector {
        Some(connector) if connector.name == destination => match &connector.hosts {
            Hosts::SmartHosts(hosts) => {
                let first = hosts.first().context("its connector has no host; add one to `hosts`")?;
                Ok((first.host.clone(), first.port.unwrap_or(connector.port)))
            }
            Hosts::Mx => Err(anyhow!("its connector delivers by MX; name one of the MX hosts")),
        },
        _ => host_and_port(destination),
    }
}

/// Assumes that mail with a certificate failure verifies certificates, and that other stuck mail requires TLS.
fn without_configuration(cause: CauseId, policy: TlsPolicy) -> (TlsLevel, TlsSettings) {
    let verify = cause.concerns_certificate();
    let level = if verify { TlsLevel::Verify } else { TlsLevel::Require };
    (level, TlsSettings { policy, verify, authorities: None, identity: None })
}

fn judge(explained: &mut Explained<'_>, trial: &Trial, ladder: &Ladder, answers: &[ByNodeResult], policy: &str) {
    let baseline = &ladder.baseline;
    let as_mail_goes = Step {
        what: format!("with the same settings as mail, under the policy {policy}"),
        aspects: &[],
        works: baseline.works(),
        detail: detail(baseline),
    };
    let changed = |(change, result): &(Change, ConnectionResult)| Step {
        what: change.what(),
        aspects: aspects(*change),
        works: result.works(),
        detail: detail(result),
    };
    let steps = std::iter::once(as_mail_goes).chain(ladder.changes.iter().map(changed)).collect();
    let nodes = answers.iter().map(|answer| by_node(answer, trial)).collect();
    let address = baseline.seen.address.map(|address| format!(" at {address}")).unwrap_or_default();
    let place = format!("{}{address}, policy {policy}", trial.host);
    explained.finding.try_by(&attempt(baseline, trial), steps, nodes, &place);
}

/// How mail goes from a node.
struct ByNodeResult {
    node: String,
    tls_policy: String,
    result: ConnectionResult,
}

fn by_node<'a>(answer: &'a ByNodeResult, trial: &'a Trial) -> ByNode<'a> {
    let ByNodeResult { node, tls_policy, result } = answer;
    let step = Step {
        what: format!("from node {node} with the same settings as mail, under its policy {tls_policy}"),
        aspects: &[],
        works: result.works(),
        detail: detail(result),
    };
    let (name, policy) = (Some(node.into()), Some(tls_policy.into()));
    ByNode { node, step, attempt: Attempt { node: name, tls_policy: policy, ..attempt(result, trial) } }
}

fn attempt<'a>(result: &'a ConnectionResult, trial: &'a Trial) -> Attempt<'a> {
    let Seen { address, tls, handshake, .. } = &result.seen;
    Attempt {
        destination: address.map(|address| (Cow::from(&trial.host), address.port())),
        destination_address: address.map(|address| address.ip()),
        tls: tls.as_ref().map(|tls| (Cow::from(&tls.version), Cow::from(&tls.cipher))),
        handshake: handshake.as_deref().map(Cow::Borrowed),
        failure: result.failure.as_ref().map(|failure| Failed::of(failure, failure.summary())),
        ..Attempt::by(Source::Probe)
    }
}

/// What was negotiated, or how it failed.
fn detail(result: &ConnectionResult) -> String {
    match (&result.failure, &result.seen.tls) {
        // The title names the destination already.
        (Some(failure), _) => Failure { destination: None, ..failure.clone() }.summary(),
        (None, Some(tls)) => format!("{} {}", tls.version, tls.cipher),
        (None, None) => "plaintext".to_owned(),
    }
}

/// The aspects of a connection that a change affects.
fn aspects(change: Change) -> &'static [Aspect] {
    match change {
        Change::OtherAddress(_) => &[Aspect::Address],
        Change::SmallSegments => &[Aspect::PacketSize],
        Change::SmallHello => &[Aspect::ClientHello],
        Change::NoServerName => &[Aspect::ServerName],
        Change::UncheckedCertificate => &[Aspect::Certificate],
        Change::WithoutFiniteFieldDh | Change::WeakKeys => &[Aspect::KeyStrength],
        Change::With(OldSuite::AesCbc | OldSuite::TripleDes | OldSuite::Rc4) | Change::WithoutAes => &[Aspect::Cipher],
        Change::UpToTls12 | Change::FromTls10 => &[Aspect::Version],
        Change::FromTls10With(_) => &[Aspect::Version, Aspect::Cipher],
        Change::InTheClear => &[Aspect::Encryption],
    }
}
