//! What holds of users, invitations and sessions.

use std::net::IpAddr;

use trace::{ChangeKind, change::AccessChange};

use super::*;

fn name(text: &str) -> UserName {
    text.parse().expect("a user name")
}

/// Costs nothing; the real ones are tested beside their code.
fn password(of: &str) -> PasswordHash {
    PasswordHash(format!("hash of {of}"))
}

fn by(who: &str) -> Actor {
    Actor::from(who)
}

const FROM: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)));

async fn invited<S: Store>(stores: &Stores<S>, user: &str, right: Right) -> SecretHash {
    let token = Secret::new().expect("random").hash();
    stores.one.invite(NewInvitation { token, user: name(user), right }, by("root")).await.expect("invited");
    token
}

async fn joined<S: Store>(stores: &Stores<S>, user: &str, right: Right) {
    let token = invited(stores, user, right).await;
    let accepted = stores.other.accept_invitation(token, password(user), FROM).await.expect("asked");
    assert_eq!(accepted.map(|invitation| invitation.right), Some(right));
}

async fn opened<S: Store>(stores: &Stores<S>, user: &str, proof: Proof) -> Option<SecretHash> {
    let token = Secret::new().expect("random").hash();
    let new = NewSession { token, csrf: "csrf".to_owned(), user: user.to_owned(), proof, from: FROM };
    stores.one.open_session(new).await.expect("asked").then_some(token)
}

async fn logged_in<S: Store>(stores: &Stores<S>, user: &str) -> SecretHash {
    opened(stores, user, Proof::Password(password(user))).await.expect("logged in")
}

async fn right_of<S: Store>(stores: &Stores<S>, session: SecretHash) -> Option<Right> {
    stores.other.session(session).await.expect("asked").map(|session| session.right)
}

pub(super) async fn an_invitation_is_used_once<S: Store>(stores: &Stores<S>) {
    assert!(!stores.other.has_users().await.expect("asked"));
    let old = invited(stores, "ana", Right::Viewer).await;
    let token = invited(stores, "ana", Right::Tracer).await;
    let accept = async |token| stores.other.accept_invitation(token, password("ana"), FROM).await.expect("asked");
    assert_eq!(accept(old).await, None, "a newer one has taken its place");
    assert!(!stores.other.has_users().await.expect("asked"), "nobody has accepted");
    let invitation = stores.other.invitation(token).await.expect("asked").expect("valid");
    assert_eq!((&*invitation.user, invitation.right, &*invitation.by), ("ana", Right::Tracer, "root"));
    stores.set_clock(3600);
    assert_eq!(stores.other.invitation(token).await.expect("asked"), None, "an hour has passed");
    assert_eq!(accept(token).await, None);
    let token = invited(stores, "ana", Right::Operator).await;
    assert_eq!(accept(token).await.map(|invitation| invitation.right), Some(Right::Operator));
    assert_eq!(accept(token).await, None, "it was used");
    let (users, invitations) = stores.other.users().await.expect("read");
    let ana = User {
        name: "ana".to_owned(),
        right: Right::Operator,
        has_password: true,
        created: at(3600),
        last_log_in: None,
    };
    assert_eq!((users, invitations), (vec![ana], vec![]));
    assert_eq!(stores.other.password("ana").await.expect("read"), Some(password("ana")));
    assert_eq!(stores.other.password("bob").await.expect("read"), None);
}

pub(super) async fn of_two_who_use_an_invitation_one_does<S: Store>(stores: &Stores<S>) {
    let token = invited(stores, "ana", Right::Viewer).await;
    let (one, other) = tokio::join!(
        stores.one.accept_invitation(token, password("a"), FROM),
        stores.other.accept_invitation(token, password("b"), FROM)
    );
    let accepted = [one, other].map(|accepted| accepted.expect("asked").is_some());
    assert_ne!(accepted[0], accepted[1]);
}

