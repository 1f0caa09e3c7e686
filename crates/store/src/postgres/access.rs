//! Users, invitations and sessions.

use std::net::IpAddr;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    change_log::put,
    lane::Tx,
    row::{Columns, readable, text},
};
use crate::{
    Access, Actor, INVITATION_VALID, Invitation, NewInvitation, NewSession, PasswordHash, Proof, Result, Right,
    SecretHash, Session, StoreError, User,
    access::{invited, logged_in, oldest_valid, password_set, right_changed, user_removed},
    clock::after,
};

impl Access for PostgresStore {
    async fn invite(&self, new: NewInvitation, by: Actor) -> Result<Timestamp> {
        self.0.clerk.write(move |tx| async move { invite(&tx, &new, &by).await }).await
    }

    async fn invitation(&self, token: SecretHash) -> Result<Option<Invitation>> {
        self.0.readers.read(move |tx| async move { find_invitation(&tx, token).await }).await
    }

    async fn accept_invitation(
        &self,
        token: SecretHash,
        password: PasswordHash,
        from: Option<IpAddr>,
    ) -> Result<Option<Invitation>> {
        self.0.clerk.write(move |tx| async move { accept(&tx, token, &password, from).await }).await
    }

    async fn users(&self) -> Result<(Vec<User>, Vec<Invitation>)> {
        self.0.readers.read(users).await
    }

    async fn has_users(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM console_user)";
        self.0.readers.read(|tx| async move { Ok(tx.query_one(sql, &[]).await?.try_get(0)?) }).await
    }

    async fn password(&self, user: &str) -> Result<Option<PasswordHash>> {
        let find = |tx| async move { Ok(find_user(&tx, user).await?.and_then(|user| user.password)) };
        self.0.readers.read(find).await
    }

    async fn set_right(&self, user: &str, right: Right, by: Actor) -> Result<Option<Right>> {
        let user = user.to_owned();
        self.0.clerk.write(move |tx| async move { set_right(&tx, &user, right, &by).await }).await
    }

    async fn remove_user(&self, user: &str, by: Actor) -> Result<bool> {
        let user = user.to_owned();
        self.0.clerk.write(move |tx| async move { remove(&tx, &user, &by).await }).await
    }

    async fn open_session(&self, new: NewSession) -> Result<bool> {
        self.0.clerk.write(move |tx| async move { open_session(&tx, &new).await }).await
    }

    async fn session(&self, token: SecretHash) -> Result<Option<Session>> {
        let (session, now) = valid_session(self, token).await?;
        if session.as_ref().is_some_and(|session| session.is_seen_again(now)) {
            crate::access::note_unseen(self.0.clerk.write(move |tx| async move { see_again(&tx, token).await }).await);
        }
        Ok(session)
    }

    async fn watched_session(&self, token: SecretHash) -> Result<Option<Session>> {
        Ok(valid_session(self, token).await?.0)
    }

    async fn end_session(&self, token: SecretHash) -> Result<()> {
        let end = move |tx: Tx| async move {
            tx.execute("DELETE FROM console_session WHERE token = $1", &[&bytes(&token)]).await
        };
        self.0.clerk.write(end).await.map(drop)
    }
}

async fn valid_session(store: &PostgresStore, token: SecretHash) -> Result<(Option<Session>, Timestamp)> {
    let find = move |tx: Tx| async move { Ok((find_session(&tx, token).await?, tx.now().await?)) };
    let (session, now) = store.0.readers.read(find).await?;
    Ok((session.filter(|session| session.is_valid(now)), now))
}

fn bytes(token: &SecretHash) -> &[u8] {
    &token.0
}

fn right(columns: &mut Columns<'_>) -> Result<Right> {
    let name: &str = columns.take()?;
    Right::named(name).ok_or_else(|| StoreError::Other(format!("a row cannot be read: right {name}")))
}

