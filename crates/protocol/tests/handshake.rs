//! Handshakes, real ones from captures and made ones, and the facts that must come out. Every one is replayed whole,
//! byte by byte, at random splits, and cut short at every byte.

mod capture;

use std::{fmt::Write, path::Path, time::Duration};

use gatepost_protocol::tls::{
    Certificate, CertificateFault, CipherSuite, ClientHello, Ending, HandshakeFacts, KeyExchange, Observer,
    ServerHello, Side, WireVersion,
    schannel::{negotiation_failed, negotiation_succeeded, read_negotiation},
};
use proptest::prelude::*;

type Pieces = Vec<(Side, Vec<u8>)>;

const AT: Duration = Duration::from_millis(12);

fn observe<'a>(pieces: impl IntoIterator<Item = (Side, &'a [u8])>) -> Observer {
    let mut observer = Observer::default();
    for (side, bytes) in pieces {
        observer.observe(side, bytes, AT);
    }
    observer
}

fn whole(pieces: &Pieces) -> Observer {
    observe(pieces.iter().map(|(side, bytes)| (*side, bytes.as_slice())))
}

fn bytewise(pieces: &Pieces) -> Observer {
    observe(pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))))
}

/// What is seen of a handshake with one line for each kind of fact.
fn told(facts: &HandshakeFacts) -> String {
    let mut told = format!("{facts}\n");
    if let Some(hello) = &facts.client_hello {
        let ClientHello { cipher_suites, extensions, groups, signature_algorithms, length_bytes, .. } = hello;
        let name = hello.server_name.as_deref().unwrap_or("-");
        let (suites, signatures) = (cipher_suites.len(), signature_algorithms.len());
        let _ = writeln!(
            told,
            "hello: {suites} suites, {} extensions, {} groups, {signatures} signatures, {length_bytes} bytes, {name}",
            extensions.len(),
            groups.len(),
        );
    }
    for certificate in facts.certificates.iter().take(1) {
        let Certificate { subject, serial, key, key_bits, signature, .. } = certificate;
        let _ = writeln!(told, "{subject}: {serial}, {key} {key_bits}, {signature}, of {}", facts.certificates.len());
    }
    if facts.client_certificate_requested {
        told.push_str("client certificate requested\n");
    }
    let _ = writeln!(told, "{} and {} bytes", facts.client_bytes, facts.server_bytes);
    told
}

/// A capture, which of its connections, whether STARTTLS comes first, and what is seen of the handshake.
type Case = (&'static str, usize, bool, &'static str);

