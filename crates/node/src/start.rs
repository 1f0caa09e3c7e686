//! The settings of a node: its own file, with what it has of the fleet's configuration.

use store::{
    Backend, ConfigurationId, Fleet as _, Following, PostgresError, RefusedConfiguration, StoreError,
    StoredConfiguration,
};

use crate::{
    config::{Config, ConfigErrors, Examined, File, Fleet, FleetConfig, Purpose},
    open::attach_as_node,
};

/// The settings with which a node starts.
pub struct Start {
    pub config: Config,
    /// `None`: the settings come from elsewhere, and stay as they are.
    pub(crate) file: Option<File>,
    pub(crate) followed: Followed,
}

/// What a node has of the fleet's configuration.
#[derive(Clone, Default)]
pub(crate) struct Followed {
    /// `None`: the node goes by its file alone.
    pub(crate) config: Option<FleetConfig>,
    pub(crate) refused: Option<RefusedConfiguration>,
}

impl From<Config> for Start {
    fn from(config: Config) -> Self {
        Self { config, file: None, followed: Followed::default() }
    }
}

impl From<StoredConfiguration> for FleetConfig {
    fn from(stored: StoredConfiguration) -> Self {
        let StoredConfiguration { record, toml } = stored;
        Self { id: Some(record.id()), toml, program: record.program }
    }
}

impl Followed {
    pub(crate) fn new(config: FleetConfig) -> Self {
        Self { config: Some(config), refused: None }
    }

    pub(crate) fn id(&self) -> Option<ConfigurationId> {
        self.config.as_ref().and_then(|config| config.id)
    }

    pub(crate) fn as_fleet(&self) -> Fleet<'_> {
        self.config.as_ref().map_or(Fleet::Absent, Fleet::Known)
    }

    pub(crate) fn report(&self) -> Following {
        Following { id: self.id(), refused: self.refused.clone() }
    }
}

impl Start {
    /// The file alone, with everything that it names.
    pub(crate) fn alone(file: File) -> Result<Self, ConfigErrors> {
        let config = examined(&file, Fleet::Absent, Purpose::Serve)?;
        Ok(Self { config, file: Some(file), followed: Followed::default() })
    }

    /// With the fleet's configuration: the version in force, or if this node cannot follow it, the one that the node
    /// followed before it stopped.
    pub(crate) async fn in_fleet(file: File, node: &str, store: &Backend) -> anyhow::Result<Self> {
        let Some(newest) = store.newest_configuration().await?.map(FleetConfig::from) else {
            return Ok(Self::alone(file)?);
        };
        if let Ok(config) = examined(&file, Fleet::Known(&newest), Purpose::Serve) {
            return Ok(Self { config, file: Some(file), followed: Followed::new(newest) });
        }
        let why = why_not(&file, &newest);
        let cannot = || {
            let (label, why) = (newest.label(), why.join("; "));
            anyhow::anyhow!(
                "this node cannot follow {label}, and has followed no other that the store has; fix this, or apply another one: {why}"
            )
        };
        let before = had_before(node, &newest, store).await?.ok_or_else(cannot)?;
        let config = examined(&file, before.as_fleet(), Purpose::Serve).map_err(|_| cannot())?;
        let refused = refused(&newest, why);
        log_refused(&refused, before.id());
        Ok(Self { config, file: Some(file), followed: Followed { refused: Some(refused), ..before } })
    }
}

pub(crate) fn examined(file: &File, fleet: Fleet<'_>, purpose: Purpose) -> Result<Config, ConfigErrors> {
    let Examined { config, warnings } = file.examine(fleet, purpose);
    // Where it cannot be used, they would be about something else.
    if config.is_ok() {
        warnings.messages().for_each(|warning| tracing::warn!("{warning}"));
    }
    config
}

/// What the node had when it reported last, if it was not the newest version. A node that went by its file alone, and has
/// refused a version since, goes by its file again.
async fn had_before(node: &str, newest: &FleetConfig, store: &Backend) -> store::Result<Option<Followed>> {
    let report = store.reports().await?.into_iter().find(|report| report.node == node);
    let Some(Following { id, refused }) = report.map(|report| report.configuration) else { return Ok(None) };
    match id {
        Some(id) if Some(id) != newest.id => {
            // After a restore of the database, its number may be that of another one.
            let stored = store.configuration(id.version).await?.filter(|stored| stored.record.id() == id);
            Ok(stored.map(|stored| Followed::new(stored.into())))
        }
        Some(_) => Ok(None),
        None => Ok(refused.map(|_| Followed::default())),
    }
}

/// The fleet's configuration, for a command that has not opened the store. `None`: there is none.
pub async fn fleet_config(config: &Config) -> anyhow::Result<Option<FleetConfig>> {
    if config.store.url.is_none() {
        return Ok(None);
    }
    let store = match attach_as_node(config).await {
        Ok(store) => store,
        // No node has run there yet.
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Postgres(PostgresError::Empty { .. }))) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let newest = store.newest_configuration().await;
    store.close().await;
    Ok(newest?.map(FleetConfig::from))
}

/// The settings that hold for the node of this file, for commands. If this version of Gatepost does not know a setting of
/// the version in force, the second value says so, and the settings are those that the node follows.
pub async fn in_force(file: &File, store: &Backend) -> anyhow::Result<(Config, Option<String>)> {
    let own = file.parse()?;
    let Some(newest) = store.newest_configuration().await?.map(FleetConfig::from) else { return Ok((own, None)) };
    let errors = match file.merged(&newest) {
        Ok(config) => return Ok((config, None)),
        Err(errors) => errors,
    };
    let before = had_before(&own.node.name, &newest, store).await?.and_then(|before| before.config);
    let (config, instead) = match before {
        Some(before) => (file.merged(&before).unwrap_or(own), before.label()),
        None => (own, "the file".to_owned()),
    };
    let reasons: Vec<String> = errors.messages().collect();
    Ok((config, Some(format!("{}; going by {instead}", unknown(&newest, reasons).join("; ")))))
}

/// A line for each fault; empty if the node can follow.
pub(crate) fn why_not(file: &File, fleet: &FleetConfig) -> Vec<String> {
    let complaints = file.complaints(fleet);
    let lines: Vec<String> = complaints.iter().map(|complaint| fleet.describe(complaint)).collect();
    if lines.is_empty() { lines } else { unknown(fleet, lines) }
}

/// If another version of Gatepost applied it, that may be why.
fn unknown(fleet: &FleetConfig, mut reasons: Vec<String>) -> Vec<String> {
    let own = env!("CARGO_PKG_VERSION");
    if fleet.program != own {
        let label = fleet.label();
        reasons.push(format!("{label} was applied with Gatepost {}, and this is Gatepost {own}", fleet.program));
    }
    reasons
}

pub(crate) fn refused(fleet: &FleetConfig, why: Vec<String>) -> RefusedConfiguration {
    RefusedConfiguration { id: fleet.id.unwrap_or_default(), why }
}

pub(crate) fn log_refused(refused: &RefusedConfiguration, kept: Option<ConfigurationId>) {
    let RefusedConfiguration { id, why } = refused;
    tracing::error!(
        version = id.version,
        kept = kept.map(|kept| kept.version),
        error = why.join("; "),
        "cannot follow the fleet's configuration; keeping what this node had, and trying again"
    );
}
