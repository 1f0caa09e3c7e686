//! Group commit: commands of one kind that wait are written together.
//!
//! ```text
//!   callers ──> queue ──> a connection is free: all that waits, up to a limit, in one batch ──> answers
//!     a command is at fault ────> each alone
//!     the connection was lost ──> connect again, and do it again: accept and settle recognise what they have done
//!     no answer in time ────────> the connection is given up, and nobody knows: nothing more is written until all that was
//!                                 committed before is known to be on a standby
//! ```
//!
//! Callers only wait: one that goes away takes nothing back.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    accept::{self, New},
    bodies,
    lane::{COMMIT_MAX, Lane, RECONNECT_INTERVAL, Seat, barrier, closed, confirmed},
    session::Session,
    settle,
};
use crate::{
    Accepted, Content, DeliveryKey, Member, NewEvent, NewMessage, Result, Settlement, StoreError, StoreTimes,
    fault_log::FaultLog, tally::accepting_node,
};

/// Commands in one batch.
const BATCH_COMMANDS_MAX: usize = 200;
/// Content in one batch.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Commands that wait; if there are more, their callers wait.
const WAITING_MAX: usize = 4096;

/// However long a command has waited already, standbys have this time to confirm what was committed before.
const BARRIER_MIN: Duration = Duration::from_millis(500);

/// What can be written in one batch with others of its kind.
pub(super) trait Command: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Its content.
    fn bytes(&self) -> usize;

    /// Writes a batch durably. With `again`, the same batch may have been written before.
    fn write(
        session: &Session,
        clock: Option<Timestamp>,
        batch: &[&Self],
        again: bool,
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

struct Waiting<C: Command> {
    command: C,
    since: Instant,
    answer: oneshot::Sender<Result<C::Answer>>,
}

/// Writes commands of one kind.
pub(super) struct Writer<C: Command> {
    sender: Mutex<Option<mpsc::Sender<Waiting<C>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl<C: Command> Writer<C> {
    pub(super) fn start(lane: Arc<Lane>, times: Arc<StoreTimes>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(receiver, lane, times));
        Self { sender: Mutex::new(Some(sender)), task: Mutex::new(Some(task)) }
    }

    pub(super) async fn run(&self, command: C) -> Result<C::Answer> {
        let (answer, answered) = oneshot::channel();
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender
            .ok_or_else(closed)?
            .send(Waiting { command, since: Instant::now(), answer })
            .await
            .map_err(|_| closed())?;
        answered.await.map_err(|_| StoreError::Unknown { detail: "its writer has ended".to_owned() })?
    }

    /// Takes no more, and waits for what was handed over.
    pub(super) async fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn run<C: Command>(mut waiting: mpsc::Receiver<Waiting<C>>, lane: Arc<Lane>, times: Arc<StoreTimes>) {
    let mut faults = FaultLog::default();
    // The last batch may be written, and no standby has it. What clients send again meanwhile would be written each time.
    let mut is_in_doubt = false;
    while let Some(first) = waiting.recv().await {
        let seat = lane.seat().await;
        // What has come while there was no seat goes with it.
        let (mut bytes, since) = (first.command.bytes(), first.since);
        let mut batch = vec![first];
        while batch.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.command.bytes();
            batch.push(next);
        }
        let (commands, answers): (Vec<C>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.command, waiting.answer)).unzip();
        let commands: Vec<&C> = commands.iter().collect();
        let began = Instant::now();
        let results = match seat {
            Ok(mut seat) => match wait_for_standby(&mut seat, is_in_doubt, since).await {
                Ok(()) => write(&mut seat, &commands).await,
                Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
            },
            Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
        };
        times.commits.note(began.elapsed());
        is_in_doubt = results.iter().any(|result| match result {
            Err(StoreError::Unknown { .. }) => true,
            Err(StoreError::Unavailable { .. }) => is_in_doubt,
            _ => false,
        });
        for (answer, result) in answers.into_iter().zip(results) {
            result.as_ref().err().into_iter().for_each(|error| faults.tell(error, Instant::now()));
            // The caller may have gone away.
            let _ = answer.send(result);
        }
    }
}

/// Nothing is written before all that was committed until now is where a commit has to be. A command that has waited for the
/// one before has less time left.
async fn wait_for_standby(seat: &mut Seat, is_in_doubt: bool, since: Instant) -> Result<()> {
    if !is_in_doubt {
        return Ok(());
    }
    let unavailable = |detail: String| StoreError::Unavailable { detail };
    let session = seat.start().await?;
    let left = COMMIT_MAX.saturating_sub(since.elapsed()).max(BARRIER_MIN);
    match timeout(left, barrier(&session)).await {
        Ok(Ok(())) => {
            seat.release();
            Ok(())
        }
        Ok(Err(error)) => {
            seat.roll_back().await;
            Err(unavailable(error.to_string()))
        }
        Err(_) => {
            seat.abandon();
            Err(unavailable("no standby confirms commits".to_owned()))
        }
    }
}

