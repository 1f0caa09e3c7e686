//! Errors as Exchange words them: containers whole and cut, and the causes inside.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_trace::exchange_error::{Container, Link, links};
use proptest::prelude::*;

#[test]
fn containers_of_two_generations() {
    let new = "Reason: [{LED=450 4.4.317 Cannot connect to remote server [Message=451 5.7.3 STARTTLS is required to send \
        mail] [LastAttemptedServerName=mail.x.test]};{MSG=};{FQDN=mail.x.test};{IP=192.0.2.1};{LRT=11/25/2026 8:00:00 AM}]. \
        OutboundProxyTargetIP: 192.0.2.7. OutboundProxyTargetHostName: proxy.x.test";
    let container = Container::read(new).unwrap();
    assert_eq!(
        (container.host, container.address, container.message),
        (Some("mail.x.test"), Some("192.0.2.1"), Some(""))
    );
    assert_eq!((container.last_retry, container.cut), (Some("11/25/2026 8:00:00 AM"), false));
    assert_eq!((container.proxy_address, container.proxy_host), (Some("192.0.2.7"), Some("proxy.x.test")));
    assert!(container.last_error.unwrap().ends_with("[LastAttemptedServerName=mail.x.test]"));
    assert_eq!(container.links().len(), 2);

    let old = "[{LRT=};{LED=550 5.7.1 RESOLVER.RST.AuthRequired; authentication required};{FQDN=};{IP=}]";
    let container = Container::read(old).unwrap();
    assert_eq!((container.last_retry, container.host, container.message), (Some(""), Some(""), None));
    let links = container.links();
    assert_eq!(
        (links.len(), links[0].code, links[0].exceptions.as_slice()),
        (1, Some(550), ["RESOLVER.RST.AuthRequired"].as_slice())
    );

    for text in ["", "250 2.1.5 Recipient OK", "{", "[{LED", "{lower=x}", "[{}]"] {
        assert_eq!(Container::read(text), None, "{text}");
    }
}

/// Code, enhanced code, text, names, Winsock number of each.
fn told<'a>(links: &[Link<'a>]) -> Vec<(u16, String, &'a str, Vec<&'a str>, u32)> {
    let enhanced = |link: &Link<'_>| link.enhanced.map(|code| code.to_string()).unwrap_or_default();
    let tell = |link: &Link<'a>| {
        (link.code.unwrap_or(0), enhanced(link), link.text, link.exceptions.clone(), link.winsock.unwrap_or(0))
    };
    links.iter().map(tell).collect()
}

#[test]
fn causes_are_chained_and_quoted() {
    let text = "550 5.4.300 Message expired -> 451 4.4.397 Error communicating with target host. -> 421 4.2.1 Unable to \
        connect -> SocketConnectionRefused: Socket error code 10061";
    assert_eq!(
        told(&links(text)),
        [
            (550, "5.4.300".into(), "Message expired", vec![], 0),
            (451, "4.4.397".into(), "Error communicating with target host.", vec![], 0),
            (421, "4.2.1".into(), "Unable to connect", vec![], 0),
            (0, "".into(), "SocketConnectionRefused: Socket error code 10061", vec!["SocketConnectionRefused"], 10061),
        ]
    );
    let text = "441 4.4.1 Error encountered while communicating with primary target IP address: \"Failed to connect. \
        Winsock error code: 10060, Win32 error code: 10060.\" Attempted failover to alternate host";
    let found = links(text);
    assert_eq!(found.len(), 2);
    assert_eq!((found[1].winsock, found[1].win32), (Some(10060), Some(10060)));
    assert_eq!(found[0].text, "Error encountered while communicating with primary target IP address");

    let text = "450 4.7.0 Proxy session setup failed on Frontend with '451 4.4.0 Primary target IP address responded with \
        \"454 4.7.0 Failed to establish appropriate TLS channel: UntrustedRoot: Access Denied.\" Attempted failover'";
    let codes: Vec<_> = links(text).iter().map(|link| link.code).collect();
    assert_eq!(codes, [Some(450), Some(451), Some(454)]);
    assert_eq!(links(text)[2].exceptions, ["UntrustedRoot"]);
}

