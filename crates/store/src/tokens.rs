//! Tokens of the HTTP API that an operator created, beside those of a configuration. They work at once on all nodes.

use std::{future::Future, time::Duration};

use jiff::Timestamp;

use trace::{ChangeKind, change::AccessChange};

use crate::{Actor, NewChange, Result, Right};

/// Who may use the API. The store has hashes of tokens only.
pub trait Tokens {
    /// False if a token has that name already, valid or not.
    fn create_token(&self, token: NewToken) -> impl Future<Output = Result<bool>> + Send;

    /// False if there is none of that name.
    fn revoke_token(&self, name: &str, by: Actor) -> impl Future<Output = Result<bool>> + Send;

    /// All of them, by name.
    fn tokens(&self) -> impl Future<Output = Result<Vec<TokenRecord>>> + Send;

    /// The token with that hash; `None` as well if it has expired.
    fn token(&self, sha256: &str) -> impl Future<Output = Result<Option<TokenRecord>>> + Send;

    /// Notes that it is in use now.
    fn note_token_use(&self, name: &str) -> impl Future<Output = Result<()>> + Send;
}

/// What the holder of a token may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    /// Everything up to this; `None`: nothing but what the other fields say.
    pub right: Option<Right>,
    /// Reads metrics.
    pub metrics: bool,
}

impl Grant {
    pub fn includes(self, right: Right) -> bool {
        self.right >= Some(right)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    pub name: String,
    /// In hexadecimal, lower case.
    pub sha256: String,
    pub grant: Grant,
    /// What the holder may do, in the words of the configuration, for the audit.
    pub scopes: Vec<String>,
    pub by: Actor,
    /// `None`: it does not expire.
    pub expires_in: Option<Duration>,
}

/// A token as it is stored, without its hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRecord {
    pub name: String,
    pub grant: Grant,
    pub created: Timestamp,
    pub created_by: String,
    pub expires: Option<Timestamp>,
    /// By the store's clock.
    pub is_expired: bool,
    /// The last time; not updated at each use.
    pub used: Option<Timestamp>,
}

/// For the audit.
pub(crate) fn created(token: &NewToken, expires: Option<Timestamp>) -> NewChange {
    let NewToken { name, scopes, by, .. } = token;
    let change = AccessChange::TokenCreated { token: name.clone(), scopes: scopes.clone(), expires };
    NewChange::of_fleet(by, ChangeKind::Access(change))
}

pub(crate) fn revoked(name: &str, by: &Actor) -> NewChange {
    NewChange::of_fleet(by, ChangeKind::Access(AccessChange::TokenRevoked { token: name.to_owned() }))
}
