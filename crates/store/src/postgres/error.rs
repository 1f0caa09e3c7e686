//! PostgreSQL's errors in the store's words.

use std::{error::Error as _, io};

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::unfit::whole;
use crate::{Disk, StoreError};

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(fault) => of_server(fault),
            None if is_lost(&error) => Self::Unavailable { detail: format!("PostgreSQL: {}", whole(&error)) },
            None => Self::Other(format!("PostgreSQL: {}", whole(&error))),
        }
    }
}

fn of_server(fault: &DbError) -> StoreError {
    let code = fault.code();
    let text = format!("PostgreSQL: {} ({})", fault.message(), code.code());
    match code {
        &SqlState::DISK_FULL => StoreError::Full(Disk::PostgresServer),
        // Connections, resources, shutdowns and cancelled statements, logins, standbys, and others in the way.
        code if ["08", "53", "57", "28", "3D", "58"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unavailable { detail: text }
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION
        | &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE => StoreError::Unavailable { detail: text },
        _ => StoreError::Other(text),
    }
}

/// True if the connection is gone, so that nobody knows how far the server came, or of no more use: the primary behind its
/// address has become a standby, and another connection may lead to the new one.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
    let is_fatal = |fault: &DbError| matches!(fault.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    error.is_closed()
        || error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
        || error.as_db_error().is_some_and(is_fatal)
        || error.source().is_some_and(|source| source.is::<io::Error>())
}

/// True if a search ran into its time limit.
pub(super) fn is_timeout(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}
