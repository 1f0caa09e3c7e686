//! Checks that the same packets give the same sessions in every format that a capture may have, and with each packet
//! twice, as in a router's capture.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod common;

use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use gatepost_capture::{
    self as capture, Capture, Filter, LinkType, Note, Notes, Options, Packets, Session, Writer, filter::View,
};

const STORY: &str = "tcp.port == 25 and not tcp.analysis.retransmission and not tcp.analysis.duplicate_ack";

/// An Ethernet packet.
#[derive(Clone)]
struct Frame {
    time_ns: i64,
    bytes: Vec<u8>,
}

/// The project's own captures.
const SAMPLES: [&str; 3] = ["plain.pcap", "starttls-tls12.pcap", "no-shared-cipher.pcap"];

fn sample(name: &str) -> Vec<Frame> {
    frames(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures").join(name))
}

fn samples() -> Vec<Vec<Frame>> {
    SAMPLES.map(sample).into()
}

/// Captures published by others.
fn published() -> Vec<Vec<Frame>> {
    let folder = common::published_captures();
    ["zeek-tls-smtp-starttls.pcap", "suricata-tls-tls-fingerprint-alert.pcap"]
        .map(|name| frames(&folder.join(name)))
        .into()
}

fn frames(path: &Path) -> Vec<Frame> {
    let mut packets = Packets::open(fs::File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = packets.next() {
        assert_eq!(packet.link, LinkType::Ethernet);
        frames.push(Frame { time_ns: packet.time_ns, bytes: packet.data.to_vec() });
    }
    assert!(frames.len() > 15);
    frames
}

fn read(file: Vec<u8>, options: Options) -> (Vec<Session>, Notes, usize) {
    let mut packets = Packets::open(Cursor::new(file)).unwrap();
    let (mut capture, filter) = (Capture::new(options), Filter::parse(STORY).unwrap());
    let (mut sessions, mut passed) = (Vec::new(), 0);
    while let Some(packet) = packets.next() {
        let tcp = capture.packet(&packet);
        let view = View { packet: &packet, tcp: tcp.as_ref(), fields: &capture.fields, first_ns: 0 };
        passed += usize::from(!tcp.is_some_and(|tcp| tcp.is_duplicate) && filter.passes(&view));
        sessions.extend(capture.take_finished());
    }
    let mut notes = packets.notes().clone();
    let (rest, more) = capture.finish();
    notes.0.extend(more.0);
    sessions.extend(rest);
    (sessions, notes, passed)
}

/// The facts that must be the same in every format.
fn told(sessions: &[Session]) -> String {
    let session = |session: &Session| {
        let mut session = session.clone();
        session.duplicates = 0;
        serde_json::to_string_pretty(&session).unwrap()
    };
    sessions.iter().map(session).collect()
}

#[derive(Clone, Copy)]
struct Form {
    is_big: bool,
    is_nano: bool,
    link: u32,
}

/// An Ethernet frame, converted to another link layer.
fn dressed(frame: &Frame, link: u32) -> Vec<u8> {
    let (kind, ip) = (&frame.bytes[12..14], &frame.bytes[14..]);
    let mut bytes = match link {
        // Null: the address family, here in network order.
        0 => vec![0, 0, 0, 2],
        // With a VLAN tag, and one more before it.
        1 => [&frame.bytes[..12], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 42], kind].concat(),
        101 => vec![],
        108 => vec![0, 0, 0, 2],
        113 => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], kind].concat(),
        276 => [kind, &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat(),
        _ => unreachable!(),
    };
    bytes.extend_from_slice(ip);
    bytes
}

fn pcap(frames: &[Frame], form: Form) -> Vec<u8> {
    let number = |value: u32| if form.is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = if form.is_nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = number(magic).to_vec();
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&number(form.link));
    for frame in frames {
        let bytes = dressed(frame, form.link);
        let fraction = frame.time_ns % 1_000_000_000 / if form.is_nano { 1 } else { 1000 };
        for value in [(frame.time_ns / 1_000_000_000) as u32, fraction as u32, bytes.len() as u32, bytes.len() as u32] {
            file.extend_from_slice(&number(value));
        }
        file.extend_from_slice(&bytes);
    }
    file
}

#[test]
fn every_link_layer_and_byte_order_tells_the_same() {
    assert_every_link_layer_and_byte_order_tells_the_same(samples());
}

#[test]
fn corpus_every_form_tells_the_same() {
    assert_every_link_layer_and_byte_order_tells_the_same(published());
    assert_interfaces_and_sections_have_their_own_clocks(published());
    assert_copies_are_set_aside(published());
}

