//! The mark that a migration leaves on its server: who may use the database.

use uuid::Uuid;

use super::{row::Columns, session::Session};
use crate::{Result, StoreError, migration::fault::MigrationError};

pub(super) const COPYING: i16 = 1;
pub(super) const COMPLETE: i16 = 2;
pub(super) const UNDONE: i16 = 3;

/// The row of `migration`.
pub(super) struct Mark {
    pub(super) store: Uuid,
    pub(super) copy: Uuid,
    pub(super) state: i16,
    server: String,
    host: String,
    folder: String,
}

impl Mark {
    pub(super) fn taken(self) -> StoreError {
        MigrationError::Taken { server: self.server, host: self.host, folder: self.folder }.into()
    }
}

pub(super) async fn mark(session: &Session) -> Result<Option<Mark>> {
    let sql = "SELECT store, copy, state, server, host, folder FROM migration WHERE id = 1";
    let Some(row) = session.query_opt(sql, &[]).await? else { return Ok(None) };
    let mut columns = Columns::of(&row);
    let (store, copy, state) = (columns.take()?, columns.take()?, columns.take()?);
    Ok(Some(Mark { store, copy, state, server: columns.take()?, host: columns.take()?, folder: columns.take()? }))
}

/// Refuses a database that is being filled.
pub(super) async fn refuse_unfinished(session: &Session) -> Result<()> {
    match mark(session).await? {
        Some(Mark { state: COPYING, server, host, folder, .. }) => {
            Err(MigrationError::Unfinished { server, host, folder }.into())
        }
        Some(_) | None => Ok(()),
    }
}
