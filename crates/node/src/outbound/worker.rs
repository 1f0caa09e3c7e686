//! Takes jobs from its lane and sends them over one connection at a time. It keeps the connection for the next message,
//! as long as there is one.

use std::{sync::Arc, time::Duration};

use net::send::{Progress, Seen};
use protocol::smtp::{Failure, FailureKind, Phase, Reply, Scope};
use store::DeliveryKey;
use tokio::time::Instant;
use trace::Attempt;

use super::{
    connect::{Failed, NotConnected, Open, Way},
    job::Job,
    lane::Lane,
    lease::Stop,
    results::{self, Attempted},
    weakness,
};
use crate::{Node, Under, config::Connector};

/// How long an idle connection stays open.
const IDLE: Duration = Duration::from_secs(2);

/// The result of an attempt.
enum Sent {
    /// Sent over a connection, with one result for each of the job's deliveries, in order.
    Over(Box<Open>, Vec<Result<Reply, Failure>>),
    NotConnected(Box<NotConnected>),
}

/// Works for a lane until there has been no job for a while.
pub(super) async fn run(lane: Arc<Lane>, node: Arc<Node>) {
    let progress = Arc::new(Progress::default());
    let mut open: Option<Box<Open>> = None;
    while let Some(job) = lane.next_job(IDLE, open.as_ref().and_then(|open| open.domain.as_deref())).await {
        open = work(&lane, &node, open, job, &progress).await;
    }
    if let Some(open) = open {
        open.connection.quit().await;
    }
}

/// Lets the leases of a job end if a program fault stops its worker.
struct Unwinding<'a> {
    node: &'a Arc<Node>,
    keys: Vec<DeliveryKey>,
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let held = self.node.outbound.held();
            held.remove(&held.tickets(&self.keys));
        }
    }
}

/// Sends one job. Returns the connection if it can be used again.
async fn work(
    lane: &Lane,
    node: &Arc<Node>,
    open: Option<Box<Open>>,
    job: Job,
    progress: &Arc<Progress>,
) -> Option<Box<Open>> {
    let _attempting = lane.attempting(&job, progress);
    let _unwinding = Unwinding { node, keys: job.keys().collect() };
    progress.resolving();
    let connector = lane.connector();
    let under = node.tls_under(&connector);
    let way = Way { node, connector: &connector, under: &under, domain: job.domain.as_deref(), progress };
    let started = Instant::now();
    let deadline = started + *connector.timeouts.attempt;
    // Storing the result is never interrupted.
    let sent = tokio::select! {
        biased;
        sent = attempt(&way, open, &job) => sent,
        stop = job.ticket.stopped(progress, deadline) => match stop {
            Stop::Deadline => Sent::NotConnected(Box::new(too_long(&way))),
            Stop::Lost | Stop::ShutDown => {
                results::give_back(node, &job).await;
                return None;
            }
        },
    };
    match sent {
        Sent::Over(open, results) => sent_over(lane, node, job, *open, results, started).await,
        Sent::NotConnected(not_connected) => {
            record_failure(lane, node, &connector, job, *not_connected, started).await;
            None
        }
    }
}

async fn attempt(way: &Way<'_>, open: Option<Box<Open>>, job: &Job) -> Sent {
    if let Some(mut open) = kept(way, open).await {
        let results = send(way, &mut open, job).await;
        if !closed_while_idle(&results) {
            return Sent::Over(open, results);
        }
    }
    match way.connect().await {
        Ok(open) => {
            let mut open = Box::new(open);
            let results = send(way, &mut open, job).await;
            Sent::Over(open, results)
        }
        Err(not_connected) => Sent::NotConnected(not_connected),
    }
}

/// The connection of the job before, where it fits: a reload may have changed whatever it rests on, such as host, level,
/// policy and limits.
async fn kept(way: &Way<'_>, open: Option<Box<Open>>) -> Option<Box<Open>> {
    let open = open?;
    let fits = open.domain.as_deref() == way.domain
        && open.messages < way.connector.messages_per_connection
        && open.under == *way.under
        && (Arc::ptr_eq(&open.connector, way.connector) || open.connector == *way.connector);
    if fits {
        return Some(open);
    }
    open.connection.quit().await;
    None
}

async fn send(way: &Way<'_>, open: &mut Open, job: &Job) -> Vec<Result<Reply, Failure>> {
    let mut content = job.content(&way.node.store);
    if let Err(detail) = content.begin().await {
        let failure = Failure::new(Phase::Data, FailureKind::Local { detail }).at(open.connection.destination());
        return vec![Err(failure); job.deliveries.len()];
    }
    open.messages += 1;
    open.connection.send(&job.transaction(), &mut content).await
}

