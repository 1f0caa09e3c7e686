//! Where the server is, and how to log in.

use std::{path::PathBuf, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use super::unfit::{PostgresError, whole};
use crate::outside::BodiesSettings;

/// A host that does not answer for so long counts as down.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A server that acknowledges nothing for so long is gone.
const VANISHED: Duration = Duration::from_secs(20);

/// A PostgreSQL server as the store of a fleet.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgres://USER@HOST,HOST/DATABASE`
    pub url: String,
    pub password: Option<String>,
    pub tls: PostgresTls,
    /// Certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A standby that searches ask.
    pub search_url: Option<String>,
    /// Where a node keeps what the server has confirmed to it. With it, the next process notices that a backup was restored.
    pub witness: Option<PathBuf>,
    /// Where large bodies are, if that is not the database.
    pub bodies: Option<BodiesSettings>,
    /// An operator has said that a store, or the bodies of a place, that are lost are to be done without.
    pub accept_loss: bool,
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PostgresTls {
    /// With a certificate for that host name, from a trusted authority.
    Verify,
    None,
}

impl PostgresSettings {
    /// Over TLS, unless the server is on this machine.
    pub fn new(url: &str) -> Result<Self, PostgresError> {
        let tls = if is_local(&parse(url)?) { PostgresTls::None } else { PostgresTls::Verify };
        Ok(Self {
            url: url.to_owned(),
            password: None,
            tls,
            ca_file: None,
            search_url: None,
            witness: None,
            bodies: None,
            accept_loss: false,
        })
    }

    pub(super) fn primary(&self) -> Result<Config, PostgresError> {
        let mut config = self.config(&self.url)?;
        // With one host, too: it may be a name or an address that moves.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(config)
    }

    /// The URL without a password.
    pub fn name(&self) -> Result<String, PostgresError> {
        self.primary().map(|config| named(&config))
    }

    /// Where searches go.
    pub(super) fn standby(&self) -> Result<Option<Config>, PostgresError> {
        self.search_url.as_deref().map(|url| self.config(url)).transpose()
    }

    fn config(&self, url: &str) -> Result<Config, PostgresError> {
        let mut config = parse(url)?;
        if let Some(password) = &self.password {
            config.password(password);
        }
        config.ssl_mode(match self.tls {
            PostgresTls::Verify => SslMode::Require,
            PostgresTls::None => SslMode::Disable,
        });
        config.application_name("gatepost").connect_timeout(CONNECT_MAX);
        // A server that has vanished says nothing.
        config.tcp_user_timeout(VANISHED).keepalives_idle(VANISHED / 2).keepalives_interval(VANISHED / 4);
        Ok(config)
    }
}

fn parse(url: &str) -> Result<Config, PostgresError> {
    // The library takes it for parameters, and says something else.
    if let Some((scheme, _)) = url.split_once("://").filter(|(scheme, _)| !["postgres", "postgresql"].contains(scheme))
        && !scheme.contains('=')
    {
        return Err(PostgresError::Url { detail: format!("it begins with {scheme}://") });
    }
    let config: Config = url.parse().map_err(|error| PostgresError::Url { detail: whole(&error) })?;
    match config.get_hosts() {
        [] => Err(PostgresError::Url { detail: "it names no host".to_owned() }),
        _ if config.get_dbname().is_none() => Err(PostgresError::Url { detail: "it names no database".to_owned() }),
        _ => Ok(config),
    }
}

fn is_local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
    })
}

