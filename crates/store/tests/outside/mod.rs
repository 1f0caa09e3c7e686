//! Bodies outside the database, in a folder or in S3: they are there as long as a message needs them, and no longer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost_store::{
    Backend, Bodies as _, BodiesError, BodiesSettings, BodyPlace, Clock, Command, Content, Fleet as _, History as _,
    Member, MessageKey, NewMessage, PostgresSettings, PostgresStore, Queue as _, RestorationDecision, S3Key,
    S3Settings, Selection, StoreError, conformance,
};
use lab::{
    Device, Identity,
    s3::{Front, KEY_ID, Mood, SECRET, SeaweedFs},
};
use tempfile::TempDir;

use crate::{
    relayed_by,
    server::{Server, delivered, member, message, relay::Cut, settings},
};

/// All bodies are there, and what belongs to nobody is deleted at once.
fn all_in(place: BodyPlace) -> BodiesSettings {
    BodiesSettings { above: 0, orphan_age: Duration::ZERO, ..BodiesSettings::new(place) }
}

/// A turn of the future is over.
const SWEEP_NOW: &str = "UPDATE body_place SET swept = swept + 10000000000";

fn in_folder(server: &Server, folder: &Path) -> PostgresSettings {
    PostgresSettings { bodies: Some(all_in(BodyPlace::Folder(folder.to_owned()))), ..server.database() }
}

/// The files of pieces.
fn pieces(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let read = fs::read_dir(folder).into_iter().flatten();
        read.map(|entry| entry.unwrap().path()).collect()
    };
    let shards = entries(folder).into_iter().flat_map(|fleet| entries(&fleet));
    let mut pieces: Vec<_> = shards.filter(|shard| shard.is_dir()).flat_map(|shard| entries(&shard)).collect();
    pieces.sort();
    pieces
}

/// A message with a body of three pieces.
async fn in_pieces(store: &PostgresStore, member: &Member) -> NewMessage {
    let body = store.new_body(member).await.unwrap();
    for (sequence, piece) in ["one", "two", "three"].into_iter().enumerate() {
        store.append_body(body, sequence as u32, Bytes::from(piece)).await.unwrap();
    }
    NewMessage { content: Content::Stored(body), ..message(b"") }
}

