//! Checks that the sender's facts about a handshake are the same as tshark's, from a capture of the same connection.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod common;
#[path = "../../capture/tests/common/dumpcap.rs"]
mod dumpcap;
#[path = "../../capture/tests/common/facts.rs"]
mod facts;

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use capture::{Packets, Session};
use dumpcap::Dumpcap;
use facts::assert_same;
use gatepost_net::{
    send::{Connection, Options, Seen, Timeouts},
    tls::{TlsContext, TlsSettings},
};
use lab::{Device, Server, exim::Exim, namespace::run_in_own_network, peers::Peers};
use protocol::{
    smtp::client::TlsLevel,
    tls::{Ended, Ending, HandshakeFacts, Side, TlsPolicy, TlsVersion, WireVersion},
};

const WAIT: Duration = Duration::from_secs(1);

fn peers() -> Peers {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
    Peers::at(&root).unwrap_or_else(|_| panic!("{} is missing; run ./test, which unpacks it", root.display()))
}

/// Runs the calling test again in a network namespace, where anybody may record packets. Returns true there, with
/// loopback up.
fn in_own_network(test: &str) -> bool {
    if let Some(status) = run_in_own_network(test).unwrap() {
        assert!(status.success(), "{test} failed in its namespace");
        return false;
    }
    peers().command("bin/ip").args(["link", "set", "lo", "up"]).status().unwrap().success()
}

/// Records packets of these ports only, because other traffic on loopback would fill the buffer.
fn capture_ports(folder: &Path, ports: &[u16]) -> Dumpcap {
    let filter: Vec<String> = ports.iter().map(|port| format!("tcp port {port}")).collect();
    Dumpcap::start(&peers(), folder, &filter.join(" or "))
}

/// tshark's facts, by the client's port.
fn told_by_tshark(file: &Path, server_ports: &[u16]) -> HashMap<Ports, Told> {
    let mut tshark = peers().command("usr/bin/tshark");
    tshark.env("WIRESHARK_DATA_DIR", peers().root().join("usr/share/wireshark"));
    tshark.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=|", "-E", "aggregator=,"]);
    for port in server_ports {
        tshark.args(["-d", &format!("tcp.port=={port},smtp")]);
    }
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut connections: HashMap<Ports, Told> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let (source, destination): (u16, u16) = (fields[0].parse().unwrap(), fields[1].parse().unwrap());
        let side = if server_ports.contains(&source) { Side::Server } else { Side::Client };
        let ports = if side == Side::Client { (source, destination) } else { (destination, source) };
        connections.entry(ports).or_default().add(side, &fields);
    }
    connections
}

/// The client's port and the server's: one port of a client may lead to several servers.
type Ports = (u16, u16);

/// In the list of cipher suites, but not cipher suites: TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746), TLS_FALLBACK_SCSV
/// (RFC 7507).
const SIGNALS: [u16; 2] = [0x00ff, 0x5600];

const FIELDS: [&str; 10] = [
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags.fin",
    "tcp.flags.reset",
    "tls.handshake.type",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.ciphersuite",
    "tls.alert_message.level",
    "tls.alert_message.desc",
];

/// tshark's facts about a connection.
#[derive(Clone, Default, PartialEq, Debug)]
struct Told {
    offered_suites: Vec<u16>,
    version: Option<WireVersion>,
    suite: Option<u16>,
    /// Side, level, description.
    alerts: Vec<(Side, u8, u8)>,
    /// The side that first sent FIN or RST, and which of them.
    closed: Option<(Side, Ending)>,
    server_spoke_tls: bool,
}

impl Told {
    fn add(&mut self, side: Side, fields: &[&str]) {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u16::from_str_radix(hex, 16).unwrap(),
            None => text.parse().unwrap(),
        };
        let numbers = |field: &str| field.split(',').filter(|text| !text.is_empty()).map(number).collect::<Vec<u16>>();
        let types = numbers(fields[4]);
        if types.contains(&1) && self.offered_suites.is_empty() {
            self.offered_suites = numbers(fields[7]);
            self.offered_suites.retain(|suite| !SIGNALS.contains(suite));
        }
        if types.contains(&2) && self.version.is_none() {
            let version = numbers(fields[6]).first().copied().or_else(|| numbers(fields[5]).first().copied());
            self.version = version.map(WireVersion);
            self.suite = numbers(fields[7]).first().copied();
        }
        self.server_spoke_tls |= side == Side::Server && (!types.is_empty() || !fields[9].is_empty());
        let alerts = numbers(fields[8]).into_iter().zip(numbers(fields[9]));
        self.alerts.extend(alerts.map(|(level, description)| (side, level as u8, description as u8)));
        if self.closed.is_none() {
            if fields[3] == "1" {
                self.closed = Some((side, Ending::Reset));
            } else if fields[2] == "1" {
                self.closed = Some((side, Ending::Fin));
            }
        }
    }
}

