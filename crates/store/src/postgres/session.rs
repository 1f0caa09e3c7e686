//! One connection to the server: how it is made, the statements that it has prepared, and what the server says aside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use postgres_openssl::MakeTlsConnector;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, CopyInSink, Row, Socket, Statement,
    config::TargetSessionAttrs,
    error::{DbError, SqlState},
    types::ToSql,
};

use super::{
    PostgresError, PostgresSettings, PostgresTls,
    error::is_lost,
    settings::{CONNECT_MAX, each_host, server},
    unfit::whole,
};
use crate::Result;

pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);
pub(super) type Parameters<'a> = [Parameter<'a>];

/// Makes connections of one kind.
pub(super) struct Connector {
    config: Config,
    /// The same for each host alone.
    hosts: Vec<Config>,
    tls: MakeTlsConnector,
    /// What each connection sets first.
    setup: &'static str,
    /// Of primaries.
    newest: Option<Newest>,
}

/// The newest timeline that was seen. What a primary of an older one accepts is lost, so that connections to it end at once.
pub(super) type Newest = Arc<watch::Sender<i64>>;

impl Connector {
    /// All that share `newest` agree on the primary.
    pub(super) fn to_primary(
        settings: &PostgresSettings,
        config: Config,
        setup: &'static str,
        newest: &Newest,
    ) -> Result<Self> {
        Ok(Self { newest: Some(Arc::clone(newest)), ..Self::to_any(settings, config, setup)? })
    }

    /// To primaries or standbys.
    pub(super) fn to_any(settings: &PostgresSettings, config: Config, setup: &'static str) -> Result<Self> {
        let hosts = each_host(&config);
        Ok(Self { config, hosts, tls: tls(settings)?, setup, newest: None })
    }

    pub(super) fn has_several_hosts(&self) -> bool {
        self.hosts.len() > 1
    }

    /// True if a newer primary was seen since.
    pub(super) fn is_outdated(&self, session: &Session) -> bool {
        self.newest.as_ref().is_some_and(|newest| session.timeline() < *newest.borrow())
    }

    pub(super) fn server(&self) -> String {
        server(&self.config)
    }

    pub(super) fn user(&self) -> String {
        self.config.get_user().unwrap_or("gatepost").to_owned()
    }

    pub(super) fn database(&self) -> String {
        self.config.get_dbname().unwrap_or_default().to_owned()
    }

    /// To a host that takes writes, unless this is for searches on a standby. If several take writes, the one that was
    /// promoted last is the primary.
    pub(super) async fn connect(&self) -> Result<Session, PostgresError> {
        let Some(newest) = &self.newest else { return self.connect_to_best(&self.hosts, false).await };
        let session = self.connect_to_best(&self.hosts, true).await?;
        let timeline = session.timeline();
        newest.send_if_modified(|known| {
            let is_newer = timeline > *known;
            *known = timeline.max(*known);
            is_newer
        });
        let known = *newest.borrow();
        if timeline < known {
            return Err(PostgresError::Outdated { server: server(&session.host), timeline, known });
        }
        Ok(session)
    }

    /// To any of the hosts.
    pub(super) async fn connect_to_any(&self) -> Result<Session, PostgresError> {
        let to_any = |host: &Config| {
            let mut host = host.clone();
            host.target_session_attrs(TargetSessionAttrs::Any);
            host
        };
        self.connect_to_best(&self.hosts.iter().map(to_any).collect::<Vec<_>>(), false).await
    }

