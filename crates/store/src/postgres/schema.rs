//! Tables, their versions, and whether a server can be used at all.
//!
//! The queue is small and changes all the time; the history only grows and is dropped by the day. Rows of the queue have
//! the same columns as those of the history, so that one list of columns reads both.

use super::{
    PostgresError, mark,
    session::{Connector, Session},
    unfit::MAJOR_MIN,
    witness::Witness,
};
use crate::{Result, StoreError};

/// Each step brings the schema from version `index` to `index + 1`. Steps are never changed once released, and each
/// leaves a schema that the version before can still use.
const MIGRATIONS: [&str; 6] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];

/// The version that this program writes.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// The newest version that this program works with: each step leaves what the version before uses as it was, so that nodes
/// of both run side by side, and those of the older one can be started again.
const NEWEST: i32 = VERSION + 1;

/// "Gate" in ASCII: one program at a time changes the schema.
const LOCK: i64 = 0x4761_7465;

/// What may be done to the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// A node brings it forward.
    Node,
    /// A command takes it as it is.
    Command,
    /// As a node, and it may be half full.
    Migration,
}

/// Refuses a server that cannot be used, and brings the schema forward.
pub(super) async fn prepare(connector: &Connector, how: Use, witness: &Witness) -> Result<()> {
    let session = connect(connector).await?;
    check_server(connector, &session).await?;
    check_pooler(connector, &session).await?;
    // Before any table is made: in the place of a store that is still to be restored, they would be in the way.
    witness.recognise(&session).await?;
    match how {
        Use::Node | Use::Migration => migrate(connector, &session).await?,
        Use::Command => match version(&session).await.map_err(|error| no_access(connector, error))? {
            0 => return Err(PostgresError::Empty { server: connector.server() }.into()),
            found if found > NEWEST => return Err(newer(connector, found)),
            found if found < VERSION => {
                return Err(PostgresError::Older { server: connector.server(), found, known: VERSION }.into());
            }
            _ => {}
        },
    }
    if how == Use::Migration { Ok(()) } else { mark::refuse_unfinished(&session).await }
}

/// If no host takes writes, another connection tells whether one answers at all.
async fn connect(connector: &Connector) -> Result<Session, PostgresError> {
    match connector.connect().await {
        Err(PostgresError::Unreachable { server, .. }) if connector.connect_to_any().await.is_ok() => {
            Err(PostgresError::ReadOnly { server })
        }
        connected => connected,
    }
}

async fn check_server(connector: &Connector, session: &Session) -> Result<()> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                   pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
                   pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()";
    let row = session.query_one(sql, &[]).await?;
    let (number, found): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let server = connector.server();
    if number < MAJOR_MIN as i32 * 10_000 {
        return Err(PostgresError::TooOld { server, found }.into());
    }
    if row.try_get(2)? {
        return Err(PostgresError::ReadOnly { server }.into());
    }
    match row.try_get::<_, String>(3)? {
        found if found != "UTF8" => {
            Err(PostgresError::Encoding { server, database: connector.database(), found }.into())
        }
        _ => Ok(()),
    }
}

/// A pooler that changes the server process under a connection would lose what the connection has prepared and set.
async fn check_pooler(connector: &Connector, session: &Session) -> Result<()> {
    let process = async |session: &Session| -> Result<(i32, String)> {
        let sql = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = session.query_one(sql, &[]).await?;
        Ok((row.try_get(0)?, row.try_get::<_, Option<String>>(1)?.unwrap_or_default()))
    };
    let other = connector.connect().await?;
    let (one, two) = (process(session).await?, process(&other).await?);
    if one == two { Err(PostgresError::Pooler { server: connector.server() }.into()) } else { Ok(()) }
}

/// Of the tables; 0 if there are none.
pub(super) async fn version(session: &Session) -> Result<i32> {
    let exists = session.query_one("SELECT to_regclass('gatepost_schema') IS NOT NULL", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = session.query_one("SELECT coalesce(max(version), 0) FROM gatepost_schema", &[]).await?;
    Ok(row.try_get(0)?)
}

fn newer(connector: &Connector, found: i32) -> StoreError {
    PostgresError::Newer { server: connector.server(), found, known: VERSION }.into()
}

/// Each step in a transaction of its own, so that none is ever half done. Nodes that start at once take turns.
async fn migrate(connector: &Connector, session: &Session) -> Result<()> {
    session.query("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let from = version(session).await.map_err(|error| no_access(connector, error))?;
    if from > NEWEST {
        return Err(newer(connector, from));
    }
    for (index, step) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        apply(session, index as i32 + 1, step).await.map_err(|error| refused(connector, error))?;
    }
    session.query("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}

async fn apply(session: &Session, version: i32, step: &str) -> Result<()> {
    session.run("BEGIN").await?;
    session
        .run("CREATE TABLE IF NOT EXISTS gatepost_schema (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
        .await?;
    session.run(step).await?;
    session.execute("INSERT INTO gatepost_schema (version) VALUES ($1)", &[&version]).await?;
    super::lane::commit(session).await
}

/// PostgreSQL's code for a right that is missing.
const NO_RIGHT: &str = "(42501)";

fn no_access(connector: &Connector, error: StoreError) -> StoreError {
    match error {
        StoreError::Other(detail) if detail.ends_with(NO_RIGHT) => {
            PostgresError::NoAccess { server: connector.server(), user: connector.user(), detail }.into()
        }
        error => error,
    }
}

fn refused(connector: &Connector, error: StoreError) -> StoreError {
    match error {
        StoreError::Other(detail) if detail.ends_with(NO_RIGHT) => {
            PostgresError::NoRight { server: connector.server(), user: connector.user(), detail }.into()
        }
        error => error,
    }
}
