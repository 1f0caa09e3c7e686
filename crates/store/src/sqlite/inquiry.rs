//! Questions to nodes, and their answers.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::row::Millis;
use crate::{Inquiry, clock::before, fleet::INQUIRY_KEPT};

pub(super) fn ask(connection: &Connection, inquiries: &[Inquiry], now: Timestamp) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM inquiry WHERE at < ?1")?.execute([Millis(before(now, INQUIRY_KEPT))])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO inquiry (id, node, at, question) VALUES (?1, ?2, ?3, ?4)")?;
    for Inquiry { id, node, question } in inquiries {
        insert.execute(params![id.as_bytes().as_slice(), node, Millis(now), question])?;
    }
    Ok(())
}

pub(super) fn has_new(connection: &Connection, node: &str, within: Duration, now: Timestamp) -> rusqlite::Result<bool> {
    let mut select = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM inquiry WHERE node = ?1 AND at >= ?2 AND NOT is_taken)")?;
    select.query_row(params![node, Millis(before(now, within))], |row| row.get(0))
}

pub(super) fn take(
    connection: &Connection,
    node: &str,
    within: Duration,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<Inquiry>> {
    let mut select = connection.prepare_cached(
        "SELECT id, question FROM inquiry WHERE node = ?1 AND at >= ?2 AND NOT is_taken ORDER BY at, id LIMIT ?3",
    )?;
    let inquiries = select.query_map(params![node, Millis(before(now, within)), limit], |row| {
        Ok(Inquiry { id: Uuid::from_bytes(row.get(0)?), node: node.to_owned(), question: row.get(1)? })
    })?;
    let inquiries: Vec<Inquiry> = inquiries.collect::<rusqlite::Result<_>>()?;
    let mut update = connection.prepare_cached("UPDATE inquiry SET is_taken = 1 WHERE id = ?1")?;
    for inquiry in &inquiries {
        update.execute([inquiry.id.as_bytes().as_slice()])?;
    }
    Ok(inquiries)
}

pub(super) fn answer(connection: &Connection, id: Uuid, answer: &str) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE inquiry SET answer = ?2 WHERE id = ?1")?;
    update.execute(params![id.as_bytes().as_slice(), answer])?;
    Ok(())
}

pub(super) fn answers(connection: &Connection, ids: &[Uuid]) -> rusqlite::Result<Vec<(Uuid, String)>> {
    let mut select = connection.prepare_cached("SELECT answer FROM inquiry WHERE id = ?1 AND answer IS NOT NULL")?;
    let answer = |id: &Uuid| {
        let answer = select.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional();
        answer.map(|answer| answer.map(|answer| (*id, answer))).transpose()
    };
    ids.iter().filter_map(answer).collect()
}