/// One connection to make.
struct Try {
    name: &'static str,
    server: SocketAddr,
    policy: TlsPolicy,
    level: TlsLevel,
    authorities: Option<PathBuf>,
    /// True if the handshake works.
    completes: bool,
}

async fn connect(attempt: &Try, context: &TlsContext) -> Seen {
    let settings = TlsSettings {
        policy: attempt.policy.clone(),
        verify: attempt.level == TlsLevel::Verify,
        authorities: attempt.authorities.clone(),
        identity: None,
    };
    let timeouts = Timeouts::each(WAIT);
    let options = Options {
        ehlo_name: "edge.test".to_owned(),
        tls_level: attempt.level,
        tls: Arc::new(settings),
        timeouts,
        pipelining: true,
        maximum_segment: None,
        progress: Arc::default(),
    };
    match Connection::open("localhost", attempt.server, &options, context, None).await {
        Ok(mut connection) => {
            let seen = connection.take_seen();
            connection.quit().await;
            seen
        }
        Err(not_opened) => not_opened.1,
    }
}

fn assert_agree(name: &str, facts: &HandshakeFacts, tshark: &Told) {
    let offered = facts.client_hello.as_ref().map(|hello| &hello.cipher_suites);
    let offered: Vec<u16> = offered.into_iter().flatten().map(|suite| suite.0).collect();
    assert_eq!(offered, tshark.offered_suites, "{name}: suites offered");
    let hello = facts.server_hello.as_ref();
    assert_eq!(hello.map(|hello| hello.version), tshark.version, "{name}: version");
    assert_eq!(hello.map(|hello| hello.cipher_suite.0), tshark.suite, "{name}: suite");
    let level = |fatal: bool| if fatal { 2 } else { 1 };
    let alerts = facts.alerts.iter().map(|alert| (alert.by, level(alert.fatal), alert.description.unwrap()));
    let mut alerts: Vec<_> = alerts.collect();
    // In TLS 1.3 most alerts are encrypted: only the two ends can read them.
    if tshark.version == Some(WireVersion::TLS13) {
        alerts.retain(|alert| tshark.alerts.contains(alert));
    }
    assert_eq!(alerts, tshark.alerts, "{name}: alerts");
    match facts.ended {
        // Silence is the absence of packets, so no packet shows it.
        Some(Ended { by: Side::Server, how: Ending::Silence }) => {
            assert!(!tshark.server_spoke_tls, "{name}: the server was not silent");
            assert_eq!(tshark.closed, Some((Side::Client, Ending::Fin)), "{name}: who closed");
        }
        Some(Ended { by, how }) => assert_eq!(Some((by, how)), tshark.closed, "{name}: who closed"),
        None => {}
    }
}

/// The facts of our own capture reader.
fn sessions(file: &Path) -> HashMap<Ports, Session> {
    let packets = Packets::open(fs::File::open(file).unwrap()).unwrap();
    let mut sessions = HashMap::new();
    capture::sessions(packets, capture::Options::default(), |session| {
        sessions.insert((session.client.port(), session.server.port()), session);
    });
    sessions
}

