//! Sends senders notices about their mail (RFC 3464). The store notes an owed notice together with the result. This
//! module combines them, so that one notice covers all recipients of a message, and queues the notice.
//!
//! Anybody can forge a sender. The address that gets a notice may belong to a victim, so notices are few and small: see
//! docs/decisions/0017-notices-to-strangers.md.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use delivery::{
    notice::{Notice, NoticeMessage, NoticeRecipient},
    route::Routes,
};
use jiff::Timestamp;
use protocol::smtp::{Address, Notify};
use store::{
    Bodies as _, BodiesError, Content, DeliveryKey, DeliveryRecord, Message, NewDelivery, NewMessage, Queue as _,
    Result, StoreError, Telling, Told, Untold,
};
use trace::event::NoticeAction;
use uuid::Uuid;

use super::{Node, clock, header};

/// How long a notice waits for the results of the message's other deliveries.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(300);
/// Maximum number of messages whose deliveries are in memory at once.
const MESSAGES_MAX: u32 = 5;

impl Node {
    /// The notice that a sender is owed; `None` if the settings forbid it.
    pub(super) fn owed(&self, message: &Message, action: NoticeAction) -> Option<NoticeAction> {
        let config = self.config.load();
        let notices = &config.notices;
        let sender = message.envelope.sender.address()?;
        let names = notices.sender_domains.iter().map(|name| (name.clone(), String::new()));
        let is_wanted = notices.sender_domains.is_empty() || Routes::new(names).accepts(&sender.domain_key());
        // Clients do not authenticate, so only their network decides who may request a notice of success.
        let is_trusted = || message.client.is_some_and(|client| notices.success_to.iter().any(|n| n.contains(client)));
        let may_be_told = action != NoticeAction::Relayed || is_trusted();
        (notices.enabled && is_wanted && may_be_told).then_some(action)
    }
}

/// Sends all notices that are due now.
pub(super) async fn run(node: &Arc<Node>) {
    loop {
        match tell_some(node).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(%error, "failed to notify senders; trying again"),
        }
    }
}

/// False if nothing was told.
async fn tell_some(node: &Arc<Node>) -> Result<bool> {
    let mut has_told = false;
    for untold in node.store.untold(WAIT_FOR_OTHERS, MESSAGES_MAX).await? {
        has_told |= tell_sender(node, &untold).await?;
    }
    Ok(has_told)
}

/// Sends one notice for each action. False if another node was first.
async fn tell_sender(node: &Arc<Node>, untold: &Untold) -> Result<bool> {
    let message = &untold.message;
    let Some(to) = message.envelope.sender.address() else { return Ok(false) };
    let content = match node.store.read_body(message.key, 0).await {
        Ok(Some(content)) => content,
        Ok(None) => {
            let message = message.network_message_id;
            tracing::warn!(%message, "a message has no content; notifying its sender without the header");
            Bytes::new()
        }
        // Its sender has been told, or the store has lost it.
        Err(error @ StoreError::NotQueued) => {
            tracing::info!(%error, message = %message.network_message_id, "no notice to its sender");
            return Ok(false);
        }
        // The sender hears of it without the header of the message.
        Err(StoreError::Bodies(BodiesError::Missing { .. })) => Bytes::new(),
        // Other senders do not wait for a place that is away.
        Err(error @ StoreError::Bodies(_)) => {
            tracing::warn!(%error, message = %message.network_message_id, "failed to notify a sender; trying again");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let header = header::section(&content);
    let mut has_told = false;
    for action in [NoticeAction::Failed, NoticeAction::Delayed, NoticeAction::Relayed] {
        let of_action = untold.deliveries.iter().filter(|(owed, _)| *owed == action);
        let deliveries: Vec<&DeliveryRecord> = of_action.map(|(_, delivery)| delivery).collect();
        if !deliveries.is_empty() {
            let keys = deliveries.iter().map(|delivery| delivery.delivery.key).collect();
            let notice = notice(node, message, to, action, &deliveries, header);
            has_told |= tell(node, message, action, keys, notice).await? != Told::Nothing;
        }
    }
    Ok(has_told)
}

async fn tell(
    node: &Arc<Node>,
    message: &Message,
    action: NoticeAction,
    deliveries: Vec<DeliveryKey>,
    notice: NewMessage,
) -> Result<Told> {
    let limit = node.config.load().notices.per_sender;
    let telling = Telling {
        message: message.key,
        action,
        deliveries,
        notice: notice.clone(),
        // The settings may have changed since the notice was noted.
        sent_max: if node.owed(message, action).is_some() { limit.messages } else { 0 },
        sent_within: limit.per.duration(),
    };
    let told = node.store.tell(&node.member, telling).await?;
    match told {
        Told::Queued => node.outbound.wake(&notice),
        Told::Withheld => {
            let id = message.network_message_id;
            tracing::info!(message = %id, %limit, "notice withheld: the settings in [notices] do not allow it, or it is one too many for this address");
        }
        Told::Nothing => {}
    }
    Ok(told)
}

/// A notice about deliveries of one message, ready for the queue.
fn notice(
    node: &Node,
    message: &Message,
    to: &Address,
    action: NoticeAction,
    deliveries: &[&DeliveryRecord],
    header: &[u8],
) -> NewMessage {
    let (now, id) = (Timestamp::now(), Uuid::now_v7());
    let retry_until = (action == NoticeAction::Delayed).then(|| node.schedule().expires_at(message.received));
    let notice = Notice {
        action,
        reporting_mta: &node.hostname,
        to,
        envid: message.envelope.envid.as_deref(),
        received: message.received,
        now,
        id,
        recipients: deliveries.iter().map(|record| recipient(record, retry_until)).collect(),
        original_headers: header,
    };
    new_message(node, to, now, id, notice.build())
}

fn recipient(record: &DeliveryRecord, retry_until: Option<Timestamp>) -> NoticeRecipient<'_> {
    let failure = record.delivery.failure.as_ref();
    NoticeRecipient {
        address: &record.delivery.recipient,
        orcpt: record.delivery.orcpt.as_deref(),
        // An earlier failure is over once the message is delivered.
        failure: failure.filter(|_| record.reply.is_none()),
        reply: record.reply.as_ref(),
        destination: failure.and_then(|failure| failure.destination.as_ref()).filter(|_| record.reply.is_none()),
        last_attempt: record.settled.filter(|_| record.last_attempt.is_some()),
        retry_until,
    }
}

fn new_message(node: &Node, to: &Address, now: Timestamp, id: Uuid, built: NoticeMessage) -> NewMessage {
    let seen = header::read(header::section(&built.bytes));
    NewMessage {
        network_message_id: id,
        received: now,
        envelope: built.envelope,
        message_id: seen.message_id,
        subject: seen.subject,
        size_bytes: built.bytes.len() as u64,
        client: None,
        content: Content::Inline(built.bytes.into()),
        withhold_addresses: !node.config.load().history.addresses,
        deliveries: vec![NewDelivery {
            connector: node.connector_for(to),
            recipient: to.clone(),
            // A notice never causes another notice (RFC 3461 section 6.2).
            notify: Some(Notify::Never),
            orcpt: None,
            due_in: Duration::ZERO,
            review_in: clock::from_now(node.schedule().first_review(now)),
        }],
    }
}