async fn content(store: &PostgresStore, message: MessageKey) -> String {
    let (mut content, mut sequence) = (Vec::new(), 0);
    while let Some(piece) = store.read_body(message, sequence).await.unwrap() {
        content.extend_from_slice(&piece);
        sequence += 1;
    }
    String::from_utf8(content).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_postgres_keeps_the_contract_with_bodies_in_a_folder() {
    // In memory if that can be: each check has a folder of its own, and syncing it is not what is tested here.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let server = Server::start();
    let make = async || {
        let (settings, clock) = (in_folder(&server, folder.path()), Clock::system());
        let one = PostgresStore::open_by(&settings, clock.clone()).await.unwrap();
        let other = PostgresStore::attach_by(&settings, clock.clone()).await.unwrap();
        conformance::Stores::new(Backend::Postgres(one), Backend::Postgres(other), clock)
    };
    conformance::run(make).await;
    assert!(!pieces(folder.path()).is_empty(), "the bodies were there");
}

/// Bodies are read, deleted once nothing needs them, and deleted if they belong to nobody.
async fn come_and_go(settings: &PostgresSettings, count: impl AsyncFn() -> usize) {
    let store = PostgresStore::open(settings).await.unwrap();
    let member = member(&store).await;
    let new = [message(b"a body"), in_pieces(&store, &member).await];
    let mut results = Vec::new();
    for (new, text) in new.iter().zip(["a body", "onetwothree"]) {
        let accepted = store.accept(new.clone(), Some(member.clone()), vec![]).await.unwrap();
        assert_eq!(content(&store, accepted.message).await, text);
        assert!(store.message(new.network_message_id).await.unwrap().unwrap().body_present);
        results.push(delivered(new, &accepted));
    }
    let unwanted = store.new_body(&member).await.unwrap();
    store.append_body(unwanted, 0, Bytes::from("unwanted")).await.unwrap();
    assert_eq!(count().await, 5);
    assert_eq!(store.clean_bodies().await.unwrap(), 0, "all are needed, or may be");
    assert_eq!(count().await, 5);
    store.discard_body(unwanted).await.unwrap();
    assert_eq!(store.settle(results.split_off(1)).await.unwrap(), []);
    assert!(matches!(store.read_body(new[1].content_key(), 0).await, Err(StoreError::NotQueued)));
    assert_eq!(store.clean_bodies().await.unwrap(), 2);
    assert_eq!(count().await, 1);
    assert_eq!(store.settle(results).await.unwrap(), []);
    assert_eq!((store.clean_bodies().await.unwrap(), count().await), (1, 0));
    store.close().await;
}

trait ContentKey {
    fn content_key(&self) -> MessageKey;
}

impl ContentKey for NewMessage {
    fn content_key(&self) -> MessageKey {
        match self.content {
            Content::Stored(body) => body.message,
            Content::Inline(_) => panic!("it is inline"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_bodies_in_a_folder_come_and_go() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    come_and_go(&in_folder(&server, folder.path()), async || pieces(folder.path()).len()).await;
    assert_eq!(server.cluster.sql("test_0", "SELECT count(*) FROM body_outside").unwrap(), "0");
}

/// What a node leaves that dies at the worst moment, a database that forgot, and a node of the version before.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_bodies_that_belong_to_nobody_are_deleted() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let settings = in_folder(&server, folder.path());
    let sql = |sql: &str| server.cluster.sql("test_0", sql).unwrap();
    let store = PostgresStore::open(&settings).await.unwrap();
    let (dead, living) = (member(&store).await, member(&store).await);
    let kept = store.accept(in_pieces(&store, &living).await, None, vec![]).await.unwrap().message;
    // Its node dies before it is accepted.
    in_pieces(&store, &dead).await;
    store.leave(&dead).await.unwrap();
    store.join("another").await.unwrap();
    assert_eq!(store.clean_bodies().await.unwrap(), 1);
    assert_eq!(pieces(folder.path()).len(), 3);
    // The database has lost its rows, as after a failover: the pieces have to be old.
    let forgotten = store.accept(message(b"forgotten"), None, vec![]).await.unwrap().message;
    sql(&format!("DELETE FROM body_outside WHERE message = {}", forgotten.0));
    let patient = BodiesSettings { orphan_age: Duration::from_secs(3600), ..settings.bodies.clone().unwrap() };
    let patient = PostgresStore::open(&PostgresSettings { bodies: Some(patient), ..settings.clone() }).await.unwrap();
    sql(SWEEP_NOW);
    assert_eq!((patient.clean_bodies().await.unwrap(), pieces(folder.path()).len()), (0, 4));
    sql(SWEEP_NOW);
    assert_eq!((store.clean_bodies().await.unwrap(), pieces(folder.path()).len()), (1, 3));
    // A node of the version before finishes a message, and does not know the table.
    let finished = store.accept(message(b"finished"), None, vec![]).await.unwrap().message;
    sql(&format!("DELETE FROM queue_message WHERE message = {}", finished.0));
    assert_eq!(store.clean_bodies().await.unwrap(), 1);
    assert_eq!(content(&store, kept).await, "onetwothree");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_piece_that_is_missing_is_not_the_end() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let store = PostgresStore::open(&in_folder(&server, folder.path())).await.unwrap();
    let member = member(&store).await;
    let accepted = store.accept(in_pieces(&store, &member).await, None, vec![]).await.unwrap();
    fs::remove_file(&pieces(folder.path())[1]).unwrap();
    assert_eq!(store.read_body(accepted.message, 0).await.unwrap().unwrap(), "one");
    let error = store.read_body(accepted.message, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Bodies(BodiesError::Missing { piece: 2, pieces: 3, .. })), "{error}");
    assert_eq!(store.read_body(accepted.message, 2).await.unwrap().unwrap(), "three");
    assert_eq!(store.read_body(accepted.message, 3).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_another_place_for_bodies() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        Some(all_in(BodyPlace::Folder(path)))
    };
    let settings = PostgresSettings { bodies: place("one"), ..server.database() };
    let store = PostgresStore::open(&settings).await.unwrap();
    let lost = store.accept(message(b"body"), None, vec![]).await.unwrap();
    let open = async |bodies, accept_loss| {
        PostgresStore::open(&PostgresSettings { bodies, accept_loss, ..settings.clone() }).await
    };
    // The same place by another name is the same place.
    std::os::unix::fs::symlink(folder.path().join("one"), folder.path().join("alias")).unwrap();
    open(Some(all_in(BodyPlace::Folder(folder.path().join("alias")))), false).await.unwrap();
    let Err(StoreError::Bodies(error)) = open(place("two"), false).await else { panic!("opened") };
    let text = error.to_string();
    assert!(matches!(error, BodiesError::Elsewhere { .. }) && text.contains("/one") && text.contains("/two"), "{text}");
    let Err(StoreError::Bodies(error)) = open(None, false).await else { panic!("opened") };
    assert!(matches!(&error, BodiesError::NotSet { recorded } if recorded.ends_with("/one")), "{error}");
    // An operator does without it.
    let elsewhere = open(place("two"), true).await.unwrap();
    let error = elsewhere.read_body(lost.message, 0).await.unwrap_err();
    assert!(matches!(error, StoreError::Bodies(BodiesError::Missing { .. })), "{error}");
    let kept = elsewhere.accept(message(b"body"), None, vec![]).await.unwrap();
    assert_eq!(content(&elsewhere, kept.message).await, "body");
    open(place("two"), false).await.unwrap();
    let inside = open(None, true).await.unwrap();
    let kept = inside.accept(message(b"inside"), None, vec![]).await.unwrap();
    assert_eq!(content(&inside, kept.message).await, "inside");
    open(None, false).await.unwrap();
}

/// They have the place in memory, and would go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_does_without_a_place_only_if_no_node_runs() {
    let (server, folder, other) = (Server::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = in_folder(&server, folder.path());
    let store = PostgresStore::open(&settings).await.unwrap();
    let member = store.join("edge-1").await.unwrap().member;
    let elsewhere = Some(all_in(BodyPlace::Folder(other.path().to_owned())));
    let open =
        async |bodies| PostgresStore::open(&PostgresSettings { bodies, accept_loss: true, ..settings.clone() }).await;
    for bodies in [None, elsewhere.clone()] {
        let Err(StoreError::Bodies(error)) = open(bodies).await else { panic!("opened") };
        let text = error.to_string();
        let place = folder.path().to_str().unwrap();
        assert!(
            matches!(error, BodiesError::InUse { .. }) && text.contains("edge-1") && text.contains(place),
            "{text}"
        );
    }
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    // The place is there, and so nothing is done without.
    open(settings.bodies.clone()).await.unwrap();
    store.leave(&member).await.unwrap();
    open(elsewhere).await.unwrap();
}

/// So that only the mark decides.
fn age(files: &[PathBuf]) {
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    files.iter().for_each(|file| fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap());
}

/// As if the mark was renewed two hours ago.
fn age_mark(folder: &Path) {
    let fleet = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut mark: serde_json::Value = serde_json::from_slice(&fs::read(fleet.join("place")).unwrap()).unwrap();
    mark["renewed"] = (mark["renewed"].as_i64().unwrap() - 7_200_000).into();
    fs::write(fleet.join("place"), mark.to_string()).unwrap();
}

fn patient(database: PostgresSettings, folder: &Path) -> PostgresSettings {
    let bodies = all_in(BodyPlace::Folder(folder.to_owned()));
    PostgresSettings { bodies: Some(BodiesSettings { orphan_age: Duration::from_secs(3600), ..bodies }), ..database }
}

async fn is_anothers(store: &PostgresStore) -> bool {
    store.health().await.unwrap().bodies.unwrap().used_by_another.is_some()
}

/// A copy reads what the original has, and deletes none of it until the original is gone for good.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_a_copy_deletes_no_bodies_of_the_original() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let store = PostgresStore::open(&patient(server.database(), folder.path())).await.unwrap();
    let kept = store.accept(message(b"kept"), None, vec![]).await.unwrap().message;
    store.clean_bodies().await.unwrap();
    server.cluster.dump_into("test_0", "copy").unwrap();
    store.accept(message(b"after the dump"), None, vec![]).await.unwrap();
    age(&pieces(folder.path()));
    let copy = PostgresStore::open(&patient(settings(&server.cluster.url("copy")), folder.path())).await.unwrap();
    assert_eq!(content(&copy, kept).await, "kept");
    let removed = copy.command(Command::Remove, Selection::default(), "eve").await.unwrap();
    assert_eq!(removed.changed, 1);
    server.cluster.sql("copy", SWEEP_NOW).unwrap();
    let cleaned = async |store: &PostgresStore| (store.clean_bodies().await.unwrap(), pieces(folder.path()).len());
    assert_eq!(cleaned(&copy).await, (0, 2), "nobody has answered");
    copy.answer_restoration(RestorationDecision::Hold, "eve").await.unwrap();
    assert_eq!(cleaned(&copy).await, (0, 2), "the original is there");
    assert!(is_anothers(&copy).await && !is_anothers(&store).await);
    age_mark(folder.path());
    assert_eq!(cleaned(&copy).await, (2, 0), "nobody else has been there");
    // The place is the copy's now.
    store.command(Command::Remove, Selection::default(), "eve").await.unwrap();
    assert_eq!(cleaned(&store).await, (0, 0));
    assert!(!is_anothers(&copy).await && is_anothers(&store).await);
    let waiting = server.cluster.sql("test_0", "SELECT count(*) FROM body_outside WHERE gone IS NOT NULL").unwrap();
    assert_eq!(waiting, "2");
}

/// Files that were put back know less than the mark, whether a node notices it or not.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_an_earlier_state_deletes_no_bodies_of_the_later() {
    let (mut server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let backup = tempfile::tempdir().unwrap();
    let settings = patient(server.database(), folder.path());
    let store = PostgresStore::open(&settings).await.unwrap();
    store.clean_bodies().await.unwrap();
    server.cluster.base_backup(backup.path()).unwrap();
    store.accept(message(b"after the backup"), None, vec![]).await.unwrap();
    server.cluster.sql("test_0", SWEEP_NOW).unwrap();
    store.clean_bodies().await.unwrap();
    age(&pieces(folder.path()));
    store.close().await;
    server.cluster.put_back(backup.path(), false).unwrap();
    let store = PostgresStore::open(&settings).await.unwrap();
    server.cluster.sql("test_0", "UPDATE body_place SET swept = 0").unwrap();
    assert_eq!((store.clean_bodies().await.unwrap(), pieces(folder.path()).len()), (0, 1));
    assert!(is_anothers(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_deletes_what_is_gone_though_it_cannot_look_for_more() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let store = PostgresStore::open(&in_folder(&server, folder.path())).await.unwrap();
    store.accept(message(b"body"), None, vec![]).await.unwrap();
    store.command(Command::Remove, Selection::default(), "eve").await.unwrap();
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END';
                  CREATE TRIGGER refuse BEFORE UPDATE ON body_place EXECUTE FUNCTION refuse()";
    server.cluster.sql("test_0", refuse).unwrap();
    let error = store.clean_bodies().await.unwrap_err().to_string();
    assert!(error.contains("refused") && pieces(folder.path()).is_empty(), "{error}");
}

/// As after a failover that has lost commits: what is read then is not the whole message.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_the_end_of_a_message_that_was_lost_is_an_error() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let inside = server.database();
    let outside = PostgresSettings { bodies: in_folder(&server, folder.path()).bodies, ..inside.clone() };
    for settings in [inside, outside] {
        let store = PostgresStore::open(&settings).await.unwrap();
        let member = member(&store).await;
        let accepted = store.accept(in_pieces(&store, &member).await, None, vec![]).await.unwrap().message;
        assert_eq!(store.read_body(accepted, 0).await.unwrap().unwrap(), "one");
        let lose = "DELETE FROM queue_message; DELETE FROM body WHERE piece = 2; UPDATE body_outside SET pieces = 2";
        server.cluster.sql("test_0", lose).unwrap();
        assert_eq!(store.read_body(accepted, 1).await.unwrap().unwrap(), "two");
        let read = store.read_body(accepted, 2).await;
        assert!(matches!(read, Err(StoreError::NotQueued)), "{read:?}");
        store.leave(&member).await.unwrap();
    }
}

/// Whatever becomes of the statement, and though the client of the store asks again, there is one message and one body.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_accepts_once_with_a_body_outside() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let bodies = Some(all_in(BodyPlace::Folder(folder.path().to_owned())));
    let (store, relay) = relayed_by(&server, |settings| PostgresSettings { bodies, ..settings }).await;
    let member = member(&store).await;
    store.accept(message(b"first"), None, vec![]).await.unwrap();
    for (how, number) in [(Cut::Before, 2), (Cut::After, 3)] {
        let mut new = message(b"the body");
        new.subject = Some("the subject that is cut".to_owned());
        relay.cut(b"the subject that is cut", how);
        let accepted = store.accept(new.clone(), Some(member.clone()), vec![]).await.unwrap();
        assert!(relay.has_cut());
        let again = store.accept(new.clone(), Some(member.clone()), vec![]).await.unwrap();
        assert_eq!((again.message, again.deliveries.clone()), (accepted.message, accepted.deliveries), "{how:?}");
        // The second body is deleted beside.
        let deadline = Instant::now() + Duration::from_secs(10);
        while pieces(folder.path()).len() != number && Instant::now() < deadline {
            store.clean_bodies().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(pieces(folder.path()).len(), number, "{how:?}");
        assert_eq!(content(&store, again.message).await, "the body");
    }
}

/// SeaweedFS, and what makes a bucket of it.
struct S3 {
    server: SeaweedFs,
    folder: TempDir,
}

impl S3 {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python");
        let (identity, authority) = Identity::shown_by(Device::Healthy, "localhost").unwrap();
        fs::write(folder.path().join("authority.pem"), authority).unwrap();
        let identity = (identity.certificate_pem(), identity.key_pem());
        let server = SeaweedFs::start_with(&python, folder.path(), Some(identity))
            .expect("SeaweedFS is not unpacked in target/peers, or does not start: run ./test once");
        Self { server, folder }
    }

    fn bucket(&self, endpoint: String) -> S3Settings {
        let BodyPlace::S3(bucket) = BodyPlace::parse("s3://mail/bodies").unwrap() else { panic!("not S3") };
        let key = S3Key { id: KEY_ID.to_owned(), secret: SECRET.to_owned() };
        S3Settings { endpoint: Some(endpoint), key, ..bucket }
    }

    fn plain(&self) -> S3Settings {
        self.bucket(format!("http://127.0.0.1:{}", self.server.port()))
    }

    fn encrypted(&self) -> S3Settings {
        let ca_file = Some(self.folder.path().join("authority.pem"));
        S3Settings { ca_file, ..self.bucket(format!("https://localhost:{}", self.server.tls_port())) }
    }
}

fn in_bucket(database: &PostgresSettings, bucket: S3Settings) -> PostgresSettings {
    PostgresSettings { bodies: Some(all_in(BodyPlace::S3(bucket))), ..database.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_bodies_in_s3_come_and_go() {
    let (server, s3) = (Server::start(), S3::start());
    let database = server.database();
    // Another handle lists what is there.
    let sql = |sql: &str| server.cluster.sql("test_0", sql).unwrap();
    let rows = async || sql("SELECT coalesce(sum(pieces), 0) FROM body_outside").parse().unwrap();
    come_and_go(&in_bucket(&database, s3.plain()), rows).await;
    // What the database has forgotten is found by a list.
    let store = PostgresStore::open(&in_bucket(&database, s3.encrypted())).await.unwrap();
    let kept = store.accept(message(b"kept"), None, vec![]).await.unwrap().message;
    for _ in 0..3 {
        let forgotten = store.accept(message(b"forgotten"), None, vec![]).await.unwrap().message;
        sql(&format!("DELETE FROM body_outside WHERE message = {}", forgotten.0));
    }
    // SeaweedFS says when in whole seconds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.clean_bodies().await.unwrap(), 3);
    assert_eq!(store.clean_bodies().await.unwrap(), 0);
    assert_eq!(content(&store, kept).await, "kept");
    let refused = async |bucket: S3Settings| match PostgresStore::open(&in_bucket(&database, bucket)).await {
        Err(StoreError::Bodies(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    };
    let key = S3Key { id: KEY_ID.to_owned(), secret: "wrong".to_owned() };
    let error = refused(S3Settings { key, ..s3.plain() }).await;
    assert!(matches!(error, BodiesError::Refused { .. }) && !error.to_string().contains("wrong"), "{error}");
    let error = refused(S3Settings { prefix: "other".to_owned(), ..s3.plain() }).await;
    assert!(matches!(error, BodiesError::Elsewhere { .. }), "{error}");
    for unverified in [
        S3Settings { ca_file: None, ..s3.encrypted() },
        S3Settings { endpoint: Some(format!("https://127.0.0.1:{}", s3.server.tls_port())), ..s3.encrypted() },
    ] {
        let error = refused(unverified).await.to_string();
        assert!(error.contains("no verified TLS connection"), "{error}");
    }
}

/// A store whose bucket is behind a front, and a body there. Bodies of more than ten bytes go there.
async fn behind(server: &Server, s3: &S3) -> (PostgresStore, Front, MessageKey) {
    let front = Front::before(s3.server.port()).unwrap();
    let bucket = s3.bucket(format!("http://127.0.0.1:{}", front.port()));
    let mut settings = in_bucket(&server.database(), bucket);
    settings.bodies.as_mut().unwrap().above = 10;
    let store = PostgresStore::open(&settings).await.unwrap();
    let kept = store.accept(message(LARGE), None, vec![]).await.unwrap().message;
    (store, front, kept)
}

const LARGE: &[u8] = b"more than ten bytes";

/// Mail that needs nothing from there flows.
async fn is_away(store: &PostgresStore, kept: MessageKey) {
    let began = Instant::now();
    let (accepted, read) = tokio::join!(store.accept(message(LARGE), None, vec![]), store.read_body(kept, 0));
    for result in [accepted.map(drop), read.map(drop)] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Bodies(BodiesError::Unavailable { .. })), "{error}");
    }
    // Both are given ten seconds.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    store.accept(message(b"small"), None, vec![]).await.unwrap();
}

/// What was written is there when it is back; what was begun and not accepted is deleted.
async fn is_back(server: &Server, store: &PostgresStore, kept: MessageKey) {
    // SeaweedFS answers with errors until its parts have found each other.
    wait_for(async || store.read_body(kept, 0).await.is_ok_and(|piece| piece.unwrap() == LARGE)).await;
    wait_for(async || store.accept(message(LARGE), None, vec![]).await.is_ok()).await;
    wait_for(async || {
        let _ = store.clean_bodies().await;
        server.cluster.sql("test_0", "SELECT count(*) FROM body_outside WHERE gone IS NULL").unwrap() == "2"
    })
    .await;
}

async fn wait_for(is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited 40 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_s3_that_is_slow_or_busy_is_not_waited_for() {
    let (server, s3) = (Server::start(), S3::start());
    let (store, front, kept) = behind(&server, &s3).await;
    for mood in [Mood::Busy, Mood::Silent] {
        front.become_mood(mood);
        is_away(&store, kept).await;
    }
    front.become_mood(Mood::Well);
    is_back(&server, &store, kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_s3_that_is_killed_is_used_again() {
    let (server, mut s3) = (Server::start(), S3::start());
    let (store, _front, kept) = behind(&server, &s3).await;
    s3.server.kill();
    is_away(&store, kept).await;
    s3.server.restart().unwrap();
    is_back(&server, &store, kept).await;
}
