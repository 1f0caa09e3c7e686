//! The configuration: one TOML file of each node, and what the fleet has decided for all nodes. Its settings, defaults and documentation have one source ([`settings`]).
//!
//! ```text
//!   text ──parse──> document ──check──> every fault with its place ──> ConfigErrors
//!                       └──────────────> Config, names and paths filled in
//!                       └─ with the fleet's settings in the place of the file's, if the fleet has a configuration
//! ```

mod check;
mod difference;
mod error;
mod examine;
mod file;
mod hosts;
mod listen;
mod network;
mod place;
mod reference;
mod scope;
mod settings;
mod spelling;

use std::path::{Path, PathBuf};

pub use difference::{Change, differences, recorded, reloaded};
pub use error::ConfigErrors;
pub use examine::{Complaint, Purpose};
pub(crate) use file::names_in;
pub use file::{File, Fleet, FleetConfig};
pub use hosts::{Hosts, SmartHost};
pub use insight::units::{ByteSize, Deadline, Duration, Rate};
pub use listen::why_not as why_not_listening;
pub use reference::reference;
pub use settings::*;
pub use spelling::hint;

/// A short commented file to start with. It uses loopback addresses only.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A configuration, checked with everything that it names.
pub struct Examined {
    /// `Err`: it cannot be used.
    pub config: Result<Config, ConfigErrors>,
    /// Settings that probably do not do what was meant.
    pub warnings: ConfigErrors,
}

impl Config {
    /// The names of all connectors and accepted domains.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let connectors = self.connectors.iter().map(|connector| connector.name.as_str());
        connectors.chain(self.accepted_domains.iter().map(|domain| domain.name.as_str()))
    }

    /// Reads the file. The error contains every fault in it.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        File::read(path)?.parse()
    }

    /// Reads `text` as the content of the file `path`. Relative paths start at the folder of that file.
    /// All settings but those that may have a secret.
    pub fn without_secrets(&self) -> Result<toml::Table, toml::ser::Error> {
        Ok(scope::parts_by_secrecy(&toml::Table::try_from(self)?).0)
    }

    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigErrors> {
        File::new(path, text).parse()
    }

    /// Fills in defaults that come from the machine or from other settings.
    fn completed(mut self, folder: &Path) -> Self {
        let machine = host_name();
        for name in [&mut self.node.name, &mut self.node.hostname] {
            if name.is_empty() {
                name.clone_from(&machine);
            }
        }
        self.node.data = folder.join(&self.node.data);
        let inbound = [&mut self.inbound.tls_certificate, &mut self.inbound.tls_key];
        let watch = [&mut self.watch.secret_file, &mut self.watch.tls_authorities];
        let store = &mut self.store;
        let store =
            [&mut store.password_file, &mut store.ca_file, &mut store.bodies_key_file, &mut store.bodies_ca_file];
        for path in inbound.into_iter().chain(watch).chain(store).chain([&mut self.protocol_log.folder]) {
            *path = path.as_ref().map(|path: &PathBuf| folder.join(path));
        }
        for domain in &mut self.accepted_domains {
            domain.name = domain_key(&domain.name);
        }
        for name in &mut self.notices.sender_domains {
            *name = domain_key(name);
        }
        for connector in &mut self.connectors {
            for path in [&mut connector.tls_authorities, &mut connector.tls_certificate, &mut connector.tls_key] {
                *path = path.as_ref().map(|path: &PathBuf| folder.join(path));
            }
            if connector.hello.is_empty() {
                connector.hello.clone_from(&self.node.hostname);
            }
        }
        self
    }
}

/// A domain in the form that lookups compare, with its `*.` if it has one.
fn domain_key(name: &str) -> String {
    let key = protocol::smtp::address::domain_key;
    name.strip_prefix("*.").map_or_else(|| key(name), |parent| format!("*.{}", key(parent)))
}

/// The machine's host name, or `localhost` if it is not valid in SMTP.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if hosts::is_host_name(&name) { name } else { "localhost".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("/etc/gatepost/gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn the_example_is_a_valid_file() {
        let config = parse(EXAMPLE);
        assert!(config.inbound.listen.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(config.accepted_domains[0].connector, config.connectors[0].name);
        assert_eq!(config.connectors[0].hosts, Hosts::SmartHosts(vec!["127.0.0.1:2600".parse().unwrap()]));
    }

    #[test]
    fn names_and_paths_are_filled_in() {
        let config = parse(
            "[node]\nhostname = \"mx.example\"\n[inbound]\ntls_certificate = \"a.pem\"\ntls_key = \"/b.pem\"\n\
             [[accepted_domain]]\nname = \"ONPREM.Test\"\nconnector = \"c\"\n\
             [[accepted_domain]]\nname = \"*.Bücher.test\"\nconnector = \"c\"\n\
             [[connector]]\nname = \"c\"\nhosts = [\"mx\"]\n",
        );
        assert!(!config.node.name.is_empty());
        assert_eq!(config.node.data, Path::new("/etc/gatepost/data"));
        assert_eq!(config.inbound.tls_certificate.as_deref(), Some(Path::new("/etc/gatepost/a.pem")));
        assert_eq!(config.inbound.tls_key.as_deref(), Some(Path::new("/b.pem")));
        assert_eq!(config.accepted_domains[0].name, "onprem.test");
        assert_eq!(config.accepted_domains[1].name, "*.xn--bcher-kva.test");
        assert_eq!(config.connectors[0].hello, "mx.example");
        assert_eq!(config.connector(INTERNET).map(|connector| connector.hello), Some("mx.example".to_owned()));
        assert_eq!(config.connector("none"), None);
    }

    #[test]
    fn what_is_shown_reads_back() {
        let config = parse(EXAMPLE);
        assert_eq!(parse(&toml::to_string_pretty(&config).unwrap()), config);
    }

    #[test]
    fn some_changes_need_a_restart() {
        let old = parse("[node]\nname = \"a\"\n");
        let new = parse("[node]\nname = \"b\"\n[inbound]\nlisten = [\"127.0.0.1:2526\"]\n[retry]\nexpire = \"2h\"\n");
        assert_eq!(old.restart_needed(&new), ["node.name", "inbound.listen"]);
        assert!(old.restart_needed(&old).is_empty());
    }
}
