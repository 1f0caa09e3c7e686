//! Opens the store that a configuration names: the one in the data folder, or a PostgreSQL server.

use std::fs;

use anyhow::{Context as _, bail};
use store::{Backend, FolderLock, PostgresSettings, PostgresTls};

use crate::config::{Config, Store, StoreTls};

/// For a node. `accept_loss`: an operator has said that a store that was lost is to be done without. With a store
/// elsewhere, the data folder is locked apart from it: no other node may use it.
pub async fn open(config: &Config, accept_loss: bool) -> anyhow::Result<(Backend, Option<FolderLock>)> {
    let (folder, name) = (&config.node.data, &config.node.name);
    Ok(match server(&config.store)? {
        Some(_) if accept_loss => bail!("--accept-loss is for a store in the data folder; [store] url names a server"),
        Some(server) => {
            let lock = FolderLock::take_beside(folder, name)?;
            (Backend::open_server(&server).await?, Some(lock))
        }
        None if accept_loss => (Backend::open_despite_loss(folder, name)?, None),
        None => (Backend::open(folder, name)?, None),
    })
}

/// For a command, beside running nodes or without them.
pub async fn attach(config: &Config) -> anyhow::Result<Backend> {
    Ok(match server(&config.store)? {
        Some(server) => Backend::attach_server(&server).await?,
        None => Backend::attach(&config.node.data)?,
    })
}

/// The server that these settings name; `None`: the store is in the data folder.
pub fn server(settings: &Store) -> anyhow::Result<Option<PostgresSettings>> {
    let Some(url) = &settings.url else { return Ok(None) };
    let mut server = PostgresSettings::new(url)?;
    if let Some(path) = &settings.password_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("failed to read [store] password_file {}", path.display()))?;
        // Editors end a file with a line break.
        server.password = Some(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some(tls) = settings.tls {
        server.tls = match tls {
            StoreTls::Verify => PostgresTls::Verify,
            StoreTls::None => PostgresTls::None,
        };
    }
    server.ca_file.clone_from(&settings.ca_file);
    server.search_url.clone_from(&settings.search_url);
    Ok(Some(server))
}
