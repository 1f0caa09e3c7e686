//! Questions to nodes, and their answers.

use std::time::Duration;

use uuid::Uuid;

use super::{lane::Tx, row::text};
use crate::{Inquiry, Result, clock::before, fleet::INQUIRY_KEPT};

pub(super) async fn ask(tx: &Tx, inquiries: &[Inquiry]) -> Result<()> {
    let now = tx.now().await?;
    tx.execute("DELETE FROM inquiry WHERE at < $1", &[&before(now, INQUIRY_KEPT).as_millisecond()]).await?;
    for Inquiry { id, node, question } in inquiries {
        let sql = "INSERT INTO inquiry (id, node, at, question) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &[id, node, &now.as_millisecond(), &text(question)]).await?;
    }
    Ok(())
}

pub(super) async fn has_new(tx: Tx, node: &str, within: Duration) -> Result<bool> {
    let since = before(tx.now().await?, within).as_millisecond();
    let sql = "SELECT EXISTS (SELECT 1 FROM inquiry WHERE node = $1 AND at >= $2 AND NOT is_taken)";
    Ok(tx.query_one(sql, &[&node, &since]).await?.try_get(0)?)
}

/// Each is taken once, whichever of a node's tasks asks.
pub(super) async fn take(tx: &Tx, node: &str, within: Duration, limit: u32) -> Result<Vec<Inquiry>> {
    let since = before(tx.now().await?, within).as_millisecond();
    let sql = "SELECT id, question FROM inquiry WHERE node = $1 AND at >= $2 AND NOT is_taken ORDER BY at, id LIMIT $3
               FOR UPDATE SKIP LOCKED";
    let rows = tx.query(sql, &[&node, &since, &i64::from(limit)]).await?;
    let inquiry = |row: &tokio_postgres::Row| {
        Ok(Inquiry { id: row.try_get(0)?, node: node.to_owned(), question: row.try_get(1)? })
    };
    let inquiries = rows.iter().map(inquiry).collect::<Result<Vec<_>>>()?;
    let ids: Vec<Uuid> = inquiries.iter().map(|inquiry| inquiry.id).collect();
    tx.execute("UPDATE inquiry SET is_taken = true WHERE id = ANY($1)", &[&ids]).await?;
    Ok(inquiries)
}

pub(super) async fn answer(tx: &Tx, id: Uuid, answer: &str) -> Result<()> {
    tx.execute("UPDATE inquiry SET answer = $2 WHERE id = $1", &[&id, &text(answer)]).await.map(drop)
}

/// In the order of the ids.
pub(super) async fn answers(tx: Tx, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let sql =
        "SELECT id, answer FROM inquiry WHERE id = ANY($1) AND answer IS NOT NULL ORDER BY array_position($1, id)";
    let rows = tx.query(sql, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
