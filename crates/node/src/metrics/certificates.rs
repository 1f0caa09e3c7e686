//! When the certificates of this side expire.

use std::path::Path;

use net::tls::read_certificates;

use crate::{config::Config, settings};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// `inbound`, or `connector` with its name.
    pub of: String,
    /// In seconds since 1970.
    pub at_s: i64,
}

/// As the files are now. A certificate that cannot be read is left out: the check of the configuration reports it.
pub(crate) fn expiries(config: &Config, data: &Path) -> Vec<Expiry> {
    let inbound = [("inbound".to_owned(), settings::certificate(config, data).0)];
    let connectors = config
        .connectors
        .iter()
        .filter_map(|connector| Some((format!("connector {}", connector.name), connector.tls_certificate.clone()?)));
    let expiry = |(of, path): (String, _)| {
        // The first one is this side's own.
        let validity = read_certificates(Path::new(&path)).ok()?.validity().into_iter().next()?;
        Some(Expiry { of, at_s: validity.not_after_s })
    };
    inbound.into_iter().chain(connectors).filter_map(expiry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_that_can_be_read_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let identity = lab::Identity::for_host("edge.test").unwrap();
        std::fs::write(folder.path().join("a.pem"), identity.certificate_pem()).unwrap();
        let text = "[[connector]]\nname = \"a\"\nhosts = [\"mx\"]\ntls_certificate = \"a.pem\"\ntls_key = \"a.key\"\n\
                    [[connector]]\nname = \"b\"\nhosts = [\"mx\"]\ntls_certificate = \"b.pem\"\ntls_key = \"b.key\"\n";
        let config = Config::parse(text, &folder.path().join("gatepost.toml")).unwrap();
        let found = expiries(&config, folder.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].of, "connector a");
        assert!(found[0].at_s > jiff::Timestamp::now().as_second());
    }
}