fn assert_every_link_layer_and_byte_order_tells_the_same(captures: Vec<Vec<Frame>>) {
    for frames in captures {
        let plain = pcap(&frames, Form { is_big: false, is_nano: true, link: 101 });
        let (sessions, notes, passed) = read(plain.clone(), Options::default());
        assert!(!sessions.is_empty() && notes == Notes::default());
        let expected = told(&sessions);
        for link in [0, 1, 101, 108, 113, 276] {
            for (is_big, is_nano) in [(false, false), (false, true), (true, false), (true, true)] {
                let (other, notes, others) = read(pcap(&frames, Form { is_big, is_nano, link }), Options::default());
                assert_eq!(notes, Notes::default(), "link {link}");
                assert_eq!((told(&other), others), (expected.clone(), passed), "link {link}");
            }
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&plain).unwrap();
        assert_eq!(told(&read(gzip.finish().unwrap(), Options::default()).0), expected);
    }
}

/// An interface of a pcapng file: its link layer, the option if_tsresol, and what if_tsoffset takes from each time.
struct Interface {
    link: u32,
    resolution: Option<u8>,
    offset_s: u64,
}

const INTERFACES: [Interface; 4] = [
    Interface { link: 1, resolution: None, offset_s: 0 },
    Interface { link: 101, resolution: Some(9), offset_s: 1000 },
    Interface { link: 113, resolution: Some(0x80 | 20), offset_s: 0 },
    Interface { link: 276, resolution: Some(3), offset_s: 1_300_000_000 },
];

/// A section with all interfaces, which get the packets in turn, and with blocks of other kinds between them.
fn pcapng_section(frames: &[(usize, &Frame)], is_big: bool) -> Vec<u8> {
    let four = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let two = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: Vec<u8>| {
        let mut body = body;
        body.resize(body.len().next_multiple_of(4), 0);
        let length = four(body.len() as u32 + 12);
        [&four(kind)[..], &length, &body, &length].concat()
    };
    let section = [&four(0x1a2b_3c4d)[..], &two(1), &two(0), &[0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, section);
    for interface in &INTERFACES {
        let mut body = [&two(interface.link as u16)[..], &two(0), &four(0)].concat();
        body.extend([&two(2)[..], &two(3), b"eth", &[0]].concat());
        if let Some(resolution) = interface.resolution {
            body.extend([&two(9)[..], &two(1), &[resolution, 0, 0, 0]].concat());
        }
        if interface.offset_s > 0 {
            let offset = interface.offset_s;
            let offset = if is_big { offset.to_be_bytes() } else { offset.to_le_bytes() };
            body.extend([&two(14)[..], &two(8), &offset].concat());
        }
        body.extend([0; 4]);
        file.extend(block(1, body));
    }
    for (index, frame) in frames {
        let number = index % INTERFACES.len();
        let interface = &INTERFACES[number];
        let units: i128 = match interface.resolution {
            None => 1_000_000,
            Some(power) if power & 0x80 != 0 => 1 << (power & 0x7f),
            Some(power) => 10_i128.pow(power.into()),
        };
        let ns = i128::from(frame.time_ns) - i128::from(interface.offset_s) * 1_000_000_000;
        let time = (ns * units / 1_000_000_000) as u64;
        let bytes = dressed(frame, interface.link);
        let (high, low) = (four((time >> 32) as u32), four(time as u32));
        let length = four(bytes.len() as u32);
        // An obsolete packet block now and then, and interface statistics, which nobody needs.
        let is_old = index % 5 == 3;
        let head = if is_old { [two(number as u16), two(0)].concat() } else { four(number as u32).to_vec() };
        file.extend(block(if is_old { 2 } else { 6 }, [&head[..], &high, &low, &length, &length, &bytes].concat()));
        if index % 7 == 0 {
            file.extend(block(5, [four(number as u32), high, low].concat()));
        }
    }
    file
}

#[test]
fn interfaces_and_sections_of_pcapng_each_have_their_own_link_clock_and_byte_order() {
    assert_interfaces_and_sections_have_their_own_clocks(samples());
}

fn assert_interfaces_and_sections_have_their_own_clocks(captures: Vec<Vec<Frame>>) {
    for frames in captures {
        let frames: Vec<Frame> = frames
            .into_iter()
            // Times as the coarsest clock (milliseconds) records them, and as the clock of 2^-20 s does.
            .map(|frame| Frame { time_ns: frame.time_ns / 125_000_000 * 125_000_000, ..frame })
            .collect();
        let numbered: Vec<(usize, &Frame)> = frames.iter().enumerate().collect();
        let (first, second) = numbered.split_at(frames.len() / 2);
        let file = [pcapng_section(first, true), pcapng_section(second, false)].concat();
        let mut packets = Packets::open(Cursor::new(file.clone())).unwrap();
        let mut times = Vec::new();
        while let Some(packet) = packets.next() {
            times.push(packet.time_ns);
        }
        assert_eq!(times, frames.iter().map(|frame| frame.time_ns).collect::<Vec<_>>());
        let plain = pcap(&frames, Form { is_big: false, is_nano: true, link: 101 });
        let (expected, _, passed) = read(plain, Options::default());
        let (sessions, notes, others) = read(file, Options::default());
        assert_eq!(notes, Notes::default());
        assert_eq!((told(&sessions), others), (told(&expected), passed));
    }
}

#[test]
fn what_is_written_is_read_again() {
    let frames = sample(SAMPLES[0]);
    let file = pcap(&frames, Form { is_big: false, is_nano: true, link: 276 });
    let mut packets = Packets::open(Cursor::new(file.clone())).unwrap();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out).unwrap();
    while let Some(packet) = packets.next() {
        writer.write(&packet).unwrap();
    }
    writer.finish().unwrap();
    let (sessions, notes, _) = read(out, Options::default());
    assert_eq!(notes, Notes::default());
    assert_eq!(told(&sessions), told(&read(file, Options::default()).0));
}

