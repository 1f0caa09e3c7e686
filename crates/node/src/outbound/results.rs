//! The results of an attempt: decides about each delivery, writes its events, notes the notices that its sender is
//! owed, and passes everything to the settler, which stores many results in one transaction.

use std::sync::Arc;

use delivery::verdict::{self, Decision, Situation};
use jiff::Timestamp;
use protocol::smtp::{Failure, Reply};
use store::{Delivery, DeliveryKey, NewEvent, Outcome, Queue as _, Settlement, WeakDelivery, Weakness};
use tokio::sync::mpsc;
use trace::{Attempt, Event, EventKind, event::NoticeAction};

use super::job::Job;
use crate::{Node, clock};

/// One attempt with a result for each of the job's deliveries, in order.
pub(crate) struct Attempted {
    pub attempt: Attempt,
    pub results: Vec<Result<Reply, Failure>>,
    /// The hosts that failed before the attempt reached its host.
    pub failed_hosts: Vec<(Attempt, Failure)>,
    /// True if the destination sends its own notices (RFC 3461).
    pub offers_dsn: bool,
    /// Why the delivery had less protection than the policy modern requires, if it had.
    pub weakness: Option<Weakness>,
}

/// Results of one job on their way into the store.
pub(crate) struct Settled(pub Vec<Settlement>);

/// Maximum number of results in one transaction.
const SETTLEMENTS_MAX: usize = 500;

/// Stores results until the last sender is gone.
pub(crate) async fn run_settler(node: Arc<Node>, mut settled: mpsc::Receiver<Settled>) {
    while let Some(Settled(mut settlements)) = settled.recv().await {
        while settlements.len() < SETTLEMENTS_MAX {
            match settled.try_recv() {
                Ok(Settled(more)) => settlements.extend(more),
                Err(_) => break,
            }
        }
        let keys: Vec<DeliveryKey> = settlements.iter().map(|settlement| settlement.delivery).collect();
        let held = node.outbound.held().tickets(&keys);
        held.iter().for_each(|(key, ticket)| ticket.settle(*key));
        record_until_stored(&node, settlements).await;
        node.outbound.held().remove(&held);
    }
}

/// If storing results takes longer, no attempt starts until it is done.
const RECORDED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Tries again for ever: a full disk is temporary, and losing a result would deliver the message twice.
async fn record_until_stored(node: &Arc<Node>, settlements: Vec<Settlement>) {
    let mut wait = std::time::Duration::from_millis(100);
    loop {
        let mut settle = std::pin::pin!(node.store.settle(settlements.clone()));
        let result = match tokio::time::timeout(RECORDED_WITHIN, &mut settle).await {
            Ok(result) => result,
            Err(_) => {
                node.outbound.note_recording(false);
                settle.await
            }
        };
        match result {
            Ok(lost) => {
                node.outbound.note_recording(true);
                if !lost.is_empty() {
                    tracing::warn!(
                        deliveries = lost.len(),
                        "results arrived after their leases had ended; other nodes may deliver these messages again"
                    );
                }
                return;
            }
            Err(error) => {
                node.outbound.note_recording(false);
                tracing::error!(%error, deliveries = settlements.len(), "failed to store results; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(std::time::Duration::from_secs(5));
            }
        }
    }
}

/// Decides about every delivery of a job after an attempt.
pub(super) async fn record(node: &Arc<Node>, job: Job, attempted: Attempted) {
    let Attempted { attempt, results, failed_hosts, offers_dsn, weakness } = attempted;
    let mut settlements = Vec::with_capacity(results.len());
    for (delivery, result) in job.deliveries.iter().zip(results) {
        let context = Context { node, job: &job, delivery };
        settlements.push(match result {
            Ok(reply) => Settlement {
                weak: weak_delivery(&attempt, weakness),
                ..context.delivered(attempt.clone(), reply, offers_dsn)
            },
            Err(failure) => context.failed(attempt.clone(), failure),
        });
    }
    let outcomes = settlements.iter().map(|settlement| &settlement.outcome);
    node.metrics.note_attempt(&attempt, outcomes, &failed_hosts);
    if let Some(first) = settlements.first_mut() {
        let failed = failed_hosts.into_iter().map(|(attempt, failure)| Event {
            at: Timestamp::now(),
            node: node.name.clone(),
            message: job.message.network_message_id,
            recipient: None,
            kind: EventKind::HostFailed { attempt, failure },
        });
        first.events.splice(0..0, failed.map(NewEvent::from));
    }
    node.outbound.settle(Settled(settlements)).await;
}

/// Returns a job to the queue as it was.
pub(crate) async fn give_back(node: &Arc<Node>, job: &Job) {
    let outcome = |delivery: &Delivery| Outcome::Returned { review_in: None, delay_notified: delivery.delay_notified };
    put_back(node, job, outcome).await;
}

/// Returns a job to the queue, not to be tried before `due`: others wait for the same failure, if any.
pub(super) async fn postpone(node: &Arc<Node>, job: &Job, due: Timestamp, failure: Option<Failure>) {
    let due_in = clock::from_now(due);
    put_back(node, job, |_| Outcome::Postponed { due_in, failure: failure.clone() }).await;
}

/// Without an attempt. What other nodes hold by now is theirs.
async fn put_back(node: &Arc<Node>, job: &Job, outcome: impl Fn(&Delivery) -> Outcome) {
    let held = job.deliveries.iter().filter(|delivery| !job.ticket.has_lost(delivery.key));
    let settlements = held.map(|delivery| Settlement {
        delivery: delivery.key,
        lease: job.ticket.lease(),
        message: job.message.key,
        outcome: outcome(delivery),
        events: vec![],
        notice: None,
        weak: None,
    });
    node.outbound.settle(Settled(settlements.collect())).await;
}

fn weak_delivery(attempt: &Attempt, weakness: Option<Weakness>) -> Option<WeakDelivery> {
    Some(WeakDelivery {
        destination: attempt.destination.clone()?,
        connector: attempt.connector.clone(),
        tls_policy: attempt.tls_policy.clone(),
        tls: attempt.tls.clone(),
        why: weakness?,
        at: Timestamp::now(),
    })
}

/// One delivery whose fate is to be decided.
struct Context<'a> {
    node: &'a Arc<Node>,
    job: &'a Job,
    delivery: &'a Delivery,
}

