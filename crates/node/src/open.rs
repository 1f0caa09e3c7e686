//! Opens the store that a configuration names: the one in the data folder, or a PostgreSQL server.

use std::fs;

use anyhow::Context as _;
use store::{
    Backend, BodiesError, BodiesSettings, BodyPlace, FolderLock, Migration, PostgresError, PostgresSettings,
    PostgresTls, S3Key, S3Settings, SqliteStore, StoreError, WITNESS_FILE,
};

use crate::config::{Config, Store, StoreTls};

/// For a node. `accept_loss`: an operator has said that a store that was lost is to be done without. With a store
/// elsewhere, the data folder is locked apart from it: no other node may use it.
pub async fn open(config: &Config, accept_loss: bool) -> anyhow::Result<(Backend, Option<FolderLock>)> {
    let (folder, name) = (&config.node.data, &config.node.name);
    Ok(match server(&config.store)? {
        Some(mut server) => {
            server.accept_loss = accept_loss;
            let lock = FolderLock::take_beside(folder, name)?;
            Migration::new(folder, &server).refuse_left_behind()?;
            let server = PostgresSettings { witness: Some(folder.join(WITNESS_FILE)), ..server };
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

/// The same, and refuses a server that the node of these settings would refuse.
pub(crate) async fn attach_as_node(config: &Config) -> anyhow::Result<Backend> {
    Ok(match server(&config.store)? {
        Some(server) => {
            let witness = Some(config.node.data.join(WITNESS_FILE));
            Backend::attach_server(&PostgresSettings { witness, ..server }).await?
        }
        None => Backend::attach(&config.node.data)?,
    })
}

/// Refuses a data folder with which a node would not start, because its mail is in another store, or not in the one that is
/// named. What this user cannot read passes.
pub fn refuse_folder(config: &Config) -> anyhow::Result<()> {
    let folder = &config.node.data;
    let refused = match server(&config.store)? {
        Some(server) => Migration::new(folder, &server).refuse_left_behind(),
        None => SqliteStore::refuse_moved(folder),
    };
    match refused {
        Err(error @ StoreError::Migration(_)) => Err(error.into()),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// True if a node does not start either for this reason, until somebody changes something here or there. Other faults pass.
pub fn refuses_to_serve(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::Postgres(fault)) => !matches!(
            fault,
            PostgresError::Unreachable { .. }
                | PostgresError::NoConnection { .. }
                | PostgresError::Outdated { .. }
                | PostgresError::Older { .. }
        ),
        Some(error) => matches!(error, StoreError::Migration(_) | StoreError::Bodies(_)),
        None => false,
    }
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
