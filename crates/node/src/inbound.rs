//! From a session to the queue: adds the Received field, stops mail loops, streams large content into the store, and
//! answers 250 once the message is durable.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use net::{
    Transcript,
    serve::{MessageSink, Reception, SessionFacts},
};
use protocol::smtp::{BodyType, EnhancedCode, Envelope, Reply, Transaction};
use store::{
    Accepted, Backend, Bodies as _, BodiesError, BodyKey, Content, Disk, INLINE_BODY_BYTES_MAX, Member, NewDelivery,
    NewEvent, NewMessage, Queue as _, Room, StoreError,
};
use tokio::time::Instant;
use trace::{Event, EventKind, Received};
use uuid::Uuid;

use super::{
    Node, clock,
    content_memory::Held,
    header,
    outbound::{Job, give_back},
};

/// Takes the messages of all sessions of a node.
#[derive(Clone)]
pub(crate) struct Inbound(pub(crate) Arc<Node>);

impl Reception for Inbound {
    type Sink = Sink;

    fn takes_mail(&self) -> bool {
        !self.0.is_drained()
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.0.config.load().inbound.proxy_from.iter().any(|network| network.contains(address))
    }

    fn transcript(&self, id: u64, client: SocketAddr) -> Option<Box<dyn Transcript>> {
        let connector = format!("{}\\Inbound", self.0.name);
        self.0.protocol_logs.receive_session(&connector, id, client)
    }

    async fn open(&self, facts: &SessionFacts, transaction: Transaction, content: &mut Vec<u8>) -> Result<Sink, Reply> {
        if let Some(error) = &*self.0.disowned.load() {
            self.0.metrics.refused.add(1);
            return Err(refusal(error));
        }
        if self.0.store.room() == Room::Short {
            self.0.metrics.refused.add(1);
            return Err(refusal(&StoreError::Full(Disk::DataFolder)));
        }
        let now = Timestamp::now();
        let id = Uuid::now_v7();
        let only_recipient = match transaction.recipients.as_slice() {
            [recipient] => Some(recipient.address.as_str()),
            _ => None,
        };
        let received =
            header::received_field(facts, &self.0.hostname, id, transaction.envelope.smtputf8, only_recipient, now);
        content.extend_from_slice(received.as_bytes());
        Ok(Sink {
            node: Arc::clone(&self.0),
            facts: facts.clone(),
            transaction,
            id,
            now,
            received_bytes: received.len(),
            size_bytes: 0,
            header: None,
            stored: None,
            held: Held::nothing(&self.0.content_memory),
        })
    }
}

/// One message on its way into the queue.
pub(crate) struct Sink {
    node: Arc<Node>,
    facts: SessionFacts,
    transaction: Transaction,
    id: Uuid,
    now: Timestamp,
    received_bytes: usize,
    /// Bytes given to the store so far.
    size_bytes: u64,
    /// Read from the first piece of content.
    header: Option<header::Seen>,
    /// Set once the content is too large for memory: its key, and the number of pieces written.
    stored: Option<(BodyKey, u32)>,
    /// Memory that the content uses.
    held: Held,
}

/// When memory is short, content goes into the store in pieces of this size. Smaller pieces would cost the store more
/// than they save.
const PIECE_BYTES_MIN: usize = 16 * 1024;

impl MessageSink for Sink {
    async fn write(&mut self, content: &mut Vec<u8>) -> Result<(), Reply> {
        let held = self.held.set(content.capacity()) as u64;
        let is_short = held > self.node.config.load().inbound.content_memory_max.bytes();
        let piece_bytes = if is_short { PIECE_BYTES_MIN } else { INLINE_BODY_BYTES_MAX };
        if content.len() < piece_bytes {
            return Ok(());
        }
        // The header is read from the first piece. If it is not complete yet, there is no memory to wait for its end.
        if is_short && self.header.is_none() && !header::is_whole(content) && content.len() < INLINE_BODY_BYTES_MAX {
            return Err(Reply::new(452, Some(EnhancedCode::new(4, 3, 1)), "Insufficient memory, try again later"));
        }
        self.read_header(content)?;
        let stored = self.store_piece(std::mem::take(content)).await;
        self.held.set(0);
        stored
    }

