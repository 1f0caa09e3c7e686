//! The place of the bodies outside the database: recorded once, so that all nodes use the same one.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    lane::{Lane, Tx},
    member, owner,
    schema::Use,
};
use crate::{
    MEMBER_VALID, Result,
    lease::Known,
    outside::{BodiesError, BodiesSettings, Mark, Outside},
};

struct Recorded {
    fleet: Uuid,
    place: String,
}

async fn recorded(lane: &Arc<Lane>) -> Result<Option<Recorded>> {
    let read = |tx: Tx| async move { tx.query_opt("SELECT fleet, place FROM body_place", &[]).await };
    let row = lane.read(read).await?;
    row.map(|row| Ok(Recorded { fleet: row.try_get(0)?, place: row.try_get(1)? })).transpose()
}

/// The place that the settings name, if the database names the same. The first node that names one records it.
pub(super) async fn open(
    lane: &Arc<Lane>,
    settings: Option<&BodiesSettings>,
    accept_loss: bool,
    how: Use,
) -> Result<Option<Outside>> {
    let recorded = recorded(lane).await?;
    match (settings, recorded, how) {
        (None, Some(recorded), Use::Node) if !accept_loss => {
            Err(BodiesError::NotSet { recorded: recorded.place }.into())
        }
        (None, Some(recorded), Use::Node) => {
            let forget = |tx: Tx| async move {
                refuse_beside_nodes(&tx, recorded.place).await?;
                tx.execute("DELETE FROM body_place", &[]).await
            };
            lane.write(forget).await.map(|_| None)
        }
        // What is moved here has its bodies in the database.
        (None, _, _) | (_, _, Use::Migration) | (Some(_), None, Use::Command) => Ok(None),
        (Some(settings), Some(recorded), Use::Command) => Ok(Some(Outside::new(settings, recorded.fleet)?)),
        (Some(settings), Some(recorded), Use::Node) => check(lane, settings, recorded, accept_loss).await.map(Some),
        (Some(settings), None, Use::Node) => found(lane, settings).await.map(Some),
    }
}

/// Two nodes may do so at once: the first one's word counts, and then it must be the other's place, too.
async fn found(lane: &Arc<Lane>, settings: &BodiesSettings) -> Result<Outside> {
    let outside = Outside::new(settings, Uuid::now_v7())?;
    outside.prepare().await?;
    outside.mark(&mark(lane).await?).await?;
    let sql = "INSERT INTO body_place (id, fleet, place) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING";
    write(lane, sql, outside.fleet(), &outside.place()).await?;
    match recorded(lane).await? {
        Some(recorded) if recorded.fleet != outside.fleet() => {
            // Nobody looks for it.
            let _ = outside.unmark().await;
            check(lane, settings, recorded, false).await
        }
        _ => Ok(outside),
    }
}

/// The mark shows that it is the place, whatever its name is on this machine.
async fn check(lane: &Arc<Lane>, settings: &BodiesSettings, recorded: Recorded, accept_loss: bool) -> Result<Outside> {
    let outside = Outside::new(settings, recorded.fleet)?;
    let is_marked = outside.read_mark().await?.is_some();
    if !is_marked && !accept_loss {
        let (place, mark) = (outside.place(), outside.mark_name());
        return Err(BodiesError::Elsewhere { recorded: recorded.place, place, mark }.into());
    }
    if !is_marked {
        lane.write(|tx| async move { refuse_beside_nodes(&tx, recorded.place).await }).await?;
    }
    outside.prepare().await?;
    if !is_marked {
        outside.mark(&mark(lane).await?).await?;
        let sql = "UPDATE body_place SET place = $2 WHERE fleet = $1";
        write(lane, sql, outside.fleet(), &outside.place()).await?;
    }
    Ok(outside)
}

async fn mark(lane: &Arc<Lane>) -> Result<Mark> {
    lane.read(|tx| async move { owner::mark(&tx).await }).await
}

/// Nodes that run would go on with the place that they have in memory.
async fn refuse_beside_nodes(tx: &Tx, recorded: String) -> Result<()> {
    let Some((node, Known { host, process, .. })) = member::running(tx).await? else { return Ok(()) };
    let valid = MEMBER_VALID.as_secs();
    Err(BodiesError::InUse { node, host, process, recorded, valid }.into())
}

async fn write(lane: &Arc<Lane>, sql: &'static str, fleet: Uuid, place: &str) -> Result<()> {
    let place = place.to_owned();
    lane.write(move |tx| async move { tx.execute(sql, &[&fleet, &place]).await.map(drop) }).await
}
