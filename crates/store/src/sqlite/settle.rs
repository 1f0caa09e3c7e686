//! Results: one transaction for the state, its events, the bodies that nobody needs any more, and the notices owed.

use protocol::smtp::Reply;
use rusqlite::{Connection, params};
use trace::{Event, EventKind};

use super::{
    fleet, notice,
    queue::{BACK_TO_QUEUE, delete_body, insert_event, insert_events},
    row::{Json, Millis, state_number},
    withhold,
};
use crate::{DeliveryKey, Outcome, Settlement, State};

/// With `sparing`, what may come again and again takes no more room than once.
pub(super) fn settle(
    connection: &Connection,
    node: &str,
    settlements: &[Settlement],
    sparing: bool,
) -> rusqlite::Result<Vec<DeliveryKey>> {
    let mut lost = Vec::new();
    for settlement in settlements {
        if !apply(connection, node, settlement)? {
            insert_late_events(connection, settlement)?;
            lost.push(settlement.delivery);
            continue;
        }
        match sparing {
            true => insert_events_sparingly(connection, settlement)?,
            false => insert_events(connection, settlement.message, &settlement.events)?,
        }
        note_attempt(connection, settlement)?;
        let has_ended = matches!(settlement.outcome, Outcome::Delivered { .. } | Outcome::Failed { .. });
        match settlement.notice {
            Some(owed) => notice::owe(connection, settlement.delivery, owed)?,
            // Nobody needs to hear any more that it is late.
            None if has_ended => notice::owe_nothing(connection, settlement.delivery)?,
            None => {}
        }
        if let Some(weak) = &settlement.weak {
            fleet::note_weak(connection, weak)?;
        }
        if has_ended {
            come_to_rest(connection, settlement.message.0)?;
        }
    }
    Ok(lost)
}

/// Of a delivery's deferrals, the last one takes the place of the one before: a queue that fills the disk would go on
/// growing with each retry.
fn insert_events_sparingly(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let mut replace = connection.prepare_cached(
        "UPDATE event SET json = ?2 WHERE id = (
             SELECT max(id) FROM event WHERE message = ?1 AND json ->> '$.event' = 'deferred'
             AND json ->> '$.recipient' IS ?3
         )",
    )?;
    for event in settlement.events.iter().filter(|event| !matches!(event.kind, EventKind::HostFailed { .. })) {
        let recipient = event.recipient.as_ref().map(|recipient| recipient.as_str());
        let is_replaced = matches!(event.kind, EventKind::Deferred { .. })
            && replace.execute(params![settlement.message.0, Json(event), recipient])? > 0;
        if !is_replaced {
            insert_event(connection, settlement.message, event)?;
        }
    }
    Ok(())
}

/// Keeps what was seen of a delivery that another node holds, or has brought to rest; once, though it be settled again.
fn insert_late_events(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let mut known = connection.prepare_cached("SELECT 1 FROM event WHERE message = ?1 AND json = ?2")?;
    for event in &settlement.events {
        match withhold::late(connection, settlement.message, settlement.delivery, event)? {
            None if known.exists(params![settlement.message.0, Json(event)])? => {}
            None => insert_event(connection, settlement.message, event)?,
            Some(event) if known.exists(params![settlement.message.0, Json(&event)])? => {}
            Some(event) => insert_event(connection, settlement.message, &event)?,
        }
    }
    Ok(())
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
        Outcome::Postponed { due, failure } => connection
            .prepare_cached(&format!(
                "UPDATE delivery SET state = {BACK_TO_QUEUE}, due = ?3, failure = coalesce(failure, ?4), {HELD}"
            ))?
            .execute(params![key, node, Millis(*due), failure.as_ref().map(Json)])?,
    };
    Ok(changed > 0)
}

/// Puts the last attempt into the delivery's row, by which it is searched.
fn note_attempt(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let tried = |event: &&Event| event.kind.attempt().is_some();
    let Some(event) = settlement.events.iter().rev().find(tried) else { return Ok(()) };
    let Some(attempt) = event.kind.attempt() else { return Ok(()) };
    let tls = attempt.tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.cipher)).unwrap_or_default();
    let address = attempt.destination.as_ref().and_then(|destination| destination.address);
    let reply = match &settlement.outcome {
        Outcome::Delivered { reply, .. } => Some(reply),
        Outcome::Deferred { failure, .. } | Outcome::Failed { failure, .. } => failure.reply.as_ref(),
        Outcome::Returned { .. } | Outcome::Postponed { .. } => None,
    };
    let enhanced = |reply: &Reply| reply.enhanced.map(|code| format!("{code} ")).unwrap_or_default();
    let code = reply.map(|reply| format!(" {} {}", reply.code, enhanced(reply)));
    let mut update = connection.prepare_cached(
        "UPDATE delivery SET node = ?2, tls_policy = ?3, tls = ?4, remote = ?5, code = ?6 WHERE id = ?1",
    )?;
    let remote = address.map(|address| address.ip().to_string());
    update.execute(params![settlement.delivery.0, event.node, attempt.tls_policy, tls, remote, code])?;
    Ok(())
}

/// Deletes what nobody needs of a message once none of its deliveries can still be sent, and its sender knows of all.
/// Its events come before.
pub(super) fn come_to_rest(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    let mut live = connection
        .prepare_cached("SELECT 1 FROM delivery WHERE message = ?1 AND (state <= 2 OR owed IS NOT NULL) LIMIT 1")?;
    if live.exists([message])? {
        return Ok(());
    }
    delete_body(connection, message)?;
    withhold::at_rest(connection, message)
}
