//! A wire that loses, delays, resets: a TUN device in a network namespace of the test's own, and a relay that puts each
//! packet back with source and destination exchanged. What connects to 127.0.0.2 so reaches this machine's 127.0.0.1,
//! through the relay both ways.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::Ipv4Addr,
    os::fd::AsFd,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use lab::namespace::run_in_own_network;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    ioctl::{Setter, ioctl, opcode},
};

use super::common::peers;

/// Where servers on 127.0.0.1 are met through the wire.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const NEAR: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Runs the calling test once more in a network namespace. True there; false outside, when all is done.
pub(crate) fn in_own_namespace(test: &str) -> bool {
    let ended = run_in_own_network(test).unwrap();
    assert!(ended.is_none_or(|status| status.success()), "{test} failed in its namespace");
    ended.is_none()
}

/// ip(8), in this process's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = peers().command("bin/ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Pass,
    Drop,
    Delay(Duration),
    /// Both ends are told that the other one reset the connection, as a firewall does.
    Reset,
    /// It arrives, but those who capture do not see it.
    Unseen,
}

/// A TCP segment on its way.
pub(super) struct Segment<'a> {
    pub by_client: bool,
    /// Of the packet, with headers.
    pub length: usize,
    pub is_syn: bool,
    pub payload: &'a [u8],
}

