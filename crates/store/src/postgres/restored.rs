//! Whether the server has gone back in time, or is a copy: it then has deliveries in its queue that were made since.
//!
//! ```text
//!   new connection ── another store ──> refused (witness.rs)
//!        ├── shows what this node has seen, on the server where it was ──> used
//!        └── shows less, or another server ──> all that waits is held, in one transaction ──> used
//!                                                         │
//!                                  an operator answers <──┘  the first answer counts
//! ```
//!
//! A server never goes back while a connection lasts. So each connection that changes the queue is looked at once, before
//! it is used: nothing is claimed from a restored queue. What is accepted later is delivered as ever.

use tokio_postgres::Row;
use trace::ChangeKind;
use uuid::Uuid;

use super::{
    change_log, command,
    finish::finish,
    lane::{Tx, commit_in_time},
    mark, member,
    row::Columns,
    witness::{Seen, Witness},
};
use crate::{
    Answered, Command, NewChange, Restoration, RestorationAnswer, RestorationDecision, Result, Selection, StoreError,
    restoration::RESTORE,
};

/// What the server says of the store.
#[derive(Debug)]
struct Shown {
    store: Uuid,
    /// Where the store was last.
    was_on: String,
    /// Where it is; empty if this user may not know.
    is_on: String,
    restores: i64,
    is_held: bool,
    /// Of the node that has seen it, as far as it has joined.
    epoch: Option<i64>,
    beat: Option<i64>,
}

/// How a restore shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// The server had confirmed more to this node.
    WentBack,
    /// The database is on another server, or is another database there.
    Moved,
}

impl Shown {
    async fn read(tx: &Tx, seen: Option<&Seen>) -> Result<Self> {
        let sql = "SELECT store, server, (SELECT coalesce(max(number), 0) FROM fleet_restore),
                       EXISTS (SELECT FROM fleet_restore WHERE answered IS NULL),
                       (SELECT epoch FROM member WHERE name = $1), (SELECT beat FROM member WHERE name = $1)
                   FROM fleet_state";
        let is_on = server(tx).await?;
        let row = tx.query_one(sql, &[&seen.map(|seen| seen.node.as_str()).unwrap_or_default()]).await?;
        let mut columns = Columns::of(&row);
        Ok(Self {
            store: columns.take()?,
            was_on: columns.take()?,
            is_on,
            restores: columns.take()?,
            is_held: columns.take()?,
            epoch: columns.take()?,
            beat: columns.take()?,
        })
    }

    /// A restore that was noticed meanwhile counts for more than what was seen before it.
    fn sign(&self, seen: Option<&Seen>) -> Option<Sign> {
        let position = (self.restores, self.epoch.unwrap_or(-1), self.beat.unwrap_or(-1));
        let went_back =
            |seen: &&Seen| seen.store == self.store && seen.restores >= self.restores && seen.position() > position;
        if seen.filter(went_back).is_some() {
            return Some(Sign::WentBack);
        }
        let is_known = !self.was_on.is_empty() && !self.is_on.is_empty();
        (is_known && self.was_on != self.is_on).then_some(Sign::Moved)
    }
}

/// The server and the database, by numbers that a copy of the files keeps, and that a dump does not.
async fn server(tx: &Tx) -> Result<String> {
    let may_know = tx.query_one("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')", &[]).await?;
    if !may_know.try_get::<_, bool>(0)? {
        return Ok(String::new());
    }
    let sql = "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database
               WHERE datname = current_database()";
    Ok(tx.query_one(sql, &[]).await?.try_get(0)?)
}

/// Looks at a new connection before it is used. If the server has gone back, all that waits is held first.
pub(super) async fn admit(tx: &Tx, witness: &Witness) -> Result<()> {
    // Before the server is asked: what it confirms meanwhile on other connections may be more than it then shows here.
    let (seen, member) = (witness.seen(), witness.seen_as_member());
    witness.recognise(&tx.session).await?;
    mark::refuse_unfinished(&tx.session).await?;
    let mut shown = Shown::read(tx, seen.as_ref()).await?;
    if shown.sign(seen.as_ref()).is_some() {
        shown = hold(tx, seen.as_ref()).await?;
    } else if shown.was_on.is_empty() && !shown.is_on.is_empty() {
        tx.execute("UPDATE fleet_state SET server = $1 WHERE server = ''", &[&shown.is_on]).await?;
    }
    witness.note_held(shown.is_held);
    // What was restored may not know this node, or know an earlier process of it.
    match member.filter(|member| member.store == shown.store && member.restores < shown.restores) {
        Some(seen) => member::return_to(tx, &seen).await,
        None => Ok(()),
    }
}

/// Nodes that joined after the backup have epochs that the restored sequence gives out again. There are fewer of them.
const EPOCHS_SKIPPED: i64 = 1000;

