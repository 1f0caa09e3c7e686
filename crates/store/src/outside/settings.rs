//! Where bodies go that are not to be in the database, and what must be known to write there.

use std::{fmt, path::PathBuf, time::Duration};

use super::BodiesError;

/// Bodies that are not in the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BodiesSettings {
    pub place: BodyPlace,
    /// Smaller bodies are in the database. At most [`crate::INLINE_BODY_BYTES_MAX`].
    pub above: usize,
    /// What no message refers to is deleted at this age.
    pub orphan_age: Duration,
}

/// Long enough for a node that sees an old copy of the database, as after a failover, to be noticed: to it, the bodies of
/// all newer mail belong to nobody.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);

impl BodiesSettings {
    pub fn new(place: BodyPlace) -> Self {
        Self { place, above: crate::INLINE_BODY_BYTES_MAX, orphan_age: ORPHAN_AGE }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BodyPlace {
    /// A folder that all nodes share.
    Folder(PathBuf),
    S3(S3Settings),
}

/// A bucket of an S3 server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Settings {
    pub bucket: String,
    /// Before the names of all objects; may be empty.
    pub prefix: String,
    /// `None`: that of Amazon in the region.
    pub endpoint: Option<String>,
    pub region: String,
    pub key: S3Key,
    /// Certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// What requests are signed with. The secret is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Key {
    pub id: String,
    pub secret: String,
}

impl fmt::Debug for S3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl S3Key {
    /// Two lines: the access key ID and the secret access key.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match (lines.next(), lines.next(), lines.next()) {
            (Some(id), Some(secret), None) => Some(Self { id: id.to_owned(), secret: secret.to_owned() }),
            _ => None,
        }
    }
}

impl BodyPlace {
    /// An absolute path, or `s3://BUCKET/PREFIX`, for which endpoint, region and key are still to be set.
    pub fn parse(text: &str) -> Result<Self, BodiesError> {
        let wrong = || BodiesError::Place { text: text.to_owned() };
        if text.starts_with('/') {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let (bucket, prefix) =
            text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(wrong)?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let prefix = prefix.trim_end_matches('/');
        let is_prefix = prefix.is_empty() || prefix.split('/').all(|part| !part.is_empty() && is_plain(part));
        if bucket.is_empty() || !is_plain(bucket) || !is_prefix {
            return Err(wrong());
        }
        Ok(Self::S3(S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            key: S3Key::default(),
            ca_file: None,
        }))
    }
}

impl fmt::Display for BodyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3(S3Settings { bucket, prefix, .. }) => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "s3://{bucket}{slash}{prefix}")
            }
        }
    }
}

impl S3Settings {
    pub(super) fn origin(&self) -> Result<Origin, BodiesError> {
        match &self.endpoint {
            Some(endpoint) => Origin::parse(endpoint),
            None => {
                let host = format!("s3.{}.amazonaws.com", self.region);
                Ok(Origin { is_tls: true, host, port: 443 })
            }
        }
    }
}

/// The server behind an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// Mail in plaintext stays on this machine.
    pub fn parse(text: &str) -> Result<Self, BodiesError> {
        let wrong = |detail| BodiesError::Endpoint { text: text.to_owned(), detail };
        let uri: hyper::Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it is not an https URL")),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() || text.contains('@') {
            return Err(wrong("it has more than a host and a port"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        if !is_tls && !is_local {
            return Err(wrong("mail would cross the network in plaintext; plain http is only for this machine"));
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        for text in ["/mnt/bodies", "s3://mail", "s3://mail/a/b-1"] {
            assert_eq!(BodyPlace::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(BodyPlace::parse("s3://mail/a/").unwrap().to_string(), "s3://mail/a");
        for text in ["", "bodies", "s3://", "s3:///a", "s3://mail//a", "s3://mail/a b", "s3://u:p@mail", "https://x/y"]
        {
            let error = BodyPlace::parse(text).unwrap_err().to_string();
            assert!(error.contains("write /FOLDER"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_is_encrypted_beyond_this_machine() {
        let origin = |is_tls, host: &str, port| Origin { is_tls, host: host.to_owned(), port };
        for (text, expected) in [
            ("https://s3.test", origin(true, "s3.test", 443)),
            ("https://s3.test:8333/", origin(true, "s3.test", 8333)),
            ("http://127.0.0.1:8333", origin(false, "127.0.0.1", 8333)),
            ("http://[::1]:8333", origin(false, "::1", 8333)),
            ("http://localhost", origin(false, "localhost", 80)),
        ] {
            assert_eq!(Origin::parse(text).unwrap(), expected);
        }
        for (text, why) in [
            ("http://s3.test", "plaintext"),
            ("s3.test", "https URL"),
            ("https://s3.test/bucket", "more than"),
            ("https://id:secret@s3.test", "more than"),
            ("ftp://s3.test", "https URL"),
        ] {
            let error = Origin::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_has_two_lines_and_hides_its_secret() {
        let key = S3Key::parse("AKIA\r\n hunter2 \n\n").unwrap();
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("AKIA", "hunter2"));
        assert!(!format!("{key:?}").contains("hunter2"));
        assert_eq!([S3Key::parse("AKIA\n"), S3Key::parse(""), S3Key::parse("a\nb\nc")], [None, None, None]);
    }
}
