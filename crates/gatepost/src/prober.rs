//! Probes findings: connects to the destination as mail does, then with one change at a time until a connection works.

use std::{borrow::Cow, time::Duration};

use anyhow::{Context as _, anyhow};
use diagnosis::{
    Attempt, CauseId, Explained, Failed, Source,
    experiment::{Aspect, ByNode, Step, Tried},
};
use net::{
    probe::{Change, Ladder, OldSuite, ProbeOptions, Trial, climb},
    resolve::Resolver,
    send::{ConnectionResult, Seen, in_order},
    tls::TlsSettings,
};
use node::{
    config::{Config, Connector, Hosts},
    inquiry::{self, Answer, Connect, OfMessage, Question},
    policy::tls_settings,
};
use protocol::{
    smtp::{Failure, Phase, client::TlsLevel},
    tls::TlsPolicy,
};
use store::{State, Store, TraceQuery};

use crate::cli::{Progress, clean, host_and_port, resolver};

/// Number of findings to probe, from the first on.
const TRIED_MAX: usize = 3;
/// Number of waiting messages among which one for the envelope is looked for.
const WAITING_MAX: u32 = 500;

/// Settings of a probe. `S` is the store that carries questions to the nodes.
pub(crate) struct Prober<'a, S> {
    /// `None`: probe from this machine only.
    pub fleet: Option<&'a S>,
    /// `None`: connect as mail does under the policy modern.
    pub config: Option<&'a Config>,
    /// Timeout for each answer; `None`: the default.
    pub timeout: Option<Duration>,
    /// True: go on to MAIL and RCPT with the addresses of a waiting message, then take them back.
    pub envelope: bool,
}

/// One destination to probe.
struct Target {
    connector: Option<Connector>,
    host: String,
    port: u16,
    envelope: Option<OfMessage>,
}