/// A result for each command.
async fn write<C: Command>(seat: &mut Seat, batch: &[&C]) -> Vec<Result<C::Answer>> {
    match write_together(seat, batch).await {
        Ok(results) => results,
        Err(error)
            if batch.len() > 1
                && !matches!(
                    error,
                    StoreError::Unknown { .. } | StoreError::Unavailable { .. } | StoreError::Postgres(_)
                ) =>
        {
            let mut results = Vec::with_capacity(batch.len());
            for command in batch {
                let alone = write_together(seat, &[*command]).await;
                results.push(alone.and_then(|mut results| results.pop().unwrap_or_else(|| Err(closed()))));
            }
            results
        }
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn write_together<C: Command>(seat: &mut Seat, batch: &[&C]) -> Result<Vec<Result<C::Answer>>> {
    // Nothing was sent if this fails.
    seat.start().await?;
    match write_once(seat, batch, false).await {
        Err(StoreError::Unavailable { detail }) if seat.is_lost() => {
            let again = write_again(seat, batch).await;
            again.map_err(|error| StoreError::Unknown { detail: format!("{detail}; {error}") })
        }
        written => written,
    }
}

/// Until the server is back, or there is another one, for as long as a commit may take.
async fn write_again<C: Command>(seat: &mut Seat, batch: &[&C]) -> Result<Vec<Result<C::Answer>>> {
    let end = tokio::time::Instant::now() + COMMIT_MAX;
    loop {
        match write_once(seat, batch, true).await {
            Err(StoreError::Unavailable { .. }) if seat.is_lost() && tokio::time::Instant::now() < end => {
                tokio::time::sleep(RECONNECT_INTERVAL).await;
            }
            written => return written,
        }
    }
}

async fn write_once<C: Command>(seat: &mut Seat, batch: &[&C], again: bool) -> Result<Vec<Result<C::Answer>>> {
    let session = seat.start().await?;
    let written = timeout(COMMIT_MAX, async {
        let results = C::write(&session, seat.set_time(), batch, again).await?;
        confirmed(&session)?;
        if again {
            barrier(&session).await?;
        }
        Ok(results)
    });
    match written.await {
        Ok(Ok(results)) => {
            seat.release();
            Ok(results)
        }
        Ok(Err(error)) => {
            seat.roll_back().await;
            Err(error)
        }
        Err(_) => {
            seat.abandon();
            Err(StoreError::Unknown { detail: super::lane::too_late(COMMIT_MAX) })
        }
    }
}

/// A message to be accepted. The keys are for what is new.
pub(super) struct Accept {
    pub(super) message: NewMessage,
    pub(super) keys: Accepted,
    pub(super) holder: Option<Member>,
    pub(super) events: Vec<NewEvent>,
}

impl Accept {
    fn as_new(&self) -> New<'_> {
        let (holder, events) = (self.holder.as_ref(), self.events.as_slice());
        New { message: &self.message, keys: &self.keys, holder, node: accepting_node(holder, events), events }
    }
}

impl Command for Accept {
    type Answer = Accepted;

    fn bytes(&self) -> usize {
        match &self.message.content {
            Content::Inline(bytes) => bytes.len(),
            Content::Stored(_) => 0,
        }
    }

    async fn write(
        session: &Session,
        clock: Option<Timestamp>,
        batch: &[&Self],
        _again: bool,
    ) -> Result<Vec<Result<Accepted>>> {
        let news: Vec<New<'_>> = batch.iter().map(|accept| accept.as_new()).collect();
        let inserted = accept::insert(session, clock, &news).await?;
        if inserted.len() < news.len() {
            // What was accepted before may not have been confirmed then.
            barrier(session).await?;
        }
        let mut results = Vec::with_capacity(batch.len());
        for new in &news {
            results.push(match inserted.contains(&new.keys.message) {
                true => Ok(new.keys.clone()),
                false => accept::accepted_before(session, new).await?.ok_or_else(bodies::swept),
            });
        }
        Ok(results)
    }
}

/// Results to be recorded.
pub(super) struct Settle(pub(super) Vec<Settlement>);

impl Command for Settle {
    type Answer = Vec<DeliveryKey>;

    fn bytes(&self) -> usize {
        // What an attempt with its events may take.
        self.0.len() * 4096
    }

    async fn write(
        session: &Session,
        clock: Option<Timestamp>,
        batch: &[&Self],
        again: bool,
    ) -> Result<Vec<Result<Vec<DeliveryKey>>>> {
        let calls: Vec<&[Settlement]> = batch.iter().map(|settle| settle.0.as_slice()).collect();
        Ok(settle::settle(session, clock, &calls, again).await?.into_iter().map(Ok).collect())
    }
}
