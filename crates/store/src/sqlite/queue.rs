//! The queue: each method hands its SQL to the writer, to a reader, or to a thread for searches.

use std::{sync::Arc, time::Duration};

use rusqlite::Connection;

use super::{Inner, SqliteStore, accept, accept::Added, bodies, change_log, claim, command, notice, settle, waiting};
use crate::{
    Accepted, Actor, Claim, Claimed, Command, Commanded, Content, DeliveryKey, DeliveryRecord, Holding, Member,
    MessageKey, NewChange, NewEvent, NewMessage, Pending, Queue, QueueCount, QueueQuery, QueueRow, Result, Room,
    Selection, Settlement, StoreError, Telling, Told, Untold, change_log::queue_command, clock::before,
    lease::EMBEDDED_LEASE_TERM, tally::Counts,
};

impl Queue for SqliteStore {
    fn room(&self) -> Room {
        self.0.gauge.room()
    }

    async fn accept(&self, message: NewMessage, holder: Option<Member>, events: Vec<NewEvent>) -> Result<Accepted> {
        let number = holder.as_ref().map(Member::next_lease);
        let keys = self.keys_for(&message, number).await?;
        let (weight, deliveries, clock) = (weight(&message), message.deliveries.len(), self.0.clock.clone());
        let accept = move |connection: &Connection, counts: &mut Counts| {
            accept::accept(connection, counts, &message, &keys, holder.as_ref(), &events, clock.now())
        };
        match self.0.writer.run_new_mail(weight, accept).await? {
            Added::New(accepted) => {
                self.0.gauge.queue_changed(deliveries as i64);
                Ok(accepted)
            }
            Added::Before(accepted) => Ok(accepted),
            Added::WithoutBody => Err(bodies::swept()),
        }
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>> {
        let number = claim.holder.next_lease();
        self.write(move |connection, now| claim::claim(connection, &claim, number, now)).await
    }

    async fn claim_for_review(&self, holder: Member, limit: u32) -> Result<Vec<Claimed>> {
        let number = holder.next_lease();
        self.write(move |connection, now| claim::claim_for_review(connection, &holder, number, now, limit)).await
    }

    fn lease_term(&self) -> Duration {
        EMBEDDED_LEASE_TERM
    }

    async fn renew(&self, _: &Member, held: Vec<Holding>) -> Result<Vec<Holding>> {
        if held.is_empty() {
            return Ok(held);
        }
        self.write(move |connection, now| claim::renew(connection, now, &held)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<DeliveryKey>> {
        let settlements: Arc<[Settlement]> = settlements.into();
        match self.settle_together(Arc::clone(&settlements)).await {
            // One by one where there is no room for all at once: the first make room for the others.
            Err(StoreError::Full(_)) if settlements.len() > 1 => {
                let mut lost = Vec::new();
                for settlement in settlements.iter() {
                    lost.extend(self.settle_together(Arc::new([settlement.clone()])).await?);
                }
                Ok(lost)
            }
            result => result,
        }
    }

    async fn untold(&self, waited: Duration, limit: u32) -> Result<Vec<Untold>> {
        self.read(move |connection, now| notice::untold(connection, now, before(now, waited), limit)).await
    }

    async fn tell(&self, member: &Member, telling: Telling) -> Result<Told> {
        let node = member.name().to_owned();
        let keys = self.keys_for(&telling.notice, None).await?;
        let tell = move |connection: &Connection, counts: &mut Counts, now| {
            notice::tell(connection, counts, &node, &telling, &keys, now)
        };
        let told = self.write_counted(tell).await?;
        self.0.gauge.queue_changed(i64::from(told == Told::Queued));
        Ok(told)
    }

    async fn expire_leases(&self) -> Result<u64> {
        self.write(claim::expire_leases).await
    }

    async fn follow_clock(&self, waits: Vec<Duration>) -> Result<u64> {
        self.write(move |connection, now| claim::follow_clock(connection, now, &waits)).await
    }

    async fn command(&self, command: Command, selection: Selection, by: impl Into<Actor> + Send) -> Result<Commanded> {
        let by: Actor = by.into();
        let run = move |connection: &Connection, counts: &mut Counts, now| {
            let done = command::run(connection, counts, command, &selection, &by.name, now)?;
            if let Some(kind) = queue_command(command, &selection, done) {
                change_log::put(connection, &NewChange::of_fleet(&by, kind), now)?;
            }
            Ok(done)
        };
        self.write_counted(run).await
    }

    async fn retry_requested(&self, connector: &str) -> Result<Option<Duration>> {
        let connector = connector.to_owned();
        let ago = move |connection: &Connection, now: jiff::Timestamp| {
            let requested = waiting::retry_requested(connection, &connector)?;
            // One of the future was made before the clock was set back.
            Ok(requested.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default()))
        };
        self.read(ago).await
    }

    async fn list(&self, query: QueueQuery) -> Result<Vec<DeliveryRecord>> {
        self.read(move |connection, _| waiting::list(connection, &query)).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>> {
        self.read(|connection, _| waiting::counts(connection)).await
    }

    async fn fold_queue<T: Send + 'static>(
        &self,
        selection: Selection,
        start: T,
        step: fn(&mut T, &QueueRow<'_>),
    ) -> Result<T> {
        self.search(move |connection, _| waiting::fold(connection, &selection, start, step)).await
    }

    async fn pending(&self, untried_for: Duration) -> Result<Vec<Pending>> {
        self.search(move |connection, now| waiting::pending(connection, before(now, untried_for))).await
    }

    async fn deferred(&self, connector: &str, limit: u32) -> Result<Vec<MessageKey>> {
        let connector = connector.to_owned();
        self.search(move |connection, _| waiting::deferred(connection, &connector, limit)).await
    }
}

impl SqliteStore {
    /// A body that was written before has chosen the message's key.
    async fn keys_for(&self, message: &NewMessage, lease: Option<crate::LeaseNumber>) -> Result<Accepted> {
        let Inner { keys, writer, .. } = &*self.0;
        let key = match message.content {
            Content::Stored(body) => body.message,
            Content::Inline(_) => keys.message(writer).await?,
        };
        let deliveries = keys.deliveries(message.deliveries.len(), writer).await?;
        Ok(Accepted { message: key, deliveries, lease })
    }

    /// Records results in one transaction.
    async fn settle_together(&self, settlements: Arc<[Settlement]>) -> Result<Vec<DeliveryKey>> {
        let (recorded, gauge) = (Arc::clone(&settlements), Arc::clone(&self.0.gauge));
        let settle = move |connection: &Connection, counts: &mut Counts, now| {
            settle::settle(connection, counts, &recorded, now, gauge.room() == Room::Short)
        };
        let lost = self.write_counted(settle).await?;
        let has_ended = |settlement: &&Settlement| settlement.outcome.is_end() && !lost.contains(&settlement.delivery);
        self.0.gauge.queue_changed(-(settlements.iter().filter(has_ended).count() as i64));
        Ok(lost)
    }
}

/// Content that is written with the message, in bytes.
fn weight(message: &NewMessage) -> usize {
    match &message.content {
        Content::Inline(bytes) => bytes.len(),
        Content::Stored(_) => 0,
    }
}
