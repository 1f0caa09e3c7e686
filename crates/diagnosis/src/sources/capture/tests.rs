//! Sessions made of packets: what is a failure, and what is not.

use std::io::Cursor;

use capture::{Note, Options, Packets};

use super::*;
use crate::{diagnose, evidence::Record};

const SECOND: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A capture that is written by hand: raw IPv4 in a pcap file with nanoseconds.
struct Wire {
    file: Vec<u8>,
    now_ns: i64,
    packets: u16,
}

/// One connection on the wire.
struct Peer {
    client: [u8; 4],
    port: u16,
    next: [u32; 2],
}

impl Wire {
    fn new() -> Self {
        let words = [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 0x0004_0000, 101];
        Self { file: words.iter().flat_map(|word| word.to_le_bytes()).collect(), now_ns: SECOND, packets: 0 }
    }

    fn wait(&mut self, ns: i64) -> &mut Self {
        self.now_ns += ns;
        self
    }

    fn packet(&mut self, protocol: u8, source: [u8; 4], destination: [u8; 4], payload: &[u8]) {
        self.now_ns += 10_000;
        self.packets += 1;
        let length = 20 + payload.len() as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend(self.packets.to_be_bytes());
        packet.extend([0x40, 0, 64, protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(payload);
        let length = u32::from(length);
        for word in [(self.now_ns / SECOND) as u32, (self.now_ns % SECOND) as u32, length, length] {
            self.file.extend(word.to_le_bytes());
        }
        self.file.extend(packet);
    }

    /// A segment from the client (0) or the server (1).
    fn segment(&mut self, peer: &mut Peer, from: usize, flags: u8, payload: &[u8]) {
        let tcp = peer.tcp(from, flags, payload);
        let addresses = [peer.client, SERVER];
        self.packet(6, addresses[from], addresses[1 - from], &tcp);
    }

    fn connect(&mut self, port: u16) -> Peer {
        self.connect_from([10, 0, 0, 1], port)
    }

    fn connect_from(&mut self, client: [u8; 4], port: u16) -> Peer {
        let mut peer = Peer { client, port, next: [1000, 5000] };
        self.segment(&mut peer, 0, SYN, b"");
        self.segment(&mut peer, 1, SYN | ACK, b"");
        self.segment(&mut peer, 0, ACK, b"");
        peer
    }

    /// Lines with C: and S: before them.
    fn talk(&mut self, peer: &mut Peer, lines: &[&str]) {
        for line in lines {
            let (side, text) = line.split_once(": ").unwrap();
            self.segment(peer, usize::from(side == "S"), ACK, format!("{text}\r\n").as_bytes());
        }
    }

    fn close(&mut self, peer: &mut Peer, by: usize) {
        self.segment(peer, by, FIN | ACK, b"");
        self.segment(peer, 1 - by, FIN | ACK, b"");
        self.segment(peer, by, ACK, b"");
    }

    /// An ICMP error about the client's SYN.
    fn unreachable(&mut self, peer: &Peer, code: u8) {
        let mut message = vec![3, code, 0, 0, 0, 0, 5, 120, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
        message.extend(peer.client);
        message.extend(SERVER);
        message.extend(peer.port.to_be_bytes());
        message.extend([0, 25, 0, 0, 0, 0]);
        self.packet(1, [10, 0, 0, 254], peer.client, &message);
    }

    /// Findings by cause, and the evidence.
    fn why(&self) -> (Vec<&'static str>, Evidence) {
        let (mut evidence, mut reader) = (Evidence::default(), Reader::new("edge.pcap"));
        let packets = Packets::open(Cursor::new(self.file.clone())).unwrap();
        capture::sessions(packets, Options::default(), |session| reader.add(&mut evidence, session));
        reader.finish(&mut evidence);
        let causes = diagnose(&evidence).iter().map(|finding| finding.cause.as_str()).collect();
        (causes, evidence)
    }

    fn causes(&self) -> Vec<&'static str> {
        self.why().0
    }
}

impl Peer {
    fn tcp(&mut self, from: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let ports = [self.port, 25];
        let mut tcp = Vec::new();
        tcp.extend(ports[from].to_be_bytes());
        tcp.extend(ports[1 - from].to_be_bytes());
        tcp.extend(self.next[from].to_be_bytes());
        let acknowledged = if flags & ACK == 0 { 0 } else { self.next[1 - from] };
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        self.next[from] += payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        tcp
    }
}

const SERVER: [u8; 4] = [192, 0, 2, 25];
const GREETING: [&str; 3] = ["S: 220 mail.test ESMTP", "C: EHLO edge.test", "S: 250-mail.test\r\n250 STARTTLS"];
const NO_TLS: [&str; 3] = ["S: 220 mail.test ESMTP", "C: EHLO edge.test", "S: 250 mail.test"];
const MAIL: [&str; 10] = [
    "C: MAIL FROM:<a@b.test>",
    "S: 250 ok",
    "C: RCPT TO:<c@d.test>",
    "S: 250 ok",
    "C: DATA",
    "S: 354 go",
    "C: Subject: x\r\n\r\nx\r\n.",
    "S: 250 queued",
    "C: QUIT",
    "S: 221 bye",
];

/// A ClientHello of TLS 1.2 that offers two suites.
fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0]);
    handshake(1, &body)
}

