//! Captures of wires that lose, delay, double and reset: told as tshark tells them, packet by packet; and what they say of
//! a handshake is what the sender itself saw.

#[path = "../../../../capture/tests/common/mod.rs"]
mod common;
mod network;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use ::capture;
use lab::{Device, Server};
use net::{
    send::{Connection, Options, Seen, Timeouts},
    tls::{TlsContext, TlsSettings},
};
use protocol::{
    smtp::client::TlsLevel,
    tls::{Ended, Ending, HandshakeFacts, Side, TlsPolicy, TlsVersion},
};

use self::{
    common::{Told, by_tshark, by_us, peers, tshark},
    network::{Captured, FAR, Fate, Network, Segment, in_own_namespace},
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
    ports: Vec<u16>,
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
fn packets_of_bad_wires_are_told_as_tshark_tells_them() {
    if !in_own_namespace("wire::packets_of_bad_wires_are_told_as_tshark_tells_them") {
        return;
    }
    let network = Network::start();
    let (postfix, exim) = (Postfix::start(), Exim::start());
    let bulk = || smtp_source(postfix.port, &["-s", "3", "-m", "6", "-l", "150000"]);
    let body = "a line of a message\r\n".repeat(3000);
    let with_tls = || swaks(exim.port, &["--tls", "--body", &body]);
    let scenario = |name, (captured, ()), ports: &[u16]| Scenario { name, captured, ports: ports.to_vec() };
    let mail = [postfix.port, exim.port];
    let scenarios = [
        scenario("nothing", network.play(|_| Fate::Pass, bulk), &mail),
        scenario("loss", network.play(some(0.05, Fate::Drop, 1), bulk), &mail),
        scenario("delay", network.play(some(0.05, Fate::Delay(Duration::from_millis(6)), 2), bulk), &mail),
        scenario("unseen", network.play(some(0.05, Fate::Unseen, 3), bulk), &mail),
        scenario("everything", network.play(everything_at_once(), bulk), &mail),
        scenario("loss and TLS", network.play(some(0.08, Fate::Drop, 4), with_tls), &mail),
        scenario("zero window", network.play(|_| Fate::Pass, zero_window), &[]),
        scenario("zero window and loss", network.play(some(0.05, Fate::Drop, 5), zero_window), &[]),
        scenario("keep-alive", network.play(|_| Fate::Pass, keep_alive), &[]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.keep();
    let (mut seen, mut differences, mut packets) = (BTreeSet::new(), Vec::new(), 0);
    for scenario in &scenarios {
        packets += scenario.captured.router.len();
        differences.extend(assert_as_tshark(&folder, scenario, &mut seen));
    }
    eprintln!("{packets} packets, {seen:?}");
    assert!(differences.is_empty(), "{}: {} differences\n{}", folder.display(), differences.len(), differences.join("\n"));
}
