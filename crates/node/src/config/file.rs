//! The sources of a node's settings: its own file, and the fleet's configuration for what is not the node's own.
//!
//! ```text
//!   file ───────────────────┬─ merged (scope.rs) ─> Config ──examine──> each fault at its place in the text that has it
//!   fleet's configuration ──┘
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use store::ConfigurationId;
use toml::{Table, Value};

use super::{
    Config, Examined, check,
    error::{ConfigErrors, Fault},
    examine::{Complaint, Findings, Purpose, examine},
    place::Place,
    scope::{self, Scope},
};

/// A file, as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    path: PathBuf,
    text: String,
}

/// A configuration for all nodes: only settings that are the fleet's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetConfig {
    /// `None`: it is not applied yet.
    pub id: Option<ConfigurationId>,
    pub toml: String,
    /// Version of Gatepost with which it was applied.
    pub program: String,
}

/// What is known of the fleet's configuration when a file is examined.
#[derive(Clone, Copy, Debug)]
pub enum Fleet<'a> {
    /// There is none: the file says everything.
    Absent,
    /// The store could not be read, for this reason.
    Unknown(&'a str),
    /// The same, and no node starts with it.
    Unusable(&'a str),
    Known(&'a FleetConfig),
}

impl File {
    /// The node's own file.
    pub fn read(path: &Path) -> Result<Self, ConfigErrors> {
        Self::of(path, std::fs::read(path).map_err(|error| ConfigErrors::own_unreadable(path, &error))?)
    }

    /// A file that an operator names to apply it.
    pub fn read_to_apply(path: &Path) -> Result<Self, ConfigErrors> {
        Self::of(path, std::fs::read(path).map_err(|error| ConfigErrors::unreadable(path, &error))?)
    }

    fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, ConfigErrors> {
        let text = String::from_utf8(bytes).map_err(|error| ConfigErrors::not_utf8(path, &error))?;
        Ok(Self { path: path.to_owned(), text })
    }

    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The file alone. Relative paths start at its folder.
    pub fn parse(&self) -> Result<Config, ConfigErrors> {
        self.checked_table().and_then(|table| self.typed(table))
    }

    /// The file's own settings with those of the fleet.
    pub fn merged(&self, fleet: &FleetConfig) -> Result<Config, ConfigErrors> {
        let own = self.checked_table()?;
        self.typed(scope::merged(&own, &fleet.checked_table()?))
    }

    /// Checks everything that the settings name: files, folders, addresses.
    pub fn examine(&self, fleet: Fleet<'_>, purpose: Purpose) -> Examined {
        let config = match fleet {
            Fleet::Absent | Fleet::Unknown(_) | Fleet::Unusable(_) => self.parse(),
            Fleet::Known(fleet) => self.merged(fleet),
        };
        let config = match config {
            Ok(config) => config,
            Err(errors) => return Examined { config: Err(errors), warnings: ConfigErrors::default() },
        };
        let Findings { mut errors, mut warnings } = examine(&config, purpose, Timestamp::now());
        // What the file names is examined first: a password that cannot be read explains a login that is refused.
        if let Fleet::Unusable(why) = fleet
            && errors.is_empty()
        {
            errors.push(Complaint::new(&["store", "url"], why));
        }
        if purpose != Purpose::Follow {
            warnings.extend(self.unused(fleet));
        }
        let (errors, warnings) = (self.placed(fleet, errors), self.placed(fleet, warnings));
        Examined { config: if errors.is_empty() { Ok(config) } else { Err(errors) }, warnings }
    }

    /// What this node cannot do if the fleet has this configuration. Empty: it can follow.
    pub fn complaints(&self, fleet: &FleetConfig) -> Vec<Complaint> {
        if let Err(complaints) = fleet.check() {
            return complaints;
        }
        match self.merged(fleet) {
            Ok(config) => examine(&config, Purpose::Serve, Timestamp::now()).errors,
            Err(errors) => errors.messages().map(|message| Complaint::new(&[], message)).collect(),
        }
    }

    /// The fleet's settings in this file, in canonical form, and the places of the node's own, which are not among them.
    pub fn for_fleet(&self) -> Result<(FleetConfig, Vec<String>), ConfigErrors> {
        self.parse()?;
        let file = table(&self.text);
        let toml = toml::to_string_pretty(&scope::part(&file, Scope::Fleet))
            .map_err(|error| ConfigErrors::new(&self.path, &self.text, vec![Fault::new(0..0, error.to_string())]))?;
        let own = names(scope::places(&file, Scope::Node), &file);
        Ok((FleetConfig { id: None, toml, program: env!("CARGO_PKG_VERSION").to_owned() }, own))
    }

    /// A complaint of a node about the fleet's settings in this file, at its place here.
    pub fn at_its_place(&self, complaint: &Complaint) -> ConfigErrors {
        self.faults(vec![complaint.clone()])
    }

    fn checked_table(&self) -> Result<Table, ConfigErrors> {
        match check::check(&self.text) {
            faults if faults.is_empty() => Ok(table(&self.text)),
            faults => Err(ConfigErrors::new(&self.path, &self.text, faults)),
        }
    }

    /// The check has passed: this fails only on a rule that the types alone contain.
    fn typed(&self, table: Table) -> Result<Config, ConfigErrors> {
        match table.try_into::<Config>() {
            Ok(config) => Ok(config.completed(self.path.parent().unwrap_or(Path::new("")))),
            Err(error) => Err(ConfigErrors::new(&self.path, &self.text, vec![Fault::from(error)])),
        }
    }

    /// Settings of the file that are the fleet's, while the fleet has them.
    fn unused(&self, fleet: Fleet<'_>) -> Vec<Complaint> {
        match fleet {
            Fleet::Absent | Fleet::Unusable(_) => Vec::new(),
            Fleet::Unknown(why) => {
                let message = format!(
                    "{why}. This check covers the file alone: whether the fleet has a configuration is not known"
                );
                vec![Complaint::new(&["store", "url"], message)]
            }
            Fleet::Known(fleet) => {
                let (file, label) = (table(&self.text), fleet.label());
                let complaint = |place: Vec<String>| {
                    let keys: Vec<&str> = place.iter().map(String::as_str).collect();
                    let setting = scope::name(&keys, &file);
                    Complaint::new(&keys, format!("{setting} is not used, because {label} applies; remove it here"))
                };
                scope::places(&file, Scope::Fleet).into_iter().map(complaint).collect()
            }
        }
    }

    /// Each in the text that has its setting.
    fn placed(&self, fleet: Fleet<'_>, complaints: Vec<Complaint>) -> ConfigErrors {
        let Fleet::Known(fleet) = fleet else { return self.faults(complaints) };
        let unused = scope::places(&table(&self.text), Scope::Fleet);
        let is_fleet_s = |complaint: &Complaint| {
            scope::of(&complaint.keys()) == Scope::Fleet && !unused.contains(&complaint.setting)
        };
        let (there, here): (Vec<_>, Vec<_>) = complaints.into_iter().partition(is_fleet_s);
        let there = faults(Path::new(&fleet.label()), &fleet.toml, there);
        self.faults(here).and(there)
    }

    fn faults(&self, complaints: Vec<Complaint>) -> ConfigErrors {
        faults(&self.path, &self.text, complaints)
    }
}

impl FleetConfig {
    pub fn version(&self) -> Option<u64> {
        self.id.map(|id| id.version)
    }

    /// Such as `version 7 of the fleet's configuration`.
    pub fn label(&self) -> String {
        match self.version() {
            Some(version) => format!("version {version} of the fleet's configuration"),
            None => "the fleet's new configuration".to_owned(),
        }
    }

    /// Checks what needs no machine, with this version of Gatepost.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        self.checked_table().map(drop)
    }

    /// Its settings, also where this version of Gatepost does not know all of them.
    pub fn table(&self) -> Table {
        table(&self.toml)
    }

    /// True if nodes that follow it refuse every recipient.
    pub fn accepts_no_domain(&self) -> bool {
        names_in(&self.table(), "accepted_domain").is_empty()
    }

    /// The setting that a complaint is about; `None`: no single one.
    pub fn setting_name(&self, complaint: &Complaint) -> Option<String> {
        Some(scope::name(&complaint.keys(), &self.table())).filter(|name| !name.is_empty())
    }

    /// A complaint in one line, with the setting's name.
    pub fn describe(&self, complaint: &Complaint) -> String {
        let (keys, message) = (complaint.keys(), &complaint.message);
        // Most messages begin with the last key.
        let last = keys.last().filter(|key| message.starts_with(&format!("{key}: ")));
        let keys = if last.is_some() { &keys[..keys.len() - 1] } else { &keys[..] };
        let name = scope::name(keys, &self.table());
        if name.is_empty() { message.clone() } else { format!("{name}: {message}") }
    }

    fn checked_table(&self) -> Result<Table, ConfigErrors> {
        match check::check(&self.toml) {
            faults if faults.is_empty() => Ok(self.table()),
            faults => Err(ConfigErrors::new(Path::new(&self.label()), &self.toml, faults)),
        }
    }

    /// The same, with the settings in the place of lines.
    fn check(&self) -> Result<(), Vec<Complaint>> {
        let (faults, place) = (check::check(&self.toml), Place::new(&self.toml));
        let complaint = |fault: Fault| Complaint { setting: place.setting_at(&fault.span), message: fault.message };
        if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().map(complaint).collect()) }
    }
}

