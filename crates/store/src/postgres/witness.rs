//! What the server has confirmed to this node. A server that shows less has gone back in time.
//!
//! It is in memory, and in a small file of the node's data folder for the next process. Nothing is lost with the file but the
//! knowledge that it has.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PostgresError, session::Session};
use crate::Result;

/// The file's name in a data folder.
pub const WITNESS_FILE: &str = "store-seen.json";

/// The last time that the store has heard this node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) store: Uuid,
    /// How many restores had been noticed.
    pub(super) restores: i64,
    pub(super) node: String,
    pub(super) epoch: i64,
    /// Of the member, in milliseconds by the store's clock, like `at`. Files of earlier versions lack it.
    #[serde(default)]
    pub(super) started: i64,
    pub(super) beat: i64,
    pub(super) at: i64,
}

impl Seen {
    /// Ascends as long as the server does not go back.
    pub(super) fn position(&self) -> (i64, i64, i64) {
        (self.restores, self.epoch, self.beat)
    }
}

/// A member was heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    pub(super) seen: Seen,
    /// A restore was noticed, and nobody has answered.
    pub(super) is_held: bool,
}

pub(super) struct Witness {
    /// `None` for a command.
    file: Option<PathBuf>,
    accepts_loss: bool,
    seen: Mutex<Option<Seen>>,
    /// What was seen last is of a member that is one still, of this process.
    is_member: AtomicBool,
    is_held: AtomicBool,
    /// One write at a time; true if the last one failed.
    writing: Mutex<bool>,
}

impl Witness {
    /// Where its loss is accepted, another store may be in the place of the one that was seen, until this process has joined.
    pub(super) fn read(file: Option<PathBuf>, accepts_loss: bool) -> Arc<Self> {
        let seen = file.as_deref().and_then(read);
        let (is_member, is_held) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { file, accepts_loss, seen: Mutex::new(seen), is_member, is_held, writing: Mutex::default() })
    }

    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a member of this process has seen.
    pub(super) fn seen_as_member(&self) -> Option<Seen> {
        self.seen().filter(|_| self.is_member.load(Ordering::Relaxed))
    }

    /// Refuses a database that is not the one that this node has used: another one, or one that is empty or half restored. What
    /// the node knows, its name and its leases among it, means nothing there.
    pub(super) async fn recognise(&self, session: &Session) -> Result<()> {
        let Some(seen) = self.seen() else { return Ok(()) };
        let exists = session.query_one("SELECT to_regclass('fleet_state') IS NOT NULL", &[]).await?;
        let store = match exists.try_get(0)? {
            true => session.query_opt("SELECT store FROM fleet_state", &[]).await?,
            false => None,
        };
        match store.map(|row| row.try_get::<_, Uuid>(0)).transpose()? {
            Some(store) if store == seen.store => Ok(()),
            _ if self.accepts_loss && !self.is_member.load(Ordering::Relaxed) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(())
            }
            Some(_) | None => {
                let (server, database) = session.place();
                Err(PostgresError::Replaced { server, database }.into())
            }
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    pub(super) fn note_held(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.is_member.store(false, Ordering::Relaxed);
    }

    /// Call this when the transaction is durable, not before.
    pub(super) fn note(self: &Arc<Self>, heard: Heard) {
        self.note_held(heard.is_held);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // Two transactions may end in another order than they began. Another store is refused before ([`Witness::recognise`]).
            let is_newer = |seen: &Seen| seen.store == heard.seen.store && seen.position() < heard.seen.position();
            if !seen.as_ref().is_none_or(is_newer) {
                return;
            }
            *seen = Some(heard.seen);
        }
        self.is_member.store(true, Ordering::Relaxed);
        if self.file.is_some() {
            let witness = Arc::clone(self);
            tokio::task::spawn_blocking(move || witness.write());
        }
    }

    fn write(&self) {
        let (Some(file), Some(seen)) = (&self.file, self.seen()) else { return };
        let mut has_failed = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match write(file, &seen) {
            Ok(()) => *has_failed = false,
            Err(error) if !*has_failed => {
                *has_failed = true;
                let file = file.display();
                tracing::warn!(%error, %file, "failed to note what the store has confirmed; a restore of the store may not be noticed");
            }
            Err(_) => {}
        }
    }
}

fn read(file: &Path) -> Option<Seen> {
    let read = fs::read(file).and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from));
    match read {
        Ok(seen) => Some(seen),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let file = file.display();
            tracing::warn!(%error, %file, "failed to read what the store has confirmed; a restore of the store may not be noticed");
            None
        }
    }
}

/// Whole or not at all.
fn write(file: &Path, seen: &Seen) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut output = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    output.write_all(&serde_json::to_vec(seen)?)?;
    output.sync_data()?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(store: u128, restores: i64, epoch: i64, beat: i64) -> Heard {
        let seen =
            Seen { store: Uuid::from_u128(store), restores, node: "n".to_owned(), epoch, started: 9, beat, at: 0 };
        Heard { seen, is_held: restores > 0 }
    }

    #[tokio::test]
    async fn the_latest_is_kept_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store-seen.json");
        let witness = Witness::read(Some(file.clone()), false);
        assert_eq!((witness.seen(), witness.seen_as_member()), (None, None));
        for (noted, kept) in [
            (heard(1, 0, 7, 1), heard(1, 0, 7, 1)),
            (heard(1, 0, 7, 3), heard(1, 0, 7, 3)),
            (heard(1, 0, 7, 2), heard(1, 0, 7, 3)),
            (heard(1, 0, 8, 0), heard(1, 0, 8, 0)),
            (heard(1, 1, 8, 0), heard(1, 1, 8, 0)),
            // What was seen of one store says nothing of another.
            (heard(2, 0, 9, 0), heard(1, 1, 8, 0)),
        ] {
            witness.note(noted);
            assert_eq!(witness.seen_as_member(), Some(kept.seen));
        }
        witness.write();
        let next = Witness::read(Some(file.clone()), false);
        assert_eq!((next.seen(), next.seen_as_member()), (witness.seen(), None));
        fs::write(&file, "{").unwrap();
        assert_eq!(Witness::read(Some(file), false).seen(), None);
    }
}