#[test]
fn details_stand_in_brackets() {
    let text = "450 4.4.317 Cannot connect to remote server [Message=451 4.4.0 TLS negotiation failed with error \
        SocketError] [LastAttemptedServerName=mail.x.test] [LastAttemptedIP=192.0.2.1:25] [SmtpSecurity=-2;-2] \
        [DB1PEPF.eop.test 2026-11-25T08:00:00.000Z 08DE1]";
    let found = links(text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].detail("LastAttemptedIP"), Some("192.0.2.1:25"));
    assert_eq!(found[0].detail("SmtpSecurity"), Some("-2;-2"));
    assert_eq!(found[0].details[4].value, "DB1PEPF.eop.test 2026-11-25T08:00:00.000Z 08DE1");
    assert_eq!((found[1].code, found[1].exceptions.as_slice()), (Some(451), ["SocketError"].as_slice()));
    let found =
        links("450 4.4.316 Connection refused [Message=Socket error code 10061] [LastAttemptedIP=192.0.2.1:25]");
    assert_eq!((found.len(), found[0].winsock), (1, Some(10061)));
    for name in ["UnknownCredentials", "NoCredentials", "SocketError", "TlsNegotiationFailed"] {
        assert_eq!(links(&format!("TLS negotiation failed with error {name}"))[0].exceptions, [name]);
    }
}

/// As the gateway's own export writes it.
fn container(led: &str, host: &str, ip: &str, lrt: &str) -> String {
    format!("[{{LED={led}}};{{MSG=}};{{FQDN={host}}};{{IP={ip}}};{{LRT={lrt}}}]")
}

fn is_prefix(part: Option<&str>, whole: Option<&str>) -> bool {
    part.is_none_or(|part| whole.is_some_and(|whole| whole.starts_with(part)))
}

proptest! {
    #[test]
    fn what_the_gateway_writes_reads_back(led in "[ -|~é;\\[\\]{}\"]{0,60}", host in "[a-z.]{0,20}", ip in "[0-9.:]{0,15}") {
        let text = container(&led, &host, &ip, "2026-11-25T08:00:00.000Z");
        let container = Container::read(&text).unwrap();
        prop_assert_eq!(container.last_error, Some(led.as_str()));
        prop_assert_eq!((container.host, container.address, container.message), (Some(&*host), Some(&*ip), Some("")));
        prop_assert_eq!((container.last_retry, container.cut), (Some("2026-11-25T08:00:00.000Z"), false));
    }

    #[test]
    fn a_cut_container_gives_what_is_there(led in "[ -z|~é;\\[\\]\"]{0,60}", host in "[a-z.]{0,20}", cut in 0usize..200) {
        let whole = container(&led, &host, "192.0.2.1", "2026-11-25T08:00:00.000Z");
        let full = Container::read(&whole).unwrap();
        let text = &whole[..(0..=cut.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap()];
        let Some(part) = Container::read(text) else { return Ok(()) };
        prop_assert_eq!(part.cut, text.len() < whole.len());
        prop_assert!(is_prefix(part.last_error, full.last_error), "{:?}", part);
        prop_assert!(is_prefix(part.message, full.message) && is_prefix(part.host, full.host), "{:?}", part);
        prop_assert!(is_prefix(part.address, full.address) && is_prefix(part.last_retry, full.last_retry), "{:?}", part);
    }

    #[test]
    fn foreign_text_never_panics(text in "(LED=|\\{|\\}|\\];|->|\"|'|4[0-9]{2} |4\\.4\\.7 |Message=|Winsock error code: |\\PC|[\\[\\] ]){0,30}") {
        if let Some(container) = Container::read(&text) {
            container.links();
        }
        links(&text);
    }
}

/// A reader that looked from each beginning to the end of a megabyte would not end before the test runner ends it.
#[test]
fn beginnings_without_end_take_no_longer() {
    for beginning in ["};{", "[", "{", "\"421 ", "'421 ", "-> ", "[Message=", "[Message=] ["] {
        let text = format!("{{LED={}", beginning.repeat(1_000_000 / beginning.len()));
        let container = Container::read(&text);
        assert!(container.is_some(), "{beginning}");
        container.unwrap().links();
    }
}
