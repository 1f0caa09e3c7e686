//! Withholding addresses, as SQL. The rules are in [`crate::withhold`].

use serde_json::Value;

use super::{
    row::{Columns, json},
    session::Session,
};
use crate::{
    Result,
    withhold::{Substitutes, Withhold},
};

/// Replaces the local parts of a message that is about to leave the queue.
pub(super) async fn replace(session: &Session, message: i64) -> Result<()> {
    let substitutes = substitutes(session, message).await?;
    // The identifier of the sender's system is for notices only, and often has an address in it.
    let (sender, mark) = (substitutes.replace(&substitutes.sender), i16::from(Withhold::Done.number()));
    let sql = "UPDATE queue_message SET sender = $2, envid = NULL, withhold = $3 WHERE message = $1";
    session.execute(sql, &[&message, &sender, &mark]).await?;
    replace_in_deliveries(session, message, &substitutes).await?;
    replace_in_events(session, message, &substitutes).await
}

async fn substitutes(session: &Session, message: i64) -> Result<Substitutes> {
    let sender = session.query_one("SELECT sender FROM queue_message WHERE message = $1", &[&message]).await?;
    let sql = "SELECT recipient FROM queue_delivery WHERE message = $1 GROUP BY recipient ORDER BY min(id)";
    let rows = session.query(sql, &[&message]).await?;
    let recipients = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
    Ok(Substitutes::new(sender.try_get(0)?, &recipients))
}

async fn replace_in_deliveries(session: &Session, message: i64, substitutes: &Substitutes) -> Result<()> {
    let sql = "SELECT id, recipient, reply, failure FROM queue_delivery WHERE message = $1";
    let (mut ids, mut recipients, mut replies, mut failures) = (vec![], vec![], vec![], vec![]);
    for row in session.query(sql, &[&message]).await? {
        let mut columns = Columns::of(&row);
        ids.push(columns.take::<i64>()?);
        recipients.push(substitutes.replace(columns.take()?));
        replies.push(replaced(columns.json()?, substitutes)?);
        failures.push(replaced(columns.json()?, substitutes)?);
    }
    let sql = "UPDATE queue_delivery AS d SET recipient = n.recipient, orcpt = NULL, reply = n.reply,
                   failure = n.failure
               FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS n (id, recipient, reply, failure)
               WHERE d.id = n.id AND d.id = ANY($1)";
    session.execute(sql, &[&ids, &recipients, &replies, &failures]).await.map(drop)
}

fn replaced(words: Option<Value>, substitutes: &Substitutes) -> Result<Option<String>> {
    let replace = |mut words: Value| {
        substitutes.replace_in(&mut words);
        json(&words)
    };
    words.map(replace).transpose()
}

async fn replace_in_events(session: &Session, message: i64, substitutes: &Substitutes) -> Result<()> {
    let sql = "SELECT position, json FROM event WHERE message = $1
               AND received = (SELECT received FROM queue_message WHERE message = $1)";
    let (mut positions, mut texts) = (vec![], vec![]);
    for row in session.query(sql, &[&message]).await? {
        let mut columns = Columns::of(&row);
        positions.push(columns.take::<i64>()?);
        texts.push(replaced(columns.json()?, substitutes)?);
    }
    let sql = "UPDATE event AS e SET json = n.json FROM unnest($2::bigint[], $3::text[]) AS n (position, json)
               WHERE e.message = $1 AND e.position = n.position
                   AND e.received = (SELECT received FROM queue_message WHERE message = $1)";
    session.execute(sql, &[&message, &positions, &texts]).await.map(drop)
}