/// One transaction: others that notice the same wait for it, and find it done.
async fn hold(tx: &Tx, seen: Option<&Seen>) -> Result<Shown> {
    tx.run("BEGIN; SELECT FROM fleet_state FOR UPDATE").await?;
    let shown = Shown::read(tx, seen).await?;
    let Some(sign) = shown.sign(seen) else {
        commit_in_time(tx).await?;
        return Ok(shown);
    };
    let (restores, epoch) = seen
        .filter(|seen| seen.store == shown.store)
        .map_or((shown.restores, 0), |seen| (seen.restores.max(shown.restores), seen.epoch));
    let known = seen.filter(|_| sign == Sign::WentBack).map(|seen| (seen.node.as_str(), seen.at)).unzip();
    let now = tx.now().await?.as_millisecond();
    // What is accepted from here on is new, and is not held.
    tx.run("LOCK TABLE queue_message IN EXCLUSIVE MODE").await?;
    suspend_all(tx).await?;
    // With what an earlier restore has suspended, and nobody has answered.
    let sql = "SELECT count(*) FROM queue_delivery WHERE suspended_by = $1 AND state <= 2";
    let held = tx.query_one(sql, &[&RESTORE]).await?.try_get::<_, i64>(0)?;
    forget_notices(tx).await?;
    // Nodes have connections of which these rows do not know: nobody gets their shares before they have asked again.
    tx.execute("UPDATE connector_share SET at = $1::bigint * 1000", &[&now]).await?;
    // What was not answered in the backup is held, too.
    let sql = "UPDATE fleet_restore SET answered = $1, answered_by = $2 WHERE answered IS NULL";
    tx.execute(sql, &[&now, &RESTORE]).await?;
    let number = restores + 1;
    let sql = "INSERT INTO fleet_restore (number, at, state_of, known_by, known_until, held)
               VALUES ($1, $2, (SELECT max(seen) FROM member), $3, $4, $5)";
    tx.execute(sql, &[&number, &now, &known.0, &known.1, &held]).await?;
    note(tx, seen, held as u64).await?;
    let sql = "UPDATE fleet_state SET server = CASE WHEN $1 = '' THEN server ELSE $1 END";
    tx.execute(sql, &[&shown.is_on]).await?;
    let sql = "SELECT setval('member_epoch', greatest(nextval('member_epoch'), $1) + $2)";
    tx.query(sql, &[&epoch, &EPOCHS_SKIPPED]).await?;
    // The same of the numbers in keys.
    let sql = "SELECT setval('key_giver', (nextval('key_giver') + $1) % 4096)";
    tx.query(sql, &[&EPOCHS_SKIPPED]).await?;
    commit_in_time(tx).await?;
    match sign {
        Sign::WentBack => tracing::error!(
            deliveries = held,
            "the store shows an older state than it had confirmed to this node; what was waiting in it is held until an operator answers"
        ),
        Sign::Moved => tracing::error!(
            deliveries = held,
            "the store is a copy on another server; what was waiting in it is held until an operator answers"
        ),
    }
    Ok(Shown { restores: number, is_held: true, ..shown })
}

/// In the change log, as the restore that was just noted.
async fn note(tx: &Tx, seen: Option<&Seen>, held: u64) -> Result<()> {
    let state_of = last(tx).await?.and_then(|restoration| restoration.state_of);
    let kind = ChangeKind::StoreRestored { held, state_of };
    let change = match seen {
        Some(seen) => NewChange::of_node(&seen.node, kind),
        None => NewChange::of_fleet(RESTORE, kind),
    };
    change_log::put(tx, &change).await
}

/// Deliveries that are leased are suspended when their leases end.
async fn suspend_all(tx: &Tx) -> Result<()> {
    let mut next = Some(i64::MIN);
    while let Some(after) = next {
        next = command::run(tx, Command::Suspend, &Selection::default(), RESTORE, after).await?.1;
    }
    Ok(())
}

/// Senders have been told since the backup was made: that takes seconds.
async fn forget_notices(tx: &Tx) -> Result<()> {
    let sql = "UPDATE queue_delivery SET owed = NULL, owed_since = NULL WHERE owed IS NOT NULL RETURNING message";
    let rows = tx.query(sql, &[]).await?;
    let messages = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    finish(tx, &messages).await
}

const COLUMNS: &str = "number, at, state_of, known_by, known_until, held, answered, answered_by, deliver_since";

/// The last restore that was noticed.
pub(super) async fn last(tx: &Tx) -> Result<Option<Restoration>> {
    let sql = format!("SELECT {COLUMNS} FROM fleet_restore ORDER BY number DESC LIMIT 1");
    tx.query_opt(&sql, &[]).await?.as_ref().map(restoration).transpose()
}

