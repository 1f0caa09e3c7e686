//! One connection at a time: takes jobs from its lane, opens a connection where there is none, and keeps it for the
//! next message as long as there is one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use net::{
    resolve::MailExchanger,
    send::{Connection, NotOpened, Options, Seen, Timeouts, interleave},
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
    weakness,
};
use crate::{
    config::{self, Connector, Hosts, OnHandshakeFailure},
    node::{Node, Under},
};

/// A connection without work is kept this long.
const IDLE: Duration = Duration::from_secs(2);

/// A connection with what its attempts have in common.
struct Open {
    connection: Connection,
    session: u64,
    messages: u32,
    /// As it was when the connection was opened.
    connector: Arc<Connector>,
    under: Under,
    /// The failed attempt at TLS after which it goes on in the clear.
    plaintext_because: Option<NotOpened>,
    /// The domain that it was opened for, where MX decides.
    domain: Option<String>,
}

/// What a connection was tried under, and what came of it.
struct Failed {
    failure: Failure,
    seen: Seen,
    session: u64,
    under: Under,
    plaintext_because: Option<Failure>,
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
    connector: &Arc<Connector>,
    open: Option<Open>,
    job: Job,
    started: Instant,
) -> Option<Open> {
    let domain = match connector.hosts {
        Hosts::Mx => job.deliveries.first().map(|delivery| delivery.recipient.domain_key()),
        Hosts::SmartHosts(_) => None,
    };
    let under = node.tls_under(connector);
    // A reload may have changed whatever the connection rests on: host, level, policy, limits.
    let fits = |open: &Open| {
        open.domain == domain
            && open.messages < connector.messages_per_connection
            && open.under == under
            && (Arc::ptr_eq(&open.connector, connector) || open.connector == *connector)
    };
    let kept = match open {
        Some(open) if fits(&open) => Some(open),
        Some(open) => {
            open.connection.quit().await;
            None
        }
        None => None,
    };
    let was_kept = kept.is_some();
    let mut current = match kept {
        Some(open) => open,
        None => match connect(node, connector, &under, domain.clone()).await {
            Ok(open) => open,
            Err(failed) => {
                not_connected(lane, node, connector, &job, *failed, started).await;
                return None;
            }
        },
    };
    let mut sent = send(node, &mut current, &job).await;
    if was_kept && closed_while_idle(&sent) {
        current = match connect(node, connector, &under, domain).await {
            Ok(open) => open,
            Err(failed) => {
                not_connected(lane, node, connector, &job, *failed, started).await;
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
    match &current.plaintext_because {
        None => lane.note_policy(&current.under.tls.policy.name, !failed_as_a_whole),
        // Mail flows, and its protection is lost: to the policy that is a failure.
        Some(because) if is_of_tls(&because.failure, &because.seen) => {
            lane.note_policy(&current.under.tls.policy.name, false);
        }
        Some(_) => {}
    }
    results::record(node, job, delivered_over(&mut current, sent, started)).await;
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
    failed: Failed,
    started: Instant,
) {
    let Failed { failure, seen, session, under, plaintext_because } = failed;
    // With MX, each domain has destinations of its own: one that fails says nothing of the others.
    if connector.hosts != Hosts::Mx && failure.scope() == Scope::Destination {
        lane.failed(&failure, &node.back_off_policy(), node.random());
    }
    if is_of_tls(&failure, &seen) {
        lane.note_policy(&under.tls.policy.name, false);
    }
    let attempt = Attempt {
        destination: failure.destination.clone(),
        plaintext_because,
        ..attempt(connector, &under, session, seen, started)
    };
    let results = vec![Err(failure); job.deliveries.len()];
    results::record(node, job.clone(), Attempted { attempt, results, offers_dsn: false, weakness: None }).await;
}

/// Whether another TLS policy might have fared better: the destination was reached, and failed from STARTTLS on.
fn is_of_tls(failure: &Failure, seen: &Seen) -> bool {
    matches!(failure.phase, Phase::StartTls | Phase::Handshake) || seen.tls.is_some()
}

fn delivered_over(open: &mut Open, results: Vec<Result<Reply, Failure>>, started: Instant) -> Attempted {
    let mut seen = open.connection.take_seen();
    if let Some(because) = &open.plaintext_because {
        seen.handshake.clone_from(&because.seen.handshake);
    }
    let attempt = Attempt {
        destination: Some(open.connection.destination().clone()),
        plaintext_because: open.plaintext_because.as_ref().map(|because| because.failure.clone()),
        ..attempt(&open.connector, &open.under, open.session, seen, started)
    };
    let weakness = weakness::of(open.connector.tls, &attempt);
    Attempted { offers_dsn: open.connection.extensions().dsn, attempt, results, weakness }
}

fn attempt(connector: &Connector, under: &Under, session: u64, seen: Seen, started: Instant) -> Attempt {
    Attempt {
        connector: connector.name.clone(),
        destination: None,
        local: seen.local,
        tls_policy: under.tls.policy.name.clone(),
        plan_version: under.plan_version,
        tls: seen.tls,
        handshake: seen.handshake,
        phases: seen.phases,
        plaintext_because: None,
        session: format!("{session:016X}"),
        duration_ms: started.elapsed().as_millis() as u64,
    }
}

/// Tries the connector's hosts in order, each with all its addresses. Where all fail, the failure that came furthest
/// is the one to tell of.
async fn connect<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Arc<Connector>,
    under: &Under,
    domain: Option<String>,
) -> Result<Open, Box<Failed>> {
    let not_resolved = |failure| {
        let (session, under) = (next_session_id(), under.clone());
        Box::new(Failed { failure, seen: Seen::default(), session, under, plaintext_because: None })
    };
    let mut worst: Option<Box<Failed>> = None;
    for (host, port) in hosts(node, connector, domain.as_deref()).await.map_err(not_resolved)? {
        let unresolved = Destination { host: host.clone(), port, address: None };
        let found = node.resolver().addresses(&host).await;
        let addresses = match found.and_then(|found| node.permitted(connector, domain.as_deref(), found)) {
            Ok(addresses) => interleave(addresses),
            Err(kind) => {
                keep_furthest(&mut worst, not_resolved(Failure::new(Phase::Resolve, kind).at(&unresolved)));
                continue;
            }
        };
        for address in addresses {
            match open_address(node, connector, under, &host, SocketAddr::new(address, port)).await {
                Ok(open) => return Ok(Open { domain, ..open }),
                Err(failed) => keep_furthest(&mut worst, failed),
            }
        }
    }
    Err(worst.unwrap_or_else(|| not_resolved(Failure::new(Phase::Resolve, FailureKind::HostNotFound))))
}

fn keep_furthest(worst: &mut Option<Box<Failed>>, failed: Box<Failed>) {
    // What may work later comes before what never will.
    let rank = |failure: &Failure| (!failure.is_permanent(), failure.phase);
    if worst.as_ref().is_none_or(|worst| rank(&failed.failure) > rank(&worst.failure)) {
        *worst = Some(failed);
    }
}

/// One address; a second time in the clear where the handshake failed and the connector allows that.
async fn open_address<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Arc<Connector>,
    under: &Under,
    host: &str,
    address: SocketAddr,
) -> Result<Open, Box<Failed>> {
    let options = options(connector, under);
    let opened = |session, connection, plaintext_because| {
        let (connector, under) = (Arc::clone(connector), under.clone());
        Open { connection, session, messages: 0, connector, under, plaintext_because, domain: None }
    };
    let (session, first) = match open_connection(node, connector, host, address, &options).await {
        (session, Ok(connection)) => return Ok(opened(session, connection, None)),
        (session, Err(not_opened)) => (session, *not_opened),
    };
    if !may_go_on_in_the_clear(connector, &first.failure) {
        let NotOpened { failure, seen } = first;
        return Err(Box::new(Failed { failure, seen, session, under: under.clone(), plaintext_because: None }));
    }
    tracing::warn!(connector = connector.name, failure = %first.failure, "sending in the clear");
    let plain = Options { tls_level: TlsLevel::None, ..options };
    match open_connection(node, connector, host, address, &plain).await {
        (session, Ok(connection)) => Ok(opened(session, connection, Some(first))),
        (session, Err(second)) => {
            // The handshake is what it all began with.
            let seen = Seen { handshake: first.seen.handshake, ..second.seen };
            let (failure, plaintext_because) = (second.failure, Some(first.failure));
            Err(Box::new(Failed { failure, seen, session, under: under.clone(), plaintext_because }))
        }
    }
}

/// Only for what happened between the two sides: a fault of this node's own set-up is no reason to give up encryption.
fn may_go_on_in_the_clear(connector: &Connector, failure: &Failure) -> bool {
    connector.tls == config::TlsLevel::Opportunistic
        && connector.on_handshake_failure == OnHandshakeFailure::Plaintext
        && failure.phase == Phase::Handshake
        && !matches!(failure.kind, FailureKind::Local { .. })
}

/// A connection with a session of its own in the protocol log.
async fn open_connection<S: Store>(
    node: &Arc<Node<S>>,
    connector: &Connector,
    host: &str,
    address: SocketAddr,
    options: &Options,
) -> (u64, Result<Connection, Box<NotOpened>>) {
    let session = next_session_id();
    let logged = connector.protocol_log.then(|| node.protocol_logs.send_session(&connector.name, session, address));
    (session, Connection::open(host, address, options, &node.tls.load(), logged).await)
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

fn options(connector: &Connector, under: &Under) -> Options {
    let timeouts = &connector.timeouts;
    Options {
        hello: connector.hello.clone(),
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
        maximum_segment: None,
    }
}
