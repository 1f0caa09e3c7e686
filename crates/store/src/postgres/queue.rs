//! The queue: each method hands its work to the lane that it belongs to.

use std::{sync::Arc, time::Duration};

use super::{
    LONG, PostgresStore,
    claim::{self, Ends},
    command,
    lane::Lane,
    notice, waiting,
    writer::{Accept, Settle},
};
use crate::{
    Accepted, Claim, Claimed, Command, Commanded, Content, DeliveryKey, DeliveryRecord, Holding, LeaseNumber, Member,
    MessageKey, NewEvent, NewLease, NewMessage, Pending, Queue, QueueCount, QueueQuery, QueueRow, Result, Room,
    Selection, Settlement, Telling, Told, Untold,
};

impl Queue for PostgresStore {
    /// The server's disk is not looked at; when it is full, mail is refused one by one.
    fn room(&self) -> Room {
        Room::Enough
    }

    async fn accept(&self, message: NewMessage, lease: Option<NewLease>, events: Vec<NewEvent>) -> Result<Accepted> {
        let number = lease.as_ref().map(|lease| lease.member.next_lease());
        let keys = self.keys_for(&message, number).await?;
        self.0.accepts.run(Accept { message, keys, lease, events }).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        let number = claim.lease.member.next_lease();
        let inner = Arc::clone(&self.0);
        self.0.leases.write(move |tx| async move { claim::claim(&tx, &claim, number, &inner.bounds).await }).await
    }

    async fn claim_for_review(&self, lease: NewLease, limit: u32) -> Result<Vec<Claimed>> {
        let number = lease.member.next_lease();
        let claim = move |tx| async move { claim::claim_for_review(&tx, &lease, number, limit).await };
        self.0.leases.write(claim).await
    }

    async fn renew(&self, term: Duration, held: Vec<Holding>) -> Result<Vec<Holding>> {
        self.0.leases.write(move |tx| async move { claim::renew(&tx, term, &held).await }).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<DeliveryKey>> {
        self.0.settlements.run(Settle(settlements)).await
    }

    async fn untold(&self, waited: Duration, limit: u32) -> Result<Vec<Untold>> {
        self.0.readers.read(|tx| async move { notice::untold(&tx, waited, limit).await }).await
    }

    async fn tell(&self, member: &Member, telling: Telling) -> Result<Told> {
        let node = member.name().to_owned();
        let keys = self.keys_for(&telling.notice, None).await?;
        self.0.clerk.write(move |tx| async move { notice::tell(&tx, &node, &telling, &keys).await }).await
    }

    async fn expire_leases(&self) -> Result<u64> {
        self.0.leases.write(|tx| async move { claim::end_leases(&tx, Ends::Over).await }).await
    }

    async fn follow_clock(&self, waits: Vec<Duration>, lease_max: Duration) -> Result<u64> {
        let follow = move |tx| async move { claim::follow_clock(&tx, &waits, lease_max).await };
        self.0.clerk.write_within(LONG, follow).await
    }

    async fn command(&self, command: Command, selection: Selection, by: &str) -> Result<Commanded> {
        let by = by.to_owned();
        let run = move |tx| async move { command::run(&tx, command, &selection, &by).await };
        self.0.clerk.write_within(LONG, run).await
    }

    async fn retry_requested(&self, connector: &str) -> Result<Option<Duration>> {
        self.0.readers.read(|tx| async move { waiting::retry_requested(&tx, connector).await }).await
    }

    async fn list(&self, query: QueueQuery) -> Result<Vec<DeliveryRecord>> {
        let query = &query;
        self.0.readers.read(|tx| async move { waiting::list(&tx, query).await }).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>> {
        self.0.readers.read(|tx| async move { waiting::counts(&tx).await }).await
    }

    async fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> Result<T> {
        // A second reading would need a second value to start from.
        self.0.queue_searchers.read_once(|tx| async move { waiting::fold(&tx, &selection, start, step).await }).await
    }

    async fn pending(&self, untried_for: Duration) -> Result<Vec<Pending>> {
        self.0.queue_searchers.read(|tx| async move { waiting::pending(&tx, untried_for).await }).await
    }

    async fn deferred(&self, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
        self.0.queue_searchers.read(|tx| async move { waiting::deferred(&tx, connector, limit).await }).await
    }
}

impl PostgresStore {
    /// A body that was written before has chosen the message's key.
    async fn keys_for(&self, message: &NewMessage, lease: Option<LeaseNumber>) -> Result<Accepted> {
        let lane: &Arc<Lane> = &self.0.readers;
        let key = match message.content {
            Content::Stored(body) => body.message,
            Content::Inline(_) => self.0.keys.message(lane).await?,
        };
        let deliveries = self.0.keys.deliveries(message.deliveries.len(), lane).await?;
        Ok(Accepted { message: key, deliveries, lease })
    }
}
