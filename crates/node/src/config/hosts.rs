//! The destinations of a connector: smart hosts, or the hosts of MX records.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use insight::text_in_file;

/// The destinations of a connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hosts {
    /// The MX records of the recipient's domain (RFC 5321 section 5.1).
    Mx,
    /// In order of preference; at least one.
    SmartHosts(Vec<SmartHost>),
}

/// The entry in the file for [`Hosts::Mx`].
pub(super) const MX: &str = "mx";

impl Serialize for Hosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mx => [MX].serialize(serializer),
            Self::SmartHosts(hosts) => hosts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hosts = Vec::<String>::deserialize(deserializer)?;
        match hosts.as_slice() {
            [] => Err(serde::de::Error::custom("a connector needs at least one host")),
            [host] if host == MX => Ok(Self::Mx),
            hosts => {
                let hosts: Result<Vec<SmartHost>, String> = hosts.iter().map(|host| host.parse()).collect();
                hosts.map(Self::SmartHosts).map_err(serde::de::Error::custom)
            }
        }
    }
}

impl JsonSchema for Hosts {
    fn schema_name() -> Cow<'static, str> {
        "hosts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "format": "host" } })
    }
}

/// One smart host: `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmartHost {
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// `None`: the connector's port.
    pub port: Option<u16>,
}

impl FromStr for SmartHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "\"{text}\" is not a host, such as \"mail.onprem.test\", \"mail.onprem.test:2525\", \"192.0.2.1\" or \
                 \"[2001:db8::1]:25\""
            )
        };
        if text == MX {
            return Err("\"mx\" must be the only entry: use [\"mx\"] or a list of smart hosts".to_owned());
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("write an IPv6 address in brackets: \"[{text}]\""));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(fault)?;
                host.parse::<Ipv6Addr>().map_err(|_| fault())?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(fault)?) };
                (host, port)
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(fault)).transpose()?;
        if !text.starts_with('[') && !is_host_name(host) {
            return Err(fault());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// True for a text that can follow the `@` of an address, including an address literal in brackets.
pub(super) fn is_host_name(text: &str) -> bool {
    protocol::smtp::Address::parse(&format!("postmaster@{text}")).is_ok_and(|address| address.domain() == text)
}

/// True for the address of a site as browsers write it: scheme, host, and the port if it is not the scheme's own. Plain HTTP
/// is for this machine.
pub(super) fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let Ok(SmartHost { host, port }) = authority.parse() else { return false };
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match scheme {
        "https" => port != Some(443),
        "http" => port != Some(80) && is_loopback,
        _ => false,
    }
}

impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

text_in_file!(SmartHost, "host", "string");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn smart_hosts() {
        for (text, host, port) in [
            ("mail.onprem.test", "mail.onprem.test", None),
            ("mail.onprem.test:2525", "mail.onprem.test", Some(2525)),
            ("127.0.0.1:2600", "127.0.0.1", Some(2600)),
            ("[::1]", "::1", None),
            ("[::1]:25", "::1", Some(25)),
        ] {
            let parsed: SmartHost = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        for text in
            ["", ":25", "a:b:c", "a:", "a:0", "a:70000", "::1", "[::1", "[::1]25", "[mail]:25", "a b", "mx", "a..b"]
        {
            assert!(text.parse::<SmartHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn origins() {
        for text in [
            "https://gatepost.example",
            "https://a.test:8443",
            "http://127.0.0.1:2581",
            "http://[::1]:2581",
            "http://localhost",
        ] {
            assert!(is_origin(text), "{text}");
        }
        for text in [
            "",
            "gatepost.example",
            "https://",
            "https://a.test/",
            "https://a.test/x",
            "https://a.test:443",
            "https://ana@a.test",
            "http://a.test",
            "http://127.0.0.1.a.test",
            "ftp://a.test",
            "https://a b",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics_and_reads_back(text in "[\\[\\]:a-z0-9.]{0,20}|\\PC*") {
            if let Ok(host) = text.parse::<SmartHost>() {
                prop_assert_eq!(host.to_string().parse(), Ok(host));
            }
        }
    }
}
