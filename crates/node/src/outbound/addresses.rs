//! Decides which addresses of a host mail goes to, and in which order. If a stranger chose the destination, mail goes to the
//! public internet, but not into this organisation's own network. Otherwise a forged sender or a hostile MX record could make notices connect to any
//! internal server.

use std::net::{IpAddr, SocketAddr};

use net::{resolve::Resolver, send::in_order};
use protocol::smtp::FailureKind;

use crate::{
    Node,
    config::{Config, Connector, Hosts, INTERNET},
};

/// The addresses of a host that mail of a connector goes to, in the order in which one attempt tries them. A probe asks here
/// as well.
pub async fn addresses(
    resolver: &Resolver,
    config: &Config,
    connector: &Connector,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, FailureKind> {
    let is_ours = connector.name != INTERNET;
    addresses_of(resolver, config, connector, is_ours, host, port).await
}

impl Node {
    /// The same for mail to a domain: the hosts of a domain that this gateway does not accept were chosen by a stranger.
    pub(super) async fn addresses(
        &self,
        connector: &Connector,
        domain: Option<&str>,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, FailureKind> {
        let is_accepted = |domain| self.routes.load().accepts(domain);
        let is_ours = connector.name != INTERNET && domain.is_none_or(is_accepted);
        addresses_of(&self.resolver(), &self.config.load_full(), connector, is_ours, host, port).await
    }
}

async fn addresses_of(
    resolver: &Resolver,
    config: &Config,
    connector: &Connector,
    is_ours: bool,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, FailureKind> {
    let found = resolver.addresses(host).await?;
    let permitted = permitted(config, connector, is_ours, found)?;
    Ok(in_order(permitted).into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// Those of a host's addresses that mail may go to. Where there are none, the failure names the first that is refused.
fn permitted(
    config: &Config,
    connector: &Connector,
    is_ours: bool,
    found: Vec<IpAddr>,
) -> Result<Vec<IpAddr>, FailureKind> {
    if connector.hosts != Hosts::Mx || is_ours {
        return Ok(found);
    }
    let is_allowed = |address: &IpAddr| {
        net::public::is_public(*address) || config.internet.allow.iter().any(|network| network.contains(*address))
    };
    let refused = found.iter().copied().find(|address| !is_allowed(address));
    let permitted: Vec<IpAddr> = found.into_iter().filter(is_allowed).collect();
    match refused {
        Some(address) if permitted.is_empty() => Err(FailureKind::AddressNotAllowed { address }),
        _ => Ok(permitted),
    }
}
