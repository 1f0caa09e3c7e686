//! Rollout, nodes, destinations, policies and jobs, as people with different rights use them on a running node.

use std::{path::Path, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use node::{Running, config::Config};
use store::{Backend, ChangeLog as _, ChangeQuery, Fleet as _, Right, SeenDestination};
use tempfile::TempDir;
use trace::change::{CertificateFacts, DestinationFacts, StartTlsOffer};

use super::site;
use crate::{Listeners, access::Person};

const CSRF: &str = "token";
/// Foreign text that must stay inert.
pub(super) const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\0";

pub(super) struct Fleet {
    pub(super) running: Running,
    pub(super) store: Backend,
    _folder: TempDir,
}

impl Fleet {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "[node]\nname = \"mx1\"\nhostname = \"mx1.test\"\n[inbound]\nlisten = [\"127.0.0.1:0\"]\n\
                    [api]\nlisten = []\n[console]\nlisten = [\"127.0.0.1:0\"]\n\
                    [[accepted_domain]]\nname = \"onprem.test\"\nconnector = \"onprem\"\n\
                    [[connector]]\nname = \"onprem\"\nhosts = [\"127.0.0.1:9\"]\ntls_policy = \"legacy\"\n";
        let config = Config::parse(text, &folder.path().join("gatepost.toml")).unwrap();
        let store = Backend::open(&folder.path().join("data"), "fleet").unwrap();
        let running = Running::start(config, store.clone(), folder.path(), Listeners::start).await.unwrap();
        Self { running, store, _folder: folder }
    }

    pub(super) async fn stop(self) {
        self.running.stop(tokio::time::sleep(Duration::from_secs(5))).await;
        self.store.close().await;
    }

    async fn ask(&self, right: Right, request: Request<Body>) -> (StatusCode, String, String) {
        let person = Person { name: "ana".to_owned(), right, csrf: CSRF.to_owned(), from: [127, 0, 0, 1].into() };
        let router: Router = site().router().with_state(self.running.node.clone());
        let service = TowerToHyperService::new(router.layer(axum::Extension(person)));
        let answer: Response = service.call(request).await.unwrap();
        let to = answer.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, to, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn get(&self, right: Right, path: &str) -> (StatusCode, String) {
        let (status, _, body) = self.ask(right, Request::get(path).body(Body::empty()).unwrap()).await;
        (status, body)
    }

    /// Status, where it leads to, and the page.
    pub(super) async fn post(&self, right: Right, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String, String) {
        let fields = fields.iter().copied().chain([("csrf", CSRF)]);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = "application/x-www-form-urlencoded";
        let request = Request::post(path).header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
        self.ask(right, request).await
    }

    async fn version(&self) -> String {
        let (_, page) = self.get(Right::Operator, "/rollout?from=legacy&to=modern&set=100").await;
        let (_, rest) = page.split_once("name=\"version\" value=\"").unwrap_or_else(|| panic!("{page}"));
        rest.split_once('"').unwrap().0.to_owned()
    }

    async fn plan(&self) -> Option<u64> {
        self.store.plan().await.unwrap().map(|plan| plan.version)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_has_its_right_and_bad_input_is_named() {
    let fleet = Fleet::start().await;
    use Right::{Operator, Viewer};
    let long = "a".repeat(10_000);
    for (right, path, status, says) in [
        (Viewer, "/rollout", 200, "No rollout"),
        (Viewer, "/policies", 200, "intermediate"),
        (Viewer, "/policies/modern/impact", 200, "under <bdi>modern"),
        (Viewer, "/policies/newest/impact", 404, "Unknown TLS policy"),
        (Viewer, "/nodes", 200, "mx1"),
        (Viewer, "/nodes?all=yes", 200, "mx1"),
        (Viewer, "/nodes/mx1", 200, "Last seen"),
        (Viewer, "/nodes/%3Cscript%3E%00", 404, "&lt;script&gt;"),
        (Viewer, "/destinations", 200, "onprem"),
        (Viewer, "/destinations/127.0.0.1:9", 200, "No attempts in the last 30 days"),
        (Viewer, "/destinations/mail.example", 400, "host and a port"),
        (Viewer, "/destinations/mail.example:0x19", 400, "host and a port"),
        (Viewer, "/destinations/mail.example:25", 404, "No node has connected"),
        (Viewer, &format!("/destinations/{long}:25"), 404, "No node has connected"),
        (Viewer, "/connectors/onprem", 200, "127.0.0.1:9"),
        (Viewer, "/connectors/internet", 200, "MX records"),
        (Viewer, "/connectors/nowhere", 404, "No connector is named"),
        (Viewer, "/jobs/0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e", 403, "operator"),
        (Operator, "/jobs/0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e", 404, "no such job"),
        (Operator, "/jobs/%00", 404, "no such job"),
        (Operator, "/rollout?set=101", 400, "set: must be a share"),
        (Operator, "/rollout?set=9999", 400, "set: must be a share"),
        (Operator, "/rollout?set=50", 400, "from: name the TLS policy"),
        (Operator, "/rollout?from=legacy&to=modern&set=50&set=60", 400, "set: the parameter is there twice"),
        (Operator, "/rollout?colour=red", 400, "unknown parameter"),
        (Operator, "/rollout?from=legacy&to=%3Cscript%3E&set=50", 200, "unknown TLS policy"),
    ] {
        let (found, page) = fleet.get(right, path).await;
        assert!(found.as_u16() == status && page.contains(says), "{path}: {found} {page}");
        assert!(page.len() < 60_000 && !page.contains("<script>") && !page.contains("style="), "{path}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_moves_on_what_was_seen_only() {
    let fleet = Fleet::start().await;
    let post = async |fields: &[(&str, &str)]| fleet.post(Right::Operator, "/rollout", fields).await;
    let none = fleet.version().await;
    assert_eq!(none, "none");
    let to_all = [("from", "legacy"), ("to", "modern"), ("set", "100")];
    let with = |version, more: &[(&'static str, &'static str)]| -> Vec<(&'static str, String)> {
        let fields = to_all.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned()));
        fields.chain([("version", version)]).collect()
    };
    let send = async |fields: Vec<(&'static str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post(&fields).await
    };
    // A larger share shows the forecast first.
    let (status, to, _) = send(with(none.clone(), &[])).await;
    assert_eq!((status.as_u16(), to.as_str()), (303, "/rollout?from=legacy&to=modern&set=100"));
    assert_eq!(fleet.plan().await, None);
    let (_, page) = fleet.get(Right::Operator, &to).await;
    assert!(page.contains("nothing can be foreseen") && page.contains("Move 100% of the nodes to modern"), "{page}");
    let (status, to, _) = send(with(none.clone(), &[("confirmed", "yes")])).await;
    assert_eq!((status.as_u16(), to.as_str(), fleet.plan().await), (303, "/rollout", Some(1)));
    // Somebody else has seen the page of before.
    for fields in [with(none.clone(), &[("confirmed", "yes")]), with(none, &[])] {
        let (status, _, page) = send(fields).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{page}");
        for says in ["Nothing was done", "Version 1", "ana", "legacy to modern: 100%"] {
            assert!(page.contains(says), "{says}: {page}");
        }
    }
    assert_eq!(fleet.plan().await, Some(1));
    let (_, page) = fleet.get(Right::Viewer, "/rollout").await;
    assert!(page.contains("moved to modern") && !page.contains("action=\"/rollout\""), "{page}");
    // Halt, a change that a halt refuses, resume, and back without a second press.
    let version = fleet.version().await;
    let (status, ..) = post(&[("halt", "yes"), ("because", HOSTILE), ("version", &version)]).await;
    assert_eq!((status.as_u16(), fleet.plan().await), (303, Some(2)));
    let (_, page) = fleet.get(Right::Operator, "/rollout").await;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && page.contains("Halted"), "{page}");
    let version = fleet.version().await;
    let (status, _, page) = post(&[("halt", "yes"), ("version", &version)]).await;
    assert!(status == StatusCode::CONFLICT && page.contains("already halted"), "{page}");
    let (status, to, _) = post(&[("resume", "yes"), ("version", &version)]).await;
    assert_eq!((status.as_u16(), to.as_str()), (303, "/rollout?resume=yes"));
    let (status, ..) = post(&[("resume", "yes"), ("confirmed", "yes"), ("version", &version)]).await;
    assert_eq!((status.as_u16(), fleet.plan().await), (303, Some(3)));
    let version = fleet.version().await;
    let (status, ..) = post(&[("set", "0"), ("version", &version)]).await;
    assert_eq!((status.as_u16(), fleet.plan().await), (303, Some(4)));
    for (fields, says) in [
        (&[("set", "0")][..], "version: must be"),
        (&[("set", "0"), ("version", "*")], "version: must be"),
        (&[("version", "4")], "give one of them"),
        (&[("set", "0"), ("halt", "yes"), ("version", "4")], "give one of them"),
        (&[("set", "-1"), ("version", "4")], "set: must be a share"),
        (&[("set", "9"), ("from", "legacy"), ("to", "newest"), ("version", "4"), ("confirmed", "y")], "newest"),
    ] {
        let (status, _, page) = post(fields).await;
        assert!(status == StatusCode::BAD_REQUEST && page.contains(says), "{fields:?}: {status} {page}");
    }
    let (status, ..) = fleet.post(Right::Tracer, "/rollout", &[("set", "0"), ("version", "4")]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_and_resumed() {
    let fleet = Fleet::start().await;
    let (_, page) = fleet.get(Right::Operator, "/nodes/mx1").await;
    assert!(page.contains("takes no new mail") && page.contains("/nodes/mx1/drain"), "{page}");
    let (status, to, _) = fleet.post(Right::Operator, "/nodes/mx1/drain", &[]).await;
    assert_eq!((status.as_u16(), to.as_str()), (303, "/nodes/mx1"));
    let (_, page) = fleet.get(Right::Operator, "/nodes/mx1").await;
    assert!(page.contains("Drained") && page.contains("/nodes/mx1/resume"), "{page}");
    fleet.post(Right::Operator, "/nodes/mx1/resume", &[]).await;
    let changes = fleet.store.changes(ChangeQuery { limit: 2, ..ChangeQuery::default() }).await.unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.kind.name(), change.who.as_str())).collect();
    assert_eq!(told, [("node-resumed", "ana"), ("node-drained", "ana")]);
    assert_eq!(fleet.post(Right::Operator, "/nodes/mx9/drain", &[]).await.0, StatusCode::NOT_FOUND);
    assert_eq!(fleet.post(Right::Viewer, "/nodes/mx1/drain", &[]).await.0, StatusCode::FORBIDDEN);
    fleet.stop().await;
}

/// The page of a job once it has ended.
async fn ended(fleet: &Fleet, path: &str) -> String {
    for _ in 0..600 {
        let (status, page) = fleet.get(Right::Operator, path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        if !page.contains("Running for") {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} did not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_and_a_validation_show_each_step() {
    let fleet = Fleet::start().await;
    for (path, fields, says) in [
        ("/probes", &[("connector", "onprem")][..], &["Mail fails from 1 node", "mx1", "127.0.0.1:9"][..]),
        ("/probes", &[("destination", "127.0.0.1:9")], &["Mail fails from 1 node"]),
        (
            "/validations",
            &[("connector", "onprem")],
            &["Mail cannot leave", "127.0.0.1:9", "Connect", "connection refused"],
        ),
    ] {
        let (status, to, page) = fleet.post(Right::Operator, path, fields).await;
        assert!(status == StatusCode::SEE_OTHER && to.starts_with("/jobs/"), "{page}");
        let page = ended(&fleet, &to).await;
        says.iter().for_each(|says| assert!(page.contains(says), "{says}: {page}"));
    }
    for (path, fields, status, says) in [
        ("/probes", &[][..], 400, "give one of them"),
        ("/probes", &[("incident", "x")], 400, "incident: must be the id"),
        ("/probes", &[("incident", "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e")], 404, "no such incident"),
        ("/probes", &[("destination", ":99999")], 400, "is not a port"),
        ("/probes", &[("connector", HOSTILE)], 400, "There is no connector"),
        ("/probes", &[("connector", "internet")], 400, "delivers by MX"),
        ("/validations", &[], 400, "connector: is missing"),
        ("/validations", &[("connector", "onprem"), ("test_mail", "yes")], 400, "recipient: a test message"),
        ("/validations", &[("connector", "onprem"), ("recipient", HOSTILE)], 400, "recipient: "),
        ("/validations", &[("connector", "internet")], 400, "give a recipient"),
    ] {
        let (found, _, page) = fleet.post(Right::Operator, path, fields).await;
        assert!(found.as_u16() == status && page.contains(says), "{path} {fields:?}: {found} {page}");
        assert!(!page.contains("<script>"), "{page}");
    }
    assert_eq!(fleet.post(Right::Tracer, "/probes", &[]).await.0, StatusCode::FORBIDDEN);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_shows_what_nodes_have_seen() {
    let fleet = Fleet::start().await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 12 + 1);
    let facts = |starttls| DestinationFacts {
        greeting: HOSTILE.to_owned(),
        starttls,
        size: Some(1000),
        extensions: vec!["8BITMIME".to_owned()],
        certificate: Some(CertificateFacts {
            subject: format!("CN={HOSTILE}"),
            thumbprint: "AA".to_owned(),
            not_after: soon,
        }),
    };
    let address = "192.0.2.1:25".parse().unwrap();
    for (node, starttls) in
        [("mx1", StartTlsOffer::Offered), ("mx2", StartTlsOffer::Offered), ("mx1", StartTlsOffer::NotOffered)]
    {
        let seen = SeenDestination { host: "mail.example".to_owned(), address, facts: facts(starttls) };
        fleet.store.note_destinations(node, vec![seen]).await.unwrap();
    }
    let (_, page) = fleet.get(Right::Viewer, "/destinations").await;
    assert!(page.contains("expires in 12 days") && page.contains("differs"), "{page}");
    let (status, page) = fleet.get(Right::Viewer, "/destinations/mail.example:25").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    for says in ["STARTTLS no longer offered", "not offered", "8BITMIME", "1,000 bytes", "&lt;script&gt;"] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert!(!page.contains("<script>") && !page.contains('\0') && !page.contains('\u{202e}'), "{page}");
    fleet.stop().await;
}

#[test]
fn the_style_of_all_pages_is_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/look");
    let bytes: u64 = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes + (insight::STYLE.len() as u64) < 40_000, "{bytes}");
}