pub(super) async fn a_session_ends_by_time_and_by_its_user<S: Store>(stores: &Stores<S>) {
    joined(stores, "ana", Right::Viewer).await;
    let session = logged_in(stores, "ana").await;
    assert_eq!(right_of(stores, Secret::new().expect("random").hash()).await, None);
    // Each use keeps it for half an hour more.
    for minute in (0..720).step_by(29) {
        stores.set_clock(minute * 60);
        assert_eq!(right_of(stores, session).await, Some(Right::Viewer), "minute {minute}");
    }
    stores.set_clock(720 * 60 + 1);
    assert_eq!(right_of(stores, session).await, None, "it is too old");
    let session = logged_in(stores, "ana").await;
    stores.set_clock(750 * 60 + 2);
    let watched = stores.other.watched_session(session).await.expect("asked");
    assert_eq!((right_of(stores, session).await, watched.is_none()), (None, true), "it was idle");

    let sessions = [logged_in(stores, "ana").await, logged_in(stores, "ana").await];
    stores.one.end_session(sessions[0]).await.expect("ended");
    assert_eq!((right_of(stores, sessions[0]).await, right_of(stores, sessions[1]).await), (None, Some(Right::Viewer)));

    joined(stores, "bob", Right::Viewer).await;
    let of_bob = logged_in(stores, "bob").await;
    let set = async |right| stores.other.set_right("ana", right, by("root")).await.expect("asked");
    assert_eq!(set(Right::Viewer).await, Some(Right::Viewer));
    assert_eq!(right_of(stores, sessions[1]).await, Some(Right::Viewer), "nothing has changed");
    assert_eq!(set(Right::Operator).await, Some(Right::Viewer));
    assert_eq!(right_of(stores, sessions[1]).await, None, "the right has changed");
    let session = logged_in(stores, "ana").await;
    assert_eq!(right_of(stores, session).await, Some(Right::Operator));
    joined(stores, "ana", Right::Operator).await;
    assert_eq!(right_of(stores, session).await, None, "the password has changed");
    let session = logged_in(stores, "ana").await;
    assert!(stores.other.remove_user("ana", by("root")).await.expect("asked"));
    assert_eq!(right_of(stores, session).await, None, "the user was removed");
    assert_eq!(right_of(stores, of_bob).await, Some(Right::Viewer), "other users stay");
    assert!(!stores.other.remove_user("ana", by("root")).await.expect("asked"));
    assert_eq!(stores.other.set_right("ana", Right::Viewer, by("root")).await.expect("asked"), None);
}

pub(super) async fn a_session_needs_proof<S: Store>(stores: &Stores<S>) {
    assert_eq!(opened(stores, "ana", Proof::Password(password("ana"))).await, None, "there is no such user");
    joined(stores, "ana", Right::Viewer).await;
    assert_eq!(opened(stores, "ana", Proof::Password(password("bob"))).await, None, "the password has changed");
    // Another system may not take over a user who has a password.
    assert_eq!(opened(stores, "ana", Proof::Vouched(Right::Administrator)).await, None);
    let session = opened(stores, "eve", Proof::Vouched(Right::Tracer)).await.expect("opened");
    assert_eq!(right_of(stores, session).await, Some(Right::Tracer));
    assert_eq!(opened(stores, "eve", Proof::Password(PasswordHash::of_nobody())).await, None, "there is none");
    // A right that differs ends the sessions before.
    let next = opened(stores, "eve", Proof::Vouched(Right::Viewer)).await.expect("opened");
    assert_eq!((right_of(stores, session).await, right_of(stores, next).await), (None, Some(Right::Viewer)));
    // An invitation that was not accepted is withdrawn with its user.
    let token = invited(stores, "zoe", Right::Viewer).await;
    assert!(stores.other.remove_user("zoe", by("root")).await.expect("asked"));
    assert_eq!(stores.other.invitation(token).await.expect("asked"), None);
}

pub(super) async fn access_is_recorded_with_who_and_from_where<S: Store>(stores: &Stores<S>) {
    joined(stores, "ana", Right::Viewer).await;
    stores.set_clock(1);
    logged_in(stores, "ana").await;
    stores.set_clock(2);
    let eve = Actor { name: "eve".to_owned(), address: FROM };
    stores.one.set_right("ana", Right::Tracer, eve.clone()).await.expect("set");
    stores.one.set_right("ana", Right::Tracer, eve.clone()).await.expect("set");
    stores.set_clock(3);
    stores.one.remove_user("ana", eve).await.expect("removed");
    let query = |audit, who: Option<&str>| ChangeQuery {
        audit,
        who: who.map(str::to_owned),
        limit: 100,
        ..ChangeQuery::default()
    };
    let read = async |query| stores.other.changes(query).await.expect("read");
    let told = |change: &trace::Change| (change.who.clone(), change.from, change.kind.to_string());
    let about = |who: &str, from, text: &str| (who.to_owned(), from, text.to_owned());
    let all = read(query(true, None)).await;
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        [
            about("eve", FROM, "user ana removed"),
            about("eve", FROM, "right of user ana changed from viewer to tracer"),
            about("ana", FROM, "logged in"),
            about("ana", FROM, "user ana chose a password, right viewer"),
            about("root", None, "user ana invited, right viewer"),
        ]
    );
    assert_eq!(all[2].kind, ChangeKind::Access(AccessChange::LoggedIn));
    assert_eq!(read(query(true, Some("ana"))).await.len(), 2);
    assert_eq!(read(query(false, None)).await, [], "they are no marks on a time axis");
}
