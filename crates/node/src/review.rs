//! Reviews deliveries that are due for a delay notice or have expired, even if they were not attempted. Senders must
//! learn of mail that waits for a paused connector, or for a lane whose workers are all busy.

use std::sync::Arc;

use delivery::verdict::{self, Review, Situation};
use jiff::Timestamp;
use store::{Claimed, Delivery, LeaseNumber, Message, Outcome, Queue as _, Settlement};
use trace::{Event, EventKind, event::NoticeAction};

use super::{
    Node, clock,
    outbound::{Job, Settled, Ticket},
};

/// Deliveries reviewed at a time.
const REVIEW_MAX: u32 = 200;

/// Reviews all deliveries that are due for it.
pub(super) async fn run(node: &Arc<Node>) {
    while node.outbound.recording().works() && !node.is_drained() {
        let term = node.term();
        if !term.is_valid() {
            return;
        }
        let claimed = match node.store.claim_for_review(node.member.clone(), REVIEW_MAX).await {
            Ok(claimed) if claimed.is_empty() => return,
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "failed to find deliveries to review; trying again");
                return;
            }
        };
        for Claimed { lease, message, deliveries } in claimed {
            let ticket = Arc::new(Ticket::new(lease, term));
            node.outbound.held().add(deliveries.iter().map(|delivery| delivery.key), &ticket);
            settle(node, &message, &deliveries, lease).await;
        }
    }
}

/// Reviews a job that this node holds and has not begun.
pub(super) async fn review_leased(node: &Arc<Node>, job: &Job) {
    settle(node, &job.message, &job.deliveries, job.ticket.lease()).await;
}

async fn settle(node: &Arc<Node>, message: &Message, deliveries: &[Delivery], lease: LeaseNumber) {
    let settle = |delivery| review(node, message, delivery, lease);
    node.outbound.settle(Settled(deliveries.iter().map(settle).collect())).await;
}

fn review(node: &Arc<Node>, message: &Message, delivery: &Delivery, lease: LeaseNumber) -> Settlement {
    let schedule = node.schedule();
    let now = Timestamp::now();
    let situation = Situation {
        schedule: &schedule,
        received: message.received,
        now,
        attempts: delivery.attempts,
        delay_notified: delivery.delay_notified,
        notify: delivery.notify,
        sender: &message.envelope.sender,
        jitter: node.random(),
    };
    let event = |kind| Event {
        at: now,
        node: node.name.clone(),
        message: message.network_message_id,
        recipient: Some(delivery.recipient.clone()),
        kind,
    };
    let (outcome, events, notice) = match verdict::review(&situation, delivery.failure.as_ref()) {
        Review::Keep { review, delay_notice, delay_notified } => {
            let outcome = Outcome::Returned { review_in: Some(clock::from_now(review)), delay_notified };
            (outcome, vec![], delay_notice.then_some(NoticeAction::Delayed))
        }
        Review::Fail { failure, notice } => {
            let failed = event(EventKind::Failed { attempt: None, failure: failure.clone() });
            (Outcome::Failed { failure, at: now }, vec![failed.into()], notice.then_some(NoticeAction::Failed))
        }
    };
    let notice = notice.and_then(|action| node.owed(message, action));
    Settlement { delivery: delivery.key, lease, message: message.key, outcome, events, notice, weak: None }
}
