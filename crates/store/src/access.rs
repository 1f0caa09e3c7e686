//! People who may use the console: users, invitations, sessions. Passwords and tokens are stored as hashes only.
//!
//! ```text
//!   invite ──> accept_invitation: the user exists, with a password ──> open_session ──> session, at each request
//!                                                                                          └──> end_session
//! ```
//!
//! A session ends when it was not used for a while, when it is too old, when its user's right or password changes, and when
//! its user is removed. Its right is always the user's current one.

use std::{future::Future, net::IpAddr, str::FromStr, time::Duration};

use jiff::Timestamp;
use trace::{ChangeKind, change::AccessChange};

use crate::{Actor, NewChange, PasswordHash, Result, Right, SecretHash, clock::before};

pub const INVITATION_VALID: Duration = Duration::from_secs(3600);
/// A session that was not used for this long has ended.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// A session that was opened this long ago has ended.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(12 * 3600);
/// The last use of a session is recorded to this accuracy: not each request writes.
const SEEN_ACCURACY: Duration = Duration::from_secs(60);

pub trait Access {
    /// Stores an invitation in the place of earlier ones for that user. Returns when it ends.
    fn invite(&self, new: NewInvitation, by: Actor) -> impl Future<Output = Result<Timestamp>> + Send;

    /// The invitation with this token, if it is valid.
    fn invitation(&self, token: SecretHash) -> impl Future<Output = Result<Option<Invitation>>> + Send;

    /// Uses an invitation up: the user exists from then on, with its right and this password, and has no session. `None`: it
    /// is not valid any more.
    fn accept_invitation(
        &self,
        token: SecretHash,
        password: PasswordHash,
        from: Option<IpAddr>,
    ) -> impl Future<Output = Result<Option<Invitation>>> + Send;

    /// All users, and the valid invitations, by name.
    fn users(&self) -> impl Future<Output = Result<(Vec<User>, Vec<Invitation>)>> + Send;

    fn has_users(&self) -> impl Future<Output = Result<bool>> + Send;

    /// `None`: there is no such user, or another system vouches for it.
    fn password(&self, user: &str) -> impl Future<Output = Result<Option<PasswordHash>>> + Send;

    /// Ends the user's sessions if the right differs. Returns the right before; `None`: there is no such user.
    fn set_right(&self, user: &str, right: Right, by: Actor) -> impl Future<Output = Result<Option<Right>>> + Send;

    /// Removes a user with its invitations and sessions. False: there is neither.
    fn remove_user(&self, user: &str, by: Actor) -> impl Future<Output = Result<bool>> + Send;

    /// False: the proof does not hold (any more).
    fn open_session(&self, new: NewSession) -> impl Future<Output = Result<bool>> + Send;

    /// The session with this token if it has not ended; it was used just now.
    fn session(&self, token: SecretHash) -> impl Future<Output = Result<Option<Session>>> + Send;

    /// The same for what an open page asks for by itself: that is not a use, so the session ends although it asks.
    fn watched_session(&self, token: SecretHash) -> impl Future<Output = Result<Option<Session>>> + Send;

    fn end_session(&self, token: SecretHash) -> impl Future<Output = Result<()>> + Send;
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub name: String,
    pub right: Right,
    /// False: another system vouches for the user.
    pub has_password: bool,
    pub created: Timestamp,
    pub last_log_in: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    pub user: String,
    /// The user's from when the invitation is accepted.
    pub right: Right,
    pub expires: Timestamp,
    /// Who has invited the user.
    pub by: String,
}

#[derive(Clone, Debug)]
pub struct NewInvitation {
    pub token: SecretHash,
    pub user: UserName,
    pub right: Right,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    pub user: String,
    pub right: Right,
    /// Forms of this session carry it.
    pub csrf: String,
    pub created: Timestamp,
    pub last_seen: Timestamp,
}

#[derive(Clone, Debug)]
pub struct NewSession {
    pub token: SecretHash,
    pub csrf: String,
    pub user: String,
    pub proof: Proof,
    /// The person's address.
    pub from: Option<IpAddr>,
}

/// Why somebody may be this user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The hash of the password that was given. It must still be the user's.
    Password(PasswordHash),
    /// Another system vouches for the user, and gives this right. The user is created if need be. A user who has a password
    /// is not meant: the other system may not give that name to somebody else.
    Vouched(Right),
}