fn server_hello(suite: u16) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    handshake(2, &body)
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u8;
    [&[22, 3, 1, 0, length + 4, kind, 0, 0, length], body].concat()
}

fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// A handshake that goes as far as the bytes of either side, the client's first.
fn starttls(wire: &mut Wire, port: u16, flights: &[&[u8]]) -> Peer {
    let mut peer = wire.connect(port);
    wire.talk(&mut peer, &GREETING);
    wire.talk(&mut peer, &["C: STARTTLS", "S: 220 ready"]);
    for (number, flight) in flights.iter().enumerate() {
        wire.segment(&mut peer, number % 2, ACK, flight);
    }
    peer
}

fn plaintext(wire: &mut Wire, port: u16) {
    let mut peer = wire.connect(port);
    wire.talk(&mut peer, &GREETING);
    wire.talk(&mut peer, &MAIL);
    wire.close(&mut peer, 0);
}

#[test]
fn a_syn_that_is_answered_by_a_reset_is_refused() {
    let mut wire = Wire::new();
    let mut peer = Peer { client: [10, 0, 0, 1], port: 4000, next: [1000, 0] };
    wire.segment(&mut peer, 0, SYN, b"");
    wire.segment(&mut peer, 1, RST | ACK, b"");
    assert_eq!(wire.causes(), ["connection-refused"]);
}

#[test]
fn icmp_errors_say_why_a_connection_was_not_made() {
    for (code, cause) in [
        (0, "network-unreachable"),
        (1, "network-unreachable"),
        (3, "connection-refused"),
        (10, "network-unreachable"),
        (13, "network-unreachable"),
    ] {
        let mut wire = Wire::new();
        let mut peer = Peer { client: [10, 0, 0, 1], port: 4000, next: [1000, 0] };
        wire.segment(&mut peer, 0, SYN, b"");
        wire.unreachable(&peer, code);
        assert_eq!(wire.causes(), [cause], "code {code}");
    }
}

/// Long packets do not fit, and the server waits for them.
#[test]
fn a_path_that_is_too_narrow_is_reported_by_a_device_on_it() {
    let hang = |is_reported: bool| {
        let mut wire = Wire::new();
        let mut peer = starttls(&mut wire, 4000, &[]);
        wire.segment(&mut peer, 0, ACK, &client_hello());
        if is_reported {
            wire.unreachable(&peer, 4);
        }
        wire.wait(20 * SECOND);
        wire.close(&mut peer, 0);
        wire.causes()
    };
    assert_eq!(hang(true), ["size-dependent-stall"]);
    assert_eq!(hang(false), ["handshake-timeout"]);
}

