//! Each path of the console, and who may open it and act there. A path that is not in these tables fails the tests.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use net::serve::Prefixes;
use store::{Access as _, NewSession, Proof, Right, Secret};

use super::{fleet_tests::Fleet, live, router, site};
use crate::{access::Door, connection::Connection, places::Work};

const CSRF: &str = "token";
const OTHER_SITE: &str = "came from a page of another site";

use Right::{Administrator, Operator, Tracer, Viewer};

/// Each path with the right that looking and acting need; `None`: that cannot be done there.
const GUARDED: [(&str, Option<Right>, Option<Right>); 42] = [
    ("/", Some(Viewer), None),
    ("/live", Some(Viewer), None),
    ("/incidents", Some(Viewer), None),
    ("/incidents/{id}", Some(Viewer), None),
    ("/incidents/{id}/report.html", Some(Viewer), None),
    ("/incidents/{id}/bundle.zip", Some(Viewer), None),
    ("/incidents/{id}/notes", None, Some(Operator)),
    ("/why", Some(Viewer), None),
    ("/search", Some(Viewer), None),
    ("/queue", Some(Viewer), None),
    ("/queue/list", Some(Tracer), None),
    ("/queue/retry", None, Some(Operator)),
    ("/queue/suspend", None, Some(Operator)),
    ("/queue/resume", None, Some(Operator)),
    ("/queue/remove", None, Some(Administrator)),
    ("/trace", Some(Tracer), None),
    ("/trace.csv", Some(Tracer), None),
    ("/messages/{id}", Some(Tracer), None),
    ("/messages/{id}/attempts/{session}", Some(Tracer), None),
    ("/messages/{id}/message.eml", Some(Administrator), None),
    ("/rollout", Some(Viewer), Some(Operator)),
    ("/policies", Some(Viewer), None),
    ("/policies/{name}/impact", Some(Viewer), None),
    ("/nodes", Some(Viewer), None),
    ("/nodes/{name}", Some(Viewer), None),
    ("/nodes/{name}/drain", None, Some(Operator)),
    ("/nodes/{name}/resume", None, Some(Operator)),
    ("/destinations", Some(Viewer), None),
    ("/destinations/{name}", Some(Viewer), None),
    ("/connectors/{name}", Some(Viewer), None),
    ("/probes", None, Some(Operator)),
    ("/validations", None, Some(Operator)),
    ("/jobs/{id}", Some(Operator), None),
    ("/jobs/{id}/cancel", None, Some(Operator)),
    ("/settings/users", Some(Administrator), Some(Administrator)),
    ("/settings/user", Some(Administrator), None),
    ("/settings/users/role", None, Some(Administrator)),
    ("/settings/users/remove", None, Some(Administrator)),
    ("/settings/tokens", Some(Administrator), Some(Administrator)),
    ("/settings/tokens/revoke", None, Some(Administrator)),
    ("/settings/audit", Some(Administrator), None),
    ("/settings/audit.csv", Some(Administrator), None),
];

/// Each path that needs no log-in, and whether it can be looked at and acted on.
const OPEN: [(&str, bool, bool); 4] = [
    ("/assets/{hash}/{name}", true, false),
    ("/login", true, true),
    ("/logout", false, true),
    ("/invite/{token}", true, true),
];

#[test]
fn the_tables_know_each_path() {
    let guarded = GUARDED.iter().flat_map(|(path, look, act)| [(*path, *look), (*path, *act)]);
    let known = guarded.filter(|(_, right)| right.is_some()).chain(OPEN.iter().map(|(path, ..)| (*path, None)));
    let (site, known): (BTreeSet<_>, BTreeSet<_>) = (site().paths().iter().copied().collect(), known.collect());
    assert_eq!(site, known);
}

/// The console with a person of each right.
struct Console {
    fleet: Fleet,
    service: TowerToHyperService<Router>,
    people: Vec<(Right, Secret)>,
}

impl Console {
    async fn start() -> Self {
        let fleet = Fleet::start().await;
        let mut people = Vec::new();
        for right in Right::ALL {
            let (secret, from) = (Secret::new().unwrap(), Some([127, 0, 0, 1].into()));
            let (token, user, csrf) = (secret.hash(), right.name().to_owned(), CSRF.to_owned());
            let new = NewSession { token, csrf, user, proof: Proof::Vouched(right), from };
            assert!(fleet.store.open_session(new).await.unwrap());
            people.push((right, secret));
        }
        let node = &fleet.running.node;
        let [client, here] = ["127.0.0.1:40000", "127.0.0.1:2581"].map(|address| address.parse().unwrap());
        let router = router(Arc::clone(node))
            .layer(Extension(Arc::new(Door::new(Prefixes { ipv4: 32, ipv6: 64 }))))
            .layer(Extension(live(node)))
            .layer(Extension(Work::default()))
            .layer(Extension(Connection { client, here, is_tls: false }));
        Self { service: TowerToHyperService::new(router), fleet, people }
    }

