//! Root causes that are known for sure, since the lab's devices have them: what the same attempts tell from history, from
//! each kind of log and from a capture, each alone. A capture knows nothing that is encrypted, so mail goes to each device
//! by STARTTLS, and in the clear.

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use lab::{Device, Options, Server};

use crate::{
    foreign_causes::{
        Case,
        Named::{self, Cause, Guess, Nothing},
        SMALL, check, node,
    },
    support::{dumpcap::Dumpcap, foreign::peers},
    wire::network::{in_own_namespace, ip},
};

/// Of each case.
const MESSAGES: usize = 20;

/// A device, keys of its connector, and what must be named: by all other sources and by a capture, where mail goes by
/// STARTTLS; and by all of them where it goes in the clear.
type Row = (Device, &'static str, Named, Named, Named);

/// A shared version, so that the cipher suite is what is missing.
const INTERMEDIATE: &str = "tls_policy = \"intermediate\"\n";
/// In TLS 1.3 the certificate is encrypted, and so is what the client says of it.
const TLS12: &str = "tls_policy = \"tls12\"\n";
const REQUIRE: &str = "tls = \"require\"\n";
const TLS12_POLICY: &str = "[[tls_policy]]\nname = \"tls12\"\nminimum = \"1.2\"\nmaximum = \"1.2\"\n";
/// Sessions are resumed by new connections only.
const ONE_MESSAGE: &str = "messages_per_connection = 1\n";
const UNKNOWN: Named = Guess("unknown");

#[rustfmt::skip]
const TABLE: [Row; 39] = [
    (Device::Healthy, "", Nothing, Nothing, Nothing),
    (Device::Rc4Only, INTERMEDIATE, Cause("no-shared-cipher"), Cause("no-shared-cipher"), Nothing),
    (Device::AesThenSilence, INTERMEDIATE, Cause("hang-after-handshake"), Cause("hang-after-handshake"), Nothing),
    (Device::HandshakeReset, "", Cause("handshake-reset"), Cause("handshake-reset"), Nothing),
    (Device::HandshakeSwallowed, "", Cause("handshake-timeout"), Cause("handshake-timeout"), Nothing),
    (Device::StartTlsMasked, REQUIRE, Cause("starttls-masked"), Cause("starttls-masked"), Nothing),
    (Device::StartTlsNotOffered, REQUIRE, Cause("starttls-not-offered"), Cause("starttls-not-offered"), Nothing),
    (Device::StartTlsRefused, "", Cause("starttls-refused"), Cause("starttls-refused"), Nothing),
    (Device::Tls10Only, "", Cause("no-shared-tls-version"), Cause("no-shared-tls-version"), Nothing),
    (Device::CertificateExpired, TLS12, Cause("certificate-expired"), Cause("certificate-expired"), Nothing),
    (Device::CertificateExpired, "", Cause("certificate-expired"), Cause("certificate-expired"), Nothing),
    (Device::CertificateSelfSigned, TLS12, Cause("certificate-untrusted"), Cause("certificate-untrusted"), Nothing),
    (Device::CertificateSelfSigned, "", Cause("certificate-untrusted"), Cause("certificate-untrusted"), Nothing),
    (Device::CertificateWrongName, TLS12, Cause("certificate-name-mismatch"), Cause("certificate-name-mismatch"), Nothing),
    (Device::CertificateWrongName, "", Cause("certificate-name-mismatch"), UNKNOWN, Nothing),
    (Device::CertificateSha1, TLS12, Cause("certificate-weak"), Cause("certificate-weak"), Nothing),
    (Device::CertificateSha1, "", Cause("certificate-weak"), UNKNOWN, Nothing),
    (Device::ClientCertificateRequired, "", Cause("client-certificate-required"), Cause("client-certificate-required"), Nothing),
    (Device::WeakDh, "", Cause("weak-dh"), Cause("weak-dh"), Nothing),
    (Device::Greylisting, "", Cause("greylisted"), UNKNOWN, Cause("greylisted")),
    (Device::TooManyConnections, "", Cause("rate-limited"), Cause("rate-limited"), Cause("rate-limited")),
    (Device::SlowBanner, "", Cause("banner-timeout"), Cause("banner-timeout"), Cause("banner-timeout")),
    (Device::DropAfterData, "", Cause("no-reply-to-message"), UNKNOWN, Cause("no-reply-to-message")),
    (Device::InternalFailure, "", Cause("destination-internal-failure"), UNKNOWN, Cause("destination-internal-failure")),
    (Device::DomainTakesNoMail, "", Cause("domain-takes-no-mail"), UNKNOWN, Cause("domain-takes-no-mail")),
    (Device::LargeMessagesStall, "", Cause("size-dependent-stall"), Cause("size-dependent-stall"), Cause("size-dependent-stall")),
    (Device::DropBeforeBanner, "", Cause("connection-dropped-before-banner"), Cause("connection-dropped-before-banner"), Cause("connection-dropped-before-banner")),
    (Device::StartTlsDemanded, "", Nothing, Nothing, Cause("starttls-required")),
    (Device::AuthenticationDemanded, "", Cause("authentication-required"), UNKNOWN, Cause("authentication-required")),
    (Device::Overloaded, "", Cause("destination-overloaded"), UNKNOWN, Cause("destination-overloaded")),
    (Device::BlockList, "", Cause("rejected-by-policy"), UNKNOWN, Cause("rejected-by-policy")),
    (Device::RecipientUnknown, "", Cause("recipient-unknown"), UNKNOWN, Cause("recipient-unknown")),
    (Device::MailboxFull, "", Cause("mailbox-full"), UNKNOWN, Cause("mailbox-full")),
    (Device::MessageTooLarge, "", Cause("message-too-large"), UNKNOWN, Cause("message-too-large")),
    (Device::HangAfterData, "", Cause("no-reply-to-message"), UNKNOWN, Cause("no-reply-to-message")),
    (Device::PipeliningBroken, "", Cause("pipelining-broken"), UNKNOWN, Cause("pipelining-broken")),
    (Device::ImplicitTls, "", Cause("implicit-tls-mismatch"), Cause("implicit-tls-mismatch"), Cause("implicit-tls-mismatch")),
    (Device::TicketsRefused, ONE_MESSAGE, Cause("tls-session-ticket-interop"), Cause("tls-session-ticket-interop"), Nothing),
    // The content went over, and what was said of it is encrypted.
    (Device::MailLoop, "", Cause("mail-loop"), Nothing, Cause("mail-loop")),
];

fn start(device: Device, number: usize) -> Server {
    // One that says nothing is told for a mail server by its port alone.
    let listen = match device {
        Device::SlowBanner | Device::DropBeforeBanner => ([127, 0, 1, number as u8], 25),
        Device::ImplicitTls => ([127, 0, 1, number as u8], 465),
        _ => ([127, 0, 0, 1], 0),
    };
    let options = Options {
        listen: listen.into(),
        host_name: "localhost".to_owned(),
        delay: Duration::from_secs(120),
        connections_max: 0,
        ..Options::default()
    };
    Server::start(device, options).unwrap()
}

/// By name where there is a certificate, so that there is a name for it to match.
fn host(server: &Server) -> String {
    let address = server.address();
    if address.ip() == Ipv4Addr::LOCALHOST { format!("localhost:{}", address.port()) } else { address.to_string() }
}

fn verifies(device: Device) -> bool {
    use Device::{CertificateExpired, CertificateSelfSigned, CertificateSha1, CertificateWrongName};
    [CertificateExpired, CertificateSelfSigned, CertificateWrongName, CertificateSha1].contains(&device)
}

fn case(name: String, server: &Server, connector: String, named: Named, captured: Named) -> Case {
    // Small ones go through.
    let is_stalling = server.device() == Device::LargeMessagesStall;
    let messages = if is_stalling { [SMALL, 500_000].repeat(MESSAGES / 2) } else { vec![SMALL; MESSAGES] };
    Case { name, host: host(server), connector, messages, named, captured }
}

/// By STARTTLS, and in the clear, each to a device of its own: a capture tells attempts apart by their destination.
fn cases(folder: &Path) -> (Vec<Server>, Vec<Case>) {
    let (mut servers, mut cases) = (Vec::new(), Vec::new());
    for (number, (device, settings, named, captured, in_the_clear)) in TABLE.into_iter().enumerate() {
        let name = if settings == TLS12 { format!("{}-tls12", device.name()) } else { device.name().to_owned() };
        let server = start(device, 2 * number);
        let mut connector = settings.to_owned();
        if verifies(device) {
            let authority = folder.join(format!("{name}.pem"));
            fs::write(&authority, server.authority_pem()).unwrap();
            connector += &format!("tls = \"verify\"\ntls_authorities = {authority:?}\n");
        }
        cases.push(case(name.clone(), &server, connector, named, captured));
        servers.push(server);
        // What is said in the clear does not depend on how TLS would have been spoken.
        if settings != TLS12 {
            let server = start(device, 2 * number + 1);
            let connector = "tls = \"none\"\n".to_owned();
            cases.push(case(format!("{name}-clear"), &server, connector, in_the_clear, in_the_clear));
            servers.push(server);
        }
    }
    (servers, cases)
}

#[test]
fn namespace_devices_are_named_from_each_source_alone() {
    if !in_own_namespace("device_causes::namespace_devices_are_named_from_each_source_alone") {
        return;
    }
    ip("link set lo up");
    assert!(Device::ALL.iter().all(|device| TABLE.iter().any(|(known, ..)| known == device)));
    let folder = tempfile::tempdir().unwrap();
    let (_servers, cases) = cases(folder.path());
    let dumpcap = Dumpcap::start(peers(), folder.path(), "tcp");
    let node = node(&cases, TLS12_POLICY);
    let file = dumpcap.stop();
    check(&node, &cases, Some(file));
}
