//! An operator's commands on queued deliveries.

use std::collections::BTreeSet;

use jiff::Timestamp;
use protocol::smtp::Address;
use rusqlite::{Connection, ToSql, params};
use trace::Event;
use uuid::Uuid;

use super::{accept::insert_event, finish::finish, row::Millis, search::Conditions, waiting::conditions};
use crate::{Command, Commanded, MessageKey, Selection, State, state::Effect, stored::state_number, tally::Counts};

struct Target {
    delivery: i64,
    message: MessageKey,
    network_message_id: Uuid,
    recipient: String,
    connector: String,
    state: State,
    size: i64,
}

pub(super) fn run(
    connection: &Connection,
    counts: &mut Counts,
    command: Command,
    selection: &Selection,
    by: &str,
    now: Timestamp,
) -> rusqlite::Result<Commanded> {
    let mut done = Commanded::default();
    let mut retried = BTreeSet::new();
    for target in targets(connection, selection)? {
        let effect = command.effect(target.state);
        match effect {
            Effect::Nothing => continue,
            Effect::Leased => {
                done.leased += 1;
                continue;
            }
            effect => apply(connection, effect, target.delivery, by, now)?,
        }
        done.changed += 1;
        let event = Event {
            at: now,
            node: by.to_owned(),
            message: target.network_message_id,
            recipient: Address::parse(&target.recipient).ok(),
            kind: command.event(by),
        };
        insert_event(connection, target.message, &event.into())?;
        if effect == Effect::Remove {
            counts.removed(now, &target.connector, target.size);
            finish(connection, target.message)?;
        }
        if effect == Effect::DueNow {
            retried.insert(target.connector);
        }
    }
    let mut request =
        connection.prepare_cached("INSERT OR REPLACE INTO retry_request (connector, at) VALUES (?1, ?2)")?;
    for connector in retried {
        request.execute(params![connector, Millis(now)])?;
    }
    Ok(done)
}

fn apply(connection: &Connection, effect: Effect, id: i64, by: &str, now: Timestamp) -> rusqlite::Result<()> {
    let update = |sql: &str, parameters: &[&dyn ToSql]| -> rusqlite::Result<()> {
        connection.prepare_cached(sql)?.execute(parameters).map(drop)
    };
    match effect {
        Effect::DueNow => update("UPDATE delivery SET due = ?2 WHERE id = ?1", params![id, Millis(now)]),
        Effect::Suspend => update("UPDATE delivery SET state = 2, suspended_by = ?2 WHERE id = ?1", params![id, by]),
        Effect::SuspendLater => update("UPDATE delivery SET suspended_by = ?2 WHERE id = ?1", params![id, by]),
        Effect::Resume => update(
            "UPDATE delivery SET state = 0, suspended_by = NULL, due = ?2 WHERE id = ?1",
            params![id, Millis(now)],
        ),
        Effect::SuspendNoMore => update("UPDATE delivery SET suspended_by = NULL WHERE id = ?1", params![id]),
        Effect::Remove => update(
            "UPDATE delivery SET state = ?2, settled = ?3, owed = NULL WHERE id = ?1",
            params![id, state_number(State::Removed), Millis(now)],
        ),
        Effect::Leased | Effect::Nothing => Ok(()),
    }
}

fn targets(connection: &Connection, selection: &Selection) -> rusqlite::Result<Vec<Target>> {
    let Conditions { sql: condition, parameters } = conditions(selection);
    let sql = format!(
        "SELECT d.id, d.message, m.network_message_id, d.recipient, d.connector, d.state, m.size
         FROM delivery AS d JOIN message AS m ON m.id = d.message WHERE d.state IN (0, 1, 2){condition}"
    );
    let mut select = connection.prepare(&sql)?;
    let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
    let targets = select.query_map(parameters.as_slice(), |row| {
        Ok(Target {
            delivery: row.get(0)?,
            message: MessageKey(row.get(1)?),
            network_message_id: Uuid::from_bytes(row.get(2)?),
            recipient: row.get(3)?,
            connector: row.get(4)?,
            state: row.get(5)?,
            size: row.get(6)?,
        })
    })?;
    targets.collect()
}