    /// The one of the newest timeline, or else the first that answers. Once one has answered, the others have a moment more.
    /// As long as one says nothing, those that refuse are asked again: one of them may be promoted because that one has died.
    async fn connect_to_best(&self, hosts: &[Config], by_timeline: bool) -> Result<Session, PostgresError> {
        let attempt = |index: usize, wait: Duration| {
            let open = self.open(hosts[index].clone(), by_timeline);
            async move {
                tokio::time::sleep(wait).await;
                (index, open.await)
            }
        };
        let (mut tries, mut silent) = (JoinSet::new(), BTreeSet::new());
        for index in 0..hosts.len() {
            silent.insert(index);
            tries.spawn(attempt(index, Duration::ZERO));
        }
        let (mut best, mut faults): (Option<Session>, BTreeMap<usize, PostgresError>) = Default::default();
        let mut end = Instant::now() + 3 * CONNECT_MAX;
        while !silent.is_empty() {
            let Ok(Some(tried)) = tokio::time::timeout_at(end, tries.join_next()).await else { break };
            let Ok((index, opened)) = tried else { continue };
            silent.remove(&index);
            match opened {
                Ok(session) if !by_timeline => return Ok(session),
                Ok(session) => {
                    if let Some(other) = best.as_ref().filter(|best| best.is_of_another_cluster(&session)) {
                        return Err(two_systems(other, &session));
                    }
                    if best.as_ref().is_none_or(|best| best.timeline() < session.timeline()) {
                        best = Some(session);
                    }
                    end = end.min(Instant::now() + OTHERS_MAX);
                }
                Err(fault) => {
                    faults.insert(index, fault);
                    tries.spawn(attempt(index, ASKED_AGAIN));
                }
            }
        }
        best.ok_or_else(|| self.all_refused(faults.into_values().collect()))
    }

    /// What an operator can put right comes first; that hosts cannot be reached is said of all of them.
    fn all_refused(&self, faults: Vec<PostgresError>) -> PostgresError {
        let (unreachable, others): (Vec<_>, Vec<_>) =
            faults.into_iter().partition(|fault| matches!(fault, PostgresError::Unreachable { .. }));
        if let Some(other) = others.into_iter().next() {
            return other;
        }
        let details = unreachable.into_iter().filter_map(|fault| match fault {
            PostgresError::Unreachable { server, detail } => Some(format!("{server}: {detail}")),
            _ => None,
        });
        PostgresError::Unreachable { server: self.server(), detail: details.collect::<Vec<_>>().join("; ") }
    }

    fn open(&self, host: Config, is_primary: bool) -> impl Future<Output = Result<Session, PostgresError>> + use<> {
        let newest = self.newest.as_ref().filter(|_| is_primary).map(|newest| newest.subscribe());
        open(host, self.tls.clone(), self.setup, newest)
    }

    /// Ends what the server still does for a connection that was given up; it might wait for a standby for ever.
    pub(super) async fn end_backend(&self, session: &Session) {
        let pid = session.pid;
        let end = async {
            // That very server: on another one, the process is somebody else's.
            let mut host = session.host.clone();
            host.target_session_attrs(TargetSessionAttrs::Any);
            let session = open(host, self.tls.clone(), self.setup, None).await?;
            session.query("SELECT pg_terminate_backend($1)", &[&pid]).await?;
            Ok::<(), crate::StoreError>(())
        };
        if let Err(error) = end.await {
            tracing::warn!(%error, pid, "failed to end a server process that did not answer");
        }
    }
}

/// To the one host of this configuration. A primary is asked for its timeline, and used until there is a newer one.
async fn open(
    host: Config,
    tls: MakeTlsConnector,
    setup: &'static str,
    newest: Option<watch::Receiver<i64>>,
) -> Result<Session, PostgresError> {
    // The first eight digits of a WAL file's name count the promotions that the server has seen.
    const TIMELINE: &str = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint,
                                has_function_privilege('pg_control_system()', 'EXECUTE')";
    // A primary and the standbys that were made from it have the same.
    const SYSTEM: &str = "SELECT system_identifier FROM pg_control_system()";
    let connect = async {
        let (client, connection) = host.connect(tls.clone()).await?;
        let is_primary = newest.is_some();
        let session = Session::start(client, connection, host.clone(), newest.map(|newest| (newest, tls)));
        session.client.batch_execute(setup).await?;
        let pid = session.client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
        if !is_primary {
            return Ok(Session { pid, ..session });
        }
        let row = session.client.query_one(TIMELINE, &[]).await?;
        session.told.timeline.store(row.try_get(0)?, Ordering::Relaxed);
        let may_know = row.try_get(1)?;
        let system = if may_know { Some(session.client.query_one(SYSTEM, &[]).await?.try_get(0)?) } else { None };
        Ok(Session { pid, system, ..session })
    };
    match tokio::time::timeout(2 * CONNECT_MAX, connect).await {
        Ok(connected) => connected.map_err(|error| refused(&host, &error)),
        Err(_) => Err(PostgresError::Unreachable { server: server(&host), detail: "no answer".to_owned() }),
    }
}

