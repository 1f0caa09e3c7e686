//! Opens the store that a configuration names: the one in the data folder, or a PostgreSQL server.

use std::fs;

use anyhow::Context as _;
use store::{
    Backend, BodiesError, BodiesSettings, BodyPlace, FolderLock, PostgresSettings, PostgresTls, S3Key, S3Settings,
};

use crate::config::{Config, Store, StoreTls};

/// In the data folder of a node whose store is elsewhere: what that store has confirmed to the node.
const WITNESS: &str = "store-seen.json";

/// For a node. `accept_loss`: an operator has said that a store that was lost is to be done without. With a store
/// elsewhere, the data folder is locked apart from it: no other node may use it.
pub async fn open(config: &Config, accept_loss: bool) -> anyhow::Result<(Backend, Option<FolderLock>)> {
    let (folder, name) = (&config.node.data, &config.node.name);
    Ok(match server(&config.store)? {
        Some(mut server) => {
            server.accept_loss = accept_loss;
            let lock = FolderLock::take_beside(folder, name)?;
            let server = PostgresSettings { witness: Some(folder.join(WITNESS)), ..server };
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
    server.bodies = settings.bodies.as_deref().map(|place| bodies(place, settings)).transpose()?;
    Ok(Some(server))
}

fn bodies(place: &str, settings: &Store) -> anyhow::Result<BodiesSettings> {
    let place = match BodyPlace::parse(place).context("[store] bodies")? {
        BodyPlace::S3(s3) => BodyPlace::S3(bucket(s3, settings)?),
        folder @ BodyPlace::Folder(_) => folder,
    };
    let mut bodies = BodiesSettings::new(place);
    if let Some(above) = settings.bodies_above {
        bodies.above = above.bytes() as usize;
    }
    Ok(bodies)
}

fn bucket(s3: S3Settings, settings: &Store) -> anyhow::Result<S3Settings> {
    let file = settings.bodies_key_file.as_ref().ok_or(BodiesError::NoKey)?;
    let text = fs::read_to_string(file)
        .with_context(|| format!("failed to read [store] bodies_key_file {}", file.display()))?;
    let key = S3Key::parse(&text).ok_or_else(|| BodiesError::KeyFile { file: file.display().to_string() })?;
    let region = settings.bodies_region.clone().unwrap_or(s3.region);
    let (endpoint, ca_file) = (settings.bodies_endpoint.clone(), settings.bodies_ca_file.clone());
    Ok(S3Settings { endpoint, region, key, ca_file, ..s3 })
}
