//! The connectors, for people and programs.

use insight::views::ConnectorView;

use crate::config::{Config, Connector, Hosts, OnHandshakeFailure, TlsLevel};

/// All connectors, the built-in one last.
pub fn connectors(config: &Config) -> Vec<ConnectorView> {
    let names: Vec<&str> = config.connector_names().collect();
    names.into_iter().filter_map(|name| config.connector(name)).map(|connector| view(config, &connector)).collect()
}

fn view(config: &Config, connector: &Connector) -> ConnectorView {
    let hosts = match &connector.hosts {
        Hosts::Mx => vec!["mx".to_owned()],
        Hosts::SmartHosts(hosts) => hosts
            .iter()
            .map(|host| protocol::host_port::join(&host.host, Some(host.port.unwrap_or(connector.port))))
            .collect(),
    };
    let tls = match connector.tls {
        TlsLevel::None => "none",
        TlsLevel::Opportunistic => "opportunistic",
        TlsLevel::Require => "require",
        TlsLevel::Verify => "verify",
    };
    let falls_back =
        connector.tls == TlsLevel::Opportunistic && connector.on_handshake_failure == OnHandshakeFailure::Plaintext;
    let domains = config.accepted_domains.iter().filter(|domain| domain.connector == connector.name);
    ConnectorView {
        name: connector.name.clone(),
        hosts,
        port: connector.port,
        tls: tls.to_owned(),
        tls_policy: connector.tls_policy.clone(),
        falls_back,
        concurrency: connector.concurrency,
        rate: connector.rate.as_ref().map(ToString::to_string),
        domains: domains.map(|domain| domain.name.clone()).collect(),
    }
}
