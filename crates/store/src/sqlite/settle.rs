//! Results: one transaction for the state, its events, the bodies that nobody needs any more, and the notices owed.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use trace::EventKind;

use super::{
    accept::{insert_event, insert_event_as, insert_events},
    claim::BACK_TO_QUEUE,
    finish::finish,
    fleet, notice,
    row::{Json, Millis},
    withhold,
};
use crate::{DeliveryKey, Settlement, clock::after, last_attempt::Note, stored::state_number, tally::Counts};

/// With `sparing`, what may come again and again takes no more room than once.
pub(super) fn settle(
    connection: &Connection,
    counts: &mut Counts,
    settlements: &[Settlement],
    now: Timestamp,
    sparing: bool,
) -> rusqlite::Result<Vec<DeliveryKey>> {
    let mut lost = Vec::new();
    for settlement in settlements {
        let note = Note::of(&settlement.outcome, &settlement.events);
        if !apply(connection, settlement, note.as_ref(), now)? {
            insert_late_events(connection, settlement)?;
            lost.push(settlement.delivery);
            continue;
        }
        match sparing {
            true => insert_events_sparingly(connection, settlement)?,
            false => insert_events(connection, settlement.message, &settlement.events)?,
        }
        count(connection, counts, settlement, note.as_ref(), now)?;
        let has_ended = settlement.outcome.is_end();
        match settlement.notice {
            Some(action) => notice::owe(connection, settlement.delivery, action, now)?,
            // Nobody needs to hear any more that it is late.
            None if has_ended => notice::owe_nothing(connection, settlement.delivery)?,
            None => {}
        }
        if let Some(weak) = &settlement.weak {
            fleet::note_weak(connection, weak)?;
        }
        if has_ended {
            finish(connection, settlement.message)?;
        }
    }
    Ok(lost)
}

/// Of a delivery's deferrals, the last one takes the place of the one before: a queue that fills the disk would go on
/// growing with each retry.
fn insert_events_sparingly(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let mut replace = connection.prepare_cached(
        "UPDATE event SET json = ?2, uid = ?4 WHERE id = (
             SELECT max(id) FROM event WHERE message = ?1 AND json ->> '$.event' = 'deferred'
             AND json ->> '$.recipient' IS ?3
         )",
    )?;
    for new in settlement.events.iter().filter(|new| !matches!(new.event.kind, EventKind::HostFailed { .. })) {
        let recipient = new.event.recipient.as_ref().map(|recipient| recipient.as_str());
        let (json, uid) = (Json(&new.event), new.id.as_bytes().as_slice());
        let is_replaced = matches!(new.event.kind, EventKind::Deferred { .. })
            && replace.execute(params![settlement.message.0, json, recipient, uid])? > 0;
        if !is_replaced {
            insert_event(connection, settlement.message, new)?;
        }
    }
    Ok(())
}

/// Keeps what was seen of a delivery that another node holds, or has finished; once, though it be settled again.
fn insert_late_events(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<()> {
    let mut known = connection.prepare_cached("SELECT 1 FROM event WHERE message = ?1 AND uid = ?2")?;
    for new in &settlement.events {
        if known.exists(params![settlement.message.0, new.id.as_bytes().as_slice()])? {
            continue;
        }
        match withhold::late(connection, settlement.message, settlement.delivery, &new.event)? {
            None => insert_event(connection, settlement.message, new)?,
            Some(withheld) => insert_event_as(connection, settlement.message, new, &withheld)?,
        }
    }
    Ok(())
}

/// Puts the result and the attempt, by which the delivery is searched, into its row. False if the lease is not current any
/// more.
fn apply(
    connection: &Connection,
    settlement: &Settlement,
    note: Option<&Note<'_>>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let change = settlement.outcome.change();
    let mut update = connection.prepare_cached(&format!(
        "UPDATE delivery SET state = coalesce(?3, {BACK_TO_QUEUE}), settled = ?4, reply = coalesce(?5, reply),
             failure = iif(?7, coalesce(failure, ?6), coalesce(?6, failure)), due = coalesce(?8, due),
             review = coalesce(?9, review), delay_notified = coalesce(?10, delay_notified), attempts = attempts + ?11,
             lease_node = NULL, lease_until = NULL, lease = NULL,
             node = coalesce(?12, node), tls_policy = coalesce(?13, tls_policy), tls = coalesce(?14, tls),
             remote = iif(?12 IS NULL, remote, ?15), code = iif(?12 IS NULL, code, ?16)
         WHERE id = ?1 AND state = 1 AND lease = ?2"
    ))?;
    let changed = update.execute(params![
        settlement.delivery.0,
        settlement.lease.0,
        change.end.map(|(state, _)| state_number(state)),
        change.end.map(|(_, at)| Millis(at)),
        change.reply.map(Json),
        change.failure.map(Json),
        change.keeps_failure,
        change.due_in.map(|wait| Millis(after(now, wait))),
        change.review_in.map(|wait| Millis(after(now, wait))),
        change.delay_notified,
        change.is_attempt,
        note.map(|note| note.node),
        note.map(|note| note.tls_policy),
        note.map(|note| &note.tls),
        note.and_then(|note| note.to_ip).map(|ip| ip.to_string()),
        note.and_then(|note| note.codes.as_ref()),
    ])?;
    Ok(changed > 0)
}

fn count(
    connection: &Connection,
    counts: &mut Counts,
    settlement: &Settlement,
    note: Option<&Note<'_>>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT d.connector, m.size FROM delivery AS d JOIN message AS m ON m.id = d.message WHERE d.id = ?1",
    )?;
    select.query_row([settlement.delivery.0], |row| {
        counts.settled(now, settlement, note, row.get_ref(0)?.as_str()?, row.get(1)?);
        Ok(())
    })
}
