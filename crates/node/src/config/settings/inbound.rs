//! Settings for how mail comes in, and for which domains.

use std::{net::SocketAddr, path::PathBuf};

use insight::units::{ByteSize, Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::super::network::Network;

/// How mail comes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inbound {
    /// IP addresses and ports to listen on. Requires a restart.
    #[schemars(schema_with = "socket_addresses_required")]
    pub listen: Vec<SocketAddr>,
    /// Networks of load balancers. Each connection from there must begin with the PROXY protocol, version 2, which says
    /// who the client is (HAProxy: send-proxy-v2). Others must not, so that no stranger can claim to be somebody else.
    #[schemars(example = &["192.0.2.10"])]
    pub proxy_from: Vec<Network>,
    /// Maximum size of a message. Gatepost announces it with the SIZE extension (RFC 1870).
    pub size_max: ByteSize,
    /// Maximum number of recipients of one message. RFC 5321 section 4.5.3.1.8 requires at least 100.
    #[schemars(range(min = 1))]
    pub recipients_max: u32,
    /// Maximum length of a line in a message. RFC 5321 section 4.5.3.1.6 requires at least 1000 octets, but real mail
    /// has longer lines.
    pub line_max: ByteSize,
    /// Maximum number of refused or unknown commands in a session. Gatepost then closes the session.
    #[schemars(range(min = 1))]
    pub errors_max: u32,
    /// Maximum number of commands that do nothing for a message: NOOP, RSET, VRFY, HELP, a repeated EHLO or recipient,
    /// an empty BDAT. Gatepost then closes the session. Each message that it accepts starts the count again.
    #[schemars(range(min = 1))]
    pub junk_commands_max: u32,
    /// Maximum number of sessions open at once. Gatepost keeps a tenth of them for clients that have no session yet.
    #[schemars(range(min = 1))]
    pub connections_max: u32,
    /// Maximum number of sessions open at once from one client, on all addresses of listen together.
    #[schemars(range(min = 1))]
    pub connections_per_client_max: u32,
    /// Number of leading bits (1 to 32) of an IPv4 address that identify one client. 24 counts a whole network of 256
    /// addresses as one client. Requires a restart.
    #[schemars(range(min = 1, max = 32))]
    pub client_prefix_ipv4: u32,
    /// Number of leading bits (1 to 128) of an IPv6 address that identify one client. One customer usually has a /64 or
    /// a larger network, and can use all its addresses. Requires a restart.
    #[schemars(range(min = 1, max = 128))]
    pub client_prefix_ipv6: u32,
    /// Maximum age of a session. In an older session the client cannot start another message, and must connect again.
    /// The content of one message may also take this long.
    pub session_max: Duration,
    /// Maximum wait for a client's next command (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Maximum wait for the next bytes of a message's content. Bytes that arrive more slowly than data_rate_min also
    /// use up this time.
    pub data_timeout: Duration,
    /// Minimum number of bytes per second of a message's content, averaged over data_timeout.
    pub data_rate_min: ByteSize,
    /// Maximum memory for the content of messages that all sessions are receiving. Gatepost writes any further content
    /// to the data folder at once, as it does with large messages.
    pub content_memory_max: ByteSize,
    /// Maximum number of Received fields. Gatepost refuses a message with more, because it is in a mail loop (RFC 5321
    /// section 6.3).
    #[schemars(range(min = 1))]
    pub hops_max: u32,
    /// Whether Gatepost offers STARTTLS (RFC 3207).
    pub starttls: bool,
    /// File of the certificate chain in PEM, with the node's own certificate first. Unset: a self-signed certificate,
    /// which Gatepost creates at the first start and keeps in the data folder.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// File of the private key of tls_certificate in PEM. Set both or neither.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
            proxy_from: Vec::new(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 2525))],
            size_max: ByteSize::mebibytes(50),
            recipients_max: 1000,
            line_max: ByteSize::kibibytes(64),
            errors_max: 20,
            junk_commands_max: 100,
            connections_max: 10_000,
            connections_per_client_max: 200,
            client_prefix_ipv4: 32,
            client_prefix_ipv6: 64,
            session_max: Duration::hours(1),
            command_timeout: Duration::minutes(5),
            data_timeout: Duration::minutes(5),
            data_rate_min: ByteSize::of_bytes(500),
            content_memory_max: ByteSize::mebibytes(256),
            hops_max: 50,
            starttls: true,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// A domain that Gatepost accepts mail for, and the connector for its mail. Without an accepted domain, Gatepost
/// refuses every recipient.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDomain {
    /// Domain of the recipient's address, after the @. It does not include subdomains: "*.onprem.test" means all
    /// subdomains of onprem.test.
    #[schemars(extend("format" = "domain"), example = &"onprem.test")]
    pub name: String,
    /// Name of the [[connector]] that delivers this domain's mail.
    #[schemars(example = &"onprem")]
    pub connector: String,
}

fn socket_addresses_required(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "format": "socket-address" } })
}
