//! Lanes: a fixed number of connections for one purpose each, so that no kind of work waits for another.
//!
//! ```text
//!   seat ──> begin ──> work ──> commit ── warned: no standby has it ──────────────> Unknown
//!              │         │         ├── lost: connect again, ask for the transaction ──> done, undone, or Unknown
//!              │         │         ├── lost, as another server was promoted ──────────> Unknown
//!              │         │         └── no answer in time: its process is ended ───────> Unknown
//!              │         └── fails, or takes too long ──> undone
//!              └── the connection was lost before: connect again, once
//! ```
//!
//! A new connection is looked at before it is used (restored.rs).

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    PostgresError,
    session::{Connector, Session},
};
use crate::{Clock, Result, StoreError, stored::time_from_millis};

/// A commit that takes longer is given up.
pub(super) const COMMIT_MAX: Duration = Duration::from_secs(10);
/// After a failure to connect, others fail at once for so long: each of them would wait as long.
pub(super) const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// A transaction that was being committed when its connection was lost is asked for so often.
const ASK_TIMES: u32 = 40;
const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// The server's time in milliseconds.
pub(super) const SERVER_TIME: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Looks at a new connection before it is used.
pub(super) type Admit = Arc<dyn Fn(Tx) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

pub(super) struct Lane {
    connector: Arc<Connector>,
    /// `None` if only reading is done.
    admit: Option<Admit>,
    clock: Clock,
    /// How long something may be read.
    read_max: Duration,
    seats: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Session>>>,
    /// The last failure to connect.
    down: Mutex<Option<(Instant, StoreError)>>,
}

impl Lane {
    pub(super) fn new(
        connector: Arc<Connector>,
        admit: Option<Admit>,
        clock: Clock,
        connections: usize,
        read_max: Duration,
    ) -> Arc<Self> {
        let (seats, idle, down) = (Arc::new(Semaphore::new(connections)), Mutex::default(), Mutex::default());
        Arc::new(Self { connector, admit, clock, read_max, seats, idle, down })
    }

