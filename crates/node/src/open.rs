//! Opens the store that a configuration names: the one in the data folder, or a PostgreSQL server.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
};

use anyhow::{Context as _, bail};
use store::{Backend, PostgresSettings, PostgresTls};

use crate::config::{Config, Store, StoreTls};

/// For a node. `accept_loss`: an operator has said that a store that was lost is to be done without.
pub async fn open(config: &Config, accept_loss: bool) -> anyhow::Result<Backend> {
    let (folder, name) = (&config.node.data, &config.node.name);
    Ok(match server(&config.store)? {
        Some(_) if accept_loss => bail!("--accept-loss is for a store in the data folder; [store] url names a server"),
        Some(server) => {
            // Certificates and protocol logs are nobody else's to read.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("failed to create {}", folder.display()))?;
            Backend::open_server(&server).await?
        }
        None if accept_loss => Backend::open_despite_loss(folder, name)?,
        None => Backend::open(folder, name)?,
    })
}

/// For a command, beside running nodes or without them.
pub async fn attach(config: &Config) -> anyhow::Result<Backend> {
    Ok(match server(&config.store)? {
        Some(server) => Backend::attach_server(&server).await?,
        None => Backend::attach(&config.node.data)?,
    })
}

/// `None`: the store is in the data folder.
fn server(settings: &Store) -> anyhow::Result<Option<PostgresSettings>> {
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