/// The causes that the capture alone shows, for each failed attempt. A certificate is refused within TLS 1.3's
/// encryption, so the capture cannot show that cause.
fn named_from_the_capture_alone(tries: &[Try], seen: &[Seen], sessions: &HashMap<Ports, Session>) {
    const CAUSES: [(&str, &str, &str); 9] = [
        ("rc4-only", "modern", "no-shared-tls-version"),
        ("rc4-only", "intermediate", "no-shared-cipher"),
        ("tls10-only", "modern", "no-shared-tls-version"),
        ("aes-then-silence", "legacy", "hang-after-handshake"),
        ("handshake-reset", "modern", "handshake-reset"),
        ("handshake-swallowed", "modern", "handshake-timeout"),
        ("client-certificate-required", "tls12", "client-certificate-required"),
        ("exim", "modern", "no-shared-cipher"),
        ("exim", "intermediate", "no-shared-cipher"),
    ];
    for (attempt, seen) in tries.iter().zip(seen) {
        let wanted = CAUSES.iter().find(|(name, policy, _)| (*name, *policy) == (attempt.name, &attempt.policy.name));
        let Some((.., cause)) = wanted else { continue };
        let mut evidence = diagnosis::Evidence::default();
        let session = &sessions[&(seen.local.unwrap().port(), attempt.server.port())];
        diagnosis::sources::capture::add_session(&mut evidence, session, "capture.pcapng");
        let findings = diagnosis::diagnose(&evidence);
        let named = findings.first().map(|finding| finding.cause);
        assert_eq!(
            named.map(diagnosis::CauseId::as_str),
            Some(*cause),
            "{} under {}: {session:#?}",
            attempt.name,
            attempt.policy.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_senders_facts_are_what_tshark_reads() {
    if !in_own_network("root_the_senders_facts_are_what_tshark_reads") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open_folder =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let options = lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() };
    let device = |device| Server::start(device, options.clone()).unwrap();
    let devices: HashMap<&str, Server> = Device::ALL.map(|kind| (kind.name(), device(kind))).into();
    let exim = Exim::start_with_rc4_only(peers(), open_folder.path()).unwrap();
    // The same authority signs for all devices, because they have the same seed. Only the keys are random.
    let authority = |name: &str| {
        let path = folder.path().join(format!("{name}.pem"));
        fs::write(&path, devices[name].authority_pem()).unwrap();
        Some(path)
    };
    let tls12 = TlsPolicy { name: "tls12".to_owned(), maximum: TlsVersion::Tls12, ..TlsPolicy::modern() };
    let to = |name: &'static str, policy: TlsPolicy, completes| Try {
        name,
        server: devices[name].address(),
        policy,
        level: TlsLevel::Require,
        authorities: None,
        completes,
    };
    let verify = |name: &'static str, policy: TlsPolicy, completes| Try {
        level: TlsLevel::Verify,
        authorities: authority(name),
        ..to(name, policy, completes)
    };
    let to_exim = |policy, completes| Try { name: "exim", server: exim.address(), ..to("rc4-only", policy, completes) };
    let (modern, intermediate, legacy) = (TlsPolicy::modern, TlsPolicy::intermediate, TlsPolicy::legacy);
    let tries = [
        to("healthy", modern(), true),
        to("healthy", tls12.clone(), true),
        to("healthy", intermediate(), true),
        to("healthy", legacy(), true),
        verify("healthy", modern(), true),
        verify("healthy", tls12.clone(), true),
        to("rc4-only", modern(), false),
        to("rc4-only", intermediate(), false),
        to("rc4-only", legacy(), true),
        to("tls10-only", modern(), false),
        to("tls10-only", intermediate(), true),
        to("aes-then-silence", legacy(), true),
        to("handshake-reset", modern(), false),
        to("handshake-swallowed", modern(), false),
        verify("certificate-expired", tls12.clone(), false),
        verify("certificate-self-signed", tls12.clone(), false),
        verify("certificate-wrong-name", tls12.clone(), false),
        verify("certificate-sha1", modern(), false),
        to("client-certificate-required", tls12.clone(), false),
        to("client-certificate-required", modern(), false),
        to("weak-dh", modern(), false),
        to("weak-dh", intermediate(), false),
        to_exim(modern(), false),
        to_exim(intermediate(), false),
        to_exim(legacy(), true),
    ];
    let ports: Vec<u16> = devices.values().map(Server::port).chain([exim.port()]).collect();
    let dumpcap = capture_ports(folder.path(), &ports);
    let mut seen = Vec::new();
    for attempt in &tries {
        // A new context for each attempt, because a resumed session would hide the facts of the next handshake.
        seen.push(connect(attempt, &TlsContext::default()).await);
    }
    let file = dumpcap.stop();
    let captured = told_by_tshark(&file, &ports);
    let ours = sessions(&file);
    for (attempt, seen) in tries.iter().zip(&seen) {
        let name = format!("{} under {}", attempt.name, attempt.policy.name);
        let facts = seen.handshake.as_deref().unwrap_or_else(|| panic!("{name}: no handshake was seen"));
        let ports = (seen.local.unwrap().port(), attempt.server.port());
        let tshark = captured.get(&ports).unwrap_or_else(|| panic!("{name}: not in the capture"));
        assert_eq!(facts.completed, attempt.completes, "{name}: {facts}");
        assert_agree(&name, facts, tshark);
        let session = ours.get(&ports).unwrap_or_else(|| panic!("{name}: not among the sessions"));
        assert_same(&name, facts, session.handshake.as_ref().unwrap_or_else(|| panic!("{name}: {session:#?}")));
    }
    assert!(tries.len() >= 20);
    named_from_the_capture_alone(&tries, &seen, &ours);
}