async fn invite(tx: &Tx, new: &NewInvitation, by: &Actor) -> Result<Timestamp> {
    let now = tx.now().await?;
    let (user, expires) = (new.user.as_str(), after(now, INVITATION_VALID));
    let sql = "DELETE FROM invitation WHERE name = $1 OR expires <= $2";
    tx.execute(sql, &[&user, &now.as_millisecond()]).await?;
    let sql = "INSERT INTO invitation (token, name, role, expires, invited_by) VALUES ($1, $2, $3, $4, $5)";
    let (token, expires_millis, by_name) = (bytes(&new.token), expires.as_millisecond(), text(&by.name));
    tx.execute(sql, &[&token, &user, &new.right.name(), &expires_millis, &by_name]).await?;
    put(tx, &invited(new, by)).await?;
    Ok(expires)
}

const INVITATION: &str = "SELECT name, role, expires, invited_by FROM invitation";

fn read_invitation(row: &Row) -> Result<Invitation> {
    let mut columns = Columns::of(row);
    let (user, right) = (columns.take()?, right(&mut columns)?);
    Ok(Invitation { user, right, expires: columns.time()?, by: columns.take()? })
}

async fn find_invitation(tx: &Tx, token: SecretHash) -> Result<Option<Invitation>> {
    let sql = format!("{INVITATION} WHERE token = $1 AND expires > $2");
    let now = tx.now().await?.as_millisecond();
    let row = tx.query_opt(&sql, &[&bytes(&token), &now]).await?;
    row.as_ref().map(read_invitation).transpose()
}

/// The invitation is deleted first: of two that use it at once, one finds it.
async fn accept(
    tx: &Tx,
    token: SecretHash,
    password: &PasswordHash,
    from: Option<IpAddr>,
) -> Result<Option<Invitation>> {
    let now = tx.now().await?.as_millisecond();
    let sql = "DELETE FROM invitation WHERE token = $1 AND expires > $2 RETURNING name, role, expires, invited_by";
    let Some(row) = tx.query_opt(sql, &[&bytes(&token), &now]).await? else { return Ok(None) };
    let invitation = read_invitation(&row)?;
    let Invitation { user, right, .. } = &invitation;
    tx.execute("DELETE FROM invitation WHERE name = $1", &[user]).await?;
    let sql = "INSERT INTO console_user (name, role, password, created) VALUES ($1, $2, $3, $4)
               ON CONFLICT (name) DO UPDATE SET role = $2, password = $3";
    tx.execute(sql, &[user, &right.name(), &password.0, &now]).await?;
    end_sessions(tx, user).await?;
    put(tx, &password_set(&invitation, from)).await?;
    Ok(Some(invitation))
}

async fn end_sessions(tx: &Tx, user: &str) -> Result<()> {
    tx.execute("DELETE FROM console_session WHERE name = $1", &[&user]).await.map(drop)
}

/// A user with its password.
struct Stored {
    user: User,
    password: Option<PasswordHash>,
}

const USER: &str = "SELECT name, role, password, created, last_log_in FROM console_user";

fn read_user(row: &Row) -> Result<Stored> {
    let mut columns = Columns::of(row);
    let (name, right) = (columns.take()?, right(&mut columns)?);
    let password = columns.take::<Option<String>>()?.map(PasswordHash);
    let user = User {
        name,
        right,
        has_password: password.is_some(),
        created: columns.time()?,
        last_log_in: columns.time_if_any()?,
    };
    Ok(Stored { user, password })
}

async fn users(tx: Tx) -> Result<(Vec<User>, Vec<Invitation>)> {
    let rows = tx.query(&format!("{USER} ORDER BY name"), &[]).await?;
    let users = readable(&rows, |row| Ok(read_user(row)?.user));
    let now = tx.now().await?.as_millisecond();
    let rows = tx.query(&format!("{INVITATION} WHERE expires > $1 ORDER BY name"), &[&now]).await?;
    Ok((users, readable(&rows, read_invitation)))
}

