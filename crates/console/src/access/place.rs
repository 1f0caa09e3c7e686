//! Where a request was sent to and where it comes from, as browsers say it. Other sites' pages can make a browser send
//! requests here, and their names may lead to this machine (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

use crate::connection::Connection;

/// Who sends a request to the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    pub(crate) client: IpAddr,
    /// The browser speaks HTTPS, with this node or with a proxy before it.
    pub(crate) is_https: bool,
}

impl Caller {
    /// `url`: `[console] url`. `None`: the request names a host that this console does not have.
    pub(crate) fn of(connection: &Connection, url: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let own = url.and_then(|url| url.split_once("://")).map(|(scheme, host)| (scheme == "https", host));
        let is_own = |host: &str| own.is_some_and(|(_, own)| own.eq_ignore_ascii_case(host));
        // Elsewhere the certificate protects from foreign names.
        let may_be = |host: &str| !connection.here.ip().is_loopback() || is_local(host) || is_own(host);
        let behind_https =
            own.is_some_and(|(is_https, _)| is_https) && is_for(uri, headers, is_own) && names_host(headers);
        let caller =
            Self { client: connection.client.ip().to_canonical(), is_https: connection.is_tls || behind_https };
        is_for(uri, headers, may_be).then_some(caller)
    }
}

fn names_host(headers: &HeaderMap) -> bool {
    headers.contains_key(header::HOST)
}

/// True for `localhost` and loopback addresses, with or without a port.
pub(crate) fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// True if each host that the request names meets the condition.
pub(crate) fn is_for(uri: &Uri, headers: &HeaderMap, is_host: impl Fn(&str) -> bool) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    uri.authority().is_none_or(|host| is_host(host.as_str())) && hosts.all(|host| host.to_str().is_ok_and(&is_host))
}

/// True if a page of this console has made the request, or if it only reads: a GET changes nothing.
///
/// Our pages send no referrer, and browsers therefore say `Origin: null` for their forms. `Sec-Fetch-Site` decides then.
pub(crate) fn is_from_here(method: &Method, headers: &HeaderMap, is_https: bool) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap_or("unreadable"));
        // Two of them: no browser sends that.
        if values.next().is_some() { Some("several") } else { first }
    };
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let is_own_origin = |origin: &str| match (origin.split_once("://"), text(header::HOST)) {
        // A proxy before this node may take HTTPS.
        (Some((scheme, origin)), Some(host)) => {
            (scheme == "https" || scheme == "http" && !is_https) && origin.eq_ignore_ascii_case(host)
        }
        _ => false,
    };
    match (site, text(header::ORIGIN)) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => is_own_origin(origin),
        _ => false,
    }
}

