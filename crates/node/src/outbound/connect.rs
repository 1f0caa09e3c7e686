//! Connects to a connector's destinations: tries its hosts in order, each with its addresses, until one is ready for
//! mail.

use std::{net::SocketAddr, sync::Arc};

use net::{
    resolve::MailExchanger,
    send::{Connection, Options, Progress, Seen, Timeouts, rank},
    serve::next_session_id,
};
use protocol::smtp::{Destination, Failure, FailureKind, Phase, client::TlsLevel};

use crate::{
    Node, Under,
    config::{self, Connector, Hosts, OnHandshakeFailure},
};

/// Maximum number of addresses of all hosts in one attempt. If all hosts are down, the attempt must end, because other mail
/// waits.
const ADDRESSES_MAX: usize = 8;

/// A connection with the facts that all its attempts share.
pub(super) struct Open {
    pub connection: Connection,
    pub session: u64,
    pub messages: u32,
    /// The connector as it was when the connection was opened.
    pub connector: Arc<Connector>,
    pub under: Under,
    /// The TLS handshake that failed, if the connection continues in plaintext because of it.
    pub plaintext_because: Option<(Failure, Seen)>,
    /// The recipients' domain, if the host comes from MX records.
    pub domain: Option<String>,
    /// The hosts that failed before this one.
    pub failed_hosts: Vec<Failed>,
}

/// A connection that failed, with its settings and its result.
pub(super) struct Failed {
    pub failure: Failure,
    pub seen: Seen,
    pub session: u64,
    pub under: Under,
    pub plaintext_because: Option<Failure>,
}

/// No host is ready for mail.
pub(super) struct NotConnected {
    /// The connection that came furthest.
    pub furthest: Failed,
    /// The others.
    pub failed_hosts: Vec<Failed>,
}

/// The settings of one attempt.
pub(super) struct Way<'a> {
    pub node: &'a Arc<Node>,
    pub connector: &'a Arc<Connector>,
    pub under: &'a Under,
    /// The recipients' domain, if the hosts come from MX records.
    pub domain: Option<&'a str>,
    pub progress: &'a Arc<Progress>,
}

