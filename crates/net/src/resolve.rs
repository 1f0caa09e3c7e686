//! Resolves names to addresses and mail exchangers. Failures distinguish "does not exist" from "nobody answered".

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{RData, RecordType},
    },
};
use protocol::{
    kept::cut,
    smtp::{FailureKind, address::address_literal},
};

/// The longest host name (RFC 1035 section 2.3.4). Unusual octets of a label are written with four characters each.
const HOST_BYTES_MAX: usize = 255;
/// Maximum length of the detail of a DNS failure.
const DETAIL_BYTES_MAX: usize = 200;

/// One MX record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailExchanger {
    pub preference: u16,
    /// Without the final dot; empty for the null MX (RFC 7505).
    pub host: String,
}

/// The name resolver of a node.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl Resolver {
    /// Asks `servers`, or if there are none, the servers in the system's resolv.conf.
    pub fn new(servers: &[SocketAddr], timeout: Duration) -> Result<Self, String> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
                .map_err(|error| format!("failed to read the system's resolver settings: {error}"))?
        } else {
            let config = ResolverConfig::from_parts(None, vec![], servers.iter().map(name_server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        builder.options_mut().timeout = timeout;
        builder.options_mut().attempts = 2;
        builder.build().map(Self).map_err(|error| format!("failed to set up the resolver: {error}"))
    }

    /// The IPv6 and IPv4 addresses of a host, in the order in which to try them.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, FailureKind> {
        if let Some(address) = host.parse().ok().or_else(|| address_literal(host)) {
            return Ok(vec![address]);
        }
        match self.0.lookup_ip(absolute(host)).await {
            Ok(found) => {
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() { Err(FailureKind::HostNotFound) } else { Ok(addresses) }
            }
            Err(error) => Err(failure(&error)),
        }
    }

    /// The MX records of a domain. Empty if it has none but exists (or has an address).
    pub async fn mail_exchangers(&self, domain: &str) -> Result<Vec<MailExchanger>, FailureKind> {
        let found = match self.0.lookup(absolute(domain), RecordType::MX).await {
            Ok(found) => found,
            Err(error) => match failure(&error) {
                // The lookup of its address shows whether the domain exists.
                FailureKind::HostNotFound => return Ok(vec![]),
                failure => return Err(failure),
            },
        };
        let exchangers = found.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(MailExchanger {
                preference: mx.preference,
                host: cut(mx.exchange.to_utf8().trim_end_matches('.'), HOST_BYTES_MAX),
            }),
            _ => None,
        });
        Ok(exchangers.collect())
    }
}

/// With a final dot, so that no search list is tried.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn failure(error: &NetError) -> FailureKind {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            FailureKind::HostNotFound
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            FailureKind::DnsFailure { detail: format!("the name server answered {}", none.response_code) }
        }
        NetError::Timeout => FailureKind::DnsFailure { detail: "no name server answered in time".to_owned() },
        other => FailureKind::DnsFailure { detail: cut(&other.to_string(), DETAIL_BYTES_MAX) },
    }
}
