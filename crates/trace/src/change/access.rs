//! Changes of access: who may use the console and the API, and who has used them. They are the audit's alone: nothing draws
//! them on a time axis.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum AccessChange {
    UserInvited {
        user: String,
        right: String,
    },
    /// A user has accepted an invitation, and has chosen a password.
    PasswordSet {
        user: String,
        right: String,
    },
    UserRightChanged {
        user: String,
        old: String,
        new: String,
    },
    UserRemoved {
        user: String,
    },
    LoggedIn,
    /// Not each attempt of many is recorded: the number says how many there were.
    LogInRefused {
        /// `None`: no user has that name. It may be a password, so it is not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Attempts in a row, by that name or from that address, whichever is more.
        attempts: u64,
    },
    /// A person has looked at the page of a message.
    MessageViewed {
        /// Network message id.
        message: Uuid,
    },
    TokenCreated {
        token: String,
        #[serde(default)]
        scopes: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
    },
    TokenRevoked {
        token: String,
    },
}

impl AccessChange {
    /// The names of all kinds that this version knows, as in JSON.
    pub const NAMES: [&str; 9] = [
        "user-invited",
        "password-set",
        "user-right-changed",
        "user-removed",
        "logged-in",
        "log-in-refused",
        "message-viewed",
        "token-created",
        "token-revoked",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            Self::UserInvited { .. } => "user-invited",
            Self::PasswordSet { .. } => "password-set",
            Self::UserRightChanged { .. } => "user-right-changed",
            Self::UserRemoved { .. } => "user-removed",
            Self::LoggedIn => "logged-in",
            Self::LogInRefused { .. } => "log-in-refused",
            Self::MessageViewed { .. } => "message-viewed",
            Self::TokenCreated { .. } => "token-created",
            Self::TokenRevoked { .. } => "token-revoked",
        }
    }
}

impl fmt::Display for AccessChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserInvited { user, right } => write!(f, "user {user} invited, right {right}"),
            Self::PasswordSet { user, right } => write!(f, "user {user} chose a password, right {right}"),
            Self::UserRightChanged { user, old, new } => {
                write!(f, "right of user {user} changed from {old} to {new}")
            }
            Self::UserRemoved { user } => write!(f, "user {user} removed"),
            Self::LoggedIn => f.write_str("logged in"),
            Self::LogInRefused { user, attempts } => {
                match user {
                    Some(user) => write!(f, "log-in refused for user {user}")?,
                    None => f.write_str("log-in refused for an unknown user")?,
                }
                if *attempts > 1 { write!(f, ", {attempts} attempts in a row") } else { Ok(()) }
            }
            Self::MessageViewed { message } => write!(f, "looked at message {message}"),
            Self::TokenCreated { token, scopes, expires } => {
                write!(f, "token {token} created: {}", scopes.join(", "))?;
                expires.map_or(Ok(()), |at| write!(f, ", until {at:.0}"))
            }
            Self::TokenRevoked { token } => write!(f, "token {token} revoked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChangeKind;

    #[test]
    fn each_kind_reads_back_under_its_name_and_in_words() {
        let (user, right) = ("ana".to_owned(), "viewer".to_owned());
        let refused = |user, attempts| AccessChange::LogInRefused { user, attempts };
        let kinds = [
            (AccessChange::UserInvited { user: user.clone(), right: right.clone() }, "user ana invited, right viewer"),
            (
                AccessChange::PasswordSet { user: user.clone(), right: right.clone() },
                "user ana chose a password, right viewer",
            ),
            (
                AccessChange::UserRightChanged { user: user.clone(), old: right, new: "tracer".to_owned() },
                "right of user ana changed from viewer to tracer",
            ),
            (AccessChange::UserRemoved { user: user.clone() }, "user ana removed"),
            (AccessChange::LoggedIn, "logged in"),
            (refused(Some(user), 20), "log-in refused for user ana, 20 attempts in a row"),
            (
                AccessChange::MessageViewed { message: Uuid::nil() },
                "looked at message 00000000-0000-0000-0000-000000000000",
            ),
            (
                AccessChange::TokenCreated {
                    token: "grafana".to_owned(),
                    scopes: vec!["look".to_owned(), "metrics".to_owned()],
                    expires: Some(Timestamp::UNIX_EPOCH),
                },
                "token grafana created: look, metrics, until 1970-01-01T00:00:00Z",
            ),
            (AccessChange::TokenRevoked { token: "grafana".to_owned() }, "token grafana revoked"),
        ];
        assert_eq!(kinds.each_ref().map(|(kind, _)| kind.name()), AccessChange::NAMES);
        for (kind, words) in kinds {
            assert_eq!(kind.to_string(), words);
            let kind = ChangeKind::Access(kind);
            let json = serde_json::to_value(&kind).unwrap();
            assert_eq!(json["change"], kind.name());
            assert_eq!(ChangeKind::read(&json.to_string()).unwrap(), kind);
        }
        assert_eq!(refused(None, 1).to_string(), "log-in refused for an unknown user");
    }
}
