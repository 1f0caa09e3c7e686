//! Results: one transaction for the state, its events, the bodies that nobody needs any more, and notices.

use rusqlite::{Connection, params};

use super::{
    fleet,
    queue::{BACK_TO_QUEUE, delete_body, insert_events, insert_message},
    row::{Json, Millis, state_number},
};
use crate::{Accepted, DeliveryKey, Outcome, Settlement, State};

/// `accepted` has the keys for each settlement's notices.
pub(super) fn settle(
    connection: &Connection,
    node: &str,
    settlements: &[Settlement],
    accepted: &[Vec<Accepted>],
) -> rusqlite::Result<Vec<DeliveryKey>> {
    let mut lost = Vec::new();
    for (settlement, notice_keys) in settlements.iter().zip(accepted) {
        insert_events(connection, settlement.message, &settlement.events)?;
        if !apply(connection, node, settlement)? {
            lost.push(settlement.delivery);
            continue;
        }
        for (notice, keys) in settlement.notices.iter().zip(notice_keys) {
            insert_message(connection, notice, keys, None)?;
        }
        if let Some(weak) = &settlement.weak {
            fleet::note_weak(connection, weak)?;
        }
        if matches!(settlement.outcome, Outcome::Delivered { .. } | Outcome::Failed { .. }) {
            free_body(connection, settlement.message.0)?;
        }
    }
    Ok(lost)
}

/// False if this node does not hold the lease.
fn apply(connection: &Connection, node: &str, settlement: &Settlement) -> rusqlite::Result<bool> {
    const HELD: &str = "lease_node = NULL, lease_until = NULL WHERE id = ?1 AND state = 1 AND lease_node = ?2";
    let key = settlement.delivery.0;
    let changed = match &settlement.outcome {
        Outcome::Delivered { reply, at } => {
            let delivered = state_number(State::Delivered);
            connection
                .prepare_cached(&format!("UPDATE delivery SET state = {delivered}, reply = ?3, settled = ?4, {HELD}"))?
                .execute(params![key, node, Json(reply), Millis(*at)])?
        }
        Outcome::Failed { failure, at } => {
            let failed = state_number(State::Failed);
            connection
                .prepare_cached(&format!("UPDATE delivery SET state = {failed}, failure = ?3, settled = ?4, {HELD}"))?
                .execute(params![key, node, Json(failure), Millis(*at)])?
        }
        Outcome::Deferred { failure, due, review, delay_notified } => connection
            .prepare_cached(&format!(
                "UPDATE delivery SET state = {BACK_TO_QUEUE}, failure = ?3, due = ?4, review = ?5,
                 delay_notified = ?6, attempts = attempts + 1, {HELD}"
            ))?
            .execute(params![key, node, Json(failure), Millis(*due), Millis(*review), delay_notified])?,
        Outcome::Returned { review, delay_notified } => connection
            .prepare_cached(&format!(
                "UPDATE delivery SET state = {BACK_TO_QUEUE}, review = coalesce(?3, review), delay_notified = ?4,
                 {HELD}"
            ))?
            .execute(params![key, node, review.map(Millis), delay_notified])?,
    };
    Ok(changed > 0)
}

/// Deletes a message's body once none of its deliveries can still be sent.
pub(super) fn free_body(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    let mut live = connection.prepare_cached("SELECT 1 FROM delivery WHERE message = ?1 AND state <= 2 LIMIT 1")?;
    if live.exists([message])? { Ok(()) } else { delete_body(connection, message) }
}
