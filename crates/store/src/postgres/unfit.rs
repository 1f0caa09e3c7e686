//! Why a PostgreSQL server cannot be used, and what an operator can do about it.

use std::error::Error as _;

use trace::NextStep;

/// Why a PostgreSQL server cannot be this gateway's store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PostgresError {
    #[error("[store] url is not a PostgreSQL URL ({detail}); write postgres://USER@HOST:PORT/DATABASE")]
    Url { detail: String },
    #[error("PostgreSQL at {server} cannot be reached ({detail}); check [store] url, and that the server is running")]
    Unreachable { server: String, detail: String },
    #[error(
        "PostgreSQL at {server} has no connection left ({detail}); raise max_connections there (10 for each node, and 20 for \
         commands), or end connections of other programs"
    )]
    NoConnection { server: String, detail: String },
    #[error(
        "PostgreSQL at {server} has timeline {timeline}, and a server that was promoted later (timeline {known}) was seen; that \
         one may have mail that this one lacks: start that one, or restart this node to go on without that mail"
    )]
    Outdated { server: String, timeline: i64, known: i64 },
    #[error(
        "PostgreSQL at {server} refuses the login of {} ({detail}); check the user in [store] url, the password in \
         [store] password_file, and the server's pg_hba.conf",
        user.as_deref().map_or_else(
            || "the user of this process, because [store] url names none".to_owned(),
            |user| format!("user {user}")
        )
    )]
    Login { server: String, user: Option<String>, detail: String },
    #[error(
        "there is no database {database} at {server}; create it there: createdb --template template0 --encoding UTF8 \
         --owner {} {database}",
        user.as_deref().unwrap_or("USER")
    )]
    NoDatabase { server: String, database: String, user: Option<String> },
    #[error(
        "no verified TLS connection to PostgreSQL at {server} ({detail}); check that the server offers TLS, that \
         its certificate names this host, and that [store] ca_file has the authority that issued it"
    )]
    Tls { server: String, detail: String },
    #[error("[store] ca_file {file} cannot be used ({detail}); it must have certificates in PEM format")]
    CaFile { file: String, detail: String },
    #[error("PostgreSQL at {server} is version {found}; use version {MAJOR_MIN} or later")]
    TooOld { server: String, found: String },
    #[error(
        "PostgreSQL at {server} is a standby or read-only; name the primary in [store] url, or all hosts of the \
         cluster, separated with commas"
    )]
    ReadOnly { server: String },
    #[error(
        "{one} and {other} both take writes, and neither is a copy of the other; [store] url must name the hosts of \
         one cluster: a primary and its standbys"
    )]
    TwoSystems { one: String, other: String },
    #[error(
        "database {database} at {server} has the encoding {found}; create one with UTF8: createdb --template \
         template0 --encoding UTF8 --owner USER NAME"
    )]
    Encoding { server: String, database: String, found: String },
    #[error(
        "the database at {server} has schema version {found}, and this program knows versions up to {known}; use \
             a newer gatepost"
    )]
    Newer { server: String, found: i32, known: i32 },
    #[error(
        "the database at {server} has no tables of Gatepost. If you are restoring a backup, finish that first. For a new \
         fleet, start a node: {}",
        NextStep::Serve
    )]
    Empty { server: String },
    #[error(
        "user {user} may not use the tables of Gatepost at {server} ({detail}); name the user in [store] url that owns \
         them"
    )]
    NoAccess { server: String, user: String, detail: String },
    #[error("the database at {server} has schema version {found}; start a node once to bring it to version {known}")]
    Older { server: String, found: i32, known: i32 },
    /// The node's data folder says so, or the node runs and has used another one before.
    #[error(
        "database {database} at {server} was replaced, or is the wrong one: it is not the store that this node has used; \
         check [store] url, or put the old database or a backup of it back. To go on without it, and lose the mail that \
         was in it: stop this node, then gatepost serve --accept-loss"
    )]
    Replaced { server: String, database: String },
    #[error(
        "user {user} may not create tables at {server} ({detail}); run there, as the owner of the database: GRANT \
         CREATE ON SCHEMA public TO {user}"
    )]
    NoRight { server: String, user: String, detail: String },
    #[error(
        "two connections to {server} share one server process, as behind PgBouncer in transaction mode; connect to \
         PostgreSQL itself, or set pool_mode = session in PgBouncer"
    )]
    Pooler { server: String },
    #[error("the store is a PostgreSQL server; back it up there, with pg_basebackup or pg_dump")]
    Backup,
}

pub(super) const MAJOR_MIN: u32 = 15;

/// With what caused it, which the library's own words leave out.
pub(super) fn whole(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(fault), _) => fault.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}
