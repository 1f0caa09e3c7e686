//! Validates a connector: can mail leave by it? Each of its addresses is connected to as mail does, step by step, up to a
//! recipient or a test message if one is given.
//!
//! ```text
//!   connector ──hosts──> resolve ──> each address: connect, greeting, STARTTLS, handshake, certificate, RCPT, test mail
//! ```

mod address;
mod mail;
mod steps;
mod way;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail};
use insight::views::{
    ConnectorValidationView, JobKindView, JobResultView, JobStepStateView, ValidatedHostView, ValidatedStepView,
    ValidationStepView,
};
use jiff::{SignedDuration, Timestamp};
use net::resolve::{MailExchanger, Resolver};
use protocol::{host_port, tls::TlsPolicy};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Node, addresses,
    config::{Config, Connector, Hosts},
    jobs::{NewJob, Step, Steps, milliseconds},
    policy::tls_settings,
    prober::{NotStarted, resolver},
};
use way::Way;

pub use mail::Mail;

/// Maximum number of hosts, and of addresses of all hosts. It is as in an attempt.
const HOSTS_MAX: usize = 8;
const ADDRESSES_MAX: usize = 8;
/// From when on a certificate is marked.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Sees the steps of a validation.
pub trait Observer: Send {
    fn begins(&mut self, place: &str, step: ValidationStepView);
    /// What came of a step. It may come twice for one step, first without details.
    fn ended(&mut self, place: &str, step: &ValidatedStepView);
}

/// Connects as mail of the connector does under that policy. `node`: who connects.
pub async fn validate(
    config: &Config,
    connector: &Connector,
    policy: TlsPolicy,
    node: &str,
    mail: Option<&Mail>,
    observer: &mut dyn Observer,
) -> anyhow::Result<ConnectorValidationView> {
    let resolver = resolver(Some(config))?;
    let mut view = ConnectorValidationView {
        connector: connector.name.clone(),
        node: node.to_owned(),
        tls_policy: policy.name.clone(),
        works: false,
        hosts: Vec::new(),
    };
    let way = Way { connector, tls: tls_settings(connector, policy), mail, now: Timestamp::now() };
    let mut left = ADDRESSES_MAX;
    for (host, port) in hosts(config, connector, mail, &resolver).await?.into_iter().take(HOSTS_MAX) {
        let place = host_port::join(&host, Some(port));
        observer.begins(&place, ValidationStepView::Resolve);
        let began = Instant::now();
        let found = addresses(&resolver, config, connector, &host, port).await;
        let (state, detail) = match &found {
            Ok(found) => (JobStepStateView::Worked, list(found)),
            Err(kind) => (JobStepStateView::Failed, kind.to_string()),
        };
        let took_ms = Some(milliseconds(began.elapsed()));
        let resolved = ValidatedStepView { step: ValidationStepView::Resolve, state, detail: Some(detail), took_ms };
        observer.ended(&place, &resolved);
        let mut tried = Vec::new();
        for address in found.unwrap_or_default().into_iter().take(left) {
            tried.push(way.validate(&host, address, observer).await);
        }
        left -= tried.len();
        view.works |= tried.iter().any(|address| address.works);
        view.hosts.push(ValidatedHostView { host, port, resolved, addresses: tried });
    }
    Ok(view)
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ")
}

/// The hosts with their ports, in the order in which mail tries them.
async fn hosts(
    config: &Config,
    connector: &Connector,
    mail: Option<&Mail>,
    resolver: &Resolver,
) -> anyhow::Result<Vec<(String, u16)>> {
    if let Hosts::SmartHosts(hosts) = &connector.hosts {
        let port = |port: Option<u16>| port.unwrap_or(connector.port);
        return Ok(hosts.iter().map(|host| (host.host.clone(), port(host.port))).collect());
    }
    let of_recipient = mail.map(|mail| mail.recipient.domain_key().to_string());
    let accepted = config.accepted_domains.iter().find(|domain| domain.connector == connector.name);
    let domain = of_recipient.or_else(|| accepted.map(|domain| domain.name.clone()));
    let domain = domain.with_context(|| {
        format!("connector \"{}\" delivers to the MX hosts of each domain; give a recipient", connector.name)
    })?;
    let found = resolver.mail_exchangers(&domain).await;
    let found = found.map_err(|kind| anyhow::anyhow!("MX records of {domain}: {kind}"))?;
    Ok(found.into_iter().map(|MailExchanger { host, .. }| (host, connector.port)).collect())
}

/// Addresses whose certificates expire soon, and when.
pub fn certificates(validation: &ConnectorValidationView) -> impl Iterator<Item = (SocketAddr, Timestamp)> {
    let addresses = validation.hosts.iter().flat_map(|host| &host.addresses);
    addresses.filter_map(|address| Some((address.address, address.certificate_expires?)))
}

impl Node {
    /// Starts a validation from this node, for `owner`.
    pub async fn start_validation(
        self: &Arc<Self>,
        name: &str,
        mail: Option<Mail>,
        owner: &str,
    ) -> Result<Uuid, NotStarted> {
        let config = self.config.load_full();
        let Some(connector) = config.connector(name) else {
            return Err(NotStarted::NoTarget(anyhow::anyhow!("there is no connector \"{name}\"")));
        };
        if connector.hosts == Hosts::Mx && mail.is_none() && !has_domain(&config, name) {
            let why = "the connector delivers to the MX hosts of each domain; give a recipient";
            return Err(NotStarted::NoTarget(anyhow::anyhow!(why)));
        }
        let new = NewJob { kind: JobKindView::Validation, about: name.to_owned(), owner: owner.to_owned() };
        let node = Arc::clone(self);
        Ok(self.jobs.start(new, |steps| async move {
            let policy = node.tls_under(&connector).tls.policy.clone();
            let mut shown = Shown { steps: &steps, begun: Vec::new() };
            let view = validate(&config, &connector, policy, &node.name, mail.as_ref(), &mut shown).await?;
            if view.hosts.is_empty() {
                bail!("the connector has no host");
            }
            Ok(JobResultView::Validation(Box::new(view)))
        })?)
    }
}

fn has_domain(config: &Config, connector: &str) -> bool {
    config.accepted_domains.iter().any(|domain| domain.connector == connector)
}

/// Shows the steps of a job.
struct Shown<'a> {
    steps: &'a Steps,
    begun: Vec<(String, ValidationStepView, Step)>,
}

impl Observer for Shown<'_> {
    fn begins(&mut self, place: &str, step: ValidationStepView) {
        let begun = self.steps.begin_at(place, step.title());
        self.begun.push((place.to_owned(), step, begun));
    }

    fn ended(&mut self, place: &str, ended: &ValidatedStepView) {
        let is_it = |(other, step, _): &&(String, ValidationStepView, Step)| other == place && *step == ended.step;
        if !self.begun.iter().any(|begun| is_it(&begun)) {
            // What was not reached is in the result alone.
            if ended.state == JobStepStateView::Skipped {
                return;
            }
            self.begins(place, ended.step);
        }
        if let Some((_, _, step)) = self.begun.iter().find(is_it) {
            step.set(ended.state, ended.detail.clone());
            ended.took_ms.into_iter().for_each(|ms| step.took(ms));
        }
    }
}