type Rule = Box<dyn FnMut(&Segment<'_>) -> Fate + Send>;

/// What was captured, and where.
#[derive(Default)]
pub(super) struct Captured {
    /// At the client: what it sends, though it be lost, and what reaches it.
    pub client: Packets,
    pub server: Packets,
    /// On both sides of a router between them: whatever passes stands there twice.
    pub router: Packets,
    /// On the side from which each packet reaches the router.
    pub before_router: Packets,
}

/// With their times.
#[derive(Default)]
pub(super) struct Packets(Vec<(Duration, Vec<u8>)>);

impl Packets {
    fn add(&mut self, now: Duration, packet: &[u8]) {
        self.0.push((now, packet.to_vec()));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// As a pcap file of raw IP, with nanoseconds (draft-ietf-opsawg-pcap).
    pub(super) fn write(&self, file: &Path) {
        let mut bytes = Vec::new();
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 0x0004_0000, 101] {
            bytes.extend(word.to_le_bytes());
        }
        for (time, packet) in &self.0 {
            let length = packet.len() as u32;
            for word in [time.as_secs() as u32, time.subsec_nanos(), length, length] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(packet);
        }
        std::fs::write(file, bytes).unwrap();
    }
}

struct State {
    rule: Rule,
    captured: Captured,
    last_packet: Instant,
}

pub(super) struct Network {
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    relay: Option<JoinHandle<()>>,
}

impl Network {
    /// Of this process's namespace; see [`in_own_namespace`].
    pub(super) fn start() -> Self {
        let device = device("wire");
        ip("link set lo up");
        // The whole of 127.0.0.0/8 is here, until it is said that only one address is.
        ip("address del 127.0.0.1/8 dev lo");
        ip("address add 127.0.0.1/32 dev lo");
        ip("link set wire up");
        std::fs::write("/proc/sys/net/ipv4/conf/wire/route_localnet", "1").unwrap();
        ip("route add 127.0.0.2/32 dev wire src 127.0.0.1");
        let state =
            State { rule: Box::new(|_| Fate::Pass), captured: Captured::default(), last_packet: Instant::now() };
        let (state, is_over) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let mut relay =
            Relay { device, state: Arc::clone(&state), servers: HashSet::new(), delayed: BTreeMap::new(), count: 0 };
        let until = Arc::clone(&is_over);
        let relay = thread::spawn(move || relay.run(&until));
        Self { state, is_over, relay: Some(relay) }
    }

    /// What crosses the wire under a rule while `traffic` goes on, and until it is quiet.
    pub(super) fn play<T>(
        &self,
        rule: impl FnMut(&Segment<'_>) -> Fate + Send + 'static,
        traffic: impl FnOnce() -> T,
    ) -> (Captured, T) {
        self.state.lock().unwrap().rule = Box::new(rule);
        let result = traffic();
        let quiet = Duration::from_millis(300);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state.lock().unwrap().last_packet.elapsed() < quiet && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let mut state = self.state.lock().unwrap();
        state.rule = Box::new(|_| Fate::Pass);
        (std::mem::take(&mut state.captured), result)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(relay) = self.relay.take() {
            let _ = relay.join();
        }
    }
}

/// A TUN device (Linux, Documentation/networking/tuntap.rst): it lives as long as its file is open.
#[expect(unsafe_code, reason = "a device is asked for by ioctl")]
fn device(name: &str) -> File {
    /// struct ifreq, as far as it counts here.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    const TUN_WITHOUT_HEADER: u16 = 0x1001;
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap_or_else(|error| {
        panic!("/dev/net/tun: {error}; the tests need a Linux kernel with TUN, and the right to use it")
    });
    let mut request = Request { name: [0; 16], flags: TUN_WITHOUT_HEADER, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads a struct ifreq, 40 bytes, which the request is.
    unsafe { ioctl(&file, Setter::<{ opcode::write::<i32>(b'T', 202) }, Request>::new(request)) }.unwrap();
    file
}

struct Relay {
    device: File,
    state: Arc<Mutex<State>>,
    /// Ports that were connected to.
    servers: HashSet<u16>,
    /// By when they are due, and a number to tell apart those of the same time.
    delayed: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    count: u64,
}

impl Relay {
    fn run(&mut self, is_over: &AtomicBool) {
        let mut packet = vec![0; 1 << 16];
        while !is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
                let (by_client, packet) = entry.remove();
                self.arrive(by_client, &packet, true);
            }
            let next = self.delayed.first_key_value().map(|((due, _), _)| due.saturating_duration_since(now));
            let wait = next.unwrap_or(Duration::from_millis(50)).max(Duration::from_micros(100));
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            let mut ready = [PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::IN)];
            if poll(&mut ready, Some(&wait)).unwrap_or(0) > 0 {
                let length = self.device.read(&mut packet).unwrap();
                self.take(&packet[..length]);
            }
        }
    }

    /// A packet comes from either end, both of which are 127.0.0.1 to themselves.
    fn take(&mut self, packet: &[u8]) {
        let is_tcp = packet.first() == Some(&0x45) && packet.get(9) == Some(&6) && packet.len() >= 40;
        if !is_tcp {
            return;
        }
        let (flags, destination) = (packet[33], port(packet, 22));
        let is_syn = flags & 0x12 == 0x02;
        if is_syn {
            self.servers.insert(destination);
        }
        let by_client = self.servers.contains(&destination);
        let mut packet = packet.to_vec();
        if !by_client {
            exchange_addresses(&mut packet);
        }
        let payload = &packet[20 + usize::from(packet[32] >> 4) * 4..];
        let segment = Segment { by_client, length: packet.len(), is_syn, payload };
        let fate = {
            let mut state = self.state.lock().unwrap();
            state.last_packet = Instant::now();
            let fate = (state.rule)(&segment);
            if fate != Fate::Unseen {
                // One time for all: what is told rests on it.
                let now = since_1970();
                let captured = &mut state.captured;
                let near = if by_client { &mut captured.client } else { &mut captured.server };
                near.add(now, &packet);
                captured.router.add(now, &packet);
                captured.before_router.add(now, &packet);
            }
            fate
        };
        match fate {
            Fate::Pass => self.arrive(by_client, &packet, true),
            Fate::Unseen => self.arrive(by_client, &packet, false),
            Fate::Delay(time) => {
                self.count += 1;
                self.delayed.insert((Instant::now() + time, self.count), (by_client, packet));
            }
            Fate::Reset => {
                let (to_sender, to_receiver) = resets(&packet);
                self.arrive(!by_client, &to_sender, true);
                self.arrive(by_client, &to_receiver, true);
            }
            Fate::Drop => {}
        }
    }

    /// Behind the router.
    fn arrive(&mut self, by_client: bool, packet: &[u8], is_seen: bool) {
        let mut packet = packet.to_vec();
        packet[8] -= 1;
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20], 0).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        if is_seen {
            let now = since_1970();
            let mut state = self.state.lock().unwrap();
            let captured = &mut state.captured;
            let near = if by_client { &mut captured.server } else { &mut captured.client };
            near.add(now, &packet);
            captured.router.add(now, &packet);
        }
        if by_client {
            exchange_addresses(&mut packet);
        }
        self.device.write_all(&packet).unwrap();
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn port(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// In captures the client is 127.0.0.1 and the server 127.0.0.2. No checksum changes.
fn exchange_addresses(packet: &mut [u8]) {
    let (source, destination) = packet[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
}

/// What a firewall that resets a connection sends in answer to a segment: to its sender, and to its receiver.
fn resets(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let payload = packet.len() - 20 - usize::from(packet[32] >> 4) * 4;
    let (sequence, acknowledgment) = (word(24), word(28));
    let (source, destination) = (&packet[20..22], &packet[22..24]);
    let from_client = packet[12..16] == NEAR.octets();
    let (near, far) = if from_client { (NEAR, FAR) } else { (FAR, NEAR) };
    let to_sender = [destination, source].concat();
    let to_receiver = [source, destination].concat();
    (
        reset(far, near, &to_sender, acknowledgment, sequence.wrapping_add(payload as u32)),
        reset(near, far, &to_receiver, sequence, acknowledgment),
    )
}

fn reset(source: Ipv4Addr, destination: Ipv4Addr, ports: &[u8], sequence: u32, acknowledgment: u32) -> Vec<u8> {
    const RST_ACK: u8 = 0x14;
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(ports);
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledgment.to_be_bytes());
    packet.extend([0x50, RST_ACK, 0, 0, 0, 0, 0, 0]);
    // The pseudo-header's protocol and length (RFC 9293 section 3.1); its addresses stand before the header.
    let sum = checksum(&packet[12..], 6 + 20).to_be_bytes();
    packet[36..38].copy_from_slice(&sum);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = bytes.chunks(2).fold(start, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
