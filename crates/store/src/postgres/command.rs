//! An operator's commands on queued deliveries.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::ToSql;

use super::{
    events::{self, Events, Of},
    finish::{finish, lock},
    lane::Tx,
    row::{Columns, QUEUE, text},
    search::Conditions,
    tally,
};
use crate::{
    Chosen, Command, Commanded, DeliveryKey, Result, Selection, State, state::Effect, stored::state_number,
    tally::Counts,
};

/// Deliveries that share an effect.
type Targets = BTreeMap<&'static str, Vec<i64>>;

/// Messages of one transaction: mail that is settled waits for their locks.
const PAGE: usize = 1000;

/// A selection of one transaction after the other: one that names its deliveries would send all their keys each time.
pub(super) fn parts(selection: &Selection) -> Vec<Selection> {
    let Some(Chosen { deliveries, by }) = &selection.chosen else { return vec![selection.clone()] };
    let part = |keys: &[DeliveryKey]| Some(Chosen { deliveries: keys.into(), by: by.clone() });
    deliveries.chunks(PAGE).map(|keys| Selection { chosen: part(keys), ..selection.clone() }).collect()
}

/// Changes up to a thousand of the selected messages after this key. Returns where to go on, if there may be more.
pub(super) async fn run(
    tx: &Tx,
    command: Command,
    selection: &Selection,
    by: &str,
    after: i64,
) -> Result<(Commanded, Option<i64>)> {
    let mut conditions = Conditions::default();
    conditions.push_selection(selection);
    conditions.push_message_after(after);
    let condition = format!("state <= 2{}", conditions.sql);
    let sql = format!(
        "SELECT DISTINCT queue_delivery.message FROM {QUEUE} WHERE {condition} ORDER BY queue_delivery.message LIMIT {PAGE}"
    );
    let rows = tx.query_once(&sql, &conditions.parameters()).await?;
    let messages = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    let done = run_on(tx, command, (&conditions, &condition), &messages, by).await?;
    Ok((done, messages.last().copied().filter(|_| messages.len() == PAGE)))
}

/// In up to a thousand messages after this key, resumes what `suspender` has suspended, if it was received since then; what is
/// left is suspended by `by` from now on. Returns how many are resumed, and where to go on, if there may be more.
pub(super) async fn release(
    tx: &Tx,
    suspender: &str,
    since: Option<i64>,
    by: &str,
    after: i64,
) -> Result<(u64, Option<i64>)> {
    let sql = format!(
        "SELECT DISTINCT message FROM queue_delivery WHERE suspended_by = $1 AND state <= 2 AND message > $2
         ORDER BY message LIMIT {PAGE}"
    );
    let rows = tx.query(&sql, &[&suspender, &after]).await?;
    let messages = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    lock(tx, &messages).await?;
    let mut resumed = 0;
    if let Some(since) = since {
        let mut conditions = Conditions::default();
        conditions.push_suspended(suspender, since);
        let condition = format!("state <= 2{}", conditions.sql);
        resumed = run_on(tx, Command::Resume, (&conditions, &condition), &messages, by).await?.changed;
    }
    let sql = "UPDATE queue_delivery SET suspended_by = $3 WHERE message = ANY($2) AND suspended_by = $1";
    tx.execute(sql, &[&suspender, &messages, &text(by)]).await?;
    Ok((resumed, messages.last().copied().filter(|_| messages.len() == PAGE)))
}

/// Changes what is selected of these messages.
async fn run_on(
    tx: &Tx,
    command: Command,
    (conditions, condition): (&Conditions, &str),
    messages: &[i64],
    by: &str,
) -> Result<Commanded> {
    let now = tx.now().await?;
    lock(tx, messages).await?;
    // As they are now: others may have changed them while this waited for the locks.
    let sql = format!(
        "SELECT id, message, received, network_message_id, recipient, connector, size, state FROM {QUEUE}
         WHERE {condition} AND message = ANY(${}) ORDER BY id FOR UPDATE OF queue_delivery",
        conditions.count() + 1
    );
    let mut parameters = conditions.parameters();
    parameters.push(&messages);
    let (mut done, mut targets, mut events) = (Commanded::default(), Targets::new(), Events::default());
    let (mut retried, mut removed, mut counts) = (BTreeSet::new(), BTreeSet::new(), Counts::default());
    for row in tx.query_once(&sql, &parameters).await? {
        let mut columns = Columns::of(&row);
        let id: i64 = columns.take()?;
        let of = Of { message: columns.take()?, received: columns.take()? };
        let (network_message_id, recipient, connector) = (columns.take()?, columns.take()?, columns.take::<String>()?);
        let size = columns.take()?;
        let effect = command.effect(columns.state()?);
        let Some(change) = change(effect) else {
            done.leased += u64::from(effect == Effect::Leased);
            continue;
        };
        done.changed += 1;
        targets.entry(change).or_default().push(id);
        events.push(of, &events::own(now, by, network_message_id, recipient, command.event(by)))?;
        match effect {
            Effect::Remove => {
                removed.insert(of.message);
                counts.removed(now, &connector, size);
            }
            Effect::DueNow => drop(retried.insert(connector)),
            _ => {}
        }
    }
    for (change, ids) in &targets {
        apply(tx, change, ids, by).await?;
    }
    events.insert(tx).await?;
    finish(tx, &removed.into_iter().collect::<Vec<_>>()).await?;
    request(tx, &retried.into_iter().collect::<Vec<_>>()).await?;
    tally::write(tx, &counts).await?;
    Ok(done)
}

/// What is set, with $2 for the time, $3 for the operator and $4 for the state of what was removed.
fn change(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::DueNow => Some("due = $2"),
        Effect::Suspend => Some("state = 2, suspended_by = $3"),
        Effect::SuspendLater => Some("suspended_by = $3"),
        Effect::Resume => Some("state = 0, suspended_by = NULL, due = $2"),
        Effect::SuspendNoMore => Some("suspended_by = NULL"),
        Effect::Remove => Some("state = $4, settled = $2, owed = NULL"),
        Effect::Leased | Effect::Nothing => None,
    }
}

async fn apply(tx: &Tx, change: &str, ids: &[i64], by: &str) -> Result<()> {
    // Each parameter is named, so that its type is known.
    let sql = format!(
        "UPDATE queue_delivery SET {change}
         WHERE id = ANY($1) AND ($2::bigint, $3::text, $4::smallint) IS NOT NULL"
    );
    let (now, by, removed) = (tx.now().await?.as_millisecond(), text(by), i16::from(state_number(State::Removed)));
    let parameters: [&(dyn ToSql + Sync); 4] = [&ids, &now, &by, &removed];
    tx.execute(&sql, &parameters).await.map(drop)
}

/// Connectors that are to be tried again.
async fn request(tx: &Tx, connectors: &[String]) -> Result<()> {
    let sql = "INSERT INTO retry_request (connector, at) SELECT unnest($1::text[]), $2
               ON CONFLICT (connector) DO UPDATE SET at = $2";
    tx.execute(sql, &[&connectors, &tx.now().await?.as_millisecond()]).await.map(drop)
}
