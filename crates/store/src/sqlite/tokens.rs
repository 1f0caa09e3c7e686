//! Tokens of the HTTP API.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, change_log::put as put_change, row::Millis};
use crate::{Actor, Grant, NewToken, Result, Right, TokenRecord, Tokens, clock::after, tokens};

impl Tokens for SqliteStore {
    async fn create_token(&self, token: NewToken) -> Result<bool> {
        self.write(move |connection, now| create(connection, &token, now)).await
    }

    async fn revoke_token(&self, name: &str, by: Actor) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |connection, now| revoke(connection, &name, &by, now)).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>> {
        self.read(|connection, now| {
            let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM api_token ORDER BY name"))?;
            select.query_map([], |row| read(row, now))?.collect()
        })
        .await
    }

    async fn token(&self, sha256: &str) -> Result<Option<TokenRecord>> {
        let sha256 = sha256.to_owned();
        let find = move |connection: &Connection, now| {
            let sql = format!("SELECT {COLUMNS} FROM api_token WHERE sha256 = ?1");
            connection.prepare_cached(&sql)?.query_row([sha256], |row| read(row, now)).optional()
        };
        Ok(self.read(find).await?.filter(|token| !token.is_expired))
    }

    async fn note_token_use(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let note = move |connection: &Connection, now| {
            let mut update = connection.prepare_cached("UPDATE api_token SET used = ?2 WHERE name = ?1")?;
            update.execute(params![name, Millis(now)]).map(drop)
        };
        self.write(note).await
    }
}

const COLUMNS: &str = "name, role, metrics, created, created_by, expires, used";

fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<TokenRecord> {
    let right: Option<String> = row.get(1)?;
    let expires = row.get::<_, Option<Millis>>(5)?.map(|at| at.0);
    Ok(TokenRecord {
        name: row.get(0)?,
        // What a newer version calls a right gives none.
        grant: Grant { right: right.as_deref().and_then(Right::named), metrics: row.get(2)? },
        created: row.get::<_, Millis>(3)?.0,
        created_by: row.get(4)?,
        expires,
        is_expired: expires.is_some_and(|expires| expires <= now),
        used: row.get::<_, Option<Millis>>(6)?.map(|at| at.0),
    })
}

fn create(connection: &Connection, token: &NewToken, now: Timestamp) -> rusqlite::Result<bool> {
    let NewToken { name, sha256, grant, by, expires_in, scopes: _ } = token;
    let expires = expires_in.map(|wait| after(now, wait));
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO api_token (name, sha256, role, metrics, created, created_by, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let right = grant.right.map(Right::name);
    let parameters = params![name, sha256, right, grant.metrics, Millis(now), by.name, expires.map(Millis)];
    let is_created = insert.execute(parameters)? > 0;
    if is_created {
        put_change(connection, &tokens::created(token, expires), now)?;
    }
    Ok(is_created)
}

fn revoke(connection: &Connection, name: &str, by: &Actor, now: Timestamp) -> rusqlite::Result<bool> {
    let is_revoked = connection.prepare_cached("DELETE FROM api_token WHERE name = ?1")?.execute([name])? > 0;
    if is_revoked {
        put_change(connection, &tokens::revoked(name, by), now)?;
    }
    Ok(is_revoked)
}
