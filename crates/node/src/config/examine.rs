//! Checks everything outside the file that a configuration names, before mail depends on it: certificates, keys and
//! other files, the data folder, addresses to listen on, and connectors that lead back to this node.
//!
//! ```text
//!   Config ──examine──> errors: the node could not work        ──> refused at start, reload and check
//!                       warnings: it works, but not as meant   ──> logged, and shown by check
//! ```

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
};

use jiff::Timestamp;
use net::tls::{self, TlsContext};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use super::{
    Config, Connector, Hosts,
    listen::{is_node_running, try_listen, user, why_not},
};

/// Gatepost warns of a certificate that expires within this time.
const RENEWAL_DAYS: i64 = 21;
const DAY_S: i64 = 86_400;

/// What the configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The check also tries to listen on the addresses.
    Check,
    /// A node starts or reloads its configuration. It listens on the addresses itself.
    Serve,
    /// A running node follows another version of the fleet's configuration. What its own file has besides was said before.
    Follow,
}

/// What is wrong with a setting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Complaint {
    /// The keys and indexes that lead to the setting, such as connector, 0, hosts. Empty: the file as a whole.
    pub setting: Vec<String>,
    pub message: String,
}

impl Complaint {
    pub(super) fn new(setting: &[&str], message: impl Into<String>) -> Self {
        Self { setting: setting.iter().map(|key| (*key).to_owned()).collect(), message: message.into() }
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        self.setting.iter().map(String::as_str).collect()
    }
}

#[derive(Default)]
pub(super) struct Findings {
    pub errors: Vec<Complaint>,
    pub warnings: Vec<Complaint>,
}

/// Checks everything that `config` names.
pub(super) fn examine(config: &Config, purpose: Purpose, now: Timestamp) -> Findings {
    let mut look = Look { config, now, findings: Findings::default() };
    look.inbound();
    for (index, connector) in config.connectors.iter().enumerate() {
        look.connector(index, connector);
    }
    look.policies();
    look.folders();
    look.watch();
    look.store();
    if purpose == Purpose::Check {
        look.addresses();
    }
    if config.accepted_domains.is_empty() {
        look.warn(
            &[],
            "no [[accepted_domain]]: Gatepost refuses every recipient; add the domains that you accept mail for",
        );
    }
    look.findings
}

struct Look<'a> {
    config: &'a Config,
    now: Timestamp,
    findings: Findings,
}