impl Way<'_> {
    /// Tries the connector's hosts in order, each with some of its addresses.
    pub(super) async fn connect(&self) -> Result<Open, Box<NotConnected>> {
        self.progress.resolving();
        let mut failed_hosts = Vec::new();
        let hosts = match self.hosts().await {
            Ok(hosts) => hosts,
            Err(failure) => return Err(not_connected(vec![self.not_resolved(failure)], || self.host_not_found())),
        };
        let mut addresses_left = ADDRESSES_MAX;
        for (host, port) in hosts {
            if addresses_left == 0 {
                break;
            }
            match self.connect_to(&host, port, &mut addresses_left).await {
                Ok(open) => {
                    let domain = self.domain.map(str::to_owned);
                    return Ok(Open { domain, failed_hosts, ..open });
                }
                Err(failed) => failed_hosts.push(*failed),
            }
        }
        Err(not_connected(failed_hosts, || self.host_not_found()))
    }

    /// Connects to one host. If all its addresses fail, returns the failure that came furthest.
    async fn connect_to(&self, host: &str, port: u16, addresses_left: &mut usize) -> Result<Open, Box<Failed>> {
        let unresolved = Destination { host: host.to_owned(), port, address: None };
        let addresses = match self.node.addresses(self.connector, self.domain, host, port).await {
            Ok(addresses) => addresses,
            Err(kind) => {
                return Err(Box::new(self.not_resolved(Failure::new(Phase::Resolve, kind).at(&unresolved))));
            }
        };
        let mut furthest: Option<Box<Failed>> = None;
        for address in addresses.into_iter().take(*addresses_left) {
            *addresses_left -= 1;
            match self.open_address(host, address).await {
                Ok(open) => return Ok(open),
                Err(failed) => {
                    if furthest.as_ref().is_none_or(|furthest| rank(&failed.failure) > rank(&furthest.failure)) {
                        furthest = Some(failed);
                    }
                }
            }
        }
        Err(furthest.unwrap_or_else(|| Box::new(self.host_not_found())))
    }

    fn not_resolved(&self, failure: Failure) -> Failed {
        let (session, under) = (next_session_id(), self.under.clone());
        Failed { failure, seen: Seen::default(), session, under, plaintext_because: None }
    }

    fn host_not_found(&self) -> Failed {
        self.not_resolved(Failure::new(Phase::Resolve, FailureKind::HostNotFound))
    }

    /// Connects to one address. If the handshake fails and the connector allows plaintext, connects again without TLS.
    async fn open_address(&self, host: &str, address: SocketAddr) -> Result<Open, Box<Failed>> {
        let options = options(self.connector, self.under, self.progress);
        let opened = |session, connection, plaintext_because| {
            let (connector, under) = (Arc::clone(self.connector), self.under.clone());
            let (messages, domain, failed_hosts) = (0, None, Vec::new());
            Open { connection, session, messages, connector, under, plaintext_because, domain, failed_hosts }
        };
        let (session, first) = match self.open_connection(host, address, &options).await {
            (session, Ok(connection)) => return Ok(opened(session, connection, None)),
            (session, Err(first)) => (session, *first),
        };
        let under = self.under.clone();
        let (failure, seen) = first;
        if !may_go_on_in_plaintext(self.connector, &failure) {
            return Err(Box::new(Failed { failure, seen, session, under, plaintext_because: None }));
        }
        tracing::warn!(connector = self.connector.name, %failure, "the TLS handshake failed; sending in plaintext because on_handshake_failure allows it");
        let plain = Options { tls_level: TlsLevel::None, ..options };
        match self.open_connection(host, address, &plain).await {
            (session, Ok(connection)) => Ok(opened(session, connection, Some((failure, seen)))),
            (session, Err(second)) => {
                // Report the handshake that failed: without it, plaintext would not have been tried.
                let (second, seen_second) = *second;
                let seen = Seen { handshake: seen.handshake, ..seen_second };
                Err(Box::new(Failed { failure: second, seen, session, under, plaintext_because: Some(failure) }))
            }
        }
    }

    /// Opens a connection with its own session in the protocol log.
    async fn open_connection(
        &self,
        host: &str,
        address: SocketAddr,
        options: &Options,
    ) -> (u64, Result<Connection, Box<(Failure, Seen)>>) {
        let (node, connector) = (self.node, self.connector);
        let session = next_session_id();
        let logged = connector.protocol_log.then(|| node.protocol_logs.send_session(&connector.name, session, address));
        let opened = Connection::open(host, address, options, &node.tls.load(), logged).await;
        let seen = opened.as_ref().map_or_else(|failed| &failed.1, Connection::seen);
        node.destinations.note(host, address, seen);
        (session, opened)
    }

    async fn hosts(&self) -> Result<Vec<(String, u16)>, Failure> {
        let (node, connector) = (self.node, self.connector);
        let failed = |kind| Failure::new(Phase::Resolve, kind);
        match (&connector.hosts, self.domain) {
            (Hosts::SmartHosts(hosts), _) => {
                Ok(hosts.iter().map(|host| (host.host.clone(), host.port.unwrap_or(connector.port))).collect())
            }
            (Hosts::Mx, Some(literal)) if literal.starts_with('[') => Ok(vec![(literal.to_owned(), connector.port)]),
            (Hosts::Mx, Some(domain)) => {
                let at = Destination { host: domain.to_owned(), port: connector.port, address: None };
                let records = node.resolver().mail_exchangers(domain).await.map_err(|kind| failed(kind).at(&at))?;
                let records = records
                    .into_iter()
                    .map(|MailExchanger { preference, host }| delivery::route::Mx { preference, host })
                    .collect();
                let own = [node.hostname.as_str(), connector.hello.as_str()];
                let ordered = delivery::route::order_mx(records, domain, &own, || node.random_u32());
                let ordered = ordered.map_err(|kind| failed(kind).at(&at))?;
                Ok(ordered.into_iter().map(|host| (host, connector.port)).collect())
            }
            (Hosts::Mx, None) => Err(failed(FailureKind::HostNotFound)),
        }
    }
}

/// Of several failures of the same rank, the first is reported.
fn not_connected(mut failed_hosts: Vec<Failed>, none: impl FnOnce() -> Failed) -> Box<NotConnected> {
    let furthest = failed_hosts.iter().enumerate().rev().max_by_key(|(_, failed)| rank(&failed.failure));
    let furthest = furthest.map(|(index, _)| index).map(|index| failed_hosts.remove(index));
    Box::new(NotConnected { furthest: furthest.unwrap_or_else(none), failed_hosts })
}

/// Only a failure between this node and the destination allows plaintext. A fault in this node's own setup does not.
fn may_go_on_in_plaintext(connector: &Connector, failure: &Failure) -> bool {
    connector.tls == config::TlsLevel::Opportunistic
        && connector.on_handshake_failure == OnHandshakeFailure::Plaintext
        && failure.phase == Phase::Handshake
        && !matches!(failure.kind, FailureKind::Local { .. })
}

fn options(connector: &Connector, under: &Under, progress: &Arc<Progress>) -> Options {
    let timeouts = &connector.timeouts;
    Options {
        ehlo_name: connector.hello.clone(),
        tls_level: connector.tls.into(),
        tls: Arc::clone(&under.tls),
        timeouts: Timeouts {
            connect: *timeouts.connect,
            banner: *timeouts.banner,
            ehlo: *timeouts.ehlo,
            starttls: *timeouts.starttls,
            handshake: *timeouts.starttls,
            mail: *timeouts.mail,
            rcpt: *timeouts.rcpt,
            data: *timeouts.data,
            content: *timeouts.content,
            end_of_data: *timeouts.end_of_data,
            quit: *timeouts.quit,
        },
        pipelining: connector.pipelining,
        maximum_segment: None,
        progress: Arc::clone(progress),
    }
}