#[test]
fn a_syn_is_unanswered_only_if_it_was_sent_again() {
    let mut wire = Wire::new();
    let mut peer = Peer { client: [10, 0, 0, 1], port: 4000, next: [1000, 0] };
    wire.segment(&mut peer, 0, SYN, b"");
    plaintext(wire.wait(900 * MS), 5000);
    assert_eq!(wire.causes(), [""; 0]);
    peer.next[0] -= 1;
    wire.segment(&mut peer, 0, SYN, b"");
    plaintext(wire.wait(2 * SECOND), 5001);
    assert_eq!(wire.causes(), ["connection-timed-out"]);
}

/// Each of them is in a capture in which other mail flows.
#[test]
fn clients_that_leave_are_no_failures() {
    let mut wire = Wire::new();
    plaintext(&mut wire, 4000);
    // At once: before the greeting, after it, and within the handshake.
    let mut peer = wire.connect(4001);
    wire.close(&mut peer, 0);
    let mut peer = wire.connect(4002);
    wire.talk(&mut peer, &GREETING[..1]);
    wire.close(&mut peer, 0);
    let mut peer = starttls(&mut wire, 4003, &[]);
    wire.close(&mut peer, 0);
    let mut peer = starttls(&mut wire, 4004, &[&client_hello()]);
    wire.close(&mut peer, 0);
    // Alert 90, user_canceled.
    let mut peer = starttls(&mut wire, 4005, &[&client_hello(), &server_hello(0xc02f), &alert(90)]);
    wire.close(&mut peer, 0);
    // A monitor, with STARTTLS and without.
    for (number, greeting) in [GREETING, NO_TLS].iter().enumerate() {
        let mut peer = wire.connect_from([10, 0, 0, 9], 4006 + number as u16);
        wire.talk(&mut peer, greeting);
        wire.talk(&mut peer, &["C: QUIT", "S: 221 bye"]);
        wire.close(&mut peer, 0);
    }
    // A server that closes a connection that nobody uses.
    let mut peer = wire.connect(4010);
    wire.talk(&mut peer, &GREETING);
    wire.talk(&mut peer, &MAIL[..8]);
    wire.wait(20 * SECOND);
    wire.close(&mut peer, 1);
    let (causes, evidence) = wire.why();
    assert_eq!((causes, evidence.len()), (vec![], 2));
}

#[test]
fn a_sender_that_leaves_without_tls_requires_it() {
    let mut wire = Wire::new();
    plaintext(&mut wire, 4000);
    let mut peer = wire.connect(4001);
    wire.talk(&mut peer, &NO_TLS);
    wire.talk(&mut peer, &["C: QUIT", "S: 221 bye"]);
    wire.close(&mut peer, 0);
    assert_eq!(wire.causes(), ["starttls-not-offered"]);
}

#[test]
fn one_side_alone_is_no_failure() {
    let mut wire = Wire::new();
    let mut peer = wire.connect(4000);
    wire.talk(&mut peer, &GREETING);
    wire.talk(&mut peer, &["C: MAIL FROM:<a@b.test>", "S: 550 5.7.1 no"]);
    wire.close(&mut peer, 0);
    let whole = wire.causes();
    assert_eq!(whole.len(), 1);
    for side in [[10, 0, 0, 1], SERVER] {
        let mut half = Wire::new();
        let mut at = 24;
        while at < wire.file.len() {
            let length = u32::from_le_bytes(wire.file[at + 8..at + 12].try_into().unwrap()) as usize;
            let record = &wire.file[at..at + 16 + length];
            if record[16 + 12..16 + 16] == side {
                half.file.extend(record);
            }
            at += record.len();
        }
        assert_eq!(half.causes(), [""; 0], "{side:?}");
    }
}

#[test]
fn open_sessions_are_no_failures_unless_they_are_silent_for_long() {
    let hanging = |seconds: i64| {
        let mut wire = Wire::new();
        let mut peer = wire.connect(4000);
        wire.talk(&mut peer, &GREETING);
        wire.talk(&mut peer, &MAIL[..7]);
        wire.segment(&mut peer, 1, ACK, b"");
        plaintext(wire.wait(seconds * SECOND), 4001);
        wire.causes()
    };
    assert_eq!(hanging(20), [""; 0]);
    assert_eq!(hanging(90).len(), 1);
}