    async fn finish(self, content: Vec<u8>, eight_bit: bool) -> Reply {
        let node = Arc::clone(&self.node);
        match self.store(content, eight_bit).await {
            Ok((reply, size_bytes)) => {
                node.metrics.accepted.add(1);
                node.metrics.accepted_bytes.add(size_bytes);
                reply
            }
            Err(reply) => {
                node.metrics.refused.add(1);
                reply
            }
        }
    }

    async fn discard(self) {
        self.node.metrics.refused.add(1);
        self.drop_stored().await;
    }
}

async fn discard(node: &Node, key: BodyKey) {
    if let Err(error) = node.store.discard_body(key).await {
        tracing::warn!(%error, "failed to delete a message that was not accepted; deleting it at the next start");
    }
}

impl Sink {
    /// Returns the reply of an accepted message, and its size.
    async fn store(mut self, content: Vec<u8>, eight_bit: bool) -> Result<(Reply, u64), Reply> {
        self.held.set(content.capacity());
        if let Err(reply) = self.read_header(&content) {
            self.drop_stored().await;
            return Err(reply);
        }
        let content = match self.stored {
            None => {
                self.size_bytes = content.len() as u64;
                Content::Inline(Bytes::from(content))
            }
            Some((key, _)) => match self.store_piece(content).await {
                Ok(()) => Content::Stored(key),
                Err(reply) => {
                    self.drop_stored().await;
                    return Err(reply);
                }
            },
        };
        self.accept(content, eight_bit).await
    }

    async fn drop_stored(self) {
        if let Some((key, _)) = self.stored {
            discard(&self.node, key).await;
        }
    }

    /// Looks at the header once, in the first piece, and stops a loop.
    fn read_header(&mut self, content: &[u8]) -> Result<(), Reply> {
        if self.header.is_some() {
            return Ok(());
        }
        let original = content.get(self.received_bytes..).unwrap_or_default();
        let seen = header::read(header::section(original));
        let hops_max = self.node.config.load().inbound.hops_max;
        if seen.hops > hops_max {
            let text =
                format!("Hop count exceeded, possible mail loop: {} Received fields, {hops_max} allowed", seen.hops);
            return Err(Reply::new(554, Some(EnhancedCode::new(5, 4, 6)), text));
        }
        self.header = Some(seen);
        Ok(())
    }

    async fn store_piece(&mut self, piece: Vec<u8>) -> Result<(), Reply> {
        if piece.is_empty() {
            return Ok(());
        }
        let (key, sequence) = match &mut self.stored {
            Some(stored) => stored,
            None => {
                let key = self.node.store.new_body(&self.node.member).await.map_err(|error| refusal(&error))?;
                self.stored.insert((key, 0))
            }
        };
        self.size_bytes += piece.len() as u64;
        let written = self.node.store.append_body(*key, *sequence, Bytes::from(piece)).await;
        *sequence += 1;
        written.map_err(|error| refusal(&error))
    }

    async fn accept(mut self, content: Content, eight_bit: bool) -> Result<(Reply, u64), Reply> {
        let node = Arc::clone(&self.node);
        // Counted until the store has the message.
        let _held = std::mem::replace(&mut self.held, Held::nothing(&node.content_memory));
        let (id, size_bytes) = (self.id, self.size_bytes);
        let event = self.event();
        let message = self.into_message(content, eight_bit);
        let stored = match message.content {
            Content::Stored(key) => Some(key),
            Content::Inline(_) => None,
        };
        let term = node.term();
        let may_hold = !node.is_drained() && term.is_valid() && node.outbound.room_for(&message);
        let holder = may_hold.then(|| node.member.clone());
        match accept(&node.store, &message, holder, event.into()).await {
            Ok(accepted) => match accepted.lease {
                Some(lease) => {
                    for job in node.outbound.offer(Job::of_accepted(message, &accepted, lease, term)) {
                        give_back(&node, &job).await;
                    }
                }
                None => node.outbound.wake(&message),
            },
            Err(error) => {
                // The store has already logged why it fails.
                tracing::debug!(%error, message = %id, "failed to accept a message");
                if let Some(key) = stored {
                    discard(&node, key).await;
                }
                return Err(refusal(&error));
            }
        }
        let reply = Reply::new(250, Some(EnhancedCode::new(2, 0, 0)), format!("{id} Queued mail for delivery"));
        Ok((reply, size_bytes))
    }

