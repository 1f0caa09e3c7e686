//! From packets to flows: the table of connections, which is bounded, and the role of each packet in its connection.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use foldhash::fast::RandomState;

use crate::{
    dialogue::Dialogue,
    fields::Fields,
    file::{Packet, Packets},
    icmp,
    ip::{self, Fragments, Parsed},
    link::{self, LinkType, hash},
    note::{Note, Notes},
    open::Open,
    session::Session,
    tcp::{
        self, Analysis, Segment,
        copies::Place,
        flow::{Flow, ends},
    },
};

/// What to read from a capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Recognise packets that are in a router's or mirror port's capture twice, and skip the second one. Wireshark
    /// treats them as retransmissions and duplicate acknowledgments.
    pub set_duplicates_aside: bool,
    /// Read the dialogue, and return sessions.
    pub dialogues: bool,
    /// Also keep lines of message content.
    pub show_content: bool,
    /// Treat connections to these server ports as SMTP, however they begin.
    pub smtp_ports: Vec<u16>,
    /// Collect the fields of each packet, for filters.
    pub fields: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { set_duplicates_aside: true, dialogues: true, show_content: false, smtp_ports: Vec::new(), fields: false }
    }
}

/// TCP facts of one packet.
#[derive(Clone, Copy, Debug)]
pub struct TcpFacts {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// As Wireshark's tcp.stream.
    pub stream: u64,
    pub flags: u16,
    pub length: u32,
    pub window: u16,
    pub analysis: Analysis,
    /// True if the same packet was seen a moment ago at another place.
    pub is_duplicate: bool,
    /// True if the packet is quoted in an ICMP error, which contains only addresses and ports.
    pub is_quoted: bool,
}

/// Maximum number of flows in memory. Beyond that the oldest closed flows are dropped first, then the oldest ones.
const FLOWS_MAX: usize = 50_000;
/// Approximate maximum memory of all flows. Beyond that the oldest flows are dropped.
const HELD_BYTES_MAX: usize = 512 << 20;
/// A closed flow waits for late packets until this many others are closed.
const LINGER: usize = 500;

type Key = [SocketAddr; 2];

/// Reads packets.
pub struct Capture {
    options: Options,
    flows: HashMap<Key, Flow, RandomState>,
    /// Closed flows whose sessions were not returned yet, and those whose sessions were, oldest first.
    lingering: VecDeque<(Key, u64)>,
    told: VecDeque<(Key, u64)>,
    /// All flows by age.
    ages: VecDeque<(Key, u64)>,
    /// Memory of all flows together.
    held_bytes: usize,
    next_stream: u64,
    /// Time of the last packet.
    now_ns: i64,
    fragments: Fragments,
    open: Open,
    notes: Notes,
    pub fields: Fields,
    finished: Vec<Session>,
}

impl Capture {
    pub fn new(options: Options) -> Self {
        let fields = Fields { is_wanted: options.fields, ..Fields::default() };
        Self {
            options,
            flows: HashMap::with_hasher(RandomState::default()),
            lingering: VecDeque::new(),
            told: VecDeque::new(),
            ages: VecDeque::new(),
            held_bytes: 0,
            next_stream: 0,
            now_ns: i64::MIN,
            fragments: Fragments::default(),
            open: Open::default(),
            notes: Notes::default(),
            fields,
            finished: Vec::new(),
        }
    }

    /// Adds a packet. `None`: it has no TCP.
    pub fn packet(&mut self, packet: &Packet<'_>) -> Option<TcpFacts> {
        self.fields.clear();
        self.now_ns = self.now_ns.max(packet.time_ns);
        let Some(network) = link::network(packet.link, packet.data) else {
            if let LinkType::Other(_) = packet.link {
                self.notes.add(Note::UnknownLinkType);
            }
            return None;
        };
        let frame = &packet.data[..packet.data.len() - network.len()];
        match ip::parse(network, &mut self.fragments, &mut self.notes)? {
            Parsed::Whole(header, payload) => self.segment(packet, frame, &header, payload),
            Parsed::Reassembled(header, payload) => self.segment(packet, frame, &header, &payload),
        }
    }