impl Look<'_> {
    fn error(&mut self, setting: &[&str], message: impl Into<String>) {
        self.findings.errors.push(Complaint::new(setting, message));
    }

    fn warn(&mut self, setting: &[&str], message: impl Into<String>) {
        self.findings.warnings.push(Complaint::new(setting, message));
    }

    fn inbound(&mut self) {
        let inbound = &self.config.inbound;
        if let (Some(certificate), Some(key)) = (&inbound.tls_certificate, &inbound.tls_key)
            && self.identity(&["inbound"], certificate, key)
            && let Err(error) = tls::acceptor(certificate, key)
        {
            self.error(&["inbound", "tls_certificate"], format!("failed to use tls_certificate: {error}"));
        }
    }

    fn connector(&mut self, index: usize, connector: &Connector) {
        let index = index.to_string();
        let here = ["connector", index.as_str()];
        let mut is_sound = true;
        if let (Some(certificate), Some(key)) = (&connector.tls_certificate, &connector.tls_key) {
            is_sound &= self.identity(&here, certificate, key);
        }
        if let Some(authorities) = &connector.tls_authorities {
            is_sound &= self.authorities(&here, authorities);
        }
        if is_sound {
            self.context(&here, connector);
        }
        self.loops(&here, connector);
    }

    /// Reports errors that OpenSSL finds in the settings together.
    fn context(&mut self, here: &[&str], connector: &Connector) {
        let Some(policy) = self.config.policy(&connector.tls_policy) else { return };
        let settings = crate::policy::tls_settings(connector, policy);
        if let Err(error) = TlsContext::default().check(&settings) {
            self.error(&[here, &["name"]].concat(), format!("connector \"{}\": {error}", connector.name));
        }
    }

    /// Checks this side's certificate and key. True if both can be used.
    fn identity(&mut self, here: &[&str], certificate: &Path, key: &Path) -> bool {
        let at = |setting: &'static str| [here, &[setting]].concat();
        let certificates = tls::read_certificates(certificate);
        let private = tls::read_private_key(key);
        if let Err(fault) = &certificates {
            self.error(&at("tls_certificate"), format!("tls_certificate: {fault}"));
        }
        if let Err(fault) = &private {
            self.error(&at("tls_key"), format!("tls_key: {fault}"));
        }
        let (Ok(certificates), Ok(private)) = (certificates, private) else { return false };
        if !certificates.fit(&private) {
            let (key, certificate) = (key.display(), certificate.display());
            let message = format!(
                "tls_key: {key} does not belong to the first certificate in {certificate}; name the key that the \
                 certificate was issued for, and put that certificate first"
            );
            self.error(&at("tls_key"), message);
            return false;
        }
        self.validity(&at("tls_certificate"), certificate, &certificates);
        true
    }

    fn authorities(&mut self, here: &[&str], path: &Path) -> bool {
        let setting = [here, &["tls_authorities"]].concat();
        match tls::read_certificates(path) {
            Ok(certificates) => self.validity(&setting, path, &certificates),
            Err(fault) => {
                self.error(&setting, format!("tls_authorities: {fault}"));
                return false;
            }
        }
        true
    }

    /// A warning only: an expired certificate still works, because most servers do not check it.
    fn validity(&mut self, setting: &[&str], path: &Path, certificates: &tls::Certificates) {
        let key = setting.last().copied().unwrap_or_default();
        let now_s = self.now.as_second();
        for certificate in certificates.validity() {
            let date =
                |seconds: i64| Timestamp::from_second(seconds).map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
            let (from, until) = (date(certificate.not_before_s), date(certificate.not_after_s));
            let days = (certificate.not_after_s - now_s) / DAY_S;
            let state = match (from, until) {
                (_, Ok(until)) if certificate.not_after_s <= now_s => format!("expired on {until}"),
                (_, Ok(until)) if days < RENEWAL_DAYS => format!("expires on {until}, {}", in_days(days)),
                (Ok(from), _) if certificate.not_before_s > now_s => format!("is not valid before {from}"),
                _ => continue,
            };
            let (subject, path) = (&certificate.subject, path.display());
            self.warn(setting, format!("{key}: the certificate \"{subject}\" in {path} {state}; renew it"));
        }
    }

    /// Mail to one of our own listeners would return until it has too many Received fields.
    fn loops(&mut self, here: &[&str], connector: &Connector) {
        let Hosts::SmartHosts(hosts) = &connector.hosts else { return };
        for (index, host) in hosts.iter().enumerate() {
            let port = host.port.unwrap_or(connector.port);
            let listens = |listen: &&SocketAddr| listen.port() == port && self.is_here(&host.host, listen.ip());
            if let Some(listen) = self.config.inbound.listen.iter().find(listens) {
                let message = format!(
                    "{host} is this node itself, which listens on {listen}: this would be a mail loop; name the \
                     destination's server"
                );
                let index = index.to_string();
                self.error(&[here, &["hosts", index.as_str()]].concat(), message);
            }
        }
    }

    /// True if a connection to that host reaches a listener of that address. Only this machine's own names are
    /// resolved.
    fn is_here(&self, host: &str, listen: IpAddr) -> bool {
        let own = ["localhost", self.config.node.hostname.as_str(), &super::host_name()];
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if listen.is_unspecified() => (ip.is_ipv4() || listen.is_ipv6()) && is_own_address(ip),
            Ok(ip) => ip == listen,
            Err(_) => {
                own.iter().any(|name| name.eq_ignore_ascii_case(host))
                    && (listen.is_unspecified() || is_own_address(listen))
            }
        }
    }

    fn policies(&mut self) {
        for (index, policy) in self.config.tls_policies.iter().enumerate() {
            for warning in tls::policy_warnings(&policy.policy()) {
                let index = index.to_string();
                self.warn(&["tls_policy", index.as_str(), warning.setting], warning.message);
            }
        }
    }

    fn folders(&mut self) {
        if let Err(fault) = check_folder(&self.config.node.data) {
            self.error(&["node", "data"], format!("data: {fault}"));
        }
        if let Some(Err(fault)) = self.config.protocol_log.folder.as_deref().map(check_folder) {
            self.warn(&["protocol_log", "folder"], format!("folder: {fault}"));
        }
    }

    fn watch(&mut self) {
        if let Some(path) = &self.config.watch.secret_file
            && let Err(error) = fs::read(path)
        {
            self.error(&["watch", "secret_file"], format!("secret_file: failed to read {}: {error}", path.display()));
        }
        if let Some(path) = &self.config.watch.tls_authorities {
            self.authorities(&["watch"], path);
        }
    }

    fn store(&mut self) {
        let store = &self.config.store;
        for (key, url) in [("url", &store.url), ("search_url", &store.search_url)] {
            if let Some(url) = url.as_ref().filter(|url| store::without_password(url) != **url)
                && store.password_file.is_some()
            {
                let url = store::without_password(url);
                self.warn(&["store", key], format!("{key}: the password in {url} is not used, because password_file applies; remove it from the URL"));
            }
        }
        if let Some(path) = &store.password_file
            && let Err(error) = fs::read_to_string(path)
        {
            let message = format!("password_file: failed to read {}: {error}", path.display());
            self.error(&["store", "password_file"], message);
        }
        if let Some(path) = &store.ca_file
            && let Err(fault) = tls::read_certificates(path)
        {
            self.error(&["store", "ca_file"], format!("ca_file: {fault}"));
        }
        if let Some(path) = &store.bodies_key_file {
            match fs::read_to_string(path).map(|text| store::S3Key::parse(&text)) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let error = store::BodiesError::KeyFile { file: path.display().to_string() };
                    self.error(&["store", "bodies_key_file"], format!("bodies_key_file: {error}"));
                }
                Err(error) => {
                    let message = format!("bodies_key_file: failed to read {}: {error}", path.display());
                    self.error(&["store", "bodies_key_file"], message);
                }
            }
        }
        if let Some(path) = &store.bodies_ca_file
            && let Err(fault) = tls::read_certificates(path)
        {
            self.error(&["store", "bodies_ca_file"], format!("bodies_ca_file: {fault}"));
        }
    }

    /// Each address stays in use until the end, so that an address named twice is found.
    fn addresses(&mut self) {
        let is_running = is_node_running(&self.config.node.data);
        let mut taken = Vec::new();
        let config = self.config;
        let all = [
            ("inbound", &config.inbound.listen),
            ("console", &config.console.listen),
            ("api", &config.api.listen),
            ("metrics", &config.metrics.listen),
        ];
        let each = all.into_iter().flat_map(|(table, listen)| listen.iter().enumerate().map(move |one| (table, one)));
        for (table, (index, address)) in each {
            match try_listen(*address) {
                Some(Ok(listener)) => taken.push(listener),
                Some(Err(error)) if error.kind() == io::ErrorKind::AddrInUse && is_running => {}
                Some(Err(error)) => {
                    let index = index.to_string();
                    let message = why_not(*address, &format!("[{table}] listen"), &error);
                    self.error(&[table, "listen", index.as_str()], message);
                }
                None => {}
            }
        }
    }
}

