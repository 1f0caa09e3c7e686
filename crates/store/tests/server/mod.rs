//! A PostgreSQL server for one test, with a database for each store.

pub(crate) mod relay;

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use gatepost_store::{
    Accepted, Content, Fleet as _, Member, NewDelivery, NewEvent, NewMessage, Outcome, PostgresSettings, PostgresStore,
    Settlement,
};
use jiff::Timestamp;
use lab::{
    peers::Peers,
    postgres::{Cluster, PASSWORD},
};
use protocol::smtp::{Address, Envelope, Reply, ReversePath};
use trace::{Event, EventKind, Received};
use uuid::Uuid;

pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    databases: AtomicU32,
    // Deleted after the server has stopped.
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let peers = Cluster::find(&root).expect("PostgreSQL is not unpacked in target/peers: run ./test once");
        Self::start_from(peers, settings)
    }

    pub(crate) fn start_18() -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/python");
        let peers = Cluster::find_18(&python).expect("PostgreSQL 18 is not unpacked in target/peers: run ./test once");
        Self::start_from(peers, &[])
    }

    fn start_from(peers: Peers, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(peers, folder.path(), settings).unwrap();
        Self { cluster, databases: AtomicU32::new(0), _folder: folder }
    }

    /// The name of a new database.
    pub(crate) fn make(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.cluster.database(&name).unwrap();
        name
    }

    /// A new database.
    pub(crate) fn database(&self) -> PostgresSettings {
        settings(&self.cluster.url(&self.make()))
    }
}

pub(crate) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings { password: Some(PASSWORD.to_owned()), ..PostgresSettings::new(url).unwrap() }
}

pub(crate) fn message(body: &[u8]) -> NewMessage {
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: Timestamp::now(),
        envelope: Envelope::from(ReversePath::Null),
        message_id: None,
        subject: None,
        size_bytes: body.len() as u64,
        client: None,
        content: Content::Inline(Bytes::copy_from_slice(body)),
        withhold_addresses: false,
        deliveries: vec![delivery("a@x.test")],
    }
}

pub(crate) fn delivery(recipient: &str) -> NewDelivery {
    NewDelivery {
        recipient: Address::parse(recipient).unwrap(),
        notify: None,
        orcpt: None,
        connector: "c".to_owned(),
        due_in: Duration::ZERO,
        review_in: Duration::from_secs(3600),
    }
}

pub(crate) async fn member(store: &PostgresStore) -> Member {
    store.join(&Uuid::now_v7().to_string()).await.unwrap().member
}

pub(crate) fn received(message: &NewMessage) -> NewEvent {
    event(
        message,
        EventKind::Received(Received {
            sender: message.envelope.sender.clone(),
            recipients: 1,
            size_bytes: 4,
            from: None,
            ehlo_name: "client.test".to_owned(),
            tls: None,
            handshake: None,
            session: "00".to_owned(),
        }),
    )
}

pub(crate) fn event(message: &NewMessage, kind: EventKind) -> NewEvent {
    let (at, message) = (message.received, message.network_message_id);
    Event { at, node: "n".to_owned(), message, recipient: None, kind }.into()
}

/// Delivered under the lease of its acceptance.
pub(crate) fn delivered(message: &NewMessage, accepted: &Accepted) -> Settlement {
    let reply = Reply::new(250, None, "ok");
    Settlement {
        delivery: accepted.deliveries[0],
        lease: accepted.lease.unwrap(),
        message: accepted.message,
        outcome: Outcome::Delivered { reply, at: Timestamp::now() },
        events: vec![event(message, EventKind::Retried { by: "a test".to_owned() })],
        notice: None,
        weak: None,
    }
}