    fn segment(&mut self, packet: &Packet<'_>, frame: &[u8], header: &ip::Header, payload: &[u8]) -> Option<TcpFacts> {
        if let ip::ICMP | ip::ICMP6 = header.protocol {
            return self.quoted(packet, header, payload);
        }
        if header.protocol != ip::TCP {
            return None;
        }
        let Some(segment) = tcp::parse(payload, header.length) else {
            self.notes.add(Note::BadHeader);
            return None;
        };
        let source = (header.source, segment.source_port);
        let destination = (header.destination, segment.destination_port);
        let (key, from) = ends(source, destination);
        self.renew(key, from, &segment, packet.time_ns);
        let flow = self.flows.get_mut(&key)?;
        let is_duplicate = self.options.set_duplicates_aside && {
            let place = Place { interface: packet.interface, hops: header.hops, link: hash(frame) };
            flow.is_copy(from, header, place, &segment, packet.time_ns)
        };
        let was_closed = flow.is_closed;
        let analysis = if is_duplicate {
            Analysis::default()
        } else {
            flow.see(from, &segment, packet.time_ns, &mut self.fields, &mut self.notes)
        };
        self.open.count(flow);
        count_held(&mut self.held_bytes, flow);
        let facts = TcpFacts {
            source: source.into(),
            destination: destination.into(),
            stream: flow.number,
            flags: segment.flags,
            length: segment.length,
            window: segment.window,
            analysis,
            is_duplicate,
            is_quoted: false,
        };
        if flow.is_closed && !was_closed {
            let number = flow.number;
            self.lingering.push_back((key, number));
            self.tell_the_oldest();
        }
        while self.held_bytes > HELD_BYTES_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            self.forget(oldest);
        }
        Some(facts)
    }

    /// Adds an ICMP error about a packet of a connection.
    fn quoted(&mut self, packet: &Packet<'_>, header: &ip::Header, payload: &[u8]) -> Option<TcpFacts> {
        let (error, quoted) = icmp::error(header.protocol, payload)?;
        let (inner, bytes) = ip::quoted(quoted)?;
        if inner.protocol != ip::TCP {
            return None;
        }
        let ports = (link::u16_at(bytes, 0)?, link::u16_at(bytes, 2)?);
        let (source, destination) = ((inner.source, ports.0), (inner.destination, ports.1));
        let (key, from) = ends(source, destination);
        self.begin(key, packet.time_ns);
        let flow = self.flows.get_mut(&key)?;
        flow.heard_error(from, error);
        Some(TcpFacts {
            source: source.into(),
            destination: destination.into(),
            stream: flow.number,
            flags: 0,
            length: 0,
            window: 0,
            analysis: Analysis::default(),
            is_duplicate: false,
            is_quoted: true,
        })
    }

    /// Creates the flow, or a new one if its ports are used again.
    fn renew(&mut self, key: Key, from: usize, segment: &Segment<'_>, now_ns: i64) {
        if let Some(flow) = self.flows.get(&key) {
            if !flow.is_new_connection(from, segment) {
                return;
            }
            if let Some(flow) = self.flows.remove(&key) {
                self.tell(flow);
            }
        }
        self.begin(key, now_ns);
    }

    /// Creates the flow if it does not exist.
    fn begin(&mut self, key: Key, now_ns: i64) {
        if self.flows.contains_key(&key) {
            return;
        }
        self.make_room();
        let dialogue = self.options.dialogues.then(|| {
            let mut dialogue = Box::new(Dialogue::new(self.options.show_content));
            if key.iter().any(|end| self.options.smtp_ports.contains(&end.port())) {
                dialogue.force_smtp();
            }
            dialogue
        });
        self.flows.insert(key, Flow::new(self.next_stream, key, now_ns, dialogue));
        self.ages.push_back((key, self.next_stream));
        self.next_stream += 1;
    }

    fn make_room(&mut self) {
        while self.flows.len() >= FLOWS_MAX
            && let Some(oldest) = self.told.pop_front().or_else(|| self.ages.pop_front())
        {
            self.forget(oldest);
        }
        // Flows that were dropped elsewhere are still in this queue.
        let is_known = |(key, number): &(Key, u64)| self.flows.get(key).is_some_and(|flow| flow.number == *number);
        for queue in [&mut self.ages, &mut self.told] {
            if queue.len() > 2 * self.flows.len() + LINGER {
                queue.retain(is_known);
            }
        }
    }

    fn forget(&mut self, (key, number): (Key, u64)) {
        if self.flows.get(&key).is_none_or(|flow| flow.number != number) {
            return;
        }
        if let Some(flow) = self.flows.remove(&key) {
            if !flow.is_closed {
                self.notes.add(Note::FlowsForgotten);
            }
            self.tell(flow);
        }
    }

    fn tell_the_oldest(&mut self) {
        if self.lingering.len() <= LINGER {
            return;
        }
        let Some((key, number)) = self.lingering.pop_front() else { return };
        let Some(flow) = self.flows.get_mut(&key).filter(|flow| flow.number == number) else { return };
        self.finished.extend(conclude(flow, self.now_ns, &mut self.notes));
        count_held(&mut self.held_bytes, flow);
        self.told.push_back((key, number));
    }

    fn tell(&mut self, mut flow: Flow) {
        self.open.forget(&mut flow);
        self.held_bytes -= flow.counted_bytes;
        self.finished.extend(conclude(&mut flow, self.now_ns, &mut self.notes));
    }

    /// Sessions that have ended. Each is returned once.
    pub fn take_finished(&mut self) -> std::vec::Drain<'_, Session> {
        self.finished.drain(..)
    }

    /// Ends the capture. Returns the remaining sessions and the notes.
    pub fn finish(mut self) -> (Vec<Session>, Notes) {
        self.fragments.finish(&mut self.notes);
        let mut flows: Vec<Flow> = std::mem::take(&mut self.flows).into_values().collect();
        flows.sort_by_key(|flow| flow.number);
        for flow in flows {
            self.tell(flow);
        }
        self.finished.sort_by_key(|session| session.stream);
        (self.finished, self.notes)
    }
}