    /// Waits for one of the connections.
    pub(super) async fn seat(self: &Arc<Self>) -> Result<Seat> {
        let permit = Arc::clone(&self.seats).acquire_owned().await.map_err(|_| closed())?;
        let session = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Seat { lane: Arc::clone(self), session, is_busy: false, _permit: permit })
    }

    async fn connect(&self) -> Result<Arc<Session>> {
        if let Some((at, error)) = &*self.down.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < RECONNECT_INTERVAL
        {
            return Err(error.clone());
        }
        let result = match self.connector.connect().await {
            Ok(session) => self.admitted(Arc::new(session)).await,
            Err(error) => Err(StoreError::Unavailable { detail: error.to_string() }),
        };
        let down = result.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = down;
        result
    }

    async fn admitted(&self, session: Arc<Session>) -> Result<Arc<Session>> {
        if let Some(admit) = &self.admit {
            let look = admit(Tx { session: Arc::clone(&session), now: self.clock.is_set() });
            // To hold a long queue takes a while.
            let late = |_| StoreError::Unavailable { detail: too_late(super::LONG) };
            let looked = tokio::time::timeout(super::LONG, look).await.map_err(late)?;
            looked.map_err(|error| match error {
                // The caller must know that waiting does not help.
                StoreError::Postgres(PostgresError::Replaced { .. }) => error,
                error => StoreError::Unavailable { detail: error.to_string() },
            })?;
        }
        Ok(session)
    }

    pub(super) fn has_several_hosts(&self) -> bool {
        self.connector.has_several_hosts()
    }

    /// Connections to a primary that is not the newest any more are not used again.
    pub(super) async fn look_for_primary(&self) {
        // The connection itself is not needed.
        let _ = self.connector.connect().await;
    }

    /// Waits for what is under way, and takes no more.
    pub(super) async fn close(&self, connections: u32) {
        let _all = self.seats.acquire_many(connections).await;
        self.seats.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reads outside a transaction. Where the connection was lost while nobody used it, or just now, a second reading harms
    /// nobody.
    pub(super) async fn read<T, F: Future<Output = Result<T>>>(self: &Arc<Self>, work: impl Fn(Tx) -> F) -> Result<T> {
        let mut seat = self.seat().await?;
        match self.read_from(&mut seat, &work).await {
            Err(StoreError::Unavailable { .. }) if seat.is_lost() => self.read_from(&mut seat, &work).await,
            result => result,
        }
    }

    /// The same for work that cannot be done twice.
    pub(super) async fn read_once<T, F: Future<Output = Result<T>>>(
        self: &Arc<Self>,
        work: impl FnOnce(Tx) -> F,
    ) -> Result<T> {
        self.read_from(&mut self.seat().await?, work).await
    }

    async fn read_from<T, F: Future<Output = Result<T>>>(
        &self,
        seat: &mut Seat,
        work: impl FnOnce(Tx) -> F,
    ) -> Result<T> {
        let tx = Tx { session: seat.start().await?, now: self.clock.is_set() };
        // A seat that is given up while it is busy cancels what the server does.
        let result = timeout(self.read_max, work(tx)).await.map_err(|_| self.read_too_late())?;
        seat.release();
        result
    }

    fn read_too_late(&self) -> StoreError {
        StoreError::Unavailable { detail: too_late(self.read_max) }
    }

    /// One transaction, which runs to its end even if the caller goes away.
    pub(super) async fn write<T, F>(self: &Arc<Self>, work: impl FnOnce(Tx) -> F + Send + 'static) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send + 'static,
    {
        self.write_within(COMMIT_MAX, work).await
    }

    /// The same where the work may take longer.
    pub(super) async fn write_within<T, F>(
        self: &Arc<Self>,
        work_max: Duration,
        work: impl FnOnce(Tx) -> F + Send + 'static,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send + 'static,
    {
        let lane = Arc::clone(self);
        let task = tokio::spawn(async move { lane.seat().await?.transact(work_max, work).await });
        task.await.map_err(|_| StoreError::Unknown { detail: "its task has ended".to_owned() })?
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { detail: "it is closed".to_owned() }
}

pub(super) fn too_late(max: Duration) -> String {
    format!("PostgreSQL did not answer within {} s", max.as_secs())
}

/// A connection as a transaction uses it.
#[derive(Clone)]
pub(super) struct Tx {
    pub(super) session: Arc<Session>,
    now: Option<Timestamp>,
}

impl Tx {
    /// When the transaction began, by the store's clock. Without a transaction, the server is asked.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        match self.now {
            Some(now) => Ok(now),
            None => {
                let row = self.session.query_one(&format!("SELECT {SERVER_TIME}"), &[]).await?;
                Ok(time_from_millis(row.try_get(0)?))
            }
        }
    }
}

impl std::ops::Deref for Tx {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// The right to use one connection of a lane.
pub(super) struct Seat {
    lane: Arc<Lane>,
    session: Option<Arc<Session>>,
    /// Something is under way on it: it cannot be used by others.
    is_busy: bool,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.is_busy {
            session.cancel(&self.lane.connector);
        } else if !session.is_lost() && !self.lane.connector.is_outdated(&session) {
            self.lane.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}

impl Seat {
    pub(super) fn is_lost(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.is_lost() || self.lane.connector.is_outdated(session))
    }

    /// A connection, a new one where the old one is lost. It is busy until it is released.
    pub(super) async fn start(&mut self) -> Result<Arc<Session>> {
        if self.is_lost() {
            self.session = None;
            self.session = Some(self.lane.connect().await?);
        }
        self.is_busy = true;
        self.session.clone().ok_or_else(closed)
    }

    /// Nothing is under way on it any more.
    pub(super) fn release(&mut self) {
        self.is_busy = false;
    }

    pub(super) fn set_time(&self) -> Option<Timestamp> {
        self.lane.clock.is_set()
    }

    /// Undoes what was begun.
    pub(super) async fn roll_back(&mut self) {
        if let Some(session) = self.session.clone()
            && !session.is_lost()
            && matches!(timeout(COMMIT_MAX, session.run("ROLLBACK")).await, Ok(Ok(())))
        {
            self.is_busy = false;
        } else {
            self.session = None;
        }
    }

    /// Gives the connection up, and ends its process at the server.
    pub(super) fn abandon(&mut self) {
        if let Some(session) = self.session.take() {
            let connector = Arc::clone(&self.lane.connector);
            tokio::spawn(async move { connector.end_backend(&session).await });
        }
    }

    async fn transact<T, F: Future<Output = Result<T>>>(
        mut self,
        work_max: Duration,
        work: impl FnOnce(Tx) -> F,
    ) -> Result<T> {
        let tx = match self.begin().await {
            Err(StoreError::Unavailable { .. }) if self.session.is_some() && self.is_lost() => self.begin().await?,
            begun => begun?,
        };
        let work = async {
            let done = work(tx.clone()).await?;
            Ok((done, id(&tx.session).await?))
        };
        match timeout(work_max, work).await {
            Ok(Ok((done, id))) => self.commit(&tx.session, id.as_deref()).await.map(|()| done),
            Ok(Err(error)) => {
                self.roll_back().await;
                Err(error)
            }
            Err(_) => {
                self.abandon();
                Err(StoreError::Unavailable { detail: too_late(work_max) })
            }
        }
    }

    async fn begin(&mut self) -> Result<Tx> {
        let session = self.start().await?;
        let sql = format!("SELECT {SERVER_TIME}");
        let begin = async {
            session.prepare(&[&sql]).await?;
            // Nothing waits for an answer before the next statement is sent.
            let (begun, row) = tokio::join!(biased; session.run("BEGIN"), session.query_one(&sql, &[]));
            begun.and(row)
        };
        let Ok(row) = timeout(COMMIT_MAX, begin).await else {
            self.abandon();
            return Err(StoreError::Unavailable { detail: too_late(COMMIT_MAX) });
        };
        let now = self.set_time().unwrap_or(time_from_millis(row?.try_get(0)?));
        Ok(Tx { session, now: Some(now) })
    }

    /// Without an id, the transaction has written nothing.
    async fn commit(&mut self, session: &Session, id: Option<&str>) -> Result<()> {
        let lost = match timeout(COMMIT_MAX, commit(session)).await {
            Ok(Ok(())) => {
                self.is_busy = false;
                return Ok(());
            }
            Ok(Err(error)) if !session.is_lost() => {
                self.roll_back().await;
                return Err(error);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.abandon();
                return Err(StoreError::Unknown { detail: too_late(COMMIT_MAX) });
            }
        };
        let Some(id) = id else { return Ok(()) };
        match timeout(COMMIT_MAX, self.ask(id, session)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(lost),
            Ok(Err(error)) => Err(StoreError::Unknown { detail: format!("{lost}; {error}") }),
            Err(_) => Err(StoreError::Unknown { detail: lost.to_string() }),
        }
    }

    /// Asks, by another connection, whether a transaction was committed. Only at once: once a server has been started again,
    /// or another one has taken over, another transaction may have this id.
    async fn ask(&mut self, id: &str, lost: &Session) -> Result<bool> {
        let session = self.start().await?;
        if session.timeline() != lost.timeline() {
            self.is_busy = false;
            return Err(StoreError::Unknown { detail: "another server has been promoted meanwhile".to_owned() });
        }
        for _ in 0..ASK_TIMES {
            let row = session.query_one("SELECT pg_xact_status($1::text::xid8)", &[&id]).await?;
            match row.try_get::<_, Option<&str>>(0)? {
                Some("in progress") => tokio::time::sleep(ASK_INTERVAL).await,
                Some("committed") => {
                    let confirmed = barrier(&session).await;
                    self.is_busy = false;
                    return confirmed.map(|()| true);
                }
                Some(_) | None => {
                    self.is_busy = false;
                    return Ok(false);
                }
            }
        }
        // It waits for a standby, or does not know yet that its client is gone.
        self.lane.connector.end_backend(lost).await;
        self.is_busy = false;
        Err(StoreError::Unknown { detail: "it was still being committed".to_owned() })
    }
}

/// The id of a transaction, by which it can be asked for, if it has written something.
async fn id(session: &Session) -> Result<Option<String>> {
    let row = session.query_one("SELECT pg_current_xact_id_if_assigned()::text", &[]).await?;
    Ok(row.try_get(0)?)
}

/// Returns once all that was committed before is where a commit has to be, such as on a standby: standbys get it in order.
pub(super) async fn barrier(session: &Session) -> Result<()> {
    session.query("SELECT pg_logical_emit_message(true, 'gatepost', '')", &[]).await?;
    confirmed(session)
}

/// Commits, and is not content with less. COMMIT in a transaction that has failed answers ROLLBACK without an error;
/// another statement before it makes that an error.
pub(super) async fn commit(session: &Session) -> Result<()> {
    session.run("SELECT; COMMIT").await?;
    confirmed(session)
}

/// The same for what nobody else gives a deadline. If it takes too long, it may be done anyway.
pub(super) async fn commit_in_time(session: &Session) -> Result<()> {
    let late = |_| StoreError::Unavailable { detail: too_late(COMMIT_MAX) };
    tokio::time::timeout(COMMIT_MAX, commit(session)).await.map_err(late)?
}

/// The server reports a commit as done although no standby has it, if waiting for one was cancelled.
pub(super) fn confirmed(session: &Session) -> Result<()> {
    match session.take_unconfirmed() {
        false => Ok(()),
        true => Err(StoreError::Unknown { detail: "no standby has confirmed it".to_owned() }),
    }
}