/// Recorded by the project.
#[rustfmt::skip]
const OWN: &[Case] = &[
    ("starttls-tls12.pcap", 0, true, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, key exchange x25519
hello: 30 suites, 10 extensions, 10 groups, 20 signatures, 512 bytes, -
CN=mail.onprem.test: 3B880DC9BC70BB3BC515E8CB3DD7E26AC541644D, RSA 2048, sha256WithRSAEncryption, of 1
610 and 1300 bytes
"),
    ("starttls-tls13.pcap", 0, true, "\
TLS 1.3, TLS_AES_256_GCM_SHA384, key exchange x25519
hello: 30 suites, 10 extensions, 10 groups, 20 signatures, 512 bytes, -
597 and 1380 bytes
"),
    ("starttls-rc4.pcap", 0, true, "\
TLS 1.0, TLS_RSA_WITH_RC4_128_SHA, key exchange RSA 2048 bits
hello: 2 suites, 5 extensions, 0 groups, 0 signatures, 77 bytes, -
CN=mail.onprem.test: 63335F61CFFF5B3B61A116DEDE2E27D92CA1F2E5, RSA 2048, sha256WithRSAEncryption, of 1
396 and 991 bytes
"),
    ("no-shared-cipher.pcap", 0, true, "\
offered TLS 1.0-1.3 with 30 suites; server sent alert 40 handshake_failure (fatal); unfinished after 12 ms
hello: 30 suites, 10 extensions, 10 groups, 20 signatures, 512 bytes, -
517 and 7 bytes
"),
    ("client-certificate.pcap", 0, true, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, key exchange x25519
hello: 30 suites, 10 extensions, 10 groups, 20 signatures, 512 bytes, -
CN=mail.onprem.test: 0C46D7BA8FCA481C2E62DB83F532FE814B884A2D, RSA 2048, sha256WithRSAEncryption, of 1
client certificate requested
622 and 1379 bytes
"),
];

/// Published by others.
#[rustfmt::skip]
const PUBLISHED: &[Case] = &[
    ("zeek-tls-tls1.2.pcap", 0, false, "\
TLS 1.2, TLS_RSA_WITH_RC4_128_MD5, key exchange RSA 2048 bits
hello: 79 suites, 5 extensions, 25 groups, 16 signatures, 317 bytes, -
CN=*.taleo.net, OU=Comodo PremiumSSL Wildcard, OU=Web, O=Taleo Inc., streetAddress=4140 Dublin Boulevard, streetAddress=Suite 400, L=Dublin, ST=CA, postalCode=94568, C=US: 99FAA8037A4EB2FAEF84EB5E55D5B8C8, RSA 2048, sha1WithRSAEncryption, of 3
632 and 3970 bytes
"),
    ("zeek-tls-ecdhe.pcap", 0, false, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, key exchange secp256r1
hello: 1 suites, 5 extensions, 25 groups, 15 signatures, 159 bytes, -
CN=*.google.com, O=Google Inc, L=Mountain View, ST=California, C=US: 1E58FDC12DE4C703, RSA 2048, sha1WithRSAEncryption, of 3
314 and 4476 bytes
"),
    ("zeek-tls-tls-early-alert.pcap", 0, false, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, key exchange secp256r1; server sent alert 112 unrecognized_name (warning)
hello: 11 suites, 9 extensions, 3 groups, 10 signatures, 215 bytes, jeffbryner.com
CN=www.jeffbryner.com, OU=Domain Control Validated, O=www.jeffbryner.com: 042703E620BCBA, RSA 2048, sha1WithRSAEncryption, of 4
853 and 5389 bytes
"),
    ("zeek-tls-tls-expired-cert.pcap", 0, false, "\
TLS 1.0, TLS_DHE_RSA_WITH_AES_256_CBC_SHA, key exchange DHE 1024 bits
hello: 79 suites, 5 extensions, 25 groups, 15 signatures, 315 bytes, -
CN=www.spidh.org, OU=COMODO SSL, OU=Domain Control Validated: F28EA84BC03A07066940CEEAF61EFEFB, RSA 2048, sha1WithRSAEncryption, of 2
518 and 3396 bytes
"),
    ("zeek-tls-tls-expired-cert.pcap", 1, false, "\
TLS 1.0, TLS_RSA_WITH_AES_256_CBC_SHA, key exchange RSA 2048 bits
hello: 79 suites, 5 extensions, 25 groups, 15 signatures, 315 bytes, -
CN=www.tobu-estate.com, OU=Terms of use at www.verisign.com/rpa (c)05, O=TOBU RAILWAY Co.\\,Ltd., L=Sumida-ku, ST=Tokyo, C=JP: 3A357032A2CC40165C91902DBC863069, RSA 2048, sha1WithRSAEncryption, of 3
646 and 4314 bytes
"),
    ("zeek-tls-client-certificate.pcap", 0, false, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, key exchange x25519
hello: 17 suites, 15 extensions, 6 groups, 11 signatures, 512 bytes, certauth.idrix.fr
CN=certauth.idrix.fr: 045A905E1EA86942AC3857B481D6DE9A85CB, RSA 2048, sha256WithRSAEncryption, of 3
client certificate requested
4304 and 6300 bytes
"),
    ("zeek-tls-tls13-wolfssl.pcap", 0, false, "\
TLS 1.3, TLS_AES_256_GCM_SHA384, key exchange secp256r1
hello: 1 suites, 6 extensions, 7 groups, 15 signatures, 199 bytes, -
278 and 1237 bytes
"),
    ("suricata-tls-tls-certs-alert.pcap", 0, false, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, key exchange secp256r1
hello: 27 suites, 8 extensions, 4 groups, 15 signatures, 209 bytes, example.com
CN=www.example.org, OU=Technology, O=Internet Corporation for Assigned Names and Numbers, L=Los Angeles, ST=California, C=US: 0FD078DD48F1A2BD4D0F2BA96B6038FE, RSA 2048, sha256WithRSAEncryption, of 3
340 and 4513 bytes
"),
    ("suricata-tls-tls-fingerprint-alert.pcap", 0, false, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, key exchange secp256r1
hello: 30 suites, 7 extensions, 3 groups, 11 signatures, 201 bytes, www.google.com
CN=www.google.com, O=Google Inc, L=Mountain View, ST=California, C=US: 2BA2F53BB5858375, RSA 2048, sha256WithRSAEncryption, of 3
332 and 3589 bytes
"),
    ("suricata-sslv2-tls-upgrade-01-ssl-v2-s1.pcap", 0, false, "\
TLS 1.0, TLS_DHE_RSA_WITH_AES_256_CBC_SHA, key exchange DHE 1024 bits
hello: 20 suites, 0 extensions, 0 groups, 0 signatures, 103 bytes, -
Email=aturner@netscreen.com, CN=sigdb.secteam.netscreen.com, OU=Security Team, O=NetScreen Technologies\\, Inc., L=Sunnyvale, ST=California, C=US: 55, RSA 1024, md5WithRSAEncryption, of 1
303 and 1316 bytes
"),
    ("suricata-ssl-version-negated.pcap", 1, false, "\
TLS 1.0, TLS_DHE_RSA_WITH_AES_256_CBC_SHA, key exchange DHE 1024 bits
hello: 20 suites, 0 extensions, 0 groups, 0 signatures, 103 bytes, -
Email=aturner@netscreen.com, CN=sigdb.secteam.netscreen.com, OU=Security Team, O=NetScreen Technologies\\, Inc., L=Sunnyvale, ST=California, C=US: 55, RSA 1024, md5WithRSAEncryption, of 1
303 and 1316 bytes
"),
    ("suricata-ssl-version-negated.pcap", 2, false, "\
TLS 1.0, TLS_DHE_RSA_WITH_AES_256_CBC_SHA, session resumed
hello: 20 suites, 0 extensions, 0 groups, 0 signatures, 115 bytes, -
179 and 138 bytes
"),
    ("zeek-tls-smtp-starttls.pcap", 0, true, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, key exchange secp256r1
hello: 79 suites, 6 extensions, 25 groups, 15 signatures, 512 bytes, -
CN=mx.google.com, O=Google Inc, L=Mountain View, ST=California, C=US: 325D8297987D50B0, RSA 2048, sha1WithRSAEncryption, of 3
643 and 4265 bytes
"),
    ("zeek-tls-imap-starttls.pcap", 0, true, "\
TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, key exchange secp256r1
hello: 90 suites, 5 extensions, 13 groups, 15 signatures, 313 bytes, -
CN=imap.gmx.net, Email=server-certs@1und1.de, L=Montabaur, ST=Rhineland-Palatinate, O=1&1 Mail & Media GmbH, C=DE: 339D9ED8E73927C9, RSA 2048, sha1WithRSAEncryption, of 3
444 and 5013 bytes
"),
    ("zeek-tls-pop3-starttls.pcap", 0, true, "\
TLS 1.2, TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, key exchange DHE 1024 bits
hello: 79 suites, 6 extensions, 25 groups, 15 signatures, 512 bytes, -
Email=postmaster@lilawelt.de, CN=chimaera.lilawelt.de, OU=Servers, O=Lilawelt, L=Munich, C=DE: 01, RSA 2048, md5WithRSAEncryption, of 1
client certificate requested
728 and 2350 bytes
"),
    ("suricata-smtp-tls-protodetect.pcap", 0, false, "\
offered up to TLS 1.2 with 27 suites; the server answered in plaintext: \"220 poczta.home-whs.pl ESMTP\"; unfinished after 12 ms
hello: 27 suites, 6 extensions, 4 groups, 15 signatures, 171 bytes, -
176 and 30 bytes
"),
];

fn captured(folder: &Path, &(name, flow, starttls, _): &Case) -> Pieces {
    let flow = capture::read(folder, name).swap_remove(flow);
    if starttls { flow.after_starttls().pieces } else { flow.pieces }
}

#[test]
fn captures_tell_their_facts() {
    assert_facts(&capture::own(), OWN);
}

#[test]
fn corpus_captures_tell_their_facts() {
    assert_facts(&capture::published(), PUBLISHED);
}

fn assert_facts(folder: &Path, cases: &[Case]) {
    for case @ &(name, flow, _, expected) in cases {
        let pieces = captured(folder, case);
        let observer = whole(&pieces);
        assert_eq!(told(observer.facts()), expected, "{name} {flow}");
        assert_eq!(bytewise(&pieces).facts(), observer.facts(), "{name} {flow}");
    }
}

/// A list that is longer in the end, or the same.
fn is_prefix<T: PartialEq>(short: &[T], long: &[T]) -> bool {
    long.starts_with(short)
}

fn is_unset_or_same<T: PartialEq>(short: &Option<T>, long: &Option<T>) -> bool {
    short.is_none() || short == long
}

/// Nothing that was told of the beginning is taken back.
fn assert_grows(short: &HandshakeFacts, long: &HandshakeFacts) {
    assert!(is_unset_or_same(&short.client_hello, &long.client_hello));
    assert!(is_prefix(&short.certificates, &long.certificates));
    assert!(is_prefix(&short.alerts, &long.alerts));
    let flags = |facts: &HandshakeFacts| [facts.client_certificate_requested, facts.resumed, facts.completed];
    assert!(flags(short).iter().zip(flags(long)).all(|(&short, long)| !short || long));
    assert!(short.client_bytes <= long.client_bytes && short.server_bytes <= long.server_bytes);
    if let (Some(short), Some(long)) = (&short.server_hello, &long.server_hello) {
        // The key exchange may come in a message of its own.
        assert!(is_unset_or_same(&short.key_exchange, &long.key_exchange));
        assert_eq!(ServerHello { key_exchange: long.key_exchange, ..short.clone() }, *long);
    }
    assert!(short.server_hello.is_none() || long.server_hello.is_some());
    assert!(short.malformed.is_none() || long.malformed.is_some());
}

#[test]
fn a_handshake_that_is_cut_short_tells_the_beginning() {
    let own = OWN.iter().map(|case| captured(&capture::own(), case));
    assert_beginnings(own.chain(made().into_iter().map(|made| made.pieces)));
}

#[test]
fn corpus_a_handshake_that_is_cut_short_tells_the_beginning() {
    assert_beginnings(PUBLISHED.iter().map(|case| captured(&capture::published(), case)));
}

fn assert_beginnings(handshakes: impl Iterator<Item = Pieces>) {
    for pieces in handshakes {
        let facts = whole(&pieces).into_facts();
        let mut observer = Observer::default();
        for (side, byte) in pieces.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|byte| (*side, byte))) {
            observer.observe(side, byte, AT);
            assert_grows(observer.facts(), &facts);
        }
    }
}

#[test]
fn one_side_alone_tells_its_part() {
    let flow = capture::read(&capture::own(), "starttls-tls12.pcap").swap_remove(0).after_starttls();
    let both = whole(&flow.pieces).into_facts();
    let client = whole(&flow.side(Side::Client).pieces).into_facts();
    let server = whole(&flow.side(Side::Server).pieces).into_facts();
    assert_eq!((&client.client_hello, &client.server_hello), (&both.client_hello, &None));
    assert_eq!((&server.client_hello, &server.server_hello), (&None, &both.server_hello));
    assert_eq!(server.certificates, both.certificates);
    assert!(!client.completed && !server.completed);
}

// Handshakes that are made here.

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 | u32::from(kind) << 24).to_be_bytes()[..], body].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    record(22, &message(kind, body))
}

fn alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

fn vector16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vector16(body)].concat()
}

const SESSION: [u8; 33] = [32; 33];

/// Three suites beside GREASE and signals, TLS 1.2 and 1.3.
fn client_hello() -> Vec<u8> {
    let extensions = [
        extension(0x3a3a, &[]),
        extension(0, &vector16(&[&[0], &vector16(b"mail.onprem.test")[..]].concat())),
        extension(10, &vector16(&[0x1a, 0x1a, 0, 29, 0, 23])),
        extension(13, &vector16(&[4, 3, 8, 4])),
        extension(43, &[6, 0xba, 0xba, 3, 3, 3, 4]),
    ];
    let suites = vector16(&[0x2a, 0x2a, 0x13, 0x01, 0xc0, 0x30, 0x00, 0x05, 0x00, 0xff, 0x56, 0x00]);
    let body = [&[3, 3][..], &[7; 32], &SESSION, &suites, &[1, 0], &vector16(&extensions.concat())].concat();
    handshake(1, &body)
}

fn server_hello(suite: u16, random: [u8; 32], extensions: &[Vec<u8>]) -> Vec<u8> {
    let suite = suite.to_be_bytes();
    handshake(2, &[&[3, 3][..], &random, &SESSION, &suite, &[0], &vector16(&extensions.concat())].concat())
}

fn tls12(suite: u16) -> Vec<u8> {
    server_hello(suite, [9; 32], &[])
}

fn tls13(more: &[Vec<u8>]) -> Vec<u8> {
    let share = extension(51, &[&[0, 29][..], &vector16(&[5; 32])].concat());
    server_hello(0x1301, [9; 32], &[&[extension(43, &[3, 4]), share], more].concat())
}

fn retry() -> Vec<u8> {
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    server_hello(0x1301, random, &[extension(43, &[3, 4]), extension(51, &[0, 23])])
}

fn change_cipher_spec() -> Vec<u8> {
    record(20, &[1])
}

fn client(bytes: Vec<u8>) -> (Side, Vec<u8>) {
    (Side::Client, bytes)
}

fn server(bytes: Vec<u8>) -> (Side, Vec<u8>) {
    (Side::Server, bytes)
}

struct Made {
    name: &'static str,
    pieces: Pieces,
    ended: Option<(Side, Ending)>,
    /// The facts in words, and Exchange's word for the failure.
    expected: (&'static str, &'static str),
}

fn made() -> Vec<Made> {
    let flight = || server([tls13(&[]), change_cipher_spec(), record(23, &[1; 700])].concat());
    let done = || server([tls12(0xc030), handshake(14, &[])].concat());
    let finished = |with: Vec<u8>| client([handshake(16, &[1; 33]), change_cipher_spec(), with].concat());
    let fin = Some((Side::Server, Ending::Fin));
    vec![
        Made {
            name: "no shared cipher",
            pieces: vec![client(client_hello()), server(alert(2, 40))],
            ended: fin,
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; server sent alert 40 handshake_failure (fatal); server closed \
                 (FIN) after 12 ms",
                "AlgorithmMismatch",
            ),
        },
        Made {
            name: "reset",
            pieces: vec![client(client_hello())],
            ended: Some((Side::Server, Ending::Reset)),
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; server reset the connection (RST) after 12 ms",
                "SocketError",
            ),
        },
        Made {
            name: "silence",
            pieces: vec![client(client_hello())],
            ended: Some((Side::Server, Ending::Silence)),
            expected: ("offered TLS 1.2-1.3 with 3 suites; server fell silent after 12 ms", "SocketError"),
        },
        Made {
            name: "STARTTLS without TLS",
            pieces: vec![client(client_hello()), server(b"454 4.7.0 TLS not available\r\n".to_vec())],
            ended: fin,
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; the server answered in plaintext: \"454 4.7.0 TLS not available\"; \
                 server closed (FIN) after 12 ms",
                "InvalidToken",
            ),
        },
        Made {
            name: "a long line with control characters",
            pieces: vec![server([&b"HTTP/1.1 400 \x1b[31m"[..], &[b'x'; 100], b"\r\n"].concat())],
            ended: None,
            expected: (
                "the server answered in plaintext: \"HTTP/1.1 400 ?[31mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
                 xxxxxxxxxxxxx\"; unfinished after 12 ms",
                "InvalidToken",
            ),
        },
        Made {
            name: "garbage after a hello",
            pieces: vec![server([tls12(0xc030), vec![0x16, 0x03, 0x03, 0xff, 0xff, 0]].concat())],
            ended: None,
            expected: (
                "server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; the server sent data that is not TLS after 81 \
                 bytes: 16 03 03 FF FF 00; unfinished after 12 ms",
                "InvalidToken",
            ),
        },
        Made {
            name: "a message without bounds",
            pieces: vec![server(record(22, &[11, 0xff, 0xff, 0xff, 0]))],
            ended: None,
            expected: ("the server sent a handshake message of 16777215 bytes; unfinished after 12 ms", "InvalidToken"),
        },
        Made {
            name: "TLS 1.3, said hello twice",
            pieces: vec![
                client(client_hello()),
                server([retry(), change_cipher_spec()].concat()),
                client([change_cipher_spec(), client_hello()].concat()),
                flight(),
                client(record(23, &[1; 53])),
                server(record(23, &[1; 100])),
            ],
            ended: fin,
            expected: ("TLS 1.3, TLS_AES_128_GCM_SHA256, key exchange x25519 after a HelloRetryRequest", "SocketError"),
        },
        Made {
            name: "TLS 1.3, session resumed with early data",
            pieces: vec![
                client([client_hello(), change_cipher_spec(), record(23, &[1; 300])].concat()),
                server([tls13(&[extension(41, &[0, 0])]), record(23, &[1; 90])].concat()),
                client([record(23, &[1; 21]), record(23, &[1; 53])].concat()),
            ],
            ended: None,
            expected: ("TLS 1.3, TLS_AES_128_GCM_SHA256, key exchange x25519, session resumed", "SocketError"),
        },
        Made {
            name: "TLS 1.3, the client alerts under encryption",
            pieces: vec![client(client_hello()), flight(), client(record(23, &[1; 19]))],
            ended: Some((Side::Client, Ending::Fin)),
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; server chose TLS 1.3, TLS_AES_128_GCM_SHA256, key exchange x25519; \
                 client sent an encrypted alert; client closed (FIN) after 12 ms",
                "IllegalMessage",
            ),
        },
        Made {
            name: "TLS 1.2, the server alerts under encryption",
            pieces: vec![
                client(client_hello()),
                done(),
                finished(record(22, &[1; 40])),
                server([change_cipher_spec(), record(21, &[1; 26])].concat()),
            ],
            ended: None,
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; \
                 server sent an encrypted alert; unfinished after 12 ms",
                "IllegalMessage",
            ),
        },
        Made {
            name: "TLS 1.2, session resumed",
            pieces: vec![
                client(client_hello()),
                server([tls12(5), change_cipher_spec(), record(22, &[1; 36])].concat()),
                client([change_cipher_spec(), record(22, &[1; 36])].concat()),
            ],
            ended: None,
            expected: ("TLS 1.2, TLS_RSA_WITH_RC4_128_SHA, session resumed", "SocketError"),
        },
        Made {
            name: "the client does not like the certificate",
            pieces: vec![client(client_hello()), done(), client(alert(2, 48))],
            ended: None,
            expected: (
                "offered TLS 1.2-1.3 with 3 suites; server chose TLS 1.2, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384; \
                 client sent alert 48 unknown_ca (fatal); unfinished after 12 ms",
                "UntrustedRoot",
            ),
        },
        Made { name: "nothing", pieces: vec![], ended: None, expected: ("no handshake was seen", "SocketError") },
    ]
}

#[test]
fn made_handshakes_tell_their_facts() {
    for Made { name, pieces, ended, expected } in made() {
        for mut observer in [whole(&pieces), bytewise(&pieces)] {
            if let Some((side, how)) = ended {
                observer.end(side, how, AT);
            }
            let failure = negotiation_failed(observer.facts());
            let expected_failure = format!("TLS negotiation failed with error {}", expected.1);
            assert_eq!((observer.facts().to_string(), failure), (expected.0.to_owned(), expected_failure), "{name}");
        }
    }
}

#[test]
fn hellos_are_told_without_what_means_nothing() {
    let hello = whole(&vec![client(client_hello())]).into_facts().client_hello.unwrap();
    assert_eq!(hello.versions, [WireVersion::TLS13, WireVersion::TLS12]);
    assert_eq!(hello.cipher_suites, [0x1301, 0xc030, 0x0005].map(CipherSuite));
    assert_eq!(hello.extensions, [0, 10, 13, 43]);
    assert_eq!((hello.groups, hello.signature_algorithms), (vec![29, 23], vec![0x0403, 0x0804]));
    assert_eq!(hello.server_name.as_deref(), Some("mail.onprem.test"));
}

#[test]
fn after_its_end_nothing_counts() {
    let last = made().into_iter().find(|made| made.name.starts_with("TLS 1.2, session resumed")).unwrap();
    let mut observer = whole(&last.pieces);
    let before = observer.facts().clone();
    assert!(observer.is_over() && before.completed);
    observer.observe(Side::Server, &alert(2, 40), 2 * AT);
    observer.end(Side::Server, Ending::Reset, 2 * AT);
    assert_eq!(observer.facts(), &before);
}

#[test]
fn a_fin_leaves_the_other_side_its_say() {
    let mut observer = whole(&vec![client(client_hello())]);
    observer.end(Side::Client, Ending::Fin, AT);
    assert!(!observer.is_over());
    observer.observe(Side::Server, &alert(2, 70), AT);
    observer.end(Side::Server, Ending::Fin, AT);
    let facts = observer.facts();
    assert!(observer.is_over());
    assert_eq!((facts.alerts.len(), facts.ended.map(|ended| ended.by)), (1, Some(Side::Client)));
}

// Exchange's words.

fn agreed(version: WireVersion, suite: u16, key_exchange: Option<KeyExchange>, key_bits: u32) -> HandshakeFacts {
    let certificate = Certificate {
        subject: "CN=mail.onprem.test".to_owned(),
        issuer: "CN=mail.onprem.test".to_owned(),
        serial: "01".to_owned(),
        not_before_s: 0,
        not_after_s: 0,
        names: vec![],
        names_omitted: 0,
        key: "RSA".to_owned(),
        key_bits,
        signature: "sha1WithRSAEncryption".to_owned(),
        thumbprint: String::new(),
    };
    let server_hello = ServerHello { version, cipher_suite: CipherSuite(suite), key_exchange, retried: false };
    HandshakeFacts {
        server_hello: Some(server_hello),
        certificates: vec![certificate],
        completed: true,
        ..Default::default()
    }
}

#[test]
fn exchange_names_what_was_agreed_on() {
    let dh = Some(KeyExchange::DiffieHellman { prime_bits: 1024 });
    #[rustfmt::skip]
    let cases = [
        (WireVersion::TLS10, 0x0005, None, "TLS1_0", "CALG_RC4", 128, "CALG_SHA1", 160, "CALG_RSA_KEYX", 2048),
        (WireVersion::TLS10, 0x0004, None, "TLS1_0", "CALG_RC4", 128, "CALG_MD5", 128, "CALG_RSA_KEYX", 2048),
        (WireVersion::SSL30, 0x000a, None, "SSL3", "CALG_3DES", 168, "CALG_SHA1", 160, "CALG_RSA_KEYX", 2048),
        (WireVersion::TLS11, 0x0039, dh, "TLS1_1", "CALG_AES_256", 256, "CALG_SHA1", 160, "CALG_DH_EPHEM", 1024),
        (WireVersion::TLS12, 0xc027, Some(KeyExchange::Group(23)), "TLS1_2", "CALG_AES_128", 128, "CALG_SHA_256", 256, "CALG_ECDH_EPHEM", 256),
        (WireVersion::TLS12, 0xc030, Some(KeyExchange::Group(24)), "TLS1_2", "CALG_AES_256", 256, "CALG_SHA_384", 0, "CALG_ECDH_EPHEM", 384),
        (WireVersion::TLS13, 0x1302, Some(KeyExchange::Group(29)), "TLS1_3", "CALG_AES_256", 256, "CALG_SHA_384", 0, "CALG_ECDH_EPHEM", 255),
        (WireVersion::TLS13, 0x1301, Some(KeyExchange::Group(256)), "TLS1_3", "CALG_AES_128", 128, "CALG_SHA_256", 0, "CALG_DH_EPHEM", 2048),
        (WireVersion::TLS12, 0x0041, None, "TLS1_2", "0", 128, "CALG_SHA1", 160, "CALG_RSA_KEYX", 2048),
    ];
    for (version, suite, key_exchange, protocol, bulk, bulk_bits, mac, mac_bits, exchange, exchange_bits) in cases {
        let line = negotiation_succeeded(Side::Client, &agreed(version, suite, key_exchange, 2048)).unwrap();
        let expected = format!(
            "TLS protocol SP_PROT_{protocol}_CLIENT negotiation succeeded using bulk encryption algorithm {bulk} with \
             strength {bulk_bits} bits, MAC hash algorithm {mac} with strength {mac_bits} bits and key exchange \
             algorithm {exchange} with strength {exchange_bits} bits"
        );
        assert_eq!(line, expected);
        // What was written reads back to what writes the same.
        assert_eq!(read_negotiation(&line).unwrap().to_string(), line);
    }
    let facts = agreed(WireVersion::TLS10, 5, None, 2048);
    assert_eq!(facts.to_string(), "TLS 1.0, TLS_RSA_WITH_RC4_128_SHA, key exchange RSA 2048 bits");
    assert!(negotiation_succeeded(Side::Server, &facts).unwrap().starts_with("TLS protocol SP_PROT_TLS1_0_SERVER "));
    assert_eq!(negotiation_succeeded(Side::Client, &HandshakeFacts { completed: false, ..facts }), None);
}

#[test]
fn exchange_is_read_under_all_its_names() {
    let line = |words: [&str; 4]| {
        let [protocol, bulk, mac, exchange] = words;
        read_negotiation(&format!(
            "TLS protocol {protocol} negotiation succeeded using bulk encryption algorithm {bulk} with strength 128 \
             bits, MAC hash algorithm {mac} with strength 160 bits and key exchange algorithm {exchange} with strength \
             256 bits"
        ))
    };
    let usual = line(["SP_PROT_TLS1_0_CLIENT", "CALG_AES_128", "CALG_SHA1", "CALG_ECDH_EPHEM"]).unwrap();
    assert_eq!(line(["SP_PROT_TLS1_CLIENT", "CALG_AES_128", "CALG_SHA", "CALG_ECDHE"]), Some(usual));
    assert_eq!(line(["128", "26126", "32772", "44550"]), Some(usual));
    assert_eq!(line(["64", "26126", "32772", "44550"]).unwrap().side, Side::Server);
    assert_eq!(line(["SP_PROT_TLS9_CLIENT", "CALG_AES_128", "CALG_SHA", "CALG_ECDHE"]), None);
    for text in ["", "TLS protocol", "TLS negotiation failed with error SocketError"] {
        assert_eq!(read_negotiation(text), None);
    }
}

#[test]
fn exchange_names_the_certificates_fault() {
    let hung_up = |fault| {
        let mut observer = whole(&vec![client(client_hello())]);
        observer.end(Side::Client, Ending::Fin, AT);
        negotiation_failed(&HandshakeFacts { certificate_fault: Some(fault), ..observer.into_facts() })
    };
    let failed = |word| format!("TLS negotiation failed with error {word}");
    assert_eq!(hung_up(CertificateFault::Expired), failed("CertExpired"));
    assert_eq!(hung_up(CertificateFault::Untrusted), failed("UntrustedRoot"));
    assert_eq!(hung_up(CertificateFault::NameMismatch), failed("WrongPrincipal"));
}

// Whatever comes.

/// Mostly what a record might look like.
fn junk() -> impl Strategy<Value = Pieces> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let bytes = prop_oneof![
        1 => body.clone(),
        4 => (20u8..=24, body.clone()).prop_map(|(kind, body)| record(kind, &body)),
        4 => (0u8..=20, body).prop_map(|(kind, body)| handshake(kind, &body)),
        1 => Just(client_hello()),
        1 => Just(tls12(0xc030)),
        1 => Just(tls13(&[])),
        1 => Just(change_cipher_spec()),
    ];
    prop::collection::vec((side, bytes), 0..12)
}

/// Bytes that once made sense, with some of them changed.
fn damaged() -> impl Strategy<Value = Pieces> {
    let all: Vec<Pieces> = OWN.iter().map(|case| captured(&capture::own(), case)).collect();
    let changes =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (prop::sample::select(all), changes).prop_map(|(mut pieces, changes)| {
        for (piece, at, byte) in changes {
            let piece = piece.index(pieces.len());
            let at = at.index(pieces[piece].1.len());
            pieces[piece].1[at] = byte;
        }
        pieces
    })
}

fn recut(pieces: &Pieces, lengths: &[usize]) -> Observer {
    let mut lengths = lengths.iter().cycle();
    let mut cut = Vec::new();
    for (side, bytes) in pieces {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*lengths.next().expect("they go round")));
            cut.push((*side, piece));
            rest = after;
        }
    }
    observe(cut)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn cuts_change_nothing(pieces in prop_oneof![junk(), damaged()], lengths in prop::collection::vec(1usize..2000, 1..20)) {
        let facts = whole(&pieces).into_facts();
        prop_assert_eq!(&recut(&pieces, &lengths).into_facts(), &facts);
        prop_assert_eq!(&bytewise(&pieces).into_facts(), &facts);
        let _ = (facts.to_string(), negotiation_failed(&facts), negotiation_succeeded(Side::Client, &facts));
    }

    #[test]
    fn any_bytes_may_be_a_certificate(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Certificate::parse(&bytes);
    }

    #[test]
    fn any_text_may_be_a_line(text in ".{0,80}") {
        let _ = read_negotiation(&text);
    }
}
