//! The settings of inbound sessions, from the configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use delivery::route::Routes;
use net::{
    serve::{Limits, Prefixes, Settings},
    tls::{self, Acceptor},
};
use protocol::smtp::server::{Policy, Recipients};

use crate::config::Config;

/// Accepts recipients of accepted domains only.
struct Accepted {
    routes: Routes,
    postmaster_domain: Option<String>,
}

impl Recipients for Accepted {
    fn accepts(&self, domain_key: &str) -> bool {
        self.routes.accepts(domain_key)
    }

    fn postmaster_domain(&self) -> Option<String> {
        self.postmaster_domain.clone()
    }
}

/// Reads the certificate. If none is configured, the node creates one in its data folder.
pub(super) fn acceptor(config: &Config, data: &Path) -> anyhow::Result<Acceptor> {
    let (certificate, key) = certificate(config, data);
    if config.inbound.tls_certificate.is_none() {
        tls::ensure_self_signed(&certificate, &key, &config.node.hostname)
            .context("failed to create a self-signed certificate")?;
    }
    Ok(tls::acceptor(&certificate, &key)?)
}

/// The files of the node's certificate and of its key. Unless they are configured, they may not exist.
pub(super) fn certificate(config: &Config, data: &Path) -> (PathBuf, PathBuf) {
    match (&config.inbound.tls_certificate, &config.inbound.tls_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => (data.join("self-signed.pem"), data.join("self-signed.key")),
    }
}

pub(super) fn settings(config: &Config, data: &Path) -> anyhow::Result<Settings> {
    let inbound = &config.inbound;
    let acceptor = if inbound.starttls { Some(acceptor(config, data)?) } else { None };
    let postmaster_domain = config.accepted_domains.iter().map(|domain| &domain.name).find(|name| !name.contains('*'));
    let policy = Policy {
        hostname: config.node.hostname.clone(),
        size_max: inbound.size_max.bytes(),
        recipients_max: inbound.recipients_max as usize,
        body_line_max: inbound.line_max.bytes() as usize,
        errors_max: inbound.errors_max,
        junk_commands_max: inbound.junk_commands_max,
        starttls: acceptor.is_some(),
        command_timeout: *inbound.command_timeout,
        data_timeout: *inbound.data_timeout,
        recipients: Arc::new(Accepted { routes: super::routes(config), postmaster_domain: postmaster_domain.cloned() }),
    };
    let limits = Limits {
        connections_max: inbound.connections_max as usize,
        connections_per_client_max: inbound.connections_per_client_max as usize,
        session_max: *inbound.session_max,
        data_rate_min: inbound.data_rate_min.bytes(),
    };
    Ok(Settings { policy: Arc::new(policy), limits, acceptor })
}

/// The addresses that count as one client.
pub(super) fn prefixes(config: &Config) -> Prefixes {
    Prefixes { ipv4: config.inbound.client_prefix_ipv4, ipv6: config.inbound.client_prefix_ipv6 }
}
