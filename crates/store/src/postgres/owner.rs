//! Whether this database may delete in the place of the bodies. A copy of the database has the same place in its settings. It
//! does not know what the original has accepted since, and what the original needs still: it may read there, and delete nothing.
//!
//! ```text
//!   the mark names this database, and was not renewed after what this database remembers ──> it may delete, and renews the mark
//!   the mark is of another one, or of a later state of this one ──> it may not, until nobody has renewed the mark for a day
//!   a restore is not answered ──> it may not
//! ```
//!
//! The mark is renewed with each sweep: first the database notes the time, and then the mark has it. So the mark is never newer
//! than what its own database remembers.

use std::sync::{Arc, atomic::Ordering};

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Inner,
    lane::{Lane, Tx},
    row::Columns,
};
use crate::{
    Result,
    outside::{BodiesError, Mark, Outside, Owner},
    stored::time_from_millis,
};

/// What the database knows of itself.
struct Known {
    owner: Owner,
    /// When it renewed the mark last, in milliseconds like the next.
    renewed: i64,
    now: i64,
    /// A restore was noticed, and nobody has answered.
    is_held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ownership {
    Ours,
    Unanswered,
    /// Another database renewed the mark then, or this one did in a state that it has lost.
    Others(Timestamp),
}

impl Known {
    async fn read(tx: &Tx) -> Result<Self> {
        let sql = "SELECT store, server, coalesce((SELECT swept FROM body_place), 0),
                       EXISTS (SELECT FROM fleet_restore WHERE answered IS NULL) FROM fleet_state";
        let (row, now) = (tx.query_one(sql, &[]).await?, tx.now().await?.as_millisecond());
        let mut columns = Columns::of(&row);
        let owner = Owner { store: columns.take::<Uuid>()?, server: columns.take()? };
        Ok(Self { owner, renewed: columns.take()?, is_held: columns.take()?, now })
    }

    fn ownership(&self, mark: &Mark, silence: i64) -> Ownership {
        let (owner, renewed) = (&mark.owner, mark.renewed);
        let is_server = owner.server.is_empty() || owner.server == self.owner.server;
        let is_ours = owner.store == self.owner.store && is_server && renewed <= self.renewed;
        match () {
            () if self.is_held => Ownership::Unanswered,
            () if is_ours || self.now.abs_diff(renewed) >= silence as u64 => Ownership::Ours,
            () => Ownership::Others(time_from_millis(renewed)),
        }
    }
}

/// What a new mark says. The database remembers that time already.
pub(super) async fn mark(tx: &Tx) -> Result<Mark> {
    Known::read(tx).await.map(|known| Mark::new(known.owner, known.renewed))
}

/// Whose the place is; `None` if it has no mark.
pub(super) async fn ownership(lane: &Arc<Lane>, outside: &Outside) -> Result<Option<Ownership>> {
    // Before the database is asked: another node may renew the mark meanwhile.
    let Some(mark) = outside.read_mark().await? else { return Ok(None) };
    let known = lane.read(|tx| async move { Known::read(&tx).await }).await?;
    Ok(Some(known.ownership(&mark, outside.orphan_age().as_millis() as i64)))
}

/// True if bodies may be deleted.
pub(super) async fn may_delete(inner: &Inner, outside: &Outside) -> Result<bool> {
    // By a connection that has looked whether the server has gone back.
    let Some(ownership) = ownership(&inner.clerk, outside).await? else {
        let (place, mark) = (outside.place(), outside.mark_name());
        return Err(BodiesError::Elsewhere { recorded: place.clone(), place, mark }.into());
    };
    let may_not = ownership != Ownership::Ours;
    if !inner.keeps_bodies.swap(may_not, Ordering::Relaxed) && may_not {
        let place = outside.place();
        match ownership {
            Ownership::Others(renewed) => tracing::warn!(
                %place, %renewed,
                "another copy of the database uses the place of the bodies, or a later state of this one did; deleting none there"
            ),
            Ownership::Unanswered | Ownership::Ours => tracing::warn!(
                %place,
                "deleting no bodies until an operator has answered what is to become of the restored mail"
            ),
        }
    }
    Ok(!may_not)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_the_mark_deletes() {
        const DAY: i64 = 86_400_000;
        let owner = |store, server: &str| Owner { store: Uuid::from_u128(store), server: server.to_owned() };
        let now = 100 * DAY;
        let known = |is_held| Known { owner: owner(1, "1/5"), renewed: now - 1000, now, is_held };
        let of = |owner, renewed| known(false).ownership(&Mark::new(owner, renewed), DAY);
        for ours in [now - 1000, now - 2000, 0] {
            assert_eq!(of(owner(1, "1/5"), ours), Ownership::Ours);
        }
        // Its user could not know the server then.
        assert_eq!(of(owner(1, ""), now - 1000), Ownership::Ours);
        // A later state of the same server, a dump, and another store.
        for other in [owner(1, "1/5"), owner(1, "2/5"), owner(2, "1/5")] {
            let renewed = now - 999;
            assert_eq!(of(other, renewed), Ownership::Others(time_from_millis(renewed)));
        }
        // Nobody has been there for a day, or its clock is wrong.
        for old in [now - DAY, now + DAY] {
            assert_eq!(of(owner(2, "2/5"), old), Ownership::Ours);
        }
        assert_eq!(of(owner(2, "2/5"), now - DAY + 1), Ownership::Others(time_from_millis(now - DAY + 1)));
        assert_eq!(known(true).ownership(&Mark::new(owner(1, "1/5"), 0), DAY), Ownership::Unanswered);
    }
}
