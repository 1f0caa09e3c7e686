//! One message with the deliveries that use the same connection.

use bytes::Bytes;
use delivery::schedule::Schedule;
use jiff::Timestamp;
use protocol::smtp::{Recipient, Transaction};
use std::sync::Arc;
use store::{
    Accepted, Backend, Bodies as _, Claimed, Content, Delivery, DeliveryKey, LeaseNumber, Message, MessageKey,
    NewMessage,
};

use super::lease::{Term, Ticket};

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub message: Arc<Message>,
    /// At least one. All have the same connector, and with MX the same domain.
    pub deliveries: Vec<Delivery>,
    /// The recipients' domain, if the hosts come from MX records.
    pub domain: Option<String>,
    /// The content, if it is still in memory.
    pub content: Option<Bytes>,
    pub ticket: Arc<Ticket>,
}

impl Job {
    pub(crate) fn of_claimed(claimed: Claimed, term: Term) -> Self {
        let (message, ticket) = (Arc::new(claimed.message), Arc::new(Ticket::new(claimed.lease, term)));
        Self { message, deliveries: claimed.deliveries, domain: None, content: None, ticket }
    }

    pub(crate) fn of_accepted(message: NewMessage, accepted: &Accepted, lease: LeaseNumber, term: Term) -> Self {
        let content = match message.content {
            Content::Inline(bytes) => Some(bytes),
            Content::Stored(_) => None,
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
            envelope: message.envelope,
            subject: message.subject,
            message_id: message.message_id,
            size_bytes: message.size_bytes,
            client: message.client,
        };
        let ticket = Arc::new(Ticket::new(lease, term));
        Self { message: Arc::new(message), deliveries, domain: None, content, ticket }
    }

    /// Splits into a job for each domain, because with MX each domain has its own hosts.
    pub(super) fn split_by_domain(self) -> Vec<Self> {
        let mut jobs: Vec<Self> = Vec::new();
        for delivery in self.deliveries {
            let domain = delivery.recipient.domain_key();
            match jobs.iter_mut().find(|job| job.domain.as_ref() == Some(&domain)) {
                Some(job) => job.deliveries.push(delivery),
                None => jobs.push(Self {
                    message: Arc::clone(&self.message),
                    deliveries: vec![delivery],
                    domain: Some(domain),
                    content: self.content.clone(),
                    ticket: Arc::clone(&self.ticket),
                }),
            }
        }
        jobs
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = DeliveryKey> {
        self.deliveries.iter().map(|delivery| delivery.key)
    }

    /// When the first of its deliveries must be reviewed, even without an attempt.
    pub(super) fn review_at(&self, schedule: &Schedule) -> Timestamp {
        let review = |delivery: &Delivery| schedule.next_review(self.message.received, delivery.delay_notified);
        self.deliveries.iter().map(review).min().unwrap_or(Timestamp::MAX)
    }

    /// Memory that the job uses.
    pub(crate) fn bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn transaction(&self) -> Transaction {
        let recipients = self.deliveries.iter().map(|delivery| Recipient {
            address: delivery.recipient.clone(),
            notify: delivery.notify,
            orcpt: delivery.orcpt.clone(),
        });
        Transaction {
            envelope: self.message.envelope.clone(),
            size_bytes: Some(self.message.size_bytes),
            recipients: recipients.collect(),
        }
    }

    pub(crate) fn content(&self, store: &Backend) -> JobContent {
        let source = match &self.content {
            Some(bytes) => Source::Memory(Some(bytes.clone())),
            None => Source::Stored { store: store.clone(), message: self.message.key, sequence: 0 },
        };
        JobContent { source, first: None, ticket: Arc::clone(&self.ticket) }
    }
}

/// Reads a message's content from memory, or piece by piece from the store. The final dot follows the end of the
/// content, so a lease that may have ended is an error at this point.
pub(crate) struct JobContent {
    source: Source,
    /// Read before the destination hears of the message.
    first: Option<Bytes>,
    ticket: Arc<Ticket>,
}

impl JobContent {
    /// Reads the first piece. So the destination hears nothing of a message whose content cannot be read at all.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        self.first = self.source.next().await?;
        Ok(())
    }
}

enum Source {
    Memory(Option<Bytes>),
    Stored { store: Backend, message: MessageKey, sequence: u32 },
}

impl net::send::Content for JobContent {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => self.source.next().await?,
        };
        if piece.is_none() && !self.ticket.is_valid() {
            return Err("the lease ended before the message was sent".to_owned());
        }
        Ok(piece)
    }
}

impl Source {
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