/// The destination may have closed an idle connection. This is not a failure of the message.
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

/// The result of an attempt that was stopped because its time was over.
fn too_long(way: &Way<'_>) -> NotConnected {
    let now = way.progress.now();
    let kind = FailureKind::TimedOut { after_s: way.connector.timeouts.attempt.as_secs() };
    let failure = Failure { destination: now.destination, ..Failure::new(now.phase, kind) };
    let (seen, session) = (Seen::default(), net::serve::next_session_id());
    let furthest = Failed { failure, seen, session, under: way.under.clone(), plaintext_because: None };
    NotConnected { furthest, failed_hosts: Vec::new() }
}

async fn sent_over(
    lane: &Lane,
    node: &Arc<Node>,
    job: Job,
    mut open: Open,
    results: Vec<Result<Reply, Failure>>,
    started: Instant,
) -> Option<Box<Open>> {
    let failed_as_a_whole =
        results.iter().all(|result| result.as_ref().is_err_and(|failure| failure.scope() == Scope::Destination));
    let domain = open.domain.as_deref();
    if !failed_as_a_whole {
        lane.succeeded(domain);
    }
    match &open.plaintext_because {
        None => lane.note_policy(domain, &open.under.tls.policy.name, !failed_as_a_whole),
        // Mail flows, and its protection is lost: to the policy that is a failure.
        Some((failure, seen)) if is_of_tls(failure, seen) => {
            lane.note_policy(domain, &open.under.tls.policy.name, false);
        }
        Some(_) => {}
    }
    results::record(node, job, delivered_over(&mut open, results, started)).await;
    open.connection.is_reusable().then(|| Box::new(open))
}

async fn record_failure(
    lane: &Lane,
    node: &Arc<Node>,
    connector: &Connector,
    job: Job,
    not_connected: NotConnected,
    started: Instant,
) {
    let NotConnected { furthest, failed_hosts } = not_connected;
    let failed_hosts = host_failures(connector, failed_hosts, started);
    if furthest.failure.scope() == Scope::Destination {
        lane.failed(job.domain.as_deref(), &furthest.failure, &node.back_off_policy(), node.random());
    }
    if is_of_tls(&furthest.failure, &furthest.seen) {
        lane.note_policy(job.domain.as_deref(), &furthest.under.tls.policy.name, false);
    }
    let (attempt, failure) = failed_attempt(connector, furthest, started);
    let results = vec![Err(failure); job.deliveries.len()];
    results::record(node, job, Attempted { attempt, results, failed_hosts, offers_dsn: false, weakness: None }).await;
}

/// True if another TLS policy might have worked: the destination was reached, and the attempt failed at STARTTLS or
/// later.
fn is_of_tls(failure: &Failure, seen: &Seen) -> bool {
    matches!(failure.phase, Phase::StartTls | Phase::Handshake) || seen.tls.is_some()
}

fn delivered_over(open: &mut Open, results: Vec<Result<Reply, Failure>>, started: Instant) -> Attempted {
    let mut seen = open.connection.take_seen();
    if let Some((_, before)) = &open.plaintext_because {
        seen.handshake.clone_from(&before.handshake);
    }
    let failed_hosts = host_failures(&open.connector, std::mem::take(&mut open.failed_hosts), started);
    let attempt = Attempt {
        destination: Some(open.connection.destination().clone()),
        plaintext_because: open.plaintext_because.as_ref().map(|(failure, _)| failure.clone()),
        ..attempt_of(&open.connector, &open.under, open.session, seen, started)
    };
    let weakness = weakness::of(open.connector.tls, &attempt);
    Attempted { offers_dsn: open.connection.extensions().dsn, attempt, results, failed_hosts, weakness }
}

/// The failures of the hosts before the attempt reached its host.
fn host_failures(connector: &Connector, failed: Vec<Failed>, started: Instant) -> Vec<(Attempt, Failure)> {
    failed.into_iter().map(|failed| failed_attempt(connector, failed, started)).collect()
}

fn failed_attempt(connector: &Connector, failed: Failed, started: Instant) -> (Attempt, Failure) {
    let Failed { failure, seen, session, under, plaintext_because } = failed;
    let attempt = Attempt {
        destination: failure.destination.clone(),
        plaintext_because,
        ..attempt_of(connector, &under, session, seen, started)
    };
    (attempt, failure)
}

fn attempt_of(connector: &Connector, under: &Under, session: u64, seen: Seen, started: Instant) -> Attempt {
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
