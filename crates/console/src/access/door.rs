//! Lets people in: log-in with a password, and invitations. All listeners of the console share one door.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::HeaderValue;
use net::serve::Prefixes;
use node::Node;
use store::{
    Access as _, ChangeLog as _, Invitation, NewChange, NewSession, PasswordHash, Proof, Secret, SecretHash,
    StoreError, UserName,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::sleep};
use trace::{ChangeKind, change::AccessChange};

use super::{
    attempts::{Attempts, Count},
    cookie,
    person::Person,
    place::Caller,
};

/// Each takes 19 MiB and a core for a while, which mail needs as well.
const HASHED_AT_ONCE: usize = 2;
pub(crate) const PASSWORD_CHARACTERS_MIN: usize = 12;
const PASSWORD_BYTES_MAX: usize = 1024;
/// In the log and in the audit, for a name that no user has.
const UNKNOWN: &str = "unknown";

pub(crate) struct Door {
    prefixes: Prefixes,
    attempts: Mutex<Attempts>,
    hashing: Arc<Semaphore>,
}

/// What came of an attempt to log in.
pub(crate) enum LogIn {
    Done(Entered),
    /// The name or the password is wrong; nobody is told which.
    Wrong,
    /// There were too many attempts.
    Later(Duration),
}

/// A person who has just come in.
pub(crate) struct Entered {
    pub(crate) person: Person,
    secret: Secret,
}

impl Entered {
    /// For the answer.
    pub(crate) fn cookie(&self, caller: Caller) -> HeaderValue {
        cookie::set(&self.secret, caller.is_https)
    }
}

/// For the answer to somebody who has left.
pub(crate) fn cleared_cookie(caller: Caller) -> HeaderValue {
    cookie::clear(caller.is_https)
}

/// What is wrong with a password that somebody wants to have.
pub(crate) fn password_fault(password: &str, repeated: &str, user: &str) -> Option<&'static str> {
    if password != repeated {
        Some("The two passwords differ. Type them again.")
    } else if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        Some("The password is too short. It needs at least 12 characters.")
    } else if password.len() > PASSWORD_BYTES_MAX {
        Some("The password is too long. It may have 1024 bytes.")
    } else if password.eq_ignore_ascii_case(user) {
        Some("The password must not be the name.")
    } else {
        None
    }
}

impl Door {
    pub(crate) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, attempts: Mutex::default(), hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)) }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn log_in(
        &self,
        node: &Node,
        caller: Caller,
        name: &str,
        password: &str,
    ) -> Result<LogIn, StoreError> {
        let name: Option<UserName> = name.parse().ok();
        // What cannot be a name counts as one and the same.
        let key = name.as_ref().map_or("", UserName::as_str);
        let client = self.prefixes.client(caller.client);
        let begun = self.attempts().begin(key, client, Instant::now());
        let admitted = match begun {
            Ok(admitted) => admitted,
            Err(refused) => {
                note_refused(node, name.as_ref(), caller.client, refused.count).await?;
                return Ok(LogIn::Later(refused.again_in));
            }
        };
        sleep(admitted.wait).await;
        let known = match &name {
            Some(name) => node.store.password(name.as_str()).await?,
            None => None,
        };
        let hash = known.unwrap_or_else(PasswordHash::of_nobody);
        let is_right = {
            let (hash, password) = (hash.clone(), password.to_owned());
            self.hash(move || Ok(hash.is_of(&password))).await?
        };
        if let (Some(name), true) = (&name, is_right)
            && let Some(entered) = enter(node, caller, name.as_str(), Proof::Password(hash)).await?
        {
            self.attempts().succeeded(key, client);
            return Ok(LogIn::Done(entered));
        }
        note_refused(node, name.as_ref(), caller.client, admitted.count).await?;
        Ok(LogIn::Wrong)
    }

    /// `None`: the invitation is not valid any more.
    pub(crate) async fn accept(
        &self,
        node: &Node,
        caller: Caller,
        token: SecretHash,
        password: String,
    ) -> Result<Option<Entered>, StoreError> {
        let hash = self.hash(move || PasswordHash::of(&password)).await?;
        let accepted = node.store.accept_invitation(token, hash.clone(), Some(caller.client)).await?;
        let Some(Invitation { user, .. }) = accepted else { return Ok(None) };
        enter(node, caller, &user, Proof::Password(hash)).await
    }

    /// The work goes on when the client has gone: until it ends, its place is taken.
    async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Other(format!("a password was not checked: {error}"));
        let place = Arc::clone(&self.hashing).acquire_owned().await.map_err(|error| failed(&error))?;
        let work = move || {
            let _place = place;
            work()
        };
        spawn_blocking(work).await.map_err(|error| failed(&error))?
    }
}

async fn enter(node: &Node, caller: Caller, user: &str, proof: Proof) -> Result<Option<Entered>, StoreError> {
    let (secret, csrf) = (Secret::new()?, Secret::new()?.text());
    let new = NewSession {
        token: secret.hash(),
        csrf: csrf.clone(),
        user: user.to_owned(),
        proof,
        from: Some(caller.client),
    };
    if !node.store.open_session(new).await? {
        return Ok(None);
    }
    // The store knows the right.
    let session = node.store.session(secret.hash()).await?;
    let person = |right| Person { name: user.to_owned(), right, csrf, from: caller.client };
    Ok(session.map(|session| Entered { person: person(session.right), secret }))
}

/// In the log and in the audit.
async fn note_refused(node: &Node, name: Option<&UserName>, client: IpAddr, count: Count) -> Result<(), StoreError> {
    if !count.is_recorded() {
        return Ok(());
    }
    let user = match name {
        Some(name) if node.store.password(name.as_str()).await?.is_some() => Some(name.as_str().to_owned()),
        _ => None,
    };
    let who = user.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    tracing::warn!(user = who, %client, attempts = count.in_a_row, "log-in to the console refused");
    let kind = ChangeKind::Access(AccessChange::LogInRefused { user, attempts: count.in_a_row });
    node.store.record_change(NewChange { node: Some(node.name.clone()), who, from: Some(client), kind }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_typed_twice() {
        let long = "x".repeat(1025);
        for (password, repeated, fault) in [
            ("twelve chars", "twelve chars", None),
            ("zwölf Zeiche", "zwölf Zeiche", None),
            ("eleven char", "eleven char", Some("too short")),
            ("", "", Some("too short")),
            ("twelve chars", "twelve Chars", Some("differ")),
            ("administrator", "administrator", Some("the name")),
            (&long, &long, Some("too long")),
        ] {
            let found = password_fault(password, repeated, "Administrator");
            assert_eq!(found.is_some(), fault.is_some(), "{password}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{found:?}");
        }
    }
}