impl<S: Store> Prober<'_, S> {
    /// Probes the first findings that a connection can test. Returns texts about findings that could not be probed.
    pub(crate) async fn try_all(&self, findings: &mut [Explained<'_>]) -> Vec<String> {
        let mut untried = Vec::new();
        let is_known = |explained: &&mut Explained<'_>| explained.finding.can_be_tried() || fails_late(explained);
        let mut left = TRIED_MAX;
        for explained in findings.iter_mut().filter(is_known) {
            if let Some(because) = self.out_of_reach(explained) {
                explained.finding.not_tested(because);
                continue;
            }
            if let Err(error) = self.try_one(explained).await {
                untried.push(format!("failed to probe {}: {error:#}", explained.finding.scope.destination));
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        untried
    }

    /// Why a probe does not come as far as these attempts; `None`: it does.
    fn out_of_reach(&self, explained: &Explained<'_>) -> Option<String> {
        let phase = explained.failing_phase().filter(|phase| *phase >= Phase::Mail)?;
        let has_envelope = phase <= Phase::Rcpt;
        if has_envelope && self.envelope {
            return None;
        }
        let hint = if has_envelope { " With --envelope it goes on to RCPT." } else { "" };
        Some(format!("Mail fails while {}, and a probe sends no mail.{hint}", phase.doing()))
    }

    async fn try_one(&self, explained: &mut Explained<'_>) -> anyhow::Result<()> {
        let target = self.target(explained).await?;
        let policy = self.policy(explained, target.connector.as_ref());
        let name = policy.name.clone();
        let (level, tls) = match &target.connector {
            Some(connector) => (connector.tls.into(), tls_settings(connector, policy)),
            None => without_configuration(explained.finding.cause, policy),
        };
        let addresses = self.addresses(&target).await?;
        let envelope = match (&target.envelope, self.fleet) {
            (Some(wanted), Some(store)) => inquiry::transaction(store, wanted).await?,
            _ => None,
        };
        let trial = Trial { host: target.host.clone(), addresses, level, tls, envelope };
        let own = self.config.map_or("localhost", |config| &config.node.hostname);
        let ehlo_name = target.connector.as_ref().map_or(own, |connector| &connector.hello).to_owned();
        let mut options = ProbeOptions { ehlo_name, ..ProbeOptions::default() };
        options.timeout = self.timeout.unwrap_or(options.timeout);
        let progress = Progress::new(&trial.host);
        progress.show("asking each node to connect");
        let answers = self.ask(&target, options.timeout).await?;
        let ladder = climb(&trial, &options, |step| progress.show(step)).await;
        progress.clear();
        judge(explained, &trial, &ladder, &answers, &name)
    }

    async fn target(&self, explained: &Explained<'_>) -> anyhow::Result<Target> {
        let config = self.config;
        let named = explained.finding.scope.connector.as_deref();
        let named = named.and_then(|name| config.and_then(|config| config.connector(name)));
        let (host, port) = destination(explained, named.as_ref())?;
        // Files of other systems do not know the connectors of this configuration.
        let connector = named.or_else(|| config.and_then(|config| config.connector_to(&host, port)));
        let is_late = self.envelope && fails_late(explained);
        let envelope = if is_late { Some(self.waiting(explained, connector.as_ref()).await?) } else { None };
        Ok(Target { connector, host, port, envelope })
    }

    async fn addresses(
        &self,
        Target { connector, host, port, .. }: &Target,
    ) -> anyhow::Result<Vec<std::net::SocketAddr>> {
        let resolver = resolver(self.config)?;
        let found = match (connector, self.config) {
            (Some(connector), Some(config)) => node::addresses(&resolver, config, connector, host, *port).await,
            _ => in_order_of_mail(&resolver, host, *port).await,
        };
        found.map_err(|kind| anyhow!("{host}: {kind}"))
    }

    /// A message that waits because of this finding.
    async fn waiting(&self, explained: &Explained<'_>, connector: Option<&Connector>) -> anyhow::Result<OfMessage> {
        let store = self.fleet.context("--envelope needs the history of this gateway; run it without files")?;
        let query = TraceQuery {
            states: Some(vec![State::Queued, State::Leased, State::Suspended]),
            connector: connector.map(|connector| connector.name.clone()),
            limit: WAITING_MAX,
            ..TraceQuery::default()
        };
        let waiting = store.trace(query).await.context("failed to read the waiting messages")?;
        let phase = explained.failing_phase();
        let fails_so = waiting
            .into_iter()
            .find(|record| record.delivery.failure.as_ref().is_some_and(|failure| Some(failure.phase) == phase));
        let record =
            fails_so.context("no message is waiting because of this finding, so --envelope has no addresses")?;
        Ok(OfMessage { message: record.message.network_message_id, recipient: record.delivery.recipient })
    }

    /// The result of a connection from each node. Prints why a node gave no result.
    async fn ask(&self, target: &Target, timeout: Duration) -> anyhow::Result<Vec<ByNodeResult>> {
        let (Some(store), Some(connector)) = (self.fleet, &target.connector) else { return Ok(Vec::new()) };
        let Target { host, port, envelope, .. } = target;
        let question = Question::Connect(Connect {
            connector: connector.name.clone(),
            host: host.clone(),
            port: *port,
            timeout_ms: timeout.as_millis().try_into().unwrap_or(u64::MAX),
            envelope: envelope.clone(),
        });
        let mut tried = Vec::new();
        for (node, answer) in inquiry::ask_all(store, &question).await.context("failed to ask the nodes for a probe")? {
            let why = match answer {
                Some(Answer::Tried { tls_policy, result }) => {
                    tried.push(ByNodeResult { node, tls_policy, result: *result });
                    continue;
                }
                Some(Answer::Refused(why)) => why,
                Some(Answer::Logged(_) | Answer::Checked(_)) => "the node answered another question".to_owned(),
                None => "the node did not answer".to_owned(),
            };
            note!("gatepost: node {} did not connect to {}: {}", clean(&node), clean(host), clean(&why));
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
}

/// The addresses of a host of which no connector is known.
async fn in_order_of_mail(
    resolver: &Resolver,
    host: &str,
    port: u16,
) -> Result<Vec<std::net::SocketAddr>, protocol::smtp::FailureKind> {
    let found = in_order(resolver.addresses(host).await?);
    Ok(found.into_iter().map(|address| (address, port).into()).collect())
}

/// True if attempts fail where a connection without an envelope does not come.
fn fails_late(explained: &Explained<'_>) -> bool {
    explained.failing_phase().is_some_and(|phase| phase >= Phase::Mail)
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

fn judge(
    explained: &mut Explained<'_>,
    trial: &Trial,
    ladder: &Ladder,
    answers: &[ByNodeResult],
    policy: &str,
) -> anyhow::Result<()> {
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
        nodes: answers.iter().map(|answer| by_node(answer, trial)).collect(),
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
    Step { what, aspects, works: result.works(), detail: detail(result), chose }
}

/// How mail goes from a node.
struct ByNodeResult {
    node: String,
    tls_policy: String,
    result: ConnectionResult,
}

fn by_node<'a>(answer: &'a ByNodeResult, trial: &'a Trial) -> ByNode<'a> {
    let ByNodeResult { node, tls_policy, result } = answer;
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
