//! The end of a message: it leaves the queue for the history, and its body is deleted.

use super::{changes::Changes, session::Session, withhold};
use crate::{Result, withhold::Withhold};

/// Finishes those of these messages of which nothing can still be sent, and whose sender knows of all. Their rows are
/// locked. Their events come before.
pub(super) async fn finish(session: &Session, messages: &[i64]) -> Result<()> {
    let rows = session
        .query(
            "SELECT m.message, m.withhold FROM queue_message AS m WHERE m.message = ANY($1) AND NOT EXISTS (
             SELECT 1 FROM queue_delivery AS d WHERE d.message = m.message AND (d.state <= 2 OR d.owed IS NOT NULL)
         )",
            &[&messages],
        )
        .await?;
    let mut finished = Vec::new();
    for row in rows {
        let (message, mark): (i64, i16) = (row.try_get(0)?, row.try_get(1)?);
        if Withhold::from_number(mark as u8) == Withhold::WhenFinished {
            withhold::replace(session, message).await?;
        }
        finished.push(message);
    }
    Changes::default().move_to_history(session, &finished).await
}

/// Locks messages, in an order that all keep: who holds them decides whether they are finished.
pub(super) async fn lock(session: &Session, messages: &[i64]) -> Result<()> {
    let sql = "SELECT 1 FROM queue_message WHERE message = ANY($1) ORDER BY message FOR UPDATE";
    session.query(sql, &[&messages]).await.map(drop)
}