/// The path of a page of this console, such as `/queue?by=cause`; anything else may lead a browser elsewhere.
pub(crate) fn local_path(path: &str) -> Option<&str> {
    const BYTES_MAX: usize = 4096;
    let is_plain = path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'\\');
    let is_local = path.starts_with('/') && !path.starts_with("//");
    (is_plain && is_local && path.len() <= BYTES_MAX).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_console_act() {
        let (host, own) = ("console.test:2581", "https://console.test:2581");
        let fetched = |site, origin: Option<&'static str>| (Some(site), origin);
        for (is_https, (site, origin), is_here) in [
            // Chromium and Firefox, whose pages have the policy no-referrer, and with another policy.
            (true, fetched("same-origin", Some("null")), true),
            (true, fetched("same-origin", None), true),
            (true, fetched("same-origin", Some(own)), true),
            // Browsers before 2023.
            (true, (None, Some(own)), true),
            (false, (None, Some(own)), true),
            (false, (None, Some("http://console.test:2581")), true),
            (true, (None, Some("http://console.test:2581")), false),
            (true, (None, Some("HTTPS://console.test:2581")), false),
            (true, (None, Some("https://CONSOLE.test:2581")), true),
            (true, (None, Some("https://console.test")), false),
            (true, (None, Some("https://console.test:2581.evil.test")), false),
            (true, (None, Some("null")), false),
            (true, (None, Some("")), false),
            (true, (None, None), false),
            (true, fetched("same-origin", Some("https://evil.test")), false),
            (true, fetched("same-site", Some(own)), false),
            (true, fetched("cross-site", None), false),
            (true, fetched("cross-site", Some("null")), false),
            (true, fetched("none", None), false),
            (true, fetched("", Some(own)), false),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            site.map(|site| headers.insert("sec-fetch-site", site.parse().unwrap()));
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            assert_eq!(is_from_here(&Method::POST, &headers, is_https), is_here, "{headers:?}");
            assert!(is_from_here(&Method::GET, &headers, is_https));
            headers.append("sec-fetch-site", "same-origin".parse().unwrap());
            headers.append("sec-fetch-site", "same-origin".parse().unwrap());
            assert!(!is_from_here(&Method::POST, &headers, is_https));
        }
    }

    #[test]
    fn hosts_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:2580", "127.0.0.1:2580", "127.9.9.9", "[::1]:2580", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:2580",
            "localhost:2580.evil",
            "127.0.0.1:2580@evil",
            "evil@localhost",
            "evil@127.0.0.1:2580",
            "localhost:",
            "localhost:65536",
            "localhost:+1",
            "localhost:1:2",
            "localhost/",
            "localhost.",
            "[::1]evil",
            "[::1]:evil",
            "[127.0.0.1]",
            "::1",
            "192.0.2.1",
            "[",
            "",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn each_host_of_a_request_counts() {
        let headers = |hosts: &[&str]| hosts.iter().map(|host| (header::HOST, host.parse().unwrap())).collect();
        for (uri, hosts, is_local_request) in [
            ("/", &["localhost"] as &[_], true),
            ("/", &[], true),
            ("/", &["localhost", "evil.test"], false),
            ("http://localhost/", &["localhost"], true),
            ("http://evil.test/", &["localhost"], false),
        ] {
            assert_eq!(is_for(&uri.parse().unwrap(), &headers(hosts), is_local), is_local_request, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn foreign_names_do_not_lead_here() {
        let url = Some("https://console.test");
        for (here, is_tls, url, host, is_https) in [
            ("127.0.0.1:2581", false, None, "127.0.0.1:2581", Some(false)),
            ("127.0.0.1:2581", false, None, "localhost:2581", Some(false)),
            ("127.0.0.1:2581", false, None, "console.test", None),
            ("127.0.0.1:2581", false, url, "console.test", Some(true)),
            ("127.0.0.1:2581", false, url, "CONSOLE.test", Some(true)),
            ("127.0.0.1:2581", false, url, "console.test:80", None),
            ("127.0.0.1:2581", false, url, "evil.test", None),
            ("127.0.0.1:2581", false, url, "localhost", Some(false)),
            ("127.0.0.1:2581", false, Some("http://console.test"), "console.test", Some(false)),
            ("192.0.2.1:443", true, None, "mx.test", Some(true)),
            ("[::1]:2581", false, None, "[::1]:2581", Some(false)),
        ] {
            let connection =
                Connection { client: "[::ffff:192.0.2.9]:1".parse().unwrap(), here: here.parse().unwrap(), is_tls };
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            let caller = Caller::of(&connection, url, &Uri::from_static("/"), &headers);
            let expected = is_https.map(|is_https| Caller { client: [192, 0, 2, 9].into(), is_https });
            assert_eq!(caller, expected, "{here} {host}");
        }
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        for path in ["/", "/queue?by=cause", "/trace?recipient=ana%40a.test#row", "/a//b", "/@evil.test"] {
            assert_eq!(local_path(path), Some(path));
        }
        let long = format!("/{}", "x".repeat(5000));
        for path in [
            "",
            "queue",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "https://evil.test/",
            "javascript:alert(1)",
            "/\t/evil.test",
            "/\n/evil.test",
            " //evil.test",
            "/ x",
            "/é",
            "/\0",
            &long,
        ] {
            assert_eq!(local_path(path), None, "{path}");
        }
    }
}
