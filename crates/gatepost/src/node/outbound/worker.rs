//! One connection at a time: takes jobs from its lane, opens a connection where there is none, and keeps it for the
//! next message as long as there is one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use net::{
    resolve::MailExchanger,
    send::{Connection, Options, Timeouts, interleave},
    serve::next_session_id,
};
use protocol::smtp::{Destination, Failure, FailureKind, Phase, Reply, Scope, client::TlsLevel};
use store::Store;
use tokio::time::Instant;
use trace::Attempt;

use super::{
    job::Job,
    lane::Lane,
    results::{self, Attempted},
};
use crate::{
    config::{self, Connector, Hosts, OnHandshakeFailure},
    node::Node,
};

/// A connection without work is kept this long.
const IDLE: Duration = Duration::from_secs(2);

/// A connection with what its attempts have in common.
struct Open {
    connection: Connection,
    session: u64,
    messages: u32,
    /// The handshake failure for which it goes on in the clear.
    plaintext_because: Option<Failure>,
    /// The domain that it was opened for, where MX decides.
    domain: Option<String>,
}

/// Works for a lane until there is nothing to do for a while.
pub(super) async fn run<S: Store>(lane: Arc<Lane>, node: Arc<Node<S>>) {
    let mut open: Option<Open> = None;
    while let Some(job) = lane.next_job(IDLE).await {
        lane.wait_for_slot().await;
        let connector = lane.connector();
        let started = Instant::now();
        open = work(&lane, &node, &connector, open, job, started).await;
        if lane.is_closed() {
            break;
        }
    }
    if let Some(open) = open {
        open.connection.quit().await;
    }
}

/// Sends one job; returns the connection where it can serve another.
async fn work<S: Store>(
    lane: &Lane,
    node: &Arc<Node<S>>,
    connector: &Connector,
    open: Option<Open>,
    job: Job,
    started: Instant,
) -> Option<Open> {
    let domain = match connector.hosts {
        Hosts::Mx => job.deliveries.first().map(|delivery| delivery.recipient.domain_key()),
        Hosts::SmartHosts(_) => None,
    };
    let kept = match open {
        Some(open) if open.domain == domain && open.messages < connector.messages_per_connection => Some(open),
        Some(open) => {
            open.connection.quit().await;
            None
        }
        None => None,
    };
    let was_kept = kept.is_some();
    let mut current = match kept {
        Some(open) => open,
        None => match connect(node, connector, domain.clone()).await {
            Ok(open) => open,
            Err(failure) => {
                not_connected(lane, node, connector, &job, failure, started).await;
                return None;
            }
        },
    };
    let mut sent = send(node, &mut current, &job).await;
    if was_kept && closed_while_idle(&sent) {
        current = match connect(node, connector, domain).await {
            Ok(open) => open,
            Err(failure) => {
                not_connected(lane, node, connector, &job, failure, started).await;
                return None;
            }
        };
        sent = send(node, &mut current, &job).await;
    }
    let failed_as_a_whole =
        sent.iter().all(|result| result.as_ref().is_err_and(|failure| failure.scope() == Scope::Destination));
    if !failed_as_a_whole {
        lane.succeeded();
    }
    results::record(node, job, attempted(connector, Some(&current), None, sent, started)).await;
    current.connection.is_reusable().then_some(current)
}

async fn send<S: Store>(node: &Arc<Node<S>>, open: &mut Open, job: &Job) -> Vec<Result<Reply, Failure>> {
    open.messages += 1;
    open.connection.send(&job.transaction(), &mut job.content(&node.store)).await
}

/// A kept connection may have been closed by the other side while nobody looked: that is no failure of the message.
fn closed_while_idle(sent: &[Result<Reply, Failure>]) -> bool {
    sent.iter().all(|result| match result {
        Err(failure) => {
            failure.phase == Phase::Mail
                && (matches!(failure.kind, FailureKind::ConnectionClosed | FailureKind::ConnectionReset)
                    || failure.reply.as_ref().is_some_and(|reply| reply.code == 421))
        }
        Ok(_) => false,
    })
}

async fn not_connected<S: Store>(
    lane: &Lane,
    node: &Arc<Node<S>>,
    connector: &Connector,
    job: &Job,
    failure: Failure,
    started: Instant,
) {
    // With MX, each domain has destinations of its own: one that fails says nothing of the others.
    if connector.hosts != Hosts::Mx && failure.scope() == Scope::Destination {
        lane.failed(&failure, &node.back_off_policy(), node.random());
    }
    let destination = failure.destination.clone();
    let sent = vec![Err(failure); job.deliveries.len()];
    results::record(node, job.clone(), attempted(connector, None, destination, sent, started)).await;
}