/// One configuration for each host, so that one that does not answer hides no other.
pub(super) fn each_host(config: &Config) -> Vec<Config> {
    let ports = config.get_ports();
    let one = |(index, host): (usize, &Host)| {
        let mut one = Config::new();
        match host {
            Host::Tcp(name) => one.host(name),
            Host::Unix(path) => one.host_path(path),
        };
        one.port(port(ports, index)).ssl_mode(config.get_ssl_mode());
        one.target_session_attrs(config.get_target_session_attrs()).connect_timeout(CONNECT_MAX);
        one.tcp_user_timeout(VANISHED).keepalives_idle(VANISHED / 2).keepalives_interval(VANISHED / 4);
        one.channel_binding(config.get_channel_binding()).ssl_negotiation(config.get_ssl_negotiation());
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(database) = config.get_dbname() {
            one.dbname(database);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        if let Some(name) = config.get_application_name() {
            one.application_name(name);
        }
        if let Some(address) = config.get_hostaddrs().get(index) {
            one.hostaddr(*address);
        }
        one
    };
    config.get_hosts().iter().enumerate().map(one).collect()
}

fn port(ports: &[u16], index: usize) -> u16 {
    ports.get(index).or(ports.first()).copied().unwrap_or(5432)
}

/// The URL with user, hosts and database alone, for commands and messages.
pub(super) fn named(config: &Config) -> String {
    let ports = config.get_ports();
    let host = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(ports, index)),
        Host::Tcp(name) => format!("{name}:{}", port(ports, index)),
        Host::Unix(path) => format!("{}:{}", escaped(&path.display().to_string()), port(ports, index)),
    };
    let hosts = config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(",");
    let user = config.get_user().map(|user| format!("{}@", escaped(user))).unwrap_or_default();
    format!("postgres://{user}{hosts}/{}", escaped(config.get_dbname().unwrap_or_default()))
}

/// A URL as people may see it: with `***` in the place of its password. Without one, it is as it was.
pub fn without_password(url: &str) -> String {
    let Ok(config) = parse(url) else { return url.to_owned() };
    if config.get_password().is_none() {
        return url.to_owned();
    }
    let hidden = hide_password(url)
        .filter(|hidden| parse(hidden).is_ok_and(|config| config.get_password() == Some(HIDDEN.as_bytes())));
    // It is written in another way, such as a parameter.
    hidden.unwrap_or_else(|| named(&config))
}

const HIDDEN: &str = "***";

fn hide_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, more) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = authority.rsplit_once('@')?;
    let (user, _) = login.split_once(':')?;
    Some(format!("{scheme}://{user}:{HIDDEN}@{hosts}{more}"))
}

fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The hosts with their ports, for messages.
pub(super) fn server(config: &Config) -> String {
    let ports = config.get_ports();
    let host = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(ports, index)),
        Host::Unix(path) => format!("{}:{}", path.display(), port(ports, index)),
    };
    config.get_hosts().iter().enumerate().map(host).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_named_without_its_password() {
        for (url, expected) in [
            ("postgres://gatepost:secret@db/mail", "postgres://gatepost@db:5432/mail"),
            ("postgres://a%40b:s@db1,db2:5433/mail?sslmode=disable", "postgres://a%40b@db1:5432,db2:5433/mail"),
            ("postgres://gatepost@%2Frun%2Fpostgresql/mail", "postgres://gatepost@%2Frun%2Fpostgresql:5432/mail"),
            ("host=10.0.0.1 user=u password=p dbname='a b'", "postgres://u@10.0.0.1:5432/a%20b"),
        ] {
            let name = named(&parse(url).unwrap());
            assert_eq!(name, expected);
            assert_eq!(named(&parse(&name).unwrap()), name, "it is read back");
        }
    }

    #[test]
    fn a_password_is_hidden() {
        for (url, shown) in [
            ("postgres://gatepost@db/mail", "postgres://gatepost@db/mail"),
            ("postgres://g:s3c%2Fret@db1,db2:5433/mail?x=y", "postgres://g:s3c%2Fret@db1,db2:5433/mail?x=y"),
            (
                "postgres://g:s3c%2Fret@db1,db2:5433/mail?channel_binding=require",
                "postgres://g:***@db1,db2:5433/mail?channel_binding=require",
            ),
            ("postgresql://g:s3:c@ret@db/mail", "postgresql://g:***@db/mail"),
            ("postgres://g@db/mail?password=s3cret", "postgres://g@db:5432/mail"),
            ("host=db user=g password=s3cret dbname=mail", "postgres://g@db:5432/mail"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