/// As in a router's capture: each packet comes in, and leaves 20 µs later with other link addresses and one hop less.
/// The checksum is not updated, because nothing checks it.
fn doubled(frames: &[Frame]) -> Vec<Frame> {
    let out = |frame: &Frame| {
        let mut bytes = frame.bytes.clone();
        bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        bytes[22] -= 1;
        Frame { time_ns: frame.time_ns + 20_000, bytes }
    };
    frames.iter().flat_map(|frame| [frame.clone(), out(frame)]).collect()
}

#[test]
fn copies_of_a_router_are_set_aside() {
    assert_copies_are_set_aside(samples());
}

fn assert_copies_are_set_aside(captures: Vec<Vec<Frame>>) {
    for frames in captures {
        let file = |frames: &[Frame]| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out).unwrap();
            for frame in frames {
                let length = frame.bytes.len() as u32;
                let packet = gatepost_capture::Packet {
                    number: 0,
                    time_ns: frame.time_ns,
                    link: LinkType::Ethernet,
                    interface: 0,
                    length,
                    data: &frame.bytes,
                };
                writer.write(&packet).unwrap();
            }
            writer.finish().unwrap();
            out
        };
        let (once, _, passed) = read(file(&frames), Options::default());
        let (twice, _, passed_twice) = read(file(&doubled(&frames)), Options::default());
        assert_eq!((told(&once), passed), (told(&twice), passed_twice));
        let packets: u64 = once.iter().map(|session| session.packets[0] + session.packets[1]).sum();
        assert_eq!(twice.iter().map(|session| session.duplicates).sum::<u64>(), packets);
        // As in Wireshark, the copies are retransmissions and duplicate acknowledgments.
        let (kept, ..) = read(file(&doubled(&frames)), Options { set_duplicates_aside: false, ..Options::default() });
        let again = kept[0].analysis.of(gatepost_capture::Analysis::RETRANSMISSION);
        assert!(again > 5 && kept[0].duplicates == 0, "{again}");
    }
}

#[test]
fn a_file_cut_anywhere_tells_what_it_has() {
    let frames = sample(SAMPLES[0]);
    let whole = pcap(&frames, Form { is_big: false, is_nano: false, link: 1 });
    let mut most = 0;
    for length in (24..whole.len()).step_by(61) {
        let (sessions, notes, _) = read(whole[..length].to_vec(), Options::default());
        let packets: u64 = sessions.iter().map(|session| session.packets[0] + session.packets[1]).sum();
        assert!(packets >= most, "{length}");
        most = packets;
        assert!(notes.count(Note::FileCut) <= 1 && notes.count(Note::FileDamaged) == 0, "{length}: {notes:?}");
    }
    assert!(most > 30);
}

proptest::proptest! {
    /// Reading a damaged file always ends.
    #[test]
    fn damaged_files_never_panic(changes in proptest::collection::vec((0usize..6000, proptest::num::u8::ANY), 1..30)) {
        let mut file = pcap(&sample(SAMPLES[1]), Form { is_big: false, is_nano: false, link: 1 });
        for (at, byte) in changes {
            let at = 24 + at % (file.len() - 24);
            file[at] = byte;
        }
        read(file, Options { fields: true, show_content: true, ..Options::default() });
    }
}
