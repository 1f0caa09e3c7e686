//! One message with those of its deliveries that go over one connection.

use bytes::Bytes;
use net::send::Content;
use protocol::smtp::{Recipient, client::Transaction};
use std::sync::Arc;
use store::{Accepted, Body, Claimed, Delivery, DeliveryKey, Message, MessageKey, NewMessage, Store};

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub message: Arc<Message>,
    /// At least one; all of the same connector.
    pub deliveries: Vec<Delivery>,
    /// The content, where it is still in memory.
    pub body: Option<Bytes>,
}

impl Job {
    pub(crate) fn of_claimed(claimed: Claimed) -> Self {
        Self { message: Arc::new(claimed.message), deliveries: claimed.deliveries, body: None }
    }

    pub(crate) fn of_accepted(message: NewMessage, accepted: &Accepted) -> Self {
        let body = match message.body {
            Body::Inline(bytes) => Some(bytes),
            Body::Stored(_) => None,
        };
        let deliveries = message.deliveries.into_iter().zip(&accepted.deliveries).map(|(delivery, key)| Delivery {
            key: *key,
            recipient: delivery.recipient,
            notify: delivery.notify,
            orcpt: delivery.orcpt,
            connector: delivery.connector,
            attempts: 0,
            delay_notified: false,
            failure: None,
        });
        let deliveries = deliveries.collect();
        let message = Message {
            key: accepted.message,
            network_message_id: message.network_message_id,
            received: message.received,
            sender: message.sender,
            body_type: message.body_type,
            smtputf8: message.smtputf8,
            ret: message.ret,
            envid: message.envid,
            subject: message.subject,
            message_id: message.message_id,
            size_bytes: message.size_bytes,
            client: message.client,
        };
        Self { message: Arc::new(message), deliveries, body }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = DeliveryKey> {
        self.deliveries.iter().map(|delivery| delivery.key)
    }

    /// What it costs to keep in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn transaction(&self) -> Transaction {
        let recipients = self.deliveries.iter().map(|delivery| Recipient {
            address: delivery.recipient.clone(),
            notify: delivery.notify,
            orcpt: delivery.orcpt.clone(),
        });
        Transaction {
            sender: self.message.sender.clone(),
            recipients: recipients.collect(),
            size_bytes: self.message.size_bytes,
            body_type: self.message.body_type,
            smtputf8: self.message.smtputf8,
            ret: self.message.ret,
            envid: self.message.envid.clone(),
        }
    }

    pub(crate) fn content<S: Store>(&self, store: &S) -> JobContent<S> {
        match &self.body {
            Some(bytes) => JobContent::Memory(Some(bytes.clone())),
            None => JobContent::Stored { store: store.clone(), message: self.message.key, sequence: 0 },
        }
    }
}

/// Reads a message's content from memory or piece by piece from the store.
pub(crate) enum JobContent<S> {
    Memory(Option<Bytes>),
    Stored { store: S, message: MessageKey, sequence: u32 },
}

impl<S: Store> Content for JobContent<S> {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Memory(bytes) => Ok(bytes.take()),
            Self::Stored { store, message, sequence } => {
                let piece = store.read_body(*message, *sequence).await.map_err(|error| error.to_string())?;
                if piece.is_none() && *sequence == 0 {
                    return Err("the message's content is not in the store".to_owned());
                }
                *sequence += 1;
                Ok(piece)
            }
        }
    }
}