    fn event(&self) -> Event {
        let received = Received {
            sender: self.transaction.envelope.sender.clone(),
            recipients: self.transaction.recipients.len() as u32,
            size_bytes: self.size_bytes,
            from: Some(self.facts.client.ip()),
            ehlo_name: self.facts.ehlo_name.clone(),
            tls: self.facts.tls.clone(),
            handshake: self.facts.handshake.clone(),
            session: format!("{:016X}", self.facts.id),
        };
        Event {
            at: self.now,
            node: self.node.name.clone(),
            message: self.id,
            recipient: None,
            kind: EventKind::Received(received),
        }
    }

    fn into_message(self, content: Content, eight_bit: bool) -> NewMessage {
        let header = self.header.unwrap_or_default();
        let schedule = self.node.schedule();
        let keep = self.node.config.load().history.clone();
        let utf8_addresses = self.transaction.envelope.sender.address().is_some_and(|address| address.needs_smtputf8())
            || self.transaction.recipients.iter().any(|recipient| recipient.address.needs_smtputf8());
        let envelope = Envelope {
            // What the content is counts, not what the client forgot to declare.
            body_type: if eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
            // The extension is asked of the destination only where something needs it.
            smtputf8: utf8_addresses || (self.transaction.envelope.smtputf8 && header.eight_bit),
            ..self.transaction.envelope
        };
        let review = schedule.first_review(self.now);
        let deliveries = self.transaction.recipients.into_iter().map(|recipient| NewDelivery {
            connector: self.node.connector_for(&recipient.address),
            recipient: recipient.address,
            notify: recipient.notify,
            orcpt: recipient.orcpt,
            due_in: Duration::ZERO,
            review_in: clock::from_now(review),
        });
        NewMessage {
            network_message_id: self.id,
            received: self.now,
            deliveries: deliveries.collect(),
            envelope,
            message_id: header.message_id,
            subject: header.subject.filter(|_| keep.subjects),
            size_bytes: self.size_bytes,
            client: Some(self.facts.client.ip()),
            content,
            withhold_addresses: !keep.addresses,
        }
    }
}

/// Accepts a message once: if it is not known whether the store has recorded it, asking again tells.
async fn accept(
    store: &Backend,
    message: &NewMessage,
    holder: Option<Member>,
    event: NewEvent,
) -> store::Result<Accepted> {
    let began = Instant::now();
    match store.accept(message.clone(), holder, vec![event.clone()]).await {
        // Without a lease: the first may have been given, and ended since.
        Err(error @ StoreError::Unknown { .. }) if began.elapsed() < ACCEPTED_WITHIN => {
            let again = store.accept(message.clone(), None, vec![event]);
            tokio::time::timeout_at(began + ACCEPTED_WITHIN, again).await.unwrap_or(Err(error))
        }
        result => result,
    }
}

/// A client that waits longer hears that it must try again. The store gives a commit as long.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);

/// What the client hears; the reason stays in the log.
fn refusal(error: &StoreError) -> Reply {
    match error {
        StoreError::Full(_) => Reply::new(452, Some(EnhancedCode::new(4, 3, 1)), "Insufficient system storage"),
        StoreError::Unavailable { .. }
        | StoreError::Unknown { .. }
        | StoreError::NameInUse { .. }
        | StoreError::NotAMember { .. }
        | StoreError::Postgres(_)
        | StoreError::Bodies(BodiesError::Unavailable { .. } | BodiesError::Refused { .. }) => {
            Reply::new(451, Some(EnhancedCode::new(4, 3, 2)), "The message could not be stored, try again later")
        }
        StoreError::NotQueued
        | StoreError::File(_)
        | StoreError::Bodies(_)
        | StoreError::Migration(_)
        | StoreError::Other(_) => {
            Reply::new(451, Some(EnhancedCode::new(4, 3, 0)), "The message could not be stored, try again later")
        }
    }
}
