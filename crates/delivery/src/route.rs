//! Routes mail: from an accepted domain to its connector, and from MX records to hosts (RFC 5321 section 5.1).

use std::collections::HashMap;

use protocol::smtp::FailureKind;

/// The accepted domains with their connectors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    exact: HashMap<String, String>,
    /// Keyed by the part after `*.`.
    subdomains: HashMap<String, String>,
}

impl Routes {
    /// Pairs of domain (a key as `domain_key` makes it, or `*.` and a key for all its subdomains) and connector.
    pub fn new(domains: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut routes = Self::default();
        for (domain, connector) in domains {
            match domain.strip_prefix("*.") {
                Some(parent) => routes.subdomains.insert(parent.to_owned(), connector),
                None => routes.exact.insert(domain, connector),
            };
        }
        routes
    }

    pub fn accepts(&self, domain_key: &str) -> bool {
        self.connector_for(domain_key).is_some()
    }

    /// The most specific entry wins.
    pub fn connector_for(&self, domain_key: &str) -> Option<&str> {
        if let Some(connector) = self.exact.get(domain_key) {
            return Some(connector);
        }
        let mut rest = domain_key;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(connector) = self.subdomains.get(parent) {
                return Some(connector);
            }
            rest = parent;
        }
        None
    }
}

/// One MX record; the host is empty for the null MX (RFC 7505).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mx {
    pub preference: u16,
    pub host: String,
}

/// The hosts to try, in order of preference, and at random for equal preference. Hosts that are not better than this
/// one are left out, to prevent mail loops. Without records, the domain itself is the host.
pub fn order_mx(
    records: Vec<Mx>,
    domain: &str,
    own_names: &[&str],
    mut random: impl FnMut() -> u32,
) -> Result<Vec<String>, FailureKind> {
    if records.is_empty() {
        let own = own_names.iter().any(|own| own.eq_ignore_ascii_case(domain));
        return if own { Err(FailureKind::MailLoop) } else { Ok(vec![domain.to_owned()]) };
    }
    if records.iter().all(|mx| mx.host.is_empty()) {
        return Err(FailureKind::NullMx);
    }
    let is_own = |mx: &Mx| own_names.iter().any(|own| own.eq_ignore_ascii_case(&mx.host));
    let own = records.iter().filter(|mx| is_own(mx)).map(|mx| mx.preference).min();
    let mut usable: Vec<(u16, u32, String)> = records
        .into_iter()
        .filter(|mx| !mx.host.is_empty() && own.is_none_or(|own| mx.preference < own))
        .map(|mx| (mx.preference, random(), mx.host))
        .collect();
    if usable.is_empty() {
        return Err(FailureKind::MailLoop);
    }
    usable.sort();
    Ok(usable.into_iter().map(|(_, _, host)| host).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let pair = |domain: &str, connector: &str| (domain.to_owned(), connector.to_owned());
        let routes = Routes::new([pair("a.test", "a"), pair("*.a.test", "sub"), pair("*.b.a.test", "deep")]);
        for (domain, connector) in [
            ("a.test", Some("a")),
            ("x.a.test", Some("sub")),
            ("y.x.a.test", Some("sub")),
            ("x.b.a.test", Some("deep")),
            ("b.a.test", Some("sub")),
            ("test", None),
            ("xa.test", None),
            ("", None),
        ] {
            assert_eq!(routes.connector_for(domain), connector, "{domain}");
        }
    }

    #[test]
    fn mail_exchangers() {
        let order = |records: &[(u16, &str)]| {
            let records = records.iter().map(|(preference, host)| Mx { preference: *preference, host: (*host).into() });
            let mut counter = 0;
            order_mx(records.collect(), "d.test", &["edge.test"], || {
                counter += 1;
                u32::MAX - counter
            })
        };
        assert_eq!(order(&[]), Ok(vec!["d.test".into()]));
        assert_eq!(order(&[(0, "")]), Err(FailureKind::NullMx));
        assert_eq!(order(&[(20, "b"), (10, "a")]), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(order(&[(10, "a"), (10, "b")]), Ok(vec!["b".into(), "a".into()]));
        assert_eq!(order(&[(10, "a"), (20, "EDGE.test"), (20, "b"), (30, "c")]), Ok(vec!["a".into()]));
        assert_eq!(order(&[(10, "edge.test"), (20, "b")]), Err(FailureKind::MailLoop));
    }
}