fn in_days(days: i64) -> String {
    match days {
        0 => "in less than a day".to_owned(),
        1 => "in 1 day".to_owned(),
        _ => format!("in {days} days"),
    }
}

/// Only an address of this machine can be bound. This sends no packet.
fn is_own_address(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Checks that files can be created in the folder, or if it does not exist, in its nearest existing parent.
fn check_folder(folder: &Path) -> Result<(), String> {
    let existing = folder.ancestors().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let Some(existing) = existing.into_iter().find(|folder| fs::symlink_metadata(folder).is_ok()) else {
        return Err(format!("failed to create {}: it has no existing parent folder", folder.display()));
    };
    let shown = existing.display();
    match fs::metadata(existing) {
        Err(error) => return Err(format!("failed to read {shown}: {error}")),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(format!("{shown} is not a folder; move it or name another folder"));
        }
        Ok(_) => {}
    }
    let writable = access(existing, Access::WRITE_OK | Access::EXEC_OK);
    let folder = folder.display();
    writable.map_err(|error| {
        let error = io::Error::from(error);
        format!(
            "{} is not allowed to write to {shown}: {error}; the node stores files in {folder}; make that user the owner of the folder",
            user()
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn warnings(text: &str, folder: &Path, now: Timestamp) -> Vec<String> {
        let config = Config::parse(text, &folder.join("gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let findings = examine(&config, Purpose::Serve, now);
        assert_eq!(findings.errors, vec![]);
        findings.warnings.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn certificates_that_soon_end_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        // Valid for 90 days.
        let identity = lab::Identity::for_host("edge.test").unwrap();
        fs::write(folder.path().join("a.pem"), identity.certificate_pem()).unwrap();
        fs::write(folder.path().join("a.key"), identity.key_pem()).unwrap();
        let text = "[inbound]\ntls_certificate = \"a.pem\"\ntls_key = \"a.key\"\n\
                    [[accepted_domain]]\nname = \"a.test\"\nconnector = \"internet\"\n";
        let warned = |days: i64| warnings(text, folder.path(), Timestamp::now() + (days * 24 + 1).hours());
        assert_eq!(warned(60), Vec::<String>::new());
        assert!(warned(75)[0].contains("expires on") && warned(75)[0].contains("renew it"), "{:?}", warned(75));
        for (days, left) in [(87, "in 2 days"), (88, "in 1 day;"), (89, "in less than a day")] {
            assert!(warned(days)[0].contains(left), "{:?}", warned(days));
        }
        assert!(warned(95)[0].contains("expired on"), "{:?}", warned(95));
        assert!(warned(-5)[0].contains("is not valid before"), "{:?}", warned(-5));
    }

    #[test]
    fn a_connector_to_ourselves_is_found_however_it_is_written() {
        for (listen, host, is_loop) in [
            ("127.0.0.1:2525", "127.0.0.1:2525", true),
            ("127.0.0.1:2525", "localhost:2525", true),
            ("127.0.0.1:2525", "edge.test:2525", true),
            ("0.0.0.0:2525", "127.0.0.9:2525", true),
            ("[::]:2525", "[::1]:2525", true),
            ("[::1]:2525", "[::1]:2525", true),
            ("127.0.0.1:2525", "127.0.0.1:2526", false),
            ("127.0.0.1:2525", "127.0.0.2:2525", false),
            ("0.0.0.0:2525", "192.0.2.1:2525", false),
            ("127.0.0.1:2525", "mail.onprem.test:2525", false),
        ] {
            let text = format!(
                "[node]\nhostname = \"edge.test\"\n[inbound]\nlisten = [\"{listen}\"]\n\
                 [[connector]]\nname = \"c\"\nhosts = [\"{host}\"]\n"
            );
            let config = Config::parse(&text, Path::new("gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}"));
            let findings = examine(&config, Purpose::Serve, Timestamp::now());
            let found = findings.errors.iter().any(|fault| fault.message.contains("loop"));
            assert_eq!(found, is_loop, "{listen} {host}: {:?}", findings.errors);
        }
    }

    #[test]
    fn folders_that_cannot_be_made_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check_folder(&folder.path().join("new/data")), Ok(()));
        assert!(check_folder(&file.join("data")).unwrap_err().contains("is not a folder"));
    }
}
