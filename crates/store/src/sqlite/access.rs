//! Users, invitations and sessions.

use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Row, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use super::{
    SqliteStore,
    change_log::put,
    row::{Millis, readable},
};
use crate::{
    Access, Actor, INVITATION_VALID, Invitation, NewInvitation, NewSession, PasswordHash, Proof, Result, Right,
    SecretHash, Session, User,
    access::{invited, logged_in, oldest_valid, password_set, right_changed, user_removed},
    clock::after,
};

impl Access for SqliteStore {
    async fn invite(&self, new: NewInvitation, by: Actor) -> Result<Timestamp> {
        self.write(move |connection, now| invite(connection, &new, &by, now)).await
    }

    async fn invitation(&self, token: SecretHash) -> Result<Option<Invitation>> {
        self.read(move |connection, now| find_invitation(connection, token, now)).await
    }

    async fn accept_invitation(
        &self,
        token: SecretHash,
        password: PasswordHash,
        from: Option<IpAddr>,
    ) -> Result<Option<Invitation>> {
        self.write(move |connection, now| accept(connection, token, &password, from, now)).await
    }

    async fn users(&self) -> Result<(Vec<User>, Vec<Invitation>)> {
        self.read(|connection, now| Ok((users(connection)?, invitations(connection, now)?))).await
    }

    async fn has_users(&self) -> Result<bool> {
        self.read(|connection, _| connection.prepare_cached("SELECT 1 FROM console_user")?.exists([])).await
    }

    async fn password(&self, user: &str) -> Result<Option<PasswordHash>> {
        let user = user.to_owned();
        self.read(move |connection, _| Ok(find_user(connection, &user)?.and_then(|user| user.password))).await
    }

    async fn set_right(&self, user: &str, right: Right, by: Actor) -> Result<Option<Right>> {
        let user = user.to_owned();
        self.write(move |connection, now| set_right(connection, &user, right, &by, now)).await
    }

    async fn remove_user(&self, user: &str, by: Actor) -> Result<bool> {
        let user = user.to_owned();
        self.write(move |connection, now| remove(connection, &user, &by, now)).await
    }

    async fn open_session(&self, new: NewSession) -> Result<bool> {
        self.write(move |connection, now| open_session(connection, &new, now)).await
    }

    async fn session(&self, token: SecretHash) -> Result<Option<Session>> {
        let (session, now) = valid_session(self, token).await?;
        if session.as_ref().is_some_and(|session| session.is_seen_again(now)) {
            crate::access::note_unseen(self.write(move |connection, now| see_again(connection, token, now)).await);
        }
        Ok(session)
    }

    async fn watched_session(&self, token: SecretHash) -> Result<Option<Session>> {
        Ok(valid_session(self, token).await?.0)
    }

    async fn end_session(&self, token: SecretHash) -> Result<()> {
        self.write(move |connection, _| {
            connection.prepare_cached("DELETE FROM console_session WHERE token = ?1")?.execute([token])?;
            Ok(())
        })
        .await
    }
}

async fn valid_session(store: &SqliteStore, token: SecretHash) -> Result<(Option<Session>, Timestamp)> {
    let (session, now) = store.read(move |connection, now| Ok((find_session(connection, token)?, now))).await?;
    Ok((session.filter(|session| session.is_valid(now)), now))
}