fn two_systems(one: &Session, other: &Session) -> PostgresError {
    PostgresError::TwoSystems { one: server(&one.host), other: server(&other.host) }
}

fn refused(host: &Config, error: &tokio_postgres::Error) -> PostgresError {
    let (server, detail) = (server(host), whole(error));
    let code = error.code();
    let is_login = code.is_some_and(|code| code.code().starts_with("28"));
    // The library asks for a password before it is asked.
    let lacks_password = error.as_db_error().is_none() && host.get_password().is_none() && !is_lost(error);
    let database = || host.get_dbname().unwrap_or_default().to_owned();
    let user = host.get_user().map(str::to_owned);
    match code {
        Some(&SqlState::TOO_MANY_CONNECTIONS) => PostgresError::NoConnection { server, detail },
        Some(&SqlState::INVALID_CATALOG_NAME) => PostgresError::NoDatabase { server, database: database(), user },
        _ if is_login => PostgresError::Login { server, user, detail },
        _ if is_tls(error) => PostgresError::Tls { server, detail },
        _ if lacks_password && detail.contains("password") => PostgresError::Login { server, user, detail },
        _ => PostgresError::Unreachable { server, detail },
    }
}

/// A host that refuses is asked again after this time.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// A host that answers later than this after the first is not waited for.
const OTHERS_MAX: Duration = Duration::from_secs(1);

fn is_tls(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let text = error.to_string();
    let is_ssl = |source: &(dyn std::error::Error + 'static)| {
        source.is::<openssl::ssl::Error>() || source.is::<openssl::error::ErrorStack>()
    };
    error.source().is_some_and(is_ssl) || text.starts_with("error performing TLS handshake")
}

fn tls(settings: &PostgresSettings) -> Result<MakeTlsConnector> {
    // Without TLS, it is not used.
    let authorities = settings.ca_file.as_deref().filter(|_| settings.tls == PostgresTls::Verify);
    let refused = |detail| PostgresError::CaFile {
        file: authorities.map_or_else(|| "of the system".to_owned(), |file| file.display().to_string()),
        detail,
    };
    Ok(MakeTlsConnector::new(crate::tls::connector(authorities).map_err(refused)?.build()))
}

/// A connection. Its statements run in the order in which they are first polled.
pub(super) struct Session {
    client: Client,
    pub(super) pid: i32,
    host: Config,
    /// Of a primary, if this user may know it.
    system: Option<i64>,
    told: Arc<Told>,
    statements: Mutex<HashMap<String, Statement>>,
}

/// What is known of a connection beside the answers.
struct Told {
    /// Of a primary; the largest number as long as it is not known.
    timeline: AtomicI64,
    is_lost: AtomicBool,
    /// A commit was reported as done that no standby has confirmed.
    is_unconfirmed: AtomicBool,
}

impl Session {
    fn start<S>(
        client: Client,
        connection: Connection<Socket, S>,
        host: Config,
        newest: Option<(watch::Receiver<i64>, MakeTlsConnector)>,
    ) -> Self
    where
        Connection<Socket, S>: Poll + Send + 'static,
    {
        let told = Arc::new(Told {
            timeline: AtomicI64::new(i64::MAX),
            is_lost: AtomicBool::new(false),
            is_unconfirmed: AtomicBool::new(false),
        });
        let token = client.cancel_token();
        let told_there = Arc::clone(&told);
        tokio::spawn(async move {
            let Some((newest, tls)) = newest else { return listen(connection, told_there).await };
            tokio::select! {
                () = listen(connection, Arc::clone(&told_there)) => {}
                // The connection is closed before its process is told to wait no longer for a standby.
                () = is_newer(newest, &told_there) => {
                    told_there.is_lost.store(true, Ordering::Relaxed);
                    let _ = tokio::time::timeout(CONNECT_MAX, token.cancel_query(tls)).await;
                }
            }
        });
        Self { client, pid: 0, host, system: None, told, statements: Mutex::default() }
    }