/// In a transaction that writes, the user stays as it is until that ends.
async fn find_user(tx: &Tx, name: &str) -> Result<Option<Stored>> {
    let row = tx.query_opt(&format!("{USER} WHERE name = $1"), &[&name]).await?;
    row.as_ref().map(read_user).transpose()
}

async fn lock_user(tx: &Tx, name: &str) -> Result<Option<Stored>> {
    let row = tx.query_opt(&format!("{USER} WHERE name = $1 FOR UPDATE"), &[&name]).await?;
    row.as_ref().map(read_user).transpose()
}

async fn set_right(tx: &Tx, name: &str, right: Right, by: &Actor) -> Result<Option<Right>> {
    let Some(Stored { user, .. }) = lock_user(tx, name).await? else { return Ok(None) };
    // One that is still open would bring the right back that it names.
    tx.execute("DELETE FROM invitation WHERE name = $1", &[&name]).await?;
    if let Some(change) = right_changed(name, user.right, right, by) {
        tx.execute("UPDATE console_user SET role = $2 WHERE name = $1", &[&name, &right.name()]).await?;
        end_sessions(tx, name).await?;
        put(tx, &change).await?;
    }
    Ok(Some(user.right))
}

async fn remove(tx: &Tx, name: &str, by: &Actor) -> Result<bool> {
    let users = tx.execute("DELETE FROM console_user WHERE name = $1", &[&name]).await?;
    let invitations = tx.execute("DELETE FROM invitation WHERE name = $1", &[&name]).await?;
    end_sessions(tx, name).await?;
    let is_removed = users + invitations > 0;
    if is_removed {
        put(tx, &user_removed(name, by)).await?;
    }
    Ok(is_removed)
}

/// The user is locked: a session that is opened while its user's password changes is either refused, or ended by that.
async fn open_session(tx: &Tx, new: &NewSession) -> Result<bool> {
    let NewSession { token, csrf, user, proof, from } = new;
    let now = tx.now().await?;
    match (proof, lock_user(tx, user).await?) {
        (Proof::Password(given), Some(Stored { password: Some(password), .. })) if *given == password => {}
        (Proof::Vouched(right), None) => {
            let sql = "INSERT INTO console_user (name, role, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            tx.execute(sql, &[user, &right.name(), &now.as_millisecond()]).await?;
        }
        (Proof::Vouched(right), Some(Stored { password: None, .. })) => {
            set_right(tx, user, *right, &Actor { name: user.clone(), address: *from }).await?;
        }
        _ => return Ok(false),
    }
    let (created, last_seen) = oldest_valid(now);
    let sql = "DELETE FROM console_session WHERE created < $1 OR last_seen < $2";
    tx.execute(sql, &[&created.as_millisecond(), &last_seen.as_millisecond()]).await?;
    let now = now.as_millisecond();
    let sql = "INSERT INTO console_session (token, name, csrf, created, last_seen) VALUES ($1, $2, $3, $4, $4)";
    tx.execute(sql, &[&bytes(token), user, csrf, &now]).await?;
    tx.execute("UPDATE console_user SET last_log_in = $2 WHERE name = $1", &[user, &now]).await?;
    put(tx, &logged_in(new)).await?;
    Ok(true)
}

async fn find_session(tx: &Tx, token: SecretHash) -> Result<Option<Session>> {
    let sql = "SELECT name, role, csrf, console_session.created, last_seen FROM console_session JOIN console_user USING (name)
               WHERE token = $1";
    let row = tx.query_opt(sql, &[&bytes(&token)]).await?;
    let read = |row: &Row| {
        let mut columns = Columns::of(row);
        let (user, right) = (columns.take()?, right(&mut columns)?);
        Ok(Session { user, right, csrf: columns.take()?, created: columns.time()?, last_seen: columns.time()? })
    };
    row.as_ref().map(read).transpose()
}

async fn see_again(tx: &Tx, token: SecretHash) -> Result<()> {
    let now = tx.now().await?.as_millisecond();
    tx.execute("UPDATE console_session SET last_seen = $2 WHERE token = $1", &[&bytes(&token), &now]).await.map(drop)
}
