//! Tokens of the HTTP API.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    change_log::put as put_change,
    lane::Tx,
    row::{Columns, text},
};
use crate::{Actor, Grant, NewToken, Result, Right, TokenRecord, Tokens, clock::after, tokens};

impl Tokens for PostgresStore {
    async fn create_token(&self, token: NewToken) -> Result<bool> {
        self.0.clerk.write(move |tx| async move { create(&tx, &token).await }).await
    }

    async fn revoke_token(&self, name: &str, by: Actor) -> Result<bool> {
        let name = name.to_owned();
        self.0.clerk.write(move |tx| async move { revoke(&tx, &name, &by).await }).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        let list = |tx: Tx| async move {
            let now = tx.now().await?;
            let rows = tx.query(&format!("SELECT {COLUMNS} FROM api_token ORDER BY name"), &[]).await?;
            rows.iter().map(|row| read(row, now)).collect()
        };
        self.0.readers.read(list).await
    }

    async fn token(&self, sha256: &str) -> Result<Option<TokenRecord>> {
        let find = |tx: Tx| async move {
            let now = tx.now().await?;
            let sql = format!("SELECT {COLUMNS} FROM api_token WHERE sha256 = $1");
            let row = tx.query_opt(&sql, &[&text(sha256)]).await?;
            row.map(|row| read(&row, now)).transpose()
        };
        Ok(self.0.readers.read(find).await?.filter(|token| !token.is_expired))
    }

    async fn note_token_use(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let note = move |tx: Tx| async move {
            let now = tx.now().await?.as_millisecond();
            tx.execute("UPDATE api_token SET used = $2 WHERE name = $1", &[&text(&name), &now]).await.map(drop)
        };
        self.0.clerk.write(note).await
    }
}

const COLUMNS: &str = "name, role, metrics, created, created_by, expires, used";

fn read(row: &Row, now: Timestamp) -> Result<TokenRecord> {
    let mut columns = Columns::of(row);
    let name = columns.take()?;
    // What a newer version calls a right gives none.
    let right = columns.take::<Option<&str>>()?.and_then(Right::named);
    let grant = Grant { right, metrics: columns.take()? };
    let (created, created_by) = (columns.time()?, columns.take()?);
    let (expires, used) = (columns.time_if_any()?, columns.time_if_any()?);
    let is_expired = expires.is_some_and(|expires| expires <= now);
    Ok(TokenRecord { name, grant, created, created_by, expires, is_expired, used })
}

async fn create(tx: &Tx, token: &NewToken) -> Result<bool> {
    let NewToken { name, sha256, grant, by, expires_in, scopes: _ } = token;
    let now = tx.now().await?;
    let expires = expires_in.map(|wait| after(now, wait));
    let sql = "INSERT INTO api_token (name, sha256, role, metrics, created, created_by, expires)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let (right, at) = (grant.right.map(Right::name), expires.map(Timestamp::as_millisecond));
    let (metrics, created) = (grant.metrics, now.as_millisecond());
    let count = tx.execute(sql, &[&text(name), sha256, &right, &metrics, &created, &text(&by.name), &at]).await?;
    if count > 0 {
        put_change(tx, &tokens::created(token, expires)).await?;
    }
    Ok(count > 0)
}

async fn revoke(tx: &Tx, name: &str, by: &Actor) -> Result<bool> {
    let count = tx.execute("DELETE FROM api_token WHERE name = $1", &[&text(name)]).await?;
    if count > 0 {
        put_change(tx, &tokens::revoked(name, by)).await?;
    }
    Ok(count > 0)
}
