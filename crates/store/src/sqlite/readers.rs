//! Reading beside the writer: each read sees the last commit.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{row::store_error, schema::connect_reader};
use crate::{Result, StoreError};

/// Reader connections, opened when they are needed.
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// Connections kept for the next read; each may use 4 MiB of cache.
const IDLE_MAX: usize = 4;

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default() }
    }

    /// Runs a read on a thread where it may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let file = self.file.clone();
        let work = move || {
            let connection = match idle {
                Some(connection) => connection,
                None => connect_reader(&file).map_err(|error| store_error(&error, &file))?,
            };
            let result = read(&connection).map_err(|error| store_error(&error, &file))?;
            Ok::<_, StoreError>((connection, result))
        };
        let joined = tokio::task::spawn_blocking(work).await;
        let (connection, result) = joined.map_err(|error| StoreError::Other(error.to_string()))??;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(result)
    }
}
