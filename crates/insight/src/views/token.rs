//! The view of a token of the HTTP API.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::TokenRecord;

use super::schema;

/// A token in the store, without itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    pub name: String,
    /// `look`, `trace`, `operate` or `administer`, each of which includes those before it; `metrics`.
    pub scopes: Vec<String>,
    #[schemars(schema_with = "schema::time")]
    pub created: Timestamp,
    pub created_by: String,
    /// Null: it does not expire.
    #[schemars(schema_with = "schema::time_or_null")]
    pub expires: Option<Timestamp>,
    pub expired: bool,
    /// The last time, to the minute; null: never.
    #[schemars(schema_with = "schema::time_or_null")]
    pub last_used: Option<Timestamp>,
}

impl TokenView {
    pub fn new(token: &TokenRecord, scopes: Vec<String>) -> Self {
        Self {
            name: token.name.clone(),
            scopes,
            created: token.created,
            created_by: token.created_by.clone(),
            expires: token.expires,
            expired: token.is_expired,
            last_used: token.used,
        }
    }
}