    /// Status, where it leads to, and the beginning of the page.
    async fn ask(&self, person: Option<Right>, method: &Method, path: &str, request: &Asked) -> (u16, String, String) {
        let id = "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e";
        let path = path.replace("{id}", id).replace("{session}", "08DF4D549346540D").replace(['{', '}'], "");
        let mut builder = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:2581");
        if let Some((_, secret)) = self.people.iter().find(|(right, _)| Some(*right) == person) {
            builder = builder.header(header::COOKIE, format!("gatepost={}", secret.text()));
        }
        if let Some(origin) = request.origin {
            builder = builder.header(header::ORIGIN, origin);
        }
        let builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = if *method == Method::POST { request.body } else { "" };
        let answer = self.service.call(builder.body(Body::from(body)).unwrap()).await.unwrap();
        let to = answer.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, to.unwrap_or_default(), String::from_utf8_lossy(&body).into_owned())
    }
}

/// What a request has besides its path.
struct Asked {
    origin: Option<&'static str>,
    body: &'static str,
}

const OWN: Asked = Asked { origin: Some("http://127.0.0.1:2581"), body: "csrf=token" };

#[tokio::test(flavor = "multi_thread")]
async fn each_person_sees_and_does_what_the_table_says() {
    let console = Console::start().await;
    for (path, look, act) in GUARDED {
        for (method, needs) in [(Method::GET, look), (Method::POST, act)] {
            for person in [None].into_iter().chain(Right::ALL.map(Some)) {
                let (status, to, page) = console.ask(person, &method, path, &OWN).await;
                let what = format!("{method} {path} as {person:?}: {status} {to} {page}");
                match needs {
                    None => assert_eq!(status, 405, "{what}"),
                    Some(_) if person.is_none() && method == Method::GET => {
                        assert!(status == 303 && to.starts_with("/login?then="), "{what}");
                    }
                    Some(_) if person.is_none() => assert_eq!(status, 401, "{what}"),
                    Some(needs) if person < Some(needs) => {
                        assert!(status == 403 && page.contains(&format!("needs the right {}", needs.name())), "{what}");
                    }
                    // Nothing of that name exists, or the form is empty, but the person may ask.
                    Some(_) => {
                        assert!([200, 303, 400, 404, 409, 412].contains(&status) && !to.contains("login"), "{what}");
                    }
                }
            }
        }
    }
    for (path, look, act) in OPEN {
        for (method, is_there) in [(Method::GET, look), (Method::POST, act)] {
            let (status, to, page) = console.ask(None, &method, path, &OWN).await;
            let is_asked_to_log_in = status == 401 || to.contains("then=");
            assert!((status != 405) == is_there && !is_asked_to_log_in, "{method} {path}: {status} {to} {page}");
        }
    }
    console.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_cannot_act_for_a_person() {
    let console = Console::start().await;
    let guarded = GUARDED.iter().filter(|(_, _, act)| act.is_some()).map(|(path, ..)| (*path, true));
    let open = OPEN.iter().filter(|(_, _, act)| *act).map(|(path, ..)| (*path, *path == "/logout"));
    for (path, has_token) in guarded.chain(open) {
        let origins = [Some("http://evil.test"), Some("http://127.0.0.1:2582"), Some("null"), None];
        let forged = origins.map(|origin| (origin, OWN.body));
        let tokens = ["", "csrf=", "csrf=Token", "csrf=token-of-others"].map(|body| (OWN.origin, body));
        for (origin, body) in forged.into_iter().chain(tokens.into_iter().filter(|_| has_token)) {
            let (status, _, page) =
                console.ask(Some(Administrator), &Method::POST, path, &Asked { origin, body }).await;
            let is_said = status == StatusCode::FORBIDDEN.as_u16() && page.contains(OTHER_SITE);
            assert!(is_said, "{path} {origin:?} {body}: {status} {page}");
        }
    }
    console.fleet.stop().await;
}
