//! How mail comes in, and for whom.

use std::{net::SocketAddr, path::PathBuf};

use insight::units::{ByteSize, Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How mail comes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inbound {
    /// IP addresses and ports to listen on. A change needs a restart.
    #[schemars(schema_with = "socket_addresses_required")]
    pub listen: Vec<SocketAddr>,
    /// Largest message that is taken; also what the SIZE extension announces (RFC 1870).
    pub size_max: ByteSize,
    /// Most recipients of one message. RFC 5321 section 4.5.3.1.8 asks for at least 100.
    #[schemars(range(min = 1))]
    pub recipients_max: u32,
    /// Longest line of a message's content. RFC 5321 section 4.5.3.1.6 asks for at least 1000 octets; real mail has
    /// longer ones.
    pub line_max: ByteSize,
    /// A session with this many refused or unknown commands is closed.
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
    /// Number of leading bits (1 to 32) of an IPv4 address that stand for one client. 24 counts a whole network
    /// of 256 addresses as one client. Requires a restart.
    #[schemars(range(min = 1, max = 32))]
    pub client_prefix_ipv4: u32,
    /// Number of leading bits (1 to 128) of an IPv6 address that stand for one client. One customer usually has a
    /// /64 or a larger network, and can use all its addresses. Requires a restart.
    #[schemars(range(min = 1, max = 128))]
    pub client_prefix_ipv6: u32,
    /// Maximum age of a session. An older session can begin no further message, and its client must connect again. The
    /// content of one message may take as long.
    pub session_max: Duration,
    /// Maximum wait for a client's next command (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Maximum wait for the next bytes of a message's content. Bytes that come more slowly than data_rate_min use up
    /// this time, too.
    pub data_timeout: Duration,
    /// Minimum number of bytes in a second that content must have, averaged over data_timeout.
    pub data_rate_min: ByteSize,
    /// Maximum memory for the content of messages that all sessions are receiving. Gatepost writes content beyond it to
    /// the data folder at once, as it does with large messages.
    pub content_memory_max: ByteSize,
    /// A message with more Received fields than this goes in a circle and is refused (RFC 5321 section 6.3).
    #[schemars(range(min = 1))]
    pub hops_max: u32,
    /// Offer STARTTLS (RFC 3207).
    pub starttls: bool,
    /// Certificate chain in PEM, the node's own certificate first, relative to the folder of this file. Unset: a
    /// self-signed certificate, made at the first start and kept in the data folder.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.pem")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of tls_certificate in PEM; the two are set together.
    #[schemars(with = "Option<String>", extend("format" = "path"), example = &"tls/mail.key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
}

impl Default for Inbound {
    fn default() -> Self {
        Self {
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

/// A domain that mail is taken for, and the connector that its mail leaves by. Without any, every recipient is refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDomain {
    /// The part of the recipient's address after the @. Its subdomains are domains of their own; "*.onprem.test" means
    /// all of them.
    #[schemars(extend("format" = "domain"), example = &"onprem.test")]
    pub name: String,
    /// Name of a [[connector]].
    #[schemars(example = &"onprem")]
    pub connector: String,
}

fn socket_addresses_required(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "format": "socket-address" } })
}
