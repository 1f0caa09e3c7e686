//! Captures of wires that lose, delay, double and reset: told as tshark tells them, packet by packet; and what they say of
//! a handshake is what the sender itself saw.

#[path = "../../../../capture/tests/common/mod.rs"]
mod common;
#[path = "../../../../capture/tests/common/facts.rs"]
mod facts;
pub(crate) mod network;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use ::capture;
use lab::{Device, Server};
use net::{
    probe::{Change, ProbeOptions, Trial, climb},
    send::{Connection, Options, Seen, Timeouts},
    tls::{TlsContext, TlsSettings},
};
use protocol::{
    smtp::client::TlsLevel,
    tls::{Ended, Ending, Side, TlsPolicy, TlsVersion},
};

use self::{
    common::{Told, by_tshark, by_us, peers},
    facts::assert_same,
    network::{Captured, FAR, Fate, Network, Packets, Segment, in_own_namespace},
};
use crate::support::{
    Exim, Postfix,
    foreign::{TlsLite, try_swaks},
};

/// SplitMix64: the same losses in each run, as far as packets come in the same order.
fn random(seed: u64) -> impl FnMut() -> f64 + Send {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One packet of so many meets with this fate.
fn some(share: f64, fate: Fate, seed: u64) -> impl FnMut(&Segment<'_>) -> Fate + Send + 'static {
    let mut random = random(seed);
    move |_| if random() < share { fate } else { Fate::Pass }
}

/// Lost, but neither a SYN, which is sent again after a second only, nor two packets in a row.
fn seldom(share: f64, seed: u64) -> impl FnMut(&Segment<'_>) -> Fate + Send + 'static {
    let mut lose = some(share, Fate::Drop, seed);
    let mut last = Fate::Pass;
    move |segment| {
        last = if segment.is_syn || last == Fate::Drop { Fate::Pass } else { lose(segment) };
        last
    }
}

/// What bulk mail meets with.
fn everything_at_once() -> impl FnMut(&Segment<'_>) -> Fate + Send + 'static {
    let mut random = random(7);
    move |_| match random() {
        x if x < 0.03 => Fate::Drop,
        x if x < 0.06 => Fate::Delay(Duration::from_millis(8)),
        x if x < 0.07 => Fate::Unseen,
        _ => Fate::Pass,
    }
}

/// A path that swallows long packets and says nothing.
fn black_hole(segment: &Segment<'_>) -> Fate {
    if segment.length > 1200 { Fate::Drop } else { Fate::Pass }
}

fn reset_at_client_hello(segment: &Segment<'_>) -> Fate {
    if segment.by_client && segment.payload.first() == Some(&22) { Fate::Reset } else { Fate::Pass }
}

fn smtp_source(port: u16, arguments: &[&str]) {
    let mut command = peers().command("usr/sbin/smtp-source");
    command.args(["-f", "sender@partner.test", "-t", "user@onprem.test"]).args(arguments);
    let output = command.arg(format!("{FAR}:{port}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn swaks(port: u16, arguments: &[&str]) {
    let far = FAR.to_string();
    let fixed = ["--server", &far, "--to", "user@onprem.test"];
    let output = try_swaks(port, &[&fixed, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The receiver does not read for a while, and the sender fills its window.
fn zero_window() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let receiver = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        thread::sleep(Duration::from_millis(1800));
        let mut all = Vec::new();
        connection.read_to_end(&mut all).unwrap();
        all.len()
    });
    let mut connection = TcpStream::connect((FAR, port)).unwrap();
    let bytes = vec![b'x'; 8 << 20];
    connection.write_all(&bytes).unwrap();
    drop(connection);
    assert_eq!(receiver.join().unwrap(), bytes.len());
}

fn keep_alive() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect((FAR, listener.local_addr().unwrap().port())).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"220 mail.onprem.test\r\n").unwrap();
    rustix::net::sockopt::set_socket_keepalive(&connection, true).unwrap();
    rustix::net::sockopt::set_tcp_keepidle(&connection, Duration::from_secs(1)).unwrap();
    rustix::net::sockopt::set_tcp_keepintvl(&connection, Duration::from_secs(1)).unwrap();
    thread::sleep(Duration::from_millis(2500));
}

struct Scenario {
    name: &'static str,
    captured: Captured,
}

/// Streams, lengths and analysis of each packet are tshark's, in each view.
fn assert_as_tshark(folder: &Path, scenario: &Scenario, seen: &mut BTreeSet<&'static str>) -> Vec<String> {
    let mut differences = Vec::new();
    let captured = &scenario.captured;
    let views = [("client", &captured.client), ("server", &captured.server), ("router", &captured.router)];
    for (view, packets) in views {
        let file = folder.join(format!("{}-{view}.pcap", scenario.name.replace(' ', "-")));
        packets.write(&file);
        let (theirs, ours) = (by_tshark(&file, &[]), by_us(&file));
        assert_eq!((theirs.len(), ours.len()), (packets.len(), packets.len()), "{}", file.display());
        for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            seen.extend(&theirs.analysis);
            let told = |told: &Told| (told.stream, told.length, told.analysis.clone());
            if told(theirs) != told(ours) {
                let (theirs, ours) = (told(theirs), told(ours));
                differences.push(format!("{} {view} {}: tshark {theirs:?}, ours {ours:?}", scenario.name, index + 1));
            }
        }
    }
    differences
}

#[test]
fn tun_packets_of_bad_wires_are_told_as_tshark_tells_them() {
    if !in_own_namespace("wire::tun_packets_of_bad_wires_are_told_as_tshark_tells_them") {
        return;
    }
    let network = Network::start();
    let (postfix, exim) = (Postfix::start(), Exim::start());
    let bulk = || smtp_source(postfix.port, &["-s", "3", "-m", "6", "-l", "150000"]);
    let body = "a line of a message\r\n".repeat(3000);
    let with_tls = || swaks(exim.port, &["--tls", "--body", &body]);
    let scenario = |name, (captured, ())| Scenario { name, captured };
    let scenarios = [
        scenario("nothing", network.play(|_| Fate::Pass, bulk)),
        scenario("loss", network.play(some(0.05, Fate::Drop, 1), bulk)),
        scenario("delay", network.play(some(0.05, Fate::Delay(Duration::from_millis(6)), 2), bulk)),
        scenario("unseen", network.play(some(0.05, Fate::Unseen, 3), bulk)),
        scenario("everything", network.play(everything_at_once(), bulk)),
        scenario("loss and TLS", network.play(some(0.08, Fate::Drop, 4), with_tls)),
        scenario("zero window", network.play(|_| Fate::Pass, zero_window)),
        scenario("zero window and loss", network.play(some(0.05, Fate::Drop, 5), zero_window)),
        scenario("keep-alive", network.play(|_| Fate::Pass, keep_alive)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    let differences: Vec<String> =
        scenarios.iter().flat_map(|scenario| assert_as_tshark(folder.path(), scenario, &mut seen)).collect();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
    // Linux probes a window of none by its keep-alives: no byte is sent. The rest occurs.
    assert_eq!(seen.len(), 12, "{seen:?}");
}

/// What stands in a capture twice is set aside, and what is left is told as if nothing were.
#[test]
fn tun_a_routers_copies_are_set_aside_though_packets_are_lost() {
    if !in_own_namespace("wire::tun_a_routers_copies_are_set_aside_though_packets_are_lost") {
        return;
    }
    let network = Network::start();
    let postfix = Postfix::start();
    let (captured, ()) = network.play(some(0.05, Fate::Drop, 6), || {
        smtp_source(postfix.port, &["-s", "3", "-m", "6", "-l", "150000"]);
    });
    let folder = tempfile::tempdir().unwrap();
    let doubled = told_without_copies(&captured.router, &folder.path().join("router.pcap"));
    let single = told_without_copies(&captured.before_router, &folder.path().join("before.pcap"));
    assert!(captured.router.len() > captured.before_router.len() * 19 / 10 - 10);
    assert_eq!(doubled.len(), single.len());
    for (index, (doubled, single)) in doubled.iter().zip(&single).enumerate() {
        assert_eq!(doubled, single, "packet {}", index + 1);
    }
}

/// Stream, length and analysis of the packets that are no copies.
fn told_without_copies(packets: &Packets, file: &Path) -> Vec<(u64, u32, capture::Analysis)> {
    packets.write(file);
    let mut packets = capture::Packets::open(File::open(file).unwrap()).unwrap();
    let mut capture = capture::Capture::new(capture::Options::default());
    let mut told = Vec::new();
    while let Some(packet) = packets.next() {
        let facts = capture.packet(&packet).unwrap();
        if !facts.is_duplicate {
            told.push((facts.stream, facts.length, facts.analysis));
        }
    }
    told
}

fn tls12() -> TlsPolicy {
    TlsPolicy { name: "tls12".to_owned(), maximum: TlsVersion::Tls12, ..TlsPolicy::modern() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One handshake of our own sender through the wire.
fn connect(port: u16, policy: TlsPolicy, wait: Duration) -> Seen {
    let settings = TlsSettings { policy, verify: false, authorities: None, identity: None };
    let options = Options {
        ehlo_name: "edge.test".to_owned(),
        tls_level: TlsLevel::Require,
        tls: Arc::new(settings),
        timeouts: Timeouts::each(wait),
        pipelining: true,
        maximum_segment: None,
        progress: Arc::default(),
    };
    runtime().block_on(async {
        let address = (FAR, port).into();
        match Connection::open("localhost", address, &options, &TlsContext::default(), None).await {
            Ok(mut connection) => {
                let seen = connection.take_seen();
                connection.quit().await;
                seen
            }
            Err(not_opened) => not_opened.1,
        }
    })
}

/// What the capture at the client says of the session that the sender saw. Last words of an earlier one may be there too.
fn session(packets: &Packets, file: &Path, seen: &Seen) -> capture::Session {
    packets.write(file);
    let packets = capture::Packets::open(File::open(file).unwrap()).unwrap();
    let mut sessions = Vec::new();
    capture::sessions(packets, capture::Options::default(), |session| sessions.push(session));
    let client = seen.local.unwrap().port();
    sessions.into_iter().find(|session| session.client.port() == client).unwrap()
}

fn named(session: &capture::Session) -> Option<&'static str> {
    let mut evidence = diagnosis::Evidence::default();
    diagnosis::sources::capture::add_session(&mut evidence, session, "capture.pcap");
    diagnosis::diagnose(&evidence).first().map(|finding| finding.cause.as_str())
}

#[test]
fn tun_the_senders_facts_are_those_of_the_capture_though_packets_are_lost() {
    if !in_own_namespace("wire::tun_the_senders_facts_are_those_of_the_capture_though_packets_are_lost") {
        return;
    }
    let network = Network::start();
    let (postfix, exim, old_exim) = (Postfix::start(), Exim::start(), Exim::start_with_rc4_only());
    let tlslite = TlsLite::start("maxVersion = (3, 3)");
    let options = lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() };
    let healthy = Server::start(Device::Healthy, options).unwrap();
    let servers = [
        ("Postfix", postfix.port, tls12()),
        ("Postfix, TLS 1.3", postfix.port, TlsPolicy::modern()),
        ("Exim", exim.port, tls12()),
        ("Exim with RC4", old_exim.port, TlsPolicy::legacy()),
        ("Exim with RC4, refusing", old_exim.port, TlsPolicy::modern()),
        ("tlslite-ng", tlslite.port, tls12()),
        ("the lab", healthy.port(), tls12()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capture.pcap");
    for (index, (name, port, policy)) in servers.iter().enumerate() {
        for (how, share) in [("whole", 0.0), ("with losses", 0.1)] {
            let rule = seldom(share, 10 + index as u64);
            let (captured, seen) = network.play(rule, || connect(*port, policy.clone(), Duration::from_secs(10)));
            let session = session(&captured.client, &file, &seen);
            let name = format!("{name}, {how}");
            let facts = seen.handshake.unwrap_or_else(|| panic!("{name}: no handshake"));
            assert_same(&name, &facts, session.handshake.as_ref().unwrap_or_else(|| panic!("{name}: {session:#?}")));
        }
        // The server's certificate is longer than what passes.
        let (captured, seen) = network.play(black_hole, || connect(*port, policy.clone(), Duration::from_secs(1)));
        let session_of_hole = session(&captured.client, &file, &seen);
        let facts = seen.handshake.unwrap_or_else(|| panic!("{name}: no handshake"));
        let captured_facts = session_of_hole.handshake.as_ref().unwrap();
        assert_same(&format!("{name}, long packets lost"), &facts, captured_facts);

        let (captured, seen) =
            network.play(reset_at_client_hello, || connect(*port, policy.clone(), Duration::from_secs(1)));
        let session_of_reset = session(&captured.client, &file, &seen);
        let facts = seen.handshake.unwrap_or_else(|| panic!("{name}: no handshake"));
        assert_eq!(facts.ended, Some(Ended { by: Side::Server, how: Ending::Reset }), "{name}");
        assert_same(&format!("{name}, reset"), &facts, session_of_reset.handshake.as_ref().unwrap());
        assert_eq!(named(&session_of_reset), Some("handshake-reset"), "{name}: {session_of_reset:#?}");
    }
}

/// Nothing but an experiment tells a path that swallows long packets from a server that is silent.
#[test]
fn tun_smaller_packets_are_the_smallest_change_where_long_ones_are_swallowed() {
    if !in_own_namespace("wire::tun_smaller_packets_are_the_smallest_change_where_long_ones_are_swallowed") {
        return;
    }
    let network = Network::start();
    let exim = Exim::start();
    let trial = Trial {
        host: "localhost".to_owned(),
        addresses: vec![(FAR, exim.port).into()],
        level: TlsLevel::Require,
        tls: TlsSettings { policy: tls12(), verify: false, authorities: None, identity: None },
        envelope: None,
    };
    let swallow = |segment: &Segment<'_>| if segment.length > 700 { Fate::Drop } else { Fate::Pass };
    let probe = ProbeOptions { timeout: Duration::from_secs(2), ..ProbeOptions::default() };
    let (_, ladder) = network.play(swallow, || runtime().block_on(climb(&trial, &probe, |_| ())));
    assert_eq!(ladder.smallest(), Some(Change::SmallSegments), "{ladder:#?}");
    let (_, ladder) = network.play(|_| Fate::Pass, || runtime().block_on(climb(&trial, &probe, |_| ())));
    assert!(ladder.baseline().unwrap().works());
}
