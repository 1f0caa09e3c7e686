//! The queue: each method hands its work to the lane that it belongs to.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    LONG, PostgresStore, change_log, claim, command,
    lane::{Lane, Tx},
    lease, notice, waiting,
    writer::{Accept, Settle},
};
use crate::{
    Accepted, Actor, Claim, Claimed, Command, Commanded, Content, DeliveryKey, DeliveryRecord, Holding, LeaseNumber,
    MEMBER_VALID, Member, MessageKey, NewChange, NewEvent, NewMessage, Pending, Queue, QueueCount, QueueQuery,
    QueueRow, Result, Room, Selection, Settlement, StoreError, Telling, Told, Untold, change_log::queue_command,
};

impl Queue for PostgresStore {
    /// The server's disk is not looked at; when it is full, mail is refused one by one.
    fn room(&self) -> Room {
        Room::Enough
    }

    async fn accept(&self, message: NewMessage, holder: Option<Member>, events: Vec<NewEvent>) -> Result<Accepted> {
        if !self.goes_outside(&message.content) {
            return self.accept_as_it_is(message, holder, events).await;
        }
        // It runs to its end even if the caller goes away: a body that was written is accepted, or deleted.
        let store = self.clone();
        let task = tokio::spawn(async move { store.accept_outside(message, holder, events).await });
        task.await.map_err(|_| StoreError::Unknown { detail: "its task has ended".to_owned() })?
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        let number = claim.holder.next_lease();
        let inner = Arc::clone(&self.0);
        self.0.leases.write(move |tx| async move { claim::claim(&tx, &claim, number, &inner.bounds).await }).await
    }

    async fn claim_for_review(&self, holder: Member, limit: u32) -> Result<Vec<Claimed>> {
        let number = holder.next_lease();
        let claim = move |tx| async move { claim::claim_for_review(&tx, &holder, number, limit).await };
        self.0.leases.write(claim).await
    }

    fn lease_term(&self) -> Duration {
        MEMBER_VALID
    }

    async fn renew(&self, member: &Member, held: Vec<Holding>) -> Result<Vec<Holding>> {
        let (holder, inner) = (member.clone(), Arc::clone(&self.0));
        let renew = move |tx| async move { lease::renew(&tx, &holder, &held, &inner.unknown_leases).await };
        let renewed = self.0.leases.write(renew).await?;
        let (lost, heard) = renewed.ok_or_else(|| StoreError::NotAMember { name: member.name().to_owned() })?;
        self.0.witness.note(heard);
        Ok(lost)
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
        self.0.leases.write(|tx| async move { lease::end_leases_of_silent(&tx).await }).await
    }

    async fn follow_clock(&self, waits: Vec<Duration>) -> Result<u64> {
        let follow = move |tx| async move { claim::follow_clock(&tx, &waits).await };
        self.0.clerk.write_within(LONG, follow).await
    }

    async fn command(&self, command: Command, selection: Selection, by: impl Into<Actor> + Send) -> Result<Commanded> {
        let by: Actor = by.into();
        let (mut all, id) = (Commanded::default(), Uuid::now_v7());
        for part in command::parts(&selection) {
            let mut next = Some(i64::MIN);
            while let Some(after) = next {
                let (by, part, before) = (by.clone(), part.clone(), all);
                let run = move |tx: Tx| async move {
                    let (done, more) = command::run(&tx, command, &part, &by.name, after).await?;
                    let all = Commanded { changed: before.changed + done.changed, leased: before.leased + done.leased };
                    if let Some(kind) = queue_command(command, &part, all) {
                        change_log::put_as(&tx, id, &NewChange::of_fleet(&by, kind)).await?;
                    }
                    Ok((all, more))
                };
                (all, next) = self.0.clerk.write_within(LONG, run).await?;
            }
        }
        Ok(all)
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
    pub(super) async fn accept_as_it_is(
        &self,
        message: NewMessage,
        holder: Option<Member>,
        events: Vec<NewEvent>,
    ) -> Result<Accepted> {
        let number = holder.as_ref().map(Member::next_lease);
        let keys = self.keys_for(&message, number).await?;
        self.0.accepts.run(Accept { message, keys, holder, events }).await
    }

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
