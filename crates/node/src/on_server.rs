//! For tests: a node on a PostgreSQL server whose tables a test can set back, as a restore does.

use std::{fs, path::Path};

use lab::postgres::{Cluster, PASSWORD};
use store::Backend;
use tempfile::TempDir;

use crate::{
    Running,
    config::{Config, File},
    running::tests::NoConsole,
    start::Start,
};

pub(crate) struct OnServer {
    cluster: Cluster,
    pub(crate) store: Backend,
    config: Config,
    folder: TempDir,
    // Deleted after the server has stopped.
    _server: TempDir,
}

impl OnServer {
    /// The node's own file has `more`.
    pub(crate) async fn new(more: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        let peers = Cluster::find(&root).expect("PostgreSQL is not unpacked in target/peers: run ./test once");
        let (folder, server) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cluster = Cluster::start(peers, server.path(), &[]).unwrap();
        cluster.database("gatepost").unwrap();
        let text = format!(
            "[node]\nname = \"mx1\"\nhostname = \"mx1.test\"\ndata = \"data\"\n\
             [inbound]\nlisten = [\"127.0.0.1:0\"]\n\
             [store]\nurl = {:?}\npassword_file = \"password\"\n{more}",
            cluster.url("gatepost")
        );
        fs::write(folder.path().join("password"), PASSWORD).unwrap();
        fs::write(folder.path().join("gatepost.toml"), &text).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let config = Config::parse(&text, &folder.path().join("gatepost.toml")).unwrap();
        let store = Backend::open_server(&crate::open::server(&config.store).unwrap().unwrap()).await.unwrap();
        Self { cluster, store, config, folder, _server: server }
    }

    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let file = File::read(&self.folder.path().join("gatepost.toml"))?;
        let start = Start::in_fleet(file, &self.config.node.name, &self.store).await?;
        Running::start(start, self.store.clone(), &self.config.node.data, async |_, _, _| Ok(NoConsole)).await
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.cluster.sql("gatepost", sql).unwrap();
    }
}
