//! What inbound sessions run under, made from the configuration.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use delivery::route::Routes;
use net::{
    serve::{Limits, Settings},
    tls,
};
use protocol::smtp::server::{Policy, Recipients};

use crate::config::Config;

/// Which recipients may be named: those of accepted domains.
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

/// Reads the certificate; where none is configured, the node makes one for itself in its data folder.
pub(super) fn settings(config: &Config, data: &Path) -> anyhow::Result<Settings> {
    let inbound = &config.inbound;
    let acceptor = if inbound.starttls {
        let (certificate, key) = match (&inbound.tls_certificate, &inbound.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            _ => {
                let (certificate, key) = (data.join("self-signed.pem"), data.join("self-signed.key"));
                tls::ensure_self_signed(&certificate, &key, &config.node.hostname)
                    .context("failed to make a self-signed certificate")?;
                (certificate, key)
            }
        };
        Some(tls::acceptor(&certificate, &key)?)
    } else {
        None
    };
    let postmaster_domain = config.accepted_domains.iter().map(|domain| &domain.name).find(|name| !name.contains('*'));
    let policy = Policy {
        hostname: config.node.hostname.clone(),
        size_max: inbound.size_max.bytes(),
        recipients_max: inbound.recipients_max as usize,
        body_line_max: inbound.line_max.bytes() as usize,
        errors_max: inbound.errors_max,
        starttls: acceptor.is_some(),
        command_timeout: *inbound.command_timeout,
        data_timeout: *inbound.data_timeout,
        recipients: Arc::new(Accepted { routes: super::routes(config), postmaster_domain: postmaster_domain.cloned() }),
    };
    let limits = Limits {
        connections_max: inbound.connections_max as usize,
        connections_per_client_max: inbound.connections_per_client_max as usize,
    };
    Ok(Settings { policy: Arc::new(policy), limits, acceptor })
}