#[test]
fn a_stall_within_the_content_is_not_one_after_it() {
    let hang = |content: &str| {
        let mut wire = Wire::new();
        let mut peer = wire.connect(4000);
        wire.talk(&mut peer, &GREETING);
        wire.talk(&mut peer, &MAIL[..6]);
        wire.talk(&mut peer, &[content]);
        wire.wait(20 * SECOND);
        wire.close(&mut peer, 0);
        wire.causes()
    };
    assert_eq!(hang("C: Subject: x\r\n\r\nx"), ["size-dependent-stall"]);
    assert_eq!(hang("C: Subject: x\r\n\r\nx\r\n."), ["no-reply-to-message"]);
}

/// The client cannot end such a connection: it is open when the capture ends.
#[test]
fn a_server_that_reads_no_more_stalls() {
    let mut wire = Wire::new();
    let mut peer = wire.connect(4000);
    wire.talk(&mut peer, &GREETING);
    wire.talk(&mut peer, &MAIL[..6]);
    wire.segment(&mut peer, 0, ACK, &[b'x'; 1000]);
    let mut full = peer.tcp(1, ACK, b"");
    full[14..16].fill(0);
    wire.packet(6, SERVER, peer.client, &full);
    plaintext(wire.wait(5 * SECOND), 4001);
    assert_eq!(wire.causes(), ["size-dependent-stall"]);
}

/// Leaves one packet out of a session, whichever.
#[test]
fn packets_that_the_capture_missed_are_no_failures() {
    let mut healthy = Wire::new();
    plaintext(&mut healthy, 4000);
    let mut peer = starttls(&mut healthy, 4001, &[&client_hello(), &server_hello(0xc02f)]);
    let finished = [&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40][..], &[7; 40]].concat();
    healthy.segment(&mut peer, 0, ACK, &finished);
    healthy.segment(&mut peer, 1, ACK, &finished);
    for (from, bytes) in [(0, 40), (1, 90), (0, 90), (1, 60), (0, 900), (1, 60), (0, 30), (1, 40)] {
        let record = [&[23, 3, 3, (bytes >> 8) as u8, bytes as u8][..], &vec![1; bytes]].concat();
        healthy.segment(&mut peer, from, ACK, &record);
    }
    healthy.close(&mut peer, 0);
    // The capture goes on.
    plaintext(healthy.wait(120 * SECOND), 4002);
    assert_eq!(healthy.causes(), [""; 0]);
    let mut records = Vec::new();
    let mut at = 24;
    while at < healthy.file.len() {
        let length = u32::from_le_bytes(healthy.file[at + 8..at + 12].try_into().unwrap()) as usize;
        records.push(&healthy.file[at..at + 16 + length]);
        at += 16 + length;
    }
    for missing in 1..=6 {
        for first in 0..records.len() {
            let kept = records.iter().enumerate().filter(|(at, _)| !(first..first + missing).contains(at));
            let mut lossy = Wire::new();
            lossy.file.extend(kept.flat_map(|(_, record)| record.iter().copied()));
            assert_eq!(lossy.causes(), [""; 0], "{missing} packets from {first} are missing");
        }
    }
    let mut lossy = Wire::new();
    lossy.file.extend(records.iter().enumerate().filter(|(at, _)| *at != 6).flat_map(|(_, record)| record.iter()));
    let packets = Packets::open(Cursor::new(lossy.file)).unwrap();
    let notes = capture::sessions(packets, Options::default(), |_| ());
    assert_eq!(notes.count(Note::SessionsIncomplete), 1);
}

#[test]
fn a_503_after_a_refusal_does_not_count() {
    let mut wire = Wire::new();
    let mut peer = wire.connect(4000);
    wire.talk(&mut peer, &GREETING);
    let said = [
        "C: MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA",
        "S: 550 5.7.1 no",
        "S: 503 5.0.0 Need MAIL before RCPT",
        "S: 503 5.0.0 Need MAIL command",
        "C: QUIT",
        "S: 221 bye",
    ];
    wire.talk(&mut peer, &said);
    wire.close(&mut peer, 0);
    assert_eq!(wire.why().1.len(), 1);
}

