//! One connection to the server: how it is made, the statements that it has prepared, and what the server says aside.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use postgres_openssl::MakeTlsConnector;
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Row, Socket, Statement,
    config::TargetSessionAttrs,
    error::{DbError, SqlState},
    types::ToSql,
};

use super::{
    PostgresError, PostgresSettings, PostgresTls,
    error::is_lost,
    settings::{CONNECT_MAX, server},
    unfit::whole,
};
use crate::Result;

pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);
pub(super) type Parameters<'a> = [Parameter<'a>];

/// Makes connections of one kind.
pub(super) struct Connector {
    config: Config,
    tls: MakeTlsConnector,
    /// What each connection sets first.
    setup: &'static str,
}

impl Connector {
    pub(super) fn new(settings: &PostgresSettings, config: Config, setup: &'static str) -> Result<Self> {
        Ok(Self { config, tls: tls(settings)?, setup })
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

    /// To a host that takes writes, unless this is for searches on a standby.
    pub(super) async fn connect(&self) -> Result<Session, PostgresError> {
        self.connect_by(&self.config).await
    }

    /// To any of the hosts.
    pub(super) async fn connect_to_any(&self) -> Result<Session, PostgresError> {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::Any);
        self.connect_by(&config).await
    }

    async fn connect_by(&self, config: &Config) -> Result<Session, PostgresError> {
        let connect = async {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let session = Session::start(client, connection);
            session.client.batch_execute(self.setup).await?;
            let pid = session.client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
            Ok(Session { pid, ..session })
        };
        match tokio::time::timeout(2 * CONNECT_MAX, connect).await {
            Ok(connected) => connected.map_err(|error| self.refused(&error)),
            Err(_) => Err(PostgresError::Unreachable { server: self.server(), detail: "no answer".to_owned() }),
        }
    }

    fn refused(&self, error: &tokio_postgres::Error) -> PostgresError {
        let (server, detail) = (self.server(), whole(error));
        let code = error.code();
        let is_login = code.is_some_and(|code| code.code().starts_with("28"));
        // The library asks for a password before it is asked.
        let lacks_password = error.as_db_error().is_none() && self.config.get_password().is_none() && !is_lost(error);
        match code {
            Some(&SqlState::INVALID_CATALOG_NAME) => PostgresError::NoDatabase { server, database: self.database() },
            _ if is_login => PostgresError::Login { server, detail },
            _ if is_tls(error) => PostgresError::Tls { server, detail },
            _ if lacks_password && detail.contains("password") => PostgresError::Login { server, detail },
            _ => PostgresError::Unreachable { server, detail },
        }
    }

    /// Ends what the server still does for a connection that was given up; it might wait for a standby for ever.
    pub(super) async fn end_backend(&self, pid: i32) {
        let end = async {
            let session = self.connect().await?;
            session.query("SELECT pg_terminate_backend($1)", &[&pid]).await?;
            Ok::<(), crate::StoreError>(())
        };
        if let Err(error) = end.await {
            tracing::warn!(%error, pid, "failed to end a server process that did not answer");
        }
    }
}

fn is_tls(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let text = error.to_string();
    let is_ssl = |source: &(dyn std::error::Error + 'static)| {
        source.is::<openssl::ssl::Error>() || source.is::<openssl::error::ErrorStack>()
    };
    error.source().is_some_and(is_ssl) || text.starts_with("error performing TLS handshake")
}

fn tls(settings: &PostgresSettings) -> Result<MakeTlsConnector> {
    let failed = |error: openssl::error::ErrorStack| crate::StoreError::Other(format!("OpenSSL: {error}"));
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(failed)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(failed)?;
    if settings.tls == PostgresTls::Verify {
        match &settings.ca_file {
            Some(file) => builder.set_ca_file(file).map_err(|error| PostgresError::CaFile {
                file: file.display().to_string(),
                detail: error.errors().first().map(ToString::to_string).unwrap_or_default(),
            })?,
            None => {
                if let Some(file) = openssl_probe::probe().cert_file {
                    builder.set_ca_file(file).map_err(failed)?;
                }
            }
        }
    }
    Ok(MakeTlsConnector::new(builder.build()))
}

/// A connection. Its statements run in the order in which they are first polled.
pub(super) struct Session {
    client: Client,
    pub(super) pid: i32,
    told: Arc<Told>,
    statements: Mutex<HashMap<String, Statement>>,
}

/// What is known of a connection beside the answers.
#[derive(Default)]
struct Told {
    is_lost: AtomicBool,
    /// A commit was reported as done that no standby has confirmed.
    is_unconfirmed: AtomicBool,
}

impl Session {
    fn start<S>(client: Client, connection: Connection<Socket, S>) -> Self
    where
        Connection<Socket, S>: Poll + Send + 'static,
    {
        let told = Arc::new(Told::default());
        tokio::spawn(listen(connection, Arc::clone(&told)));
        Self { client, pid: 0, told, statements: Mutex::default() }
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