    /// The server and the database, for messages.
    pub(super) fn place(&self) -> (String, String) {
        (server(&self.host), self.host.get_dbname().unwrap_or_default().to_owned())
    }

    fn is_of_another_cluster(&self, other: &Self) -> bool {
        self.system.zip(other.system).is_some_and(|(one, other)| one != other)
    }

    pub(super) fn timeline(&self) -> i64 {
        self.told.timeline.load(Ordering::Relaxed)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.client.is_closed() || self.told.is_lost.load(Ordering::Relaxed)
    }

    /// True if the server has warned that it gave up waiting for a standby. Asking forgets it.
    pub(super) fn take_unconfirmed(&self) -> bool {
        self.told.is_unconfirmed.swap(false, Ordering::Relaxed)
    }

    fn noted<T>(&self, result: Result<T, tokio_postgres::Error>) -> Result<T, tokio_postgres::Error> {
        if result.as_ref().is_err_and(is_lost) {
            self.told.is_lost.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        Ok(self.noted(self.client.batch_execute(sql).await)?)
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Statements that are then sent one after the other, without waiting for answers between.
    pub(super) async fn prepare(&self, statements: &[&str]) -> Result<()> {
        for sql in statements {
            self.noted(self.prepared(sql).await)?;
        }
        Ok(())
    }

    /// Prepares the statement once. For statements of which there are few.
    pub(super) async fn query(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>> {
        let query = async { self.client.query(&self.prepared(sql).await?, parameters).await };
        Ok(self.noted(query.await)?)
    }

    pub(super) async fn query_one(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Row> {
        let query = async { self.client.query_one(&self.prepared(sql).await?, parameters).await };
        Ok(self.noted(query.await)?)
    }

    pub(super) async fn query_opt(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Option<Row>> {
        let query = async { self.client.query_opt(&self.prepared(sql).await?, parameters).await };
        Ok(self.noted(query.await)?)
    }

    pub(super) async fn execute(&self, sql: &str, parameters: &Parameters<'_>) -> Result<u64> {
        let execute = async { self.client.execute(&self.prepared(sql).await?, parameters).await };
        Ok(self.noted(execute.await)?)
    }

    /// Rows follow into the sink.
    pub(super) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>> {
        Ok(self.noted(self.client.copy_in(sql).await)?)
    }

    /// For a statement that was made for one search. Tells a time limit from other errors.
    pub(super) async fn query_once(
        &self,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.noted(self.client.query(sql, parameters).await)
    }

    /// Stops what the server does for this connection.
    pub(super) fn cancel(&self, connector: &Connector) {
        let (token, tls) = (self.client.cancel_token(), connector.tls.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { token.cancel_query(tls).await });
        }
    }
}

/// What [`listen`] needs of a connection, whatever its stream is.
pub(super) trait Poll {
    fn poll(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>>;
}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Poll for Connection<Socket, T> {
    fn poll(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        self.poll_message(context)
    }
}

/// Returns once a newer primary has been seen.
async fn is_newer(mut newest: watch::Receiver<i64>, told: &Told) {
    if newest.wait_for(|newest| told.timeline.load(Ordering::Relaxed) < *newest).await.is_err() {
        // The store is closed.
        std::future::pending::<()>().await;
    }
}

/// Drives a connection. A notice comes before the answer that it belongs to.
async fn listen(mut connection: impl Poll, told: Arc<Told>) {
    loop {
        match poll_fn(|context| connection.poll(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if is_unconfirmed(&notice) {
                    told.is_unconfirmed.store(true, Ordering::Relaxed);
                }
                tracing::debug!(code = notice.code().code(), message = notice.message(), "notice from PostgreSQL");
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = whole(&error), "the connection to PostgreSQL ended");
                break;
            }
            None => break,
        }
    }
    told.is_lost.store(true, Ordering::Relaxed);
}

/// Words depend on the server's language; the routine does not.
fn is_unconfirmed(notice: &DbError) -> bool {
    *notice.code() == SqlState::WARNING && notice.routine() == Some("SyncRepWaitForLSN")
        || *notice.code() == SqlState::ADMIN_SHUTDOWN && notice.routine() == Some("SyncRepWaitForLSN")
}