fn attempted(
    connector: &Connector,
    open: Option<&Open>,
    destination: Option<Destination>,
    results: Vec<Result<Reply, Failure>>,
    started: Instant,
) -> Attempted {
    let attempt = Attempt {
        connector: connector.name.clone(),
        destination: open.map(|open| open.connection.destination().clone()).or(destination),
        local: open.and_then(|open| open.connection.local()),
        tls_policy: connector.tls_policy.policy().name.to_owned(),
        tls: open.and_then(|open| open.connection.tls().cloned()),
        plaintext_because: open.and_then(|open| open.plaintext_because.clone()),
        session: format!("{:016X}", open.map_or_else(next_session_id, |open| open.session)),
        duration_ms: started.elapsed().as_millis() as u64,
    };
    let offers_dsn = open.is_some_and(|open| open.connection.extensions().dsn);
    Attempted { attempt, results, offers_dsn }
}

/// Tries the connector's hosts in order, each with all its addresses. Where all fail, the failure that came furthest
/// is the one to tell of.
async fn connect<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Connector,
    domain: Option<String>,
) -> Result<Open, Failure> {
    let mut worst: Option<Failure> = None;
    for (host, port) in hosts(node, connector, domain.as_deref()).await? {
        let failure = match open_host(node, connector, &host, port).await {
            Ok((connection, plaintext_because)) => {
                return Ok(Open { connection, session: next_session_id(), messages: 0, plaintext_because, domain });
            }
            Err(failure) => failure,
        };
        if worst.as_ref().is_none_or(|worst| failure.phase > worst.phase) {
            worst = Some(failure);
        }
    }
    Err(worst.unwrap_or_else(|| Failure::new(Phase::Resolve, FailureKind::HostNotFound)))
}

async fn open_host<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Connector,
    host: &str,
    port: u16,
) -> Result<(Connection, Option<Failure>), Failure> {
    let unresolved = Destination { host: host.to_owned(), port, address: None };
    let addresses = node.resolver().addresses(host).await;
    let addresses = addresses.map_err(|kind| Failure::new(Phase::Resolve, kind).at(&unresolved))?;
    let options = options(connector);
    let mut worst: Option<Failure> = None;
    for address in interleave(addresses) {
        match open_address(node, connector, host, SocketAddr::new(address, port), &options).await {
            Ok(opened) => return Ok(opened),
            Err(failure) => {
                if worst.as_ref().is_none_or(|worst| failure.phase > worst.phase) {
                    worst = Some(failure);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| Failure::new(Phase::Resolve, FailureKind::HostNotFound).at(&unresolved)))
}

/// One address; a second time in the clear where the handshake failed and the connector allows that.
async fn open_address<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Connector,
    host: &str,
    address: SocketAddr,
    options: &Options,
) -> Result<(Connection, Option<Failure>), Failure> {
    let failure = match Connection::open(host, address, options, &node.tls).await {
        Ok(connection) => return Ok((connection, None)),
        Err(failure) => failure,
    };
    let allowed = connector.tls == config::TlsLevel::Opportunistic
        && connector.on_handshake_failure == OnHandshakeFailure::Plaintext;
    if !allowed || failure.phase != Phase::Handshake {
        return Err(failure);
    }
    tracing::warn!(connector = connector.name, %failure, "sending in the clear");
    let plain = Options { tls_level: TlsLevel::None, ..options.clone() };
    Ok((Connection::open(host, address, &plain, &node.tls).await?, Some(failure)))
}

async fn hosts<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Connector,
    domain: Option<&str>,
) -> Result<Vec<(String, u16)>, Failure> {
    let failed = |kind| Failure::new(Phase::Resolve, kind);
    match (&connector.hosts, domain) {
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

fn options(connector: &Connector) -> Options {
    let timeouts = &connector.timeouts;
    Options {
        hello: connector.hello.clone(),
        tls_level: match connector.tls {
            config::TlsLevel::None => TlsLevel::None,
            config::TlsLevel::Opportunistic => TlsLevel::Opportunistic,
            config::TlsLevel::Require => TlsLevel::Require,
        },
        tls_policy: connector.tls_policy.policy().name,
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
    }
}