impl Context<'_> {
    fn delivered(&self, attempt: Attempt, reply: Reply, offers_dsn: bool) -> Settlement {
        let notice = verdict::success_notice(self.delivery.notify, &self.job.message.envelope.sender, offers_dsn);
        let event = EventKind::Delivered { attempt, reply: reply.clone() };
        self.settlement(Outcome::Delivered { reply, at: Timestamp::now() }, event, notice)
    }

    fn failed(&self, attempt: Attempt, failure: Failure) -> Settlement {
        let schedule = self.node.schedule();
        let situation = Situation {
            schedule: &schedule,
            received: self.job.message.received,
            now: Timestamp::now(),
            attempts: self.delivery.attempts,
            delay_notified: self.delivery.delay_notified,
            notify: self.delivery.notify,
            sender: &self.job.message.envelope.sender,
            jitter: self.node.random(),
        };
        match verdict::after_failure(&situation, failure.clone()) {
            Decision::Retry { due, review, delay_notice, delay_notified } => {
                let notice = delay_notice.then_some(NoticeAction::Delayed);
                let (due_in, review_in) = (clock::from_now(due), clock::from_now(review));
                let outcome = Outcome::Deferred { failure: failure.clone(), due_in, review_in, delay_notified };
                self.settlement(outcome, EventKind::Deferred { attempt, failure, due }, notice)
            }
            Decision::Fail { failure, notice } => {
                let notice = notice.then_some(NoticeAction::Failed);
                let outcome = Outcome::Failed { failure: failure.clone(), at: situation.now };
                self.settlement(outcome, EventKind::Failed { attempt: Some(attempt), failure }, notice)
            }
        }
    }

    fn settlement(&self, outcome: Outcome, kind: EventKind, notice: Option<NoticeAction>) -> Settlement {
        Settlement {
            delivery: self.delivery.key,
            lease: self.job.ticket.lease(),
            message: self.job.message.key,
            outcome,
            events: vec![self.event(kind).into()],
            notice: notice.and_then(|action| self.node.owed(&self.job.message, action)),
            weak: None,
        }
    }

    fn event(&self, kind: EventKind) -> Event {
        Event {
            at: Timestamp::now(),
            node: self.node.name.clone(),
            message: self.job.message.network_message_id,
            recipient: Some(self.delivery.recipient.clone()),
            kind,
        }
    }
}