fn restoration(row: &Row) -> Result<Restoration> {
    let mut columns = Columns::of(row);
    let (number, at, state_of) = (columns.take::<i64>()? as u64, columns.time()?, columns.time_if_any()?);
    let known = columns.take::<Option<String>>()?.zip(columns.time_if_any()?);
    let held = columns.take::<i64>()? as u64;
    let answered = columns.time_if_any()?.zip(columns.take::<Option<String>>()?);
    let since = columns.time_if_any()?;
    let decision = since.map_or(RestorationDecision::Hold, RestorationDecision::DeliverSince);
    let answer = answered.map(|(at, by)| RestorationAnswer { at, by, decision });
    Ok(Restoration { number, at, state_of, known, held, answer })
}

/// Notes an answer, unless there is one. `None`: no restore was ever noticed.
pub(super) async fn answer(tx: &Tx, decision: RestorationDecision, by: &str) -> Result<Option<Answered>> {
    // Not while a restore is being noted.
    tx.query("SELECT FROM fleet_state FOR SHARE", &[]).await?;
    let since = match decision {
        RestorationDecision::Hold => None,
        RestorationDecision::DeliverSince(since) => Some(since.as_millisecond()),
    };
    let sql = "UPDATE fleet_restore SET answered = $1, answered_by = $2, deliver_since = $3
               WHERE answered IS NULL AND number = (SELECT max(number) FROM fleet_restore)";
    let now = tx.now().await?.as_millisecond();
    let is_first = tx.execute(sql, &[&now, &super::row::text(by), &since]).await? > 0;
    if is_first {
        let deliver_since = match decision {
            RestorationDecision::Hold => None,
            RestorationDecision::DeliverSince(since) => Some(since),
        };
        change_log::put(tx, &NewChange::of_fleet(by, ChangeKind::RestoreAnswered { deliver_since })).await?;
    }
    Ok(last(tx).await?.map(|restoration| Answered { restoration, is_first, resumed: 0 }))
}

/// Does what was answered with up to a thousand messages after this key. Returns how many deliveries are due now, and where to
/// go on, if there may be more.
pub(super) async fn release(tx: &Tx, restoration: &Restoration, after: i64) -> Result<(u64, Option<i64>)> {
    // A restore that is noticed from here on waits, and holds what this releases.
    tx.query("SELECT FROM fleet_state FOR SHARE", &[]).await?;
    let Some(answer) = &restoration.answer else { return Ok((0, None)) };
    if last(tx).await?.as_ref() != Some(restoration) {
        return Err(StoreError::Other(
            "the store was restored again meanwhile; look at it and answer again".to_owned(),
        ));
    }
    let since = match answer.decision {
        RestorationDecision::Hold => None,
        RestorationDecision::DeliverSince(since) => Some(since.as_millisecond()),
    };
    command::release(tx, RESTORE, since, &answer.by, after).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_shows_by_what_is_missing() {
        let seen = Seen {
            store: Uuid::from_u128(1),
            restores: 2,
            node: "n".to_owned(),
            epoch: 7,
            started: 9,
            beat: 30,
            at: 0,
        };
        let sign = |store, restores, (epoch, beat): (i64, i64), is_on: &str| {
            let shown = Shown {
                store: Uuid::from_u128(store),
                was_on: "1/5".to_owned(),
                is_on: is_on.to_owned(),
                restores,
                is_held: false,
                epoch: Some(epoch),
                beat: Some(beat),
            };
            (shown.sign(Some(&seen)), shown.sign(None))
        };
        // The last report of this node, one that was lost on the way, and a later process of its name.
        for same in [(7, 30), (7, 31), (8, 0)] {
            assert_eq!(sign(1, 2, same, "1/5"), (None, None), "{same:?}");
        }
        for earlier in [(7, 29), (6, 99)] {
            assert_eq!(sign(1, 2, earlier, "1/5"), (Some(Sign::WentBack), None), "{earlier:?}");
        }
        // A restore that this node has seen noted is missing; another node has noted one since.
        assert_eq!(sign(1, 1, (9, 0), "1/5").0, Some(Sign::WentBack));
        assert_eq!(sign(1, 3, (1, 0), "1/5").0, None);
        // Another store, another server, another database, and a user who may not know.
        assert_eq!(sign(2, 0, (1, 0), "1/5").0, None);
        assert_eq!(sign(1, 2, (7, 30), "2/5"), (Some(Sign::Moved), Some(Sign::Moved)));
        assert_eq!(sign(1, 2, (7, 30), "1/6"), (Some(Sign::Moved), Some(Sign::Moved)));
        assert_eq!(sign(1, 2, (7, 30), ""), (None, None));
    }
}