fn faults(path: &Path, text: &str, complaints: Vec<Complaint>) -> ConfigErrors {
    let place = Place::new(text);
    let fault = |complaint: Complaint| Fault::new(place.of(&complaint.keys()), complaint.message);
    ConfigErrors::new(path, text, complaints.into_iter().map(fault).collect())
}

/// Empty if it is not TOML, which the checks have said then.
fn table(text: &str) -> Table {
    text.parse().unwrap_or_default()
}

/// The names of the tables in an array of tables.
pub(crate) fn names_in(table: &Table, array: &str) -> BTreeSet<String> {
    let tables = table.get(array).and_then(Value::as_array).into_iter().flatten();
    tables.filter_map(|table| table.get("name")?.as_str().map(str::to_owned)).collect()
}

fn names(places: Vec<Vec<String>>, file: &Table) -> Vec<String> {
    let name = |place: Vec<String>| scope::name(&place.iter().map(String::as_str).collect::<Vec<_>>(), file);
    places.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::new(Path::new("/etc/gatepost/gatepost.toml"), text)
    }

    fn fleet(toml: &str) -> FleetConfig {
        FleetConfig {
            id: Some(ConfigurationId { version: 7, ..Default::default() }),
            toml: toml.to_owned(),
            program: "9.9.9".to_owned(),
        }
    }

    const DOMAIN: &str = "[[accepted_domain]]\nname = \"a.test\"\nconnector = \"c\"\n";

    #[test]
    fn the_fleet_s_settings_replace_those_of_the_file() {
        let own = file(
            "[node]\nname = \"edge-1\"\nhostname = \"mx.test\"\n[inbound]\nlisten = [\"127.0.0.1:25\"]\nhops_max = 9\n\
             [retry]\nexpire = \"1h\"\n[history]\nkeep = \"5d\"\n",
        );
        let fleet = fleet(&format!(
            "[inbound]\nsize_max = \"1MiB\"\n[retry]\nback_off_first = \"1s\"\n{DOMAIN}\
             [[connector]]\nname = \"c\"\nhosts = [\"mx\"]\ntls_authorities = \"ca.pem\"\n"
        ));
        let config = own.merged(&fleet).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((config.node.name.as_str(), config.inbound.listen.len()), ("edge-1", 1));
        assert_eq!(config.inbound.size_max.bytes(), 1 << 20);
        // The file's own values for these are not used: the fleet's has the defaults.
        let defaults = Config::default();
        assert_eq!(config.inbound.hops_max, defaults.inbound.hops_max);
        assert_eq!((config.retry.expire, config.history.keep), (defaults.retry.expire, defaults.history.keep));
        // Names and paths are those of this machine.
        assert_eq!(config.connectors[0].hello, "mx.test");
        assert_eq!(config.connectors[0].tls_authorities.as_deref(), Some(Path::new("/etc/gatepost/ca.pem")));
        assert_eq!(own.parse().unwrap_or_else(|errors| panic!("{errors}")).inbound.hops_max, 9);
    }

    #[test]
    fn each_fault_is_at_its_place() {
        let own = file("[node]\ndata = \"/dev/null/x\"\n[retry]\nexpire = \"1h\"\n");
        let fleet = fleet(&format!(
            "{DOMAIN}[[connector]]\nname = \"c\"\nhosts = [\"mx\"]\ntls_authorities = \"/none/ca.pem\"\n"
        ));
        let Examined { config, warnings } = own.examine(Fleet::Known(&fleet), Purpose::Serve);
        let errors: Vec<String> = config.unwrap_err().messages().collect();
        assert!(errors[0].starts_with("/etc/gatepost/gatepost.toml:2:8: data: "), "{errors:?}");
        assert!(errors[1].starts_with("version 7 of the fleet's configuration:7:19: tls_authorities: "), "{errors:?}");
        let warnings: Vec<String> = warnings.messages().collect();
        assert_eq!(
            warnings,
            ["/etc/gatepost/gatepost.toml:3:1: [retry] is not used, because version 7 of the fleet's configuration \
              applies; remove it here"]
        );
        let complaints = own.complaints(&fleet);
        let described: Vec<String> = complaints.iter().map(|complaint| fleet.describe(complaint)).collect();
        assert!(described[0].starts_with("connector \"c\": tls_authorities: failed to read"), "{described:?}");
        assert!(described[1].starts_with("[node]: data: "), "{described:?}");
    }

    #[test]
    fn what_a_newer_version_wrote_is_named() {
        for (toml, expected) in [
            ("[retry]\nfuture = 1\n", "[retry] future: unknown key \"future\"; keys here are:"),
            ("[future]\nx = 1\n", "[future]: unknown key \"future\"; keys here are:"),
            (
                "[[connector]]\nname = \"c\"\nhosts = [\"mx\"]\nport = \"x\"\n",
                "connector \"c\" port: port must be an integer",
            ),
        ] {
            let fleet = fleet(toml);
            let complaints = file("").complaints(&fleet);
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            let described = fleet.describe(&complaints[0]);
            assert!(described.starts_with(expected), "{described}");
        }
    }

    #[test]
    fn only_the_fleet_s_settings_leave_the_file() {
        let own = file(&format!(
            "# a comment\n[store]\nurl = \"postgres://u@h/d\"\n[api]\nlisten = []\n[watch]\nmessages = 5\n\
             webhook = \"https://hooks.test/secret\"\nsecret_file = \"s\"\n{DOMAIN}[[connector]]\nhosts = [\"mx\"]\nname = \"c\"\n"
        ));
        let (part, own_settings) = own.for_fleet().unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(own_settings, ["[api]", "[store]", "[watch] secret_file", "[watch] webhook"]);
        for absent in ["secret", "postgres", "comment", "api"] {
            assert!(!part.toml.contains(absent), "{}", part.toml);
        }
        assert_eq!(part.table()["watch"]["messages"].as_integer(), Some(5));
        // A node's complaint about it is shown where the operator wrote it.
        let complaint = Complaint::new(&["connector", "0", "hosts"], "why");
        let shown: Vec<String> = own.at_its_place(&complaint).messages().collect();
        assert_eq!(shown, ["/etc/gatepost/gatepost.toml:14:9: why"]);
        // The same settings, however they are written, are the same configuration.
        let again = file(&part.toml).for_fleet().unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((again.0.toml, again.1), (part.toml, vec![]));
    }
}
