//! A host and a port in one text, as logs and people write them: `mail.example`, `192.0.2.1:25`, `[2001:db8::1]:25`.
//!
//! A port that the text does not name is not known: nothing here assumes one.

/// The host without brackets, and the port if the text names one.
pub fn split(text: &str) -> (&str, Option<u16>) {
    let named = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let port = named.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match port {
        Some((host, port)) => (bare(host), Some(port)),
        None => (bare(text), None),
    }
}

/// Written so that [`split`] reads it back. The host may be in brackets already.
pub fn join(host: &str, port: Option<u16>) -> String {
    match port {
        Some(port) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_port_come_apart_and_together() {
        for (text, host, port, joined) in [
            ("mail.example", "mail.example", None, "mail.example"),
            ("mail.example:2525", "mail.example", Some(2525), "mail.example:2525"),
            ("192.0.2.1:25", "192.0.2.1", Some(25), "192.0.2.1:25"),
            ("[2001:db8::1]:25", "2001:db8::1", Some(25), "[2001:db8::1]:25"),
            ("[2001:db8::1]", "2001:db8::1", None, "2001:db8::1"),
            ("2001:db8::25", "2001:db8::25", None, "2001:db8::25"),
            ("::1", "::1", None, "::1"),
            ("mail.example:smtp", "mail.example:smtp", None, "mail.example:smtp"),
            ("mail.example:70000", "mail.example:70000", None, "mail.example:70000"),
            ("", "", None, ""),
        ] {
            assert_eq!(split(text), (host, port), "{text}");
            assert_eq!(join(host, port), joined, "{text}");
        }
    }
}