/// Updates a sum with a flow's current memory, which replaces the amount counted last.
fn count_held(sum: &mut usize, flow: &mut Flow) {
    let held = flow.held_bytes();
    *sum = *sum - flow.counted_bytes + held;
    flow.counted_bytes = held;
}

/// The session of a flow, unless it was already returned or is not wanted.
fn conclude(flow: &mut Flow, now_ns: i64, notes: &mut Notes) -> Option<Session> {
    let is_told = flow.dialogue.is_none();
    flow.finish(now_ns, notes);
    if is_told {
        return None;
    }
    if flow.is_incomplete() {
        notes.add(Note::SessionsIncomplete);
    }
    Some(Session::of(flow))
}

/// Reads the sessions of a whole capture. Each is returned when it has ended. Returns the notes.
pub fn sessions(packets: Packets, options: Options, mut each: impl FnMut(Session)) -> Notes {
    let (mut packets, mut capture) = (packets.in_order(), Capture::new(options));
    while let Some(packet) = packets.next() {
        capture.packet(&packet);
        capture.take_finished().for_each(&mut each);
    }
    let (rest, notes) = capture.finish();
    rest.into_iter().for_each(each);
    packets.notes().clone().with(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet from 10.0.0.1 to 10.0.0.2, port 25, without a link layer.
    fn packet(port: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, ip::TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes[2..4].copy_from_slice(&(40 + payload.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&25u16.to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn give(capture: &mut Capture, data: &[u8]) {
        capture.packet(&Packet {
            number: 1,
            time_ns: 0,
            link: LinkType::RawIp,
            length: data.len() as u32,
            interface: 0,
            data,
        });
    }

    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;

    #[test]
    fn connections_that_are_over_leave_nothing_behind() {
        let mut capture = Capture::new(Options::default());
        for connection in 0..20_000u32 {
            let port = 10_000 + (connection % 1000) as u16;
            give(&mut capture, &packet(port, connection, SYN, b""));
            give(&mut capture, &packet(port, connection + 1, RST, b""));
            capture.take_finished();
        }
        let queues = [&capture.ages, &capture.told, &capture.lingering].map(VecDeque::len);
        assert!(queues.into_iter().all(|length| length <= 3 * 1000 + LINGER), "{queues:?}");
        assert_eq!(capture.notes, Notes::default());
    }

    /// Each flow has bytes after a gap that is never filled.
    #[test]
    fn all_flows_together_hold_no_more_than_they_may() {
        let mut capture = Capture::new(Options::default());
        let (payload, flows) = (vec![b'x'; 40_000], 3000u16);
        let mut most = 0;
        for port in 0..flows {
            give(&mut capture, &packet(port, 0, SYN, b""));
            for part in 0..6 {
                give(&mut capture, &packet(port, 1000 + part * 40_000, ACK, &payload));
                most = most.max(capture.held_bytes);
            }
        }
        assert!(most > HELD_BYTES_MAX / 2 && most <= HELD_BYTES_MAX, "{most}");
        assert!(capture.notes.count(Note::FlowsForgotten) > 0);
        let (sessions, notes) = capture.finish();
        assert_eq!(sessions.len(), usize::from(flows));
        assert_eq!(notes.count(Note::BytesMissing), u64::from(flows));
    }

    /// Every byte in a segment of its own, the last one first.
    #[test]
    fn tiny_segments_in_any_order_are_put_together() {
        let said = format!("EHLO {}\r\n", "x".repeat(60_000));
        let mut capture = Capture::new(Options { smtp_ports: vec![25], ..Options::default() });
        give(&mut capture, &packet(1, 0, SYN, b""));
        for (at, byte) in said.bytes().enumerate().rev() {
            give(&mut capture, &packet(1, 1 + at as u32, ACK, &[byte]));
        }
        let (sessions, notes) = capture.finish();
        assert!(sessions[0].lines[0].text.starts_with("EHLO xxx"), "{:?}", sessions[0].lines);
        assert_eq!(notes, Notes::default());
    }
}
