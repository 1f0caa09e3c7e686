//! Where the queue and its history are.

use std::path::PathBuf;

use insight::units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The queue and its history. They are in the node's data folder, unless nodes share a PostgreSQL server, see
/// docs/fleet.md.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// URL of a PostgreSQL server, version 15 or later, with its user and its database. For a server that moves
    /// between hosts, name all of them: postgres://gatepost@db1,db2/gatepost. Unset: the store is in the node's data
    /// folder, and no other node shares it. Requires a restart.
    #[schemars(extend("format" = "postgres"), example = &"postgres://gatepost@db.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// File with the password of that user. It replaces a password in a URL. Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/store-password")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// TLS to the server. Unset: verify, except on a loopback address or a socket, where it is none. Requires a
    /// restart.
    // Of an Option, the schema would have the choices one level deeper, where nobody looks for them.
    #[schemars(with = "StoreTls", example = &"verify")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<StoreTls>,
    /// PEM file with the authorities that may issue the server's certificate. Unset: the authorities of the system.
    /// Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/store-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// URL of a standby server for searches in the history, so that they take nothing from the primary. Searches then
    /// see new mail a moment later. Requires a restart.
    #[schemars(extend("format" = "postgres"), example = &"postgres://gatepost@db2.example/gatepost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_url: Option<String>,
    /// Place of the bodies of large messages: the absolute path of a folder that all nodes share, or a bucket of an S3
    /// server, s3://BUCKET/PREFIX. All nodes must name the same place. Unset: in the database. Requires a restart.
    #[schemars(extend("format" = "bodies"), example = &"/mnt/gatepost-bodies")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies: Option<String>,
    /// Bodies that are larger than this go there; at most 256KiB. Unset: 256KiB. Requires a restart.
    #[schemars(example = &"256KiB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_above: Option<ByteSize>,
    /// URL of the S3 server, without a bucket. It must be https, except on this machine. Unset: Amazon's in bodies_region.
    /// Requires a restart.
    #[schemars(extend("format" = "s3-endpoint"), example = &"https://s3.example:8333")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_endpoint: Option<String>,
    /// Region of the bucket. Unset: us-east-1, which most servers other than Amazon's accept. Requires a restart.
    #[schemars(example = &"eu-central-1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_region: Option<String>,
    /// File with the key for the bucket: the access key ID in its first line, the secret access key in its second.
    /// Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/s3-key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_key_file: Option<PathBuf>,
    /// PEM file with the authorities that may issue the S3 server's certificate. Unset: the authorities of the system.
    /// Requires a restart.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"/etc/gatepost/s3-ca.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_ca_file: Option<PathBuf>,
}

/// How the connection to the store is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreTls {
    /// TLS, with a certificate for the host in the URL.
    Verify,
    /// Plaintext.
    None,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn the_place_of_bodies_is_checked() {
        const URL: &str = "url = \"postgres://g@127.0.0.1/g\"\n";
        let faults = |lines: &str| {
            let text = format!("[store]\n{lines}");
            Config::parse(&text, Path::new("/etc/gatepost/gatepost.toml")).err().map(|errors| errors.to_string())
        };
        for lines in [
            "bodies = \"/mnt/b\"\nbodies_above = \"16KiB\"\n",
            "bodies = \"s3://mail/x\"\nbodies_key_file = \"key\"\nbodies_endpoint = \"https://s3.test\"\n",
        ] {
            assert_eq!(faults(&format!("{URL}{lines}")), None);
            let text = faults(lines).expect("without a server");
            assert!(text.contains("bodies requires url"), "{text}");
        }
        for (lines, words) in [
            ("bodies = \"mnt/b\"\n", "neither an absolute path nor an S3 bucket"),
            ("bodies = \"s3://mail\"\n", "bodies requires bodies_key_file"),
            ("bodies = \"/mnt/b\"\nbodies_above = \"1MiB\"\n", "at most 256KiB"),
            ("bodies = \"/mnt/b\"\nbodies_key_file = \"key\"\n", "requires bodies with an S3 bucket"),
            ("bodies_above = 1\n", "bodies_above requires bodies"),
            ("bodies = \"s3://mail\"\nbodies_key_file = \"key\"\nbodies_endpoint = \"http://s3.test\"\n", "plaintext"),
        ] {
            let text = faults(&format!("{URL}{lines}")).expect(words);
            assert!(text.contains(words), "{text}");
        }
    }
}
