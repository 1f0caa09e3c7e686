//! A PostgreSQL server, and nodes that share it.

use std::path::Path;

use lab::postgres::{Cluster, PASSWORD};
use tempfile::TempDir;

use super::node::Setup;

/// A server with the database `gatepost`. It stops before its folder is deleted.
pub(crate) struct Server {
    pub cluster: Cluster,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// The same with settings such as `max_connections=20`.
    pub(crate) fn start_in(folder: TempDir, settings: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let peers = Cluster::find(&root).expect("PostgreSQL is not unpacked in target/peers: run ./test once");
        let cluster = Cluster::start(peers, folder.path(), settings).unwrap();
        cluster.database("gatepost").unwrap();
        Self { cluster, _folder: folder }
    }

    /// A node on it.
    pub(crate) fn node(&self, name: &str, setup: Setup) -> Setup {
        self.node_by(name, &self.cluster.url("gatepost"), setup)
    }

    /// The same by another way to the server.
    pub(crate) fn node_by(&self, name: &str, url: &str, setup: Setup) -> Setup {
        self.node_of(name, url, "", setup)
    }

    /// A node with more lines for `[store]`.
    pub(crate) fn node_with(&self, name: &str, store: &str, setup: Setup) -> Setup {
        self.node_of(name, &self.cluster.url("gatepost"), store, setup)
    }

    fn node_of(&self, name: &str, url: &str, store: &str, setup: Setup) -> Setup {
        let store = format!("[store]\nurl = {url:?}\npassword_file = \"password\"\n{store}");
        setup.named(name).more(&store).file("password", format!("{PASSWORD}\n").as_bytes())
    }
}
