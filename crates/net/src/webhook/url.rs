//! A webhook's address: https, or http to this machine.

use std::net::IpAddr;

use hyper::Uri;

/// The parts of a URL that a call needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    pub(super) is_https: bool,
    /// For the lookup, without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// For the Host header field.
    pub(super) authority: String,
    /// Path with query.
    pub(super) path: String,
}

impl Url {
    /// The error is a continuation of the name of the setting.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no_url = || format!("\"{text}\" is not a URL such as \"https://alerts.example/hook\"");
        let uri: Uri = text.parse().map_err(|_| no_url())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(no_url()) };
        if authority.as_str().contains('@') {
            return Err(
                "a user name or password in a URL would appear in logs; remove it, because calls are signed instead"
                    .to_owned(),
            );
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_https = match scheme {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err("http:// is allowed for this machine only; use https://".to_owned()),
            _ => return Err(no_url()),
        };
        if host.is_empty() {
            return Err(no_url());
        }
        Ok(Self {
            is_https,
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host,
        })
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        let parts = |text: &str| Url::parse(text).map(|url| (url.is_https, url.host, url.port, url.path));
        let is = |https, host: &str, port, path: &str| Ok((https, host.to_owned(), port, path.to_owned()));
        assert_eq!(parts("https://alerts.example/a?b=c"), is(true, "alerts.example", 443, "/a?b=c"));
        assert_eq!(parts("https://[2001:db8::1]:8443"), is(true, "2001:db8::1", 8443, "/"));
        assert_eq!(parts("http://127.0.0.1:8080/hook"), is(false, "127.0.0.1", 8080, "/hook"));
        assert_eq!(parts("http://[::1]/"), is(false, "::1", 80, "/"));
        assert_eq!(parts("http://localhost/x"), is(false, "localhost", 80, "/x"));
        for (text, because) in [
            ("http://alerts.example/", "use https://"),
            ("http://127.0.0.1.alerts.example/", "use https://"),
            ("ftp://127.0.0.1/", "is not a URL"),
            ("https://user:word@alerts.example/", "would appear in logs"),
            ("/hook", "is not a URL"),
            ("https://", "is not a URL"),
            ("alerts.example", "is not a URL"),
            ("https://a b/", "is not a URL"),
            ("", "is not a URL"),
        ] {
            let error = parts(text).unwrap_err();
            assert!(error.contains(because), "{text}: {error}");
        }
    }
}
