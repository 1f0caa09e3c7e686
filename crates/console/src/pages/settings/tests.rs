//! The pages of settings, as an administrator uses them on a running node.

use store::{Access as _, NewSession, Proof, Right, Secret, Tokens as _};

use super::{ROWS_MAX, rows_after};
use crate::pages::fleet_tests::{Fleet, HOSTILE};

const ADMIN: Right = Right::Administrator;

async fn add(fleet: &Fleet, name: &str, right: Right) {
    let (token, user) = (Secret::new().unwrap().hash(), name.to_owned());
    let new = NewSession { token, csrf: String::new(), user, proof: Proof::Vouched(right), from: None };
    assert!(fleet.store.open_session(new).await.unwrap());
}

async fn role(fleet: &Fleet, name: &str) -> Option<Right> {
    let (users, _) = fleet.store.users().await.unwrap();
    users.into_iter().find(|user| user.name == name).map(|user| user.right)
}

/// The value of a field that is shown once.
fn shown<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{page}"));
    rest.split_once("value=\"").unwrap().1.split_once('"').unwrap().0
}

#[test]
fn pages_together_are_the_list() {
    let all: Vec<String> = (0..120).map(|number| format!("name{number:03}")).collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (rows, next) = rows_after(all.clone(), after.as_deref(), String::as_str);
        assert!(rows.len() <= ROWS_MAX);
        found.extend(rows);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_invited_changed_and_removed() {
    let fleet = Fleet::start().await;
    add(&fleet, "ana", ADMIN).await;
    add(&fleet, "bob", Right::Viewer).await;
    let post = async |path: &str, fields: &[(&str, &str)]| fleet.post(ADMIN, path, fields).await;
    let (status, to, page) = post("/settings/users", &[("name", "Eve"), ("role", "tracer")]).await;
    let link = shown(&page, "link");
    let secret = link.rsplit_once("/invite/").unwrap().1;
    assert!(
        status == 200
            && to.is_empty()
            && fleet.store.invitation(Secret::read(secret).unwrap().hash()).await.unwrap().is_some()
    );
    let (_, page) = fleet.get(ADMIN, "/settings/users").await;
    assert!(page.contains("<bdi>eve</bdi>") && page.contains("<bdi>bob</bdi>") && !page.contains(secret), "{page}");
    // The only administrator stays one, by whichever form.
    for (path, fields) in [
        ("/settings/users/role", &[("name", "ana"), ("role", "operator")][..]),
        ("/settings/users/remove", &[("name", "ana"), ("typed", "ana")]),
        ("/settings/users", &[("name", "ana"), ("role", "viewer")]),
    ] {
        let (status, _, page) = post(path, fields).await;
        assert!(status == 409 && page.contains("ana is the only administrator"), "{path}: {status} {page}");
    }
    assert_eq!(role(&fleet, "ana").await, Some(ADMIN));
    let (status, to, _) = post("/settings/users/role", &[("name", "bob"), ("role", "administrator")]).await;
    assert_eq!((status.as_u16(), &*to, role(&fleet, "bob").await), (303, "/settings/user?name=bob", Some(ADMIN)));
    let (status, ..) = post("/settings/users/role", &[("name", "ana"), ("role", "operator")]).await;
    assert_eq!((status.as_u16(), role(&fleet, "ana").await), (303, Some(Right::Operator)));
    let (status, _, page) = post("/settings/users/remove", &[("name", "ana"), ("typed", "an")]).await;
    assert!(status == 400 && page.contains("typed: the text must be the name ana"), "{page}");
    let (status, to, _) = post("/settings/users/remove", &[("name", "ana"), ("typed", "Ana ")]).await;
    assert_eq!((status.as_u16(), &*to, role(&fleet, "ana").await), (303, "/settings/users", None));
    assert_eq!(post("/settings/users/remove", &[("name", "eve"), ("typed", "eve")]).await.0, 303);
    assert!(fleet.store.users().await.unwrap().1.is_empty(), "the invitation is withdrawn");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_created_and_revoked() {
    let fleet = Fleet::start().await;
    let post = async |path: &str, fields: &[(&str, &str)]| fleet.post(ADMIN, path, fields).await;
    let wanted = [("name", "moni <script>"), ("scope", "look"), ("scope", "metrics"), ("expires", "30d")];
    let (status, to, page) = post("/settings/tokens", &wanted).await;
    let token = shown(&page, "token").to_owned();
    assert!(status == 200 && to.is_empty() && token.starts_with("gatepost_"), "{page}");
    let stored = fleet.store.token(&crate::access::hash(&token)).await.unwrap().unwrap();
    assert!(stored.created_by == "ana" && stored.expires.is_some());
    let (status, _, page) = post("/settings/tokens", &wanted).await;
    assert!(status == 409 && page.contains("there is a token of that name"), "{page}");
    let (_, page) = fleet.get(ADMIN, "/settings/tokens").await;
    assert!(page.contains("moni &lt;script&gt;") && page.contains("look, metrics") && !page.contains(&token), "{page}");
    let (_, page) = fleet.get(ADMIN, "/settings/tokens?revoke=moni+%3Cscript%3E").await;
    assert!(page.contains("are refused from then on"), "{page}");
    let (status, to, _) = post("/settings/tokens/revoke", &wanted[..1]).await;
    assert_eq!((status.as_u16(), &*to), (303, "/settings/tokens"));
    assert!(fleet.store.tokens().await.unwrap().is_empty());
    assert_eq!(post("/settings/tokens/revoke", &wanted[..1]).await.0, 404);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_filtered_paged_and_exported() {
    let fleet = Fleet::start().await;
    for number in 0..60 {
        add(&fleet, &format!("user{number}"), Right::Viewer).await;
    }
    add(&fleet, "+ana", Right::Viewer).await;
    let (_, page) = fleet.get(ADMIN, "/settings/audit?kind=logged-in&who=&since=1h").await;
    assert!(page.contains("<bdi>+ana</bdi>") && page.contains("user59") && !page.contains("user9<"), "{page}");
    assert!(page.len() < 60_000, "{}", page.len());
    let (_, next) = page.split_once("rel=\"next\" href=\"").unwrap();
    let next = next.split_once('"').unwrap().0.replace("&amp;", "&");
    let (status, page) = fleet.get(ADMIN, &next).await;
    assert!(status == 200 && page.contains("<bdi>user0</bdi>") && page.contains("First page"), "{page}");
    let (_, page) = fleet.get(ADMIN, "/settings/audit?who=user7").await;
    assert!(page.contains("<bdi>user7</bdi>") && !page.contains("<bdi>user8</bdi>"), "{page}");
    let (_, csv) = fleet.get(ADMIN, "/settings/audit.csv?kind=logged-in").await;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0]), (62, "time,who,from,node,change,what"), "{csv}");
    assert!(lines[1].contains(",'+ana,,,logged-in,"), "{csv}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named() {
    let fleet = Fleet::start().await;
    let long = "a".repeat(10_000);
    for (path, status, says) in [
        ("/settings/users?colour=red", 400, "colour: unknown parameter"),
        ("/settings/users?after=%3Cscript%3E%00", 200, "No users"),
        ("/settings/user?name=%3Cscript%3E%00", 404, "no user of that name"),
        ("/settings/user", 404, "no user of that name"),
        (&format!("/settings/user?name={long}"), 400, "bytes after its"),
        ("/settings/tokens?revoke=%00", 404, "no token of that name"),
        ("/settings/audit?since=0000-01-01T00:00:00Z", 400, "since: "),
        ("/settings/audit?until=9999-12-31T23:59:59Z", 400, "until: "),
        ("/settings/audit?kind=%3Cscript%3E", 400, "kind: "),
        ("/settings/audit?after=%00", 400, "after: "),
        ("/settings/audit?who=%E2%80%AE%00", 400, "who: "),
        ("/settings/audit?who=a&who=b", 400, "who: the parameter is there twice"),
        ("/settings/audit.csv?since=9999-12-31T23:59:59Z", 400, "since: "),
    ] {
        let (found, page) = fleet.get(ADMIN, path).await;
        assert!(found.as_u16() == status && page.contains(says), "{path}: {found} {page}");
        assert!(page.len() < 60_000 && !page.contains("<script>") && !page.contains("style="), "{path}");
    }
    for (path, fields, status, says) in [
        ("/settings/users", &[("name", HOSTILE), ("role", "viewer")][..], 400, "name: a user name has"),
        ("/settings/users", &[("name", &*long), ("role", "viewer")], 400, "name: a user name has"),
        ("/settings/users", &[("name", "eve"), ("role", HOSTILE)], 400, "role: must be one of"),
        ("/settings/users", &[], 400, "name: "),
        ("/settings/users/role", &[("name", "eve"), ("role", "viewer")], 404, "Nothing was changed"),
        ("/settings/users/remove", &[("name", "eve"), ("typed", "eve")], 404, "Nothing was changed"),
        ("/settings/tokens", &[("name", HOSTILE), ("scope", "look"), ("expires", "30d")], 400, "name: must have"),
        ("/settings/tokens", &[("name", "a"), ("expires", "30d")], 400, "scope: choose"),
        ("/settings/tokens", &[("name", "a"), ("scope", "all"), ("expires", "30d")], 400, "scope: choose"),
        ("/settings/tokens", &[("name", "a"), ("scope", "look"), ("expires", "9999y")], 400, "expires: choose"),
    ] {
        let (found, _, page) = fleet.post(ADMIN, path, fields).await;
        assert!(found.as_u16() == status && page.contains(says), "{path} {fields:?}: {found} {page}");
        assert!(!page.contains("<script>"), "{page}");
    }
    fleet.stop().await;
}
