//! The settings and their defaults. The doc comments here are also the text of `gatepost config reference`, and the
//! check of a file uses the schema that is derived from these types: one source for all three.
//!
//! Invariant: a [`Config`] from [`Config::parse`](Config::parse) has no empty names, no references to names that do not
//! exist, and no duplicate names.

mod connector;
mod inbound;
mod node;
mod observe;
mod queue;
mod store;
mod tls_policy;

use std::net::SocketAddr;

use protocol::tls::TlsPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Hosts;
pub use connector::{Connector, Internet, OnHandshakeFailure, Timeouts, TlsLevel};
pub use inbound::{AcceptedDomain, Inbound};
pub use node::Node;
pub use observe::{Api, ApiScope, ApiToken, Console, History, Log, LogFormat, LogLevel, Metrics, ProtocolLog, Watch};
pub use queue::{Dns, Notices, Retry, Rollout};
pub use store::{Store, StoreTls};
pub use tls_policy::{NamedPolicy, Version};

/// Name of the built-in connector that delivers by MX; no other connector may have it.
pub const INTERNET: &str = "internet";

/// The whole file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub store: Store,
    pub inbound: Inbound,
    #[serde(rename = "accepted_domain")]
    pub accepted_domains: Vec<AcceptedDomain>,
    #[serde(rename = "connector")]
    pub connectors: Vec<Connector>,
    pub internet: Internet,
    #[serde(rename = "tls_policy")]
    pub tls_policies: Vec<NamedPolicy>,
    pub retry: Retry,
    pub rollout: Rollout,
    pub notices: Notices,
    pub dns: Dns,
    pub log: Log,
    pub protocol_log: ProtocolLog,
    pub history: History,
    pub watch: Watch,
    pub console: Console,
    pub api: Api,
    pub metrics: Metrics,
    #[serde(rename = "api_token")]
    pub api_tokens: Vec<ApiToken>,
}

/// No TLS policy has that name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown TLS policy \"{policy}\"; policies are: {}", .known.join(", "))]
pub struct UnknownPolicy {
    policy: String,
    known: Vec<String>,
}

impl Config {
    /// As people may see it.
    pub fn without_passwords(mut self) -> Self {
        for url in [&mut self.store.url, &mut self.store.search_url].into_iter().flatten() {
            *url = ::store::without_password(url);
        }
        self
    }

    /// The connector of that name, the built-in one included.
    pub fn connector(&self, name: &str) -> Option<Connector> {
        let configured = self.connectors.iter().find(|connector| connector.name == name);
        configured.cloned().or_else(|| (name == INTERNET).then(|| self.internet()))
    }

    /// The names of all connectors, the built-in one included.
    pub fn connector_names(&self) -> impl Iterator<Item = &str> {
        self.connectors.iter().map(|connector| connector.name.as_str()).chain([INTERNET])
    }

    /// Where people reach the console, without a path. `None`: there is none.
    pub fn console_url(&self) -> Option<String> {
        let of_address = |address: &SocketAddr| match (address.ip().is_loopback(), address.port()) {
            (true, _) => format!("http://{address}"),
            (false, 443) => format!("https://{}", self.node.hostname),
            (false, port) => format!("https://{}:{port}", self.node.hostname),
        };
        self.console.url.clone().or_else(|| self.console.listen.first().map(of_address))
    }

    /// The connector that has this smart host, if it is the only one.
    pub fn connector_to(&self, host: &str, port: u16) -> Option<Connector> {
        let has = |connector: &&Connector| match &connector.hosts {
            Hosts::SmartHosts(hosts) => hosts
                .iter()
                .any(|smart| smart.host.eq_ignore_ascii_case(host) && smart.port.unwrap_or(connector.port) == port),
            Hosts::Mx => false,
        };
        let mut connectors = self.connectors.iter().filter(has);
        connectors.next().filter(|_| connectors.next().is_none()).cloned()
    }

    /// The built-in connector, which delivers by MX.
    pub fn internet(&self) -> Connector {
        Connector { hello: self.node.hostname.clone(), ..Connector::default() }
    }

    /// All TLS policies that a connector can name: the built-in ones and those of the file.
    pub fn policies(&self) -> impl Iterator<Item = TlsPolicy> {
        TlsPolicy::built_in().into_iter().chain(self.tls_policies.iter().map(NamedPolicy::policy))
    }

    pub fn policy(&self, name: &str) -> Option<TlsPolicy> {
        self.policies().find(|policy| policy.name == name)
    }

    /// The same for a name that somebody has typed.
    pub fn known_policy(&self, name: &str) -> Result<TlsPolicy, UnknownPolicy> {
        self.policy(name).ok_or_else(|| {
            let known = self.policies().map(|policy| policy.name).collect();
            UnknownPolicy { policy: name.to_owned(), known }
        })
    }

    /// The names of the connectors that name this policy.
    pub fn connectors_under(&self, policy: &str) -> impl Iterator<Item = &str> {
        let under = self.connectors.iter().filter(move |connector| connector.tls_policy == policy);
        under.map(|connector| connector.name.as_str())
    }

    /// The keys that differ in `new` and take effect only after a restart.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        [
            ("node.name", self.node.name != new.node.name),
            ("node.data", self.node.data != new.node.data),
            ("node.hostname", self.node.hostname != new.node.hostname),
            ("store", self.store != new.store),
            ("protocol_log.folder", self.protocol_log.folder != new.protocol_log.folder),
            ("inbound.listen", self.inbound.listen != new.inbound.listen),
            ("inbound.client_prefix_ipv4", self.inbound.client_prefix_ipv4 != new.inbound.client_prefix_ipv4),
            ("inbound.client_prefix_ipv6", self.inbound.client_prefix_ipv6 != new.inbound.client_prefix_ipv6),
            ("api.listen", self.api.listen != new.api.listen),
            ("console.listen", self.console.listen != new.console.listen),
            ("metrics.listen", self.metrics.listen != new.metrics.listen),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}