/// A user's name: 1 to 64 letters, digits and `.` `_` `-` `@` `+`, in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserName(String);

impl UserName {
    const CHARACTERS_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let fits = |character: char| character.is_ascii_alphanumeric() || "._-@+".contains(character);
        match text.chars().all(fits) && (1..=Self::CHARACTERS_MAX).contains(&text.len()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err("a user name has 1 to 64 letters, digits and . _ - @ +"),
        }
    }
}

impl Session {
    /// A session from the future has been opened before the clock was set back: it could live for years.
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        let (created, last_seen) = oldest_valid(now);
        let latest = crate::clock::after(now, SEEN_ACCURACY);
        (created..=latest).contains(&self.created) && (last_seen..=latest).contains(&self.last_seen)
    }

    /// True if its last use is to be recorded.
    pub(crate) fn is_seen_again(&self, now: Timestamp) -> bool {
        self.last_seen <= before(now, SEEN_ACCURACY)
    }
}

/// What a valid session was created and used after.
pub(crate) fn oldest_valid(now: Timestamp) -> (Timestamp, Timestamp) {
    (before(now, SESSION_AGE_MAX), before(now, SESSION_IDLE_MAX))
}

/// A session goes on where its last use cannot be recorded: a full disk must not lock operators out.
pub(crate) fn note_unseen(recorded: Result<()>) {
    if let Err(error) = recorded {
        tracing::warn!(%error, "failed to record the use of a session");
    }
}

pub(crate) fn invited(new: &NewInvitation, by: &Actor) -> NewChange {
    let (user, right) = (new.user.as_str().to_owned(), new.right.name().to_owned());
    NewChange::of_fleet(by, ChangeKind::Access(AccessChange::UserInvited { user, right }))
}

pub(crate) fn password_set(invitation: &Invitation, from: Option<IpAddr>) -> NewChange {
    let (user, right) = (invitation.user.clone(), invitation.right.name().to_owned());
    let by = Actor { name: user.clone(), address: from };
    NewChange::of_fleet(by, ChangeKind::Access(AccessChange::PasswordSet { user, right }))
}

/// `None`: it is the same.
pub(crate) fn right_changed(user: &str, old: Right, new: Right, by: &Actor) -> Option<NewChange> {
    let name = |right: Right| right.name().to_owned();
    let kind = AccessChange::UserRightChanged { user: user.to_owned(), old: name(old), new: name(new) };
    (old != new).then(|| NewChange::of_fleet(by, ChangeKind::Access(kind)))
}

pub(crate) fn user_removed(user: &str, by: &Actor) -> NewChange {
    NewChange::of_fleet(by, ChangeKind::Access(AccessChange::UserRemoved { user: user.to_owned() }))
}

pub(crate) fn logged_in(new: &NewSession) -> NewChange {
    let by = Actor { name: new.user.clone(), address: new.from };
    NewChange::of_fleet(by, ChangeKind::Access(AccessChange::LoggedIn))
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn user_names_are_plain() {
        for (text, name) in
            [("ana", "ana"), ("Ana.B-C_9@Example.ORG", "ana.b-c_9@example.org"), (&"x".repeat(64), &*"x".repeat(64))]
        {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), name);
        }
        let too_long = "x".repeat(65);
        for text in ["", " ana", "ana b", "<script>", "a\"", "\u{202e}ana", "ana\0", "änna", "node mx1", &too_long] {
            assert!(text.parse::<UserName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_session_ends_by_time() {
        let now = Timestamp::UNIX_EPOCH + 100.hours();
        let session = |created, last_seen| Session {
            user: "ana".to_owned(),
            right: Right::Viewer,
            csrf: String::new(),
            created,
            last_seen,
        };
        for (created, last_seen, is_valid) in [
            (0.minutes(), 0.minutes(), true),
            (29.minutes(), 29.minutes(), true),
            (31.minutes(), 31.minutes(), false),
            (719.minutes(), 1.minutes(), true),
            (721.minutes(), 1.minutes(), false),
            // The clock was set back.
            ((-2).minutes(), 0.minutes(), false),
            (0.minutes(), (-2).minutes(), false),
        ] {
            assert_eq!(session(now - created, now - last_seen).is_valid(now), is_valid, "{created} {last_seen}");
        }
        assert!(session(now, now - 60.seconds()).is_seen_again(now));
        assert!(!session(now, now - 59.seconds()).is_seen_again(now));
    }
}
