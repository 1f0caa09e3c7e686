//! Reviews deliveries that are due for a delay notice or have expired, even if they were not attempted. Senders must
//! learn of mail that waits for a paused connector, or for a lane whose workers are all busy.

use std::sync::Arc;

use delivery::verdict::{self, Review, Situation};
use jiff::Timestamp;
use store::{Claimed, Delivery, Message, Outcome, Settlement, Store};
use trace::{Event, EventKind, event::NoticeAction};

use super::{
    Node,
    outbound::{Job, Settled, Term, Ticket},
};

/// Deliveries reviewed at a time.
const REVIEW_MAX: u32 = 200;

/// Reviews all deliveries that are due for it.
pub(super) async fn run<S: Store>(node: &Arc<Node<S>>) {
    while node.outbound.recording().works() {
        let term = Term::from_now();
        let claimed = match node.store.claim_for_review(node.lease(), Timestamp::now(), REVIEW_MAX).await {
            Ok(claimed) if claimed.is_empty() => return,
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "failed to find deliveries to review; trying again");
                return;
            }
        };
        for Claimed { message, deliveries } in claimed {
            let ticket = Arc::new(Ticket::new(term));
            node.outbound.held().add(deliveries.iter().map(|delivery| delivery.key), &ticket);
            settle(node, &message, &deliveries).await;
        }
    }
}

/// Reviews a job that this node holds and has not started.
pub(super) async fn review_leased<S: Store>(node: &Arc<Node<S>>, job: &Job) {
    settle(node, &job.message, &job.deliveries).await;
}

async fn settle<S: Store>(node: &Arc<Node<S>>, message: &Message, deliveries: &[Delivery]) {
    let settle = |delivery| review(node, message, delivery);
    node.outbound.settle(Settled(deliveries.iter().map(settle).collect())).await;
}

fn review<S: Store>(node: &Arc<Node<S>>, message: &Message, delivery: &Delivery) -> Settlement {
    let schedule = node.schedule();
    let now = Timestamp::now();
    let situation = Situation {
        schedule: &schedule,
        received: message.received,
        now,
        attempts: delivery.attempts,
        delay_notified: delivery.delay_notified,
        notify: delivery.notify,
        sender: &message.sender,
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
            let outcome = Outcome::Returned { review: Some(review), delay_notified };
            (outcome, vec![], delay_notice.then_some(NoticeAction::Delayed))
        }
        Review::Fail { failure, notice } => {
            let failed = event(EventKind::Failed { attempt: None, failure: failure.clone() });
            (Outcome::Failed { failure, at: now }, vec![failed], notice.then_some(NoticeAction::Failed))
        }
    };
    let notice = notice.and_then(|action| node.owed(message, action));
    Settlement { delivery: delivery.key, message: message.key, outcome, events, notice, weak: None }
}
