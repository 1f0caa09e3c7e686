//! An operator's commands on queued deliveries.

use std::collections::BTreeSet;

use jiff::Timestamp;
use protocol::smtp::Address;
use rusqlite::{Connection, ToSql, params};
use trace::{Event, EventKind};
use uuid::Uuid;

use super::{
    queue::insert_events,
    row::{Millis, state_number},
    settle::come_to_rest,
};
use crate::{Command, Commanded, MessageKey, Selection, State};

struct Target {
    delivery: i64,
    message: MessageKey,
    network_message_id: Uuid,
    recipient: String,
    connector: String,
    state: State,
}

pub(super) fn run(
    connection: &Connection,
    command: Command,
    selection: &Selection,
    by: &str,
    now: Timestamp,
) -> rusqlite::Result<Commanded> {
    let mut done = Commanded::default();
    let mut retried = BTreeSet::new();
    for target in targets(connection, selection)? {
        match apply(connection, command, &target, by, now)? {
            Applied::Changed => {
                done.changed += 1;
                let event = Event {
                    at: now,
                    node: by.to_owned(),
                    message: target.network_message_id,
                    recipient: Address::parse(&target.recipient).ok(),
                    kind: event(command, by),
                };
                insert_events(connection, target.message, &[event])?;
                if command == Command::Remove {
                    come_to_rest(connection, target.message.0)?;
                }
                if command == Command::Retry {
                    retried.insert(target.connector);
                }
            }
            Applied::Leased => done.leased += 1,
            Applied::Nothing => {}
        }
    }
    let mut request =
        connection.prepare_cached("INSERT OR REPLACE INTO retry_request (connector, at) VALUES (?1, ?2)")?;
    for connector in retried {
        request.execute(params![connector, Millis(now)])?;
    }
    Ok(done)
}

enum Applied {
    Changed,
    Leased,
    Nothing,
}

fn apply(
    connection: &Connection,
    command: Command,
    target: &Target,
    by: &str,
    now: Timestamp,
) -> rusqlite::Result<Applied> {
    let update = |sql: &str, parameters: &[&dyn ToSql]| -> rusqlite::Result<Applied> {
        connection.prepare_cached(sql)?.execute(parameters)?;
        Ok(Applied::Changed)
    };
    let id = target.delivery;
    match (command, target.state) {
        (Command::Retry, State::Queued) => {
            update("UPDATE delivery SET due = ?2 WHERE id = ?1", params![id, Millis(now)])
        }
        (Command::Suspend, State::Queued) => {
            update("UPDATE delivery SET state = 2, suspended_by = ?2 WHERE id = ?1", params![id, by])
        }
        // The attempt under way is not cut; the delivery is suspended if it comes back.
        (Command::Suspend, State::Leased) => {
            update("UPDATE delivery SET suspended_by = ?2 WHERE id = ?1", params![id, by])
        }
        (Command::Resume, State::Suspended) => update(
            "UPDATE delivery SET state = 0, suspended_by = NULL, due = ?2 WHERE id = ?1",
            params![id, Millis(now)],
        ),
        (Command::Resume, State::Leased) => {
            update("UPDATE delivery SET suspended_by = NULL WHERE id = ?1", params![id])
        }
        (Command::Remove, State::Queued | State::Suspended) => {
            let removed = state_number(State::Removed);
            update(
                "UPDATE delivery SET state = ?2, settled = ?3, owed = NULL WHERE id = ?1",
                params![id, removed, Millis(now)],
            )
        }
        (Command::Retry | Command::Remove, State::Leased) => Ok(Applied::Leased),
        (Command::Retry, State::Suspended)
        | (Command::Suspend, State::Suspended)
        | (Command::Resume, State::Queued)
        | (_, State::Delivered | State::Failed | State::Removed) => Ok(Applied::Nothing),
    }
}

fn event(command: Command, by: &str) -> EventKind {
    let by = by.to_owned();
    match command {
        Command::Retry => EventKind::Retried { by },
        Command::Suspend => EventKind::Suspended { by },
        Command::Resume => EventKind::Resumed { by },
        Command::Remove => EventKind::Removed { by },
    }
}

fn targets(connection: &Connection, selection: &Selection) -> rusqlite::Result<Vec<Target>> {
    let (condition, parameters) = conditions(selection);
    let sql = format!(
        "SELECT d.id, d.message, m.network_message_id, d.recipient, d.connector, d.state
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
        })
    })?;
    targets.collect()
}

/// ` AND …` for each given condition, with its parameters in order.
pub(super) fn conditions(selection: &Selection) -> (String, Vec<Box<dyn ToSql>>) {
    let mut sql = String::new();
    let mut parameters: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(id) = selection.message {
        sql.push_str(" AND m.network_message_id = ?");
        parameters.push(Box::new(id.as_bytes().to_vec()));
    }
    if let Some(connector) = &selection.connector {
        sql.push_str(" AND d.connector = ?");
        parameters.push(Box::new(connector.clone()));
    }
    for (column, wanted) in [("d.recipient", &selection.recipient), ("m.sender", &selection.sender)] {
        if let Some(wanted) = wanted {
            push_address(column, wanted, &mut sql, &mut parameters);
        }
    }
    if let Some(state) = selection.state {
        sql.push_str(" AND d.state = ?");
        parameters.push(Box::new(state_number(state)));
    }
    (sql, parameters)
}

/// A whole address, or `@domain`; `<>` is the null sender.
pub(super) fn push_address(column: &str, wanted: &str, sql: &mut String, parameters: &mut Vec<Box<dyn ToSql>>) {
    let wanted = wanted.to_lowercase();
    if wanted.starts_with('@') {
        sql.push_str(&format!(" AND substr(lower({column}), -length(?)) = ?"));
        parameters.push(Box::new(wanted.clone()));
        parameters.push(Box::new(wanted));
    } else {
        sql.push_str(&format!(" AND lower({column}) = ?"));
        parameters.push(Box::new(wanted.trim_matches(['<', '>']).to_owned()));
    }
}
