//! Users and invitations.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Invitation, Right, User};

use super::schema;

/// A user, as in `gatepost user list`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    pub user: String,
    #[schemars(schema_with = "schema::right")]
    pub right: Right,
    /// False if another system vouches for the user.
    pub has_password: bool,
    #[schemars(schema_with = "schema::time")]
    pub created: Timestamp,
    /// Null if the user has never logged in.
    #[schemars(schema_with = "schema::time_or_null")]
    pub last_log_in: Option<Timestamp>,
}

/// An invitation that was not accepted yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitationView {
    pub user: String,
    #[schemars(schema_with = "schema::right")]
    pub right: Right,
    pub invited_by: String,
    #[schemars(schema_with = "schema::time")]
    pub expires: Timestamp,
}

/// A new invitation with its link, as `gatepost user invite` prints it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvitedView {
    pub user: String,
    #[schemars(schema_with = "schema::right")]
    pub right: Right,
    /// Shown only here: only a hash of it is stored.
    pub url: String,
    #[schemars(schema_with = "schema::time")]
    pub expires: Timestamp,
}

impl From<User> for UserView {
    fn from(User { name, right, has_password, created, last_log_in }: User) -> Self {
        Self { user: name, right, has_password, created, last_log_in }
    }
}

impl From<Invitation> for InvitationView {
    fn from(Invitation { user, right, expires, by }: Invitation) -> Self {
        Self { user, right, invited_by: by, expires }
    }
}
