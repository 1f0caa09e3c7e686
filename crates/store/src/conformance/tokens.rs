//! What holds of tokens of the HTTP API.

use trace::{ChangeKind, change::AccessChange};

use super::*;

fn token(name: &str, right: Option<Right>, expires_in: Option<Duration>) -> NewToken {
    let grant = Grant { right, metrics: right.is_none() };
    let scopes = vec!["look".to_owned()];
    NewToken { name: name.to_owned(), sha256: format!("hash of {name}"), grant, scopes, by: "ana".into(), expires_in }
}

pub(super) async fn tokens_work_until_they_expire_or_are_revoked<S: Store>(stores: &Stores<S>) {
    let create = |new| stores.one.create_token(new);
    assert!(create(token("b", Some(Right::Operator), Some(s(10)))).await.expect("created"));
    assert!(create(token("a", None, None)).await.expect("created"));
    assert!(!create(token("a", Some(Right::Administrator), None)).await.expect("asked"), "the name is in use");
    let named = async |sha256: &str| stores.other.token(sha256).await.expect("read").map(|token| token.name);
    assert_eq!(named("hash of a").await.as_deref(), Some("a"));
    assert_eq!(named("hash of b").await.as_deref(), Some("b"));
    assert_eq!(named("hash of c").await, None);
    stores.set_clock(9);
    stores.one.note_token_use("b").await.expect("noted");
    assert_eq!(named("hash of b").await.as_deref(), Some("b"));
    stores.set_clock(10);
    assert_eq!(named("hash of b").await, None);
    let found = stores.other.tokens().await.expect("read");
    let grants: Vec<_> = found.iter().map(|token| (token.grant.right, token.grant.metrics)).collect();
    assert_eq!(grants, [(None, true), (Some(Right::Operator), false)]);
    let b = &found[1];
    assert_eq!((b.name.as_str(), b.created, b.created_by.as_str()), ("b", at(0), "ana"));
    assert_eq!((b.expires, b.is_expired, b.used), (Some(at(10)), true, Some(at(9))));
    assert_eq!((found[0].expires, found[0].is_expired, found[0].used), (None, false, None));
    assert!(stores.one.revoke_token("a", "bob".into()).await.expect("revoked"));
    assert!(!stores.one.revoke_token("a", "bob".into()).await.expect("asked"));
    assert_eq!(named("hash of a").await, None);
    let query = ChangeQuery { audit: true, limit: 9, ..ChangeQuery::default() };
    let recorded = stores.other.changes(query).await.expect("read");
    let told: Vec<_> = recorded.iter().rev().map(|change| (change.who.as_str(), change.kind.name())).collect();
    assert_eq!(told, [("ana", "token-created"), ("ana", "token-created"), ("bob", "token-revoked")]);
    let scopes = vec!["look".to_owned()];
    let first = AccessChange::TokenCreated { token: "b".to_owned(), scopes, expires: Some(at(10)) };
    assert_eq!(recorded[2].kind, ChangeKind::Access(first));
}
