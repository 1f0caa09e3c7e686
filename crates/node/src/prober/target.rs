//! What a probe connects to, and as which mail.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use diagnosis::{CauseId, Explained};
use net::{
    probe::{ProbeOptions, Trial},
    resolve::Resolver,
    send::in_order,
    tls::TlsSettings,
};
use protocol::{
    smtp::{FailureKind, Phase, client::TlsLevel},
    tls::TlsPolicy,
};
use store::{State, Store, TraceQuery};

use crate::{
    addresses,
    config::{Config, Connector, Hosts},
    inquiry::{self, OfMessage},
    policy::tls_settings,
};

/// Number of waiting messages among which one for the envelope is looked for.
const WAITING_MAX: u32 = 500;
/// The port of a host that is named without one.
const SMTP_PORT: u16 = 25;

/// One destination to probe.
#[derive(Clone, Debug)]
pub struct Target {
    /// `None`: no connector has that host.
    pub connector: Option<Connector>,
    pub host: String,
    pub port: u16,
    pub(super) envelope: Option<OfMessage>,
    level: TlsLevel,
    tls: TlsSettings,
}

impl Target {
    /// A host as mail of the connector goes there, under its policy or another one.
    pub fn new(config: &Config, connector: Connector, host: String, port: u16, policy: Option<TlsPolicy>) -> Self {
        let policy = policy.or_else(|| config.policy(&connector.tls_policy)).unwrap_or_else(TlsPolicy::modern);
        let (level, tls) = (connector.tls.into(), tls_settings(&connector, policy));
        Self { connector: Some(connector), host, port, envelope: None, level, tls }
    }

    /// The destination of a finding, under the policy under which most attempts failed.
    pub(super) async fn of<S: Store>(
        explained: &Explained<'_>,
        config: Option<&Config>,
        envelope_from: Option<&S>,
    ) -> anyhow::Result<Self> {
        let scope = &explained.finding.scope;
        let named = scope.connector.as_deref().and_then(|name| config.and_then(|config| config.connector(name)));
        let (host, port) = destination(&scope.destination, named.as_ref())?;
        // Files of other systems do not know the connectors of this configuration.
        let connector = named.or_else(|| config.and_then(|config| config.connector_to(&host, port)));
        let policy = failing_policy(explained, config);
        let mut target = match (connector, config) {
            (Some(connector), Some(config)) => Self::new(config, connector, host, port, policy),
            (connector, _) => {
                let policy = policy.unwrap_or_else(TlsPolicy::modern);
                let (level, tls) = without_configuration(explained.finding.cause, policy);
                Self { connector, host, port, envelope: None, level, tls }
            }
        };
        if let Some(store) = envelope_from {
            target.envelope = Some(waiting(store, explained, target.connector.as_ref()).await?);
        }
        Ok(target)
    }

    /// The same under another policy.
    pub(super) fn under(self, policy: TlsPolicy) -> Self {
        Self { tls: TlsSettings { policy, ..self.tls }, ..self }
    }

    pub(super) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// Name of the policy that this node probes under.
    pub fn policy(&self) -> &str {
        &self.tls.policy.name
    }

    pub(super) async fn trial<S: Store>(&self, config: Option<&Config>, fleet: Option<&S>) -> anyhow::Result<Trial> {
        let Self { connector, host, port, envelope, level, tls } = self;
        let resolver = resolver(config)?;
        let found = match (connector, config) {
            (Some(connector), Some(config)) => addresses(&resolver, config, connector, host, *port).await,
            _ => in_order_of_mail(&resolver, host, *port).await,
        };
        let addresses = found.map_err(|kind| anyhow!("{host}: {kind}"))?;
        let envelope = match (envelope, fleet) {
            (Some(wanted), Some(store)) => inquiry::transaction(store, wanted).await?,
            _ => None,
        };
        Ok(Trial { host: host.clone(), addresses, level: *level, tls: tls.clone(), envelope })
    }

    pub(super) fn options(&self, config: Option<&Config>) -> ProbeOptions {
        let own = config.map_or("localhost", |config| &config.node.hostname);
        let ehlo_name = self.connector.as_ref().map_or(own, |connector| &connector.hello).to_owned();
        ProbeOptions { ehlo_name, ..ProbeOptions::default() }
    }
}

/// The resolver of the configuration, or the system's.
pub fn resolver(config: Option<&Config>) -> anyhow::Result<Resolver> {
    let dns = config.map(|config| config.dns.clone()).unwrap_or_default();
    Resolver::new(&dns.servers, *dns.timeout).map_err(anyhow::Error::msg)
}

/// A destination as people name it. An address becomes a literal (RFC 5321 section 4.1.3).
pub fn host_and_port(text: &str) -> anyhow::Result<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let ip = address.ip();
        return Ok((if ip.is_ipv6() { format!("[IPv6:{ip}]") } else { format!("[{ip}]") }, address.port()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => {
            (host, port.parse().with_context(|| format!("\"{port}\" is not a port; use a number from 1 to 65535"))?)
        }
        _ => (text, SMTP_PORT),
    };
    anyhow::ensure!(!host.is_empty(), "\"{text}\" has no host; use HOST or HOST:PORT");
    Ok((host.to_owned(), port))
}

/// The host of a finding, or the first host of its connector.
pub fn destination(destination: &str, connector: Option<&Connector>) -> anyhow::Result<(String, u16)> {
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

/// The policy under which most attempts failed, if it is known here.
fn failing_policy(explained: &Explained<'_>, config: Option<&Config>) -> Option<TlsPolicy> {
    let name = explained.failing_policy()?;
    match config {
        Some(config) => config.policy(name),
        None => TlsPolicy::built_in().into_iter().find(|policy| policy.name == name),
    }
}

/// Assumes that mail with a certificate failure verifies certificates, and that other stuck mail requires TLS.
fn without_configuration(cause: CauseId, policy: TlsPolicy) -> (TlsLevel, TlsSettings) {
    let verify = cause.concerns_certificate();
    let level = if verify { TlsLevel::Verify } else { TlsLevel::Require };
    (level, TlsSettings { policy, verify, authorities: None, identity: None })
}

/// The addresses of a host of which no connector is known.
async fn in_order_of_mail(resolver: &Resolver, host: &str, port: u16) -> Result<Vec<SocketAddr>, FailureKind> {
    let found = in_order(resolver.addresses(host).await?);
    Ok(found.into_iter().map(|address| (address, port).into()).collect())
}

/// True if attempts fail where a connection without an envelope does not come.
pub(super) fn fails_late(explained: &Explained<'_>) -> bool {
    explained.failing_phase().is_some_and(|phase| phase >= Phase::Mail)
}

/// A message that waits because of this finding.
async fn waiting<S: Store>(
    store: &S,
    explained: &Explained<'_>,
    connector: Option<&Connector>,
) -> anyhow::Result<OfMessage> {
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
    let record = fails_so.context("no message is waiting because of this finding, so --envelope has no addresses")?;
    Ok(OfMessage { message: record.message.network_message_id, recipient: record.delivery.recipient })
}