#[test]
fn a_suite_that_was_not_offered_is_refused_by_the_sender() {
    let mut wire = Wire::new();
    let mut peer = starttls(&mut wire, 4000, &[&client_hello(), &server_hello(0x0005), &alert(47)]);
    wire.close(&mut peer, 0);
    let (_, evidence) = wire.why();
    let symptom = evidence.symptoms.get(evidence.records[0].symptom).unwrap();
    assert!(symptom.signs.has(Sign::CipherNotOffered) && symptom.signs.has(Sign::AlertHere), "{symptom:?}");
}

#[test]
fn mail_that_goes_in_plaintext_after_a_failed_handshake_says_so() {
    let mut wire = Wire::new();
    let refused = |wire: &mut Wire, port| {
        let mut peer = starttls(wire, port, &[&client_hello(), &alert(40)]);
        wire.close(&mut peer, 1);
    };
    refused(&mut wire, 4000);
    plaintext(&mut wire, 4001);
    // Much later, and to nobody in particular.
    refused(&mut wire, 4002);
    plaintext(wire.wait(300 * SECOND), 4003);
    let mut evidence = Evidence::keeping(10);
    let mut reader = Reader::new("edge.pcap");
    let packets = Packets::open(Cursor::new(wire.file)).unwrap();
    capture::sessions(packets, Options::default(), |session| reader.add(&mut evidence, session));
    reader.finish(&mut evidence);
    let failing = |record: &&Record| record.symptom != 0;
    assert_eq!((evidence.len(), evidence.records.iter().filter(failing).count()), (3, 1));
    let group = evidence.records[0].group;
    let after: Vec<_> =
        evidence.kept_attempts(group, 0).filter_map(|attempt| attempt.plaintext_after.as_ref()).collect();
    assert_eq!(after.len(), 1);
    assert!(after[0].signs.has(Sign::AlertHandshakeFailure) && after[0].signs.has(Sign::HandshakeFailed));
}

#[test]
fn attempts_have_their_cipher_and_the_connections_at_that_moment() {
    let mut wire = Wire::new();
    let mut peers: Vec<Peer> = (0..3).map(|number| wire.connect(4000 + number)).collect();
    let finished = [&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40][..], &[7; 40]].concat();
    for peer in &mut peers {
        wire.talk(peer, &GREETING);
        wire.talk(peer, &["C: STARTTLS", "S: 220 ready"]);
        wire.segment(peer, 0, ACK, &client_hello());
        wire.segment(peer, 1, ACK, &server_hello(0xc02f));
        wire.segment(peer, 0, ACK, &finished);
        wire.segment(peer, 1, ACK, &finished);
        for (from, bytes) in [(0, 40), (1, 90), (0, 900), (1, 60)] {
            wire.segment(
                peer,
                from,
                ACK,
                &[&[23, 3, 3, (bytes >> 8) as u8, bytes as u8][..], &vec![1; bytes]].concat(),
            );
        }
    }
    peers.iter_mut().for_each(|peer| wire.close(peer, 0));
    plaintext(&mut wire, 4004);
    let mut attempts = Evidence::keeping(10);
    let mut reader = Reader::new("edge.pcap");
    let packets = Packets::open(Cursor::new(wire.file)).unwrap();
    capture::sessions(packets, Options::default(), |session| reader.add(&mut attempts, session));
    reader.finish(&mut attempts);
    let told = attempts.kept_attempts(attempts.records[0].group, 0).map(|attempt| {
        let tls = attempt.tls.as_ref().map(|(version, cipher)| format!("{version} {cipher}"));
        (attempt.connections.unwrap(), tls.unwrap_or_default())
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    let tls = "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256".to_owned();
    let expected = [(1, String::new()), (1, tls.clone()), (2, tls.clone()), (3, tls)];
    assert_eq!(told, expected);
}