impl rusqlite::ToSql for SecretHash {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

impl FromSql for Right {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::named(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

fn invite(connection: &Connection, new: &NewInvitation, by: &Actor, now: Timestamp) -> rusqlite::Result<Timestamp> {
    let mut delete = connection.prepare_cached("DELETE FROM invitation WHERE name = ?1 OR expires <= ?2")?;
    delete.execute(params![new.user.as_str(), Millis(now)])?;
    let expires = after(now, INVITATION_VALID);
    let mut insert = connection.prepare_cached(
        "INSERT INTO invitation (token, name, role, expires, invited_by) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![new.token, new.user.as_str(), new.right.name(), Millis(expires), by.name])?;
    put(connection, &invited(new, by), now)?;
    Ok(expires)
}

const INVITATION: &str = "SELECT name, role, expires, invited_by FROM invitation";

fn read_invitation(row: &Row<'_>) -> rusqlite::Result<Invitation> {
    let (user, right) = (row.get(0)?, row.get(1)?);
    Ok(Invitation { user, right, expires: row.get::<_, Millis>(2)?.0, by: row.get(3)? })
}

fn find_invitation(connection: &Connection, token: SecretHash, now: Timestamp) -> rusqlite::Result<Option<Invitation>> {
    let mut select = connection.prepare_cached(&format!("{INVITATION} WHERE token = ?1 AND expires > ?2"))?;
    select.query_row(params![token, Millis(now)], read_invitation).optional()
}

fn invitations(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Invitation>> {
    let mut select = connection.prepare_cached(&format!("{INVITATION} WHERE expires > ?1 ORDER BY name"))?;
    readable(select.query_map([Millis(now)], read_invitation)?)
}

fn accept(
    connection: &Connection,
    token: SecretHash,
    password: &PasswordHash,
    from: Option<IpAddr>,
    now: Timestamp,
) -> rusqlite::Result<Option<Invitation>> {
    let Some(invitation) = find_invitation(connection, token, now)? else { return Ok(None) };
    let Invitation { user, right, .. } = &invitation;
    connection.prepare_cached("DELETE FROM invitation WHERE name = ?1")?.execute([user])?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO console_user (name, role, password, created) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET role = ?2, password = ?3",
    )?;
    upsert.execute(params![user, right.name(), password.0, Millis(now)])?;
    end_sessions(connection, user)?;
    put(connection, &password_set(&invitation, from), now)?;
    Ok(Some(invitation))
}

fn end_sessions(connection: &Connection, user: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM console_session WHERE name = ?1")?.execute([user])?;
    Ok(())
}

/// A user with its password.
struct Stored {
    user: User,
    password: Option<PasswordHash>,
}

const USER: &str = "SELECT name, role, password, created, last_log_in FROM console_user";

fn read_user(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let password = row.get::<_, Option<String>>(2)?.map(PasswordHash);
    let user = User {
        name: row.get(0)?,
        right: row.get(1)?,
        has_password: password.is_some(),
        created: row.get::<_, Millis>(3)?.0,
        last_log_in: row.get::<_, Option<Millis>>(4)?.map(|at| at.0),
    };
    Ok(Stored { user, password })
}

fn users(connection: &Connection) -> rusqlite::Result<Vec<User>> {
    let mut select = connection.prepare_cached(&format!("{USER} ORDER BY name"))?;
    readable(select.query_map([], |row| Ok(read_user(row)?.user))?)
}

fn find_user(connection: &Connection, name: &str) -> rusqlite::Result<Option<Stored>> {
    let mut select = connection.prepare_cached(&format!("{USER} WHERE name = ?1"))?;
    select.query_row([name], read_user).optional()
}

fn set_right(
    connection: &Connection,
    name: &str,
    right: Right,
    by: &Actor,
    now: Timestamp,
) -> rusqlite::Result<Option<Right>> {
    let Some(Stored { user, .. }) = find_user(connection, name)? else { return Ok(None) };
    // One that is still open would bring the right back that it names.
    connection.prepare_cached("DELETE FROM invitation WHERE name = ?1")?.execute([name])?;
    if let Some(change) = right_changed(name, user.right, right, by) {
        let mut update = connection.prepare_cached("UPDATE console_user SET role = ?2 WHERE name = ?1")?;
        update.execute(params![name, right.name()])?;
        end_sessions(connection, name)?;
        put(connection, &change, now)?;
    }
    Ok(Some(user.right))
}

fn remove(connection: &Connection, name: &str, by: &Actor, now: Timestamp) -> rusqlite::Result<bool> {
    let users = connection.prepare_cached("DELETE FROM console_user WHERE name = ?1")?.execute([name])?;
    let invitations = connection.prepare_cached("DELETE FROM invitation WHERE name = ?1")?.execute([name])?;
    end_sessions(connection, name)?;
    let is_removed = users + invitations > 0;
    if is_removed {
        put(connection, &user_removed(name, by), now)?;
    }
    Ok(is_removed)
}

fn open_session(connection: &Connection, new: &NewSession, now: Timestamp) -> rusqlite::Result<bool> {
    let NewSession { token, csrf, user, proof, from: _ } = new;
    let known = find_user(connection, user)?;
    match (proof, known) {
        (Proof::Password(given), Some(Stored { password: Some(password), .. })) if *given == password => {}
        (Proof::Vouched(right), None) => {
            let mut insert =
                connection.prepare_cached("INSERT INTO console_user (name, role, created) VALUES (?1, ?2, ?3)")?;
            insert.execute(params![user, right.name(), Millis(now)])?;
        }
        (Proof::Vouched(right), Some(Stored { password: None, .. })) => {
            set_right(connection, user, *right, &Actor { name: user.clone(), address: new.from }, now)?;
        }
        _ => return Ok(false),
    }
    let (created, last_seen) = oldest_valid(now);
    let mut delete = connection.prepare_cached("DELETE FROM console_session WHERE created < ?1 OR last_seen < ?2")?;
    delete.execute([Millis(created), Millis(last_seen)])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO console_session (token, name, csrf, created, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)",
    )?;
    insert.execute(params![token, user, csrf, Millis(now)])?;
    let mut update = connection.prepare_cached("UPDATE console_user SET last_log_in = ?2 WHERE name = ?1")?;
    update.execute(params![user, Millis(now)])?;
    put(connection, &logged_in(new), now)?;
    Ok(true)
}

fn find_session(connection: &Connection, token: SecretHash) -> rusqlite::Result<Option<Session>> {
    let mut select = connection.prepare_cached(
        "SELECT name, role, csrf, s.created, last_seen FROM console_session AS s JOIN console_user USING (name)
         WHERE token = ?1",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Session {
            user: row.get(0)?,
            right: row.get(1)?,
            csrf: row.get(2)?,
            created: row.get::<_, Millis>(3)?.0,
            last_seen: row.get::<_, Millis>(4)?.0,
        })
    };
    select.query_row([token], read).optional()
}

fn see_again(connection: &Connection, token: SecretHash, now: Timestamp) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE console_session SET last_seen = ?2 WHERE token = ?1")?;
    update.execute(params![token, Millis(now)])?;
    Ok(())
}
