//! Decides where mail may go if a stranger chose the destination: to the public internet, but not into this
//! organisation's own network. Otherwise a forged sender or a hostile MX record could make notices connect to any
//! internal server.

use std::net::IpAddr;

use protocol::smtp::FailureKind;

use crate::{
    Node,
    config::{Connector, Hosts, INTERNET},
};

impl Node {
    /// Those of a host's addresses that mail for `domain` may go to by this connector. Where there are none, the failure
    /// names the first that is refused.
    pub(super) fn permitted(
        &self,
        connector: &Connector,
        domain: Option<&str>,
        found: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, FailureKind> {
        let is_accepted = |domain| self.routes.load().accepts(domain);
        let is_ours = connector.name != INTERNET && domain.is_none_or(is_accepted);
        if connector.hosts != Hosts::Mx || is_ours {
            return Ok(found);
        }
        let config = self.config.load();
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
}
