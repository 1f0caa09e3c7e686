//! A PostgreSQL server for one test, with a database for each store.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use gatepost_store::PostgresSettings;
use lab::postgres::{Cluster, PASSWORD};

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
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(peers, folder.path(), settings).unwrap();
        Self { cluster, databases: AtomicU32::new(0), _folder: folder }
    }

    /// A new database.
    pub(crate) fn database(&self) -> PostgresSettings {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        settings(&self.cluster.database(&name).unwrap())
    }
}

pub(crate) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings { password: Some(PASSWORD.to_owned()), ..PostgresSettings::new(url).unwrap() }
}
