//! Just enough of pcap to get the sample captures' TCP payloads in their order. A reader of its own, so that the tests
//! share no fault with the product's.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
};

use gatepost_protocol::tls::Side;

/// One connection: what each side sent, in the order in which it was whole.
#[derive(Clone, Default)]
pub(crate) struct Flow {
    pub(crate) pieces: Vec<(Side, Vec<u8>)>,
}

impl Flow {
    pub(crate) fn side(&self, wanted: Side) -> Flow {
        Flow { pieces: self.pieces.iter().filter(|(side, _)| *side == wanted).cloned().collect() }
    }

    /// From where both sides speak TLS on.
    pub(crate) fn after_starttls(mut self) -> Flow {
        const HANDSHAKE: &[u8] = &[22, 3];
        let is_tls = |(_, bytes): &(Side, Vec<u8>)| bytes.starts_with(HANDSHAKE);
        let first = self.pieces.iter().position(is_tls).expect("a TLS record");
        self.pieces.drain(..first);
        self
    }
}

/// Where captures lie that the project recorded.
pub(crate) fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/captures")
}

/// Where captures lie that others have published: `shared` stands beside the repository, or where GATEPOST_SHARED says.
pub(crate) fn published() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("GATEPOST_SHARED").map_or_else(beside, PathBuf::from).join("samples/captures")
}

pub(crate) fn read(folder: &Path, name: &str) -> Vec<Flow> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()));
    let mut flows = Flows::default();
    let link = u32::from_le_bytes(bytes[20..24].try_into().expect("as many bytes"));
    assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1], "a little-endian pcap: {name}");
    let mut rest = &bytes[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().expect("as many bytes")) as usize;
        flows.packet(link, &rest[16..16 + length]);
        rest = &rest[16 + length..];
    }
    flows.flows
}

type Address = (IpAddr, u16);

#[derive(Default)]
struct Flows {
    flows: Vec<Flow>,
    /// From whom to whom: which flow, which side, and where its stream stands.
    streams: HashMap<(Address, Address), Stream>,
}

struct Stream {
    flow: usize,
    side: Side,
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
}

impl Flows {
    fn packet(&mut self, link: u32, frame: &[u8]) {
        let ip = match (link, frame) {
            (0, _) => &frame[4..],
            (1, [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, ip @ ..]) => ip,
            (1, [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, ip @ ..]) => ip,
            _ => return,
        };
        let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
        let (from, to, tcp) = if ip[0] >> 4 == 4 && ip[9] == 6 {
            let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).expect("4 bytes"));
            (address(12), address(16), &ip[usize::from(ip[0] & 15) * 4..usize::from(word(2))])
        } else if ip[0] >> 4 == 6 && ip[6] == 6 {
            let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).expect("16 bytes"));
            (address(8), address(24), &ip[40..40 + usize::from(word(4))])
        } else {
            return;
        };
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        self.segment((from, port(0)), (to, port(2)), tcp);
    }

    fn segment(&mut self, from: Address, to: Address, tcp: &[u8]) {
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().expect("as many bytes"));
        let is_syn = tcp[13] & 2 != 0;
        if !self.streams.contains_key(&(from, to)) {
            let flow = self.flows.len();
            self.flows.push(Flow::default());
            let stream = |side| Stream { flow, side, next: None, early: BTreeMap::new() };
            self.streams.insert((from, to), stream(Side::Client));
            self.streams.insert((to, from), stream(Side::Server));
        }
        let stream = self.streams.get_mut(&(from, to)).expect("inserted above");
        let next = stream.next.get_or_insert(sequence.wrapping_add(is_syn.into()));
        stream.early.insert(sequence.wrapping_sub(*next), tcp[usize::from(tcp[12] >> 4) * 4..].to_vec());
        let pieces = &mut self.flows[stream.flow].pieces;
        // `early` counts from the stream's place, which moves with each piece; repeated segments lie behind it.
        while let Some(bytes) = stream.early.remove(&0) {
            *next = next.wrapping_add(bytes.len() as u32);
            let moved = bytes.len() as u32;
            stream.early = std::mem::take(&mut stream.early)
                .into_iter()
                .map(|(offset, bytes)| (offset.wrapping_sub(moved), bytes))
                .filter(|(offset, _)| *offset < 1 << 31)
                .collect();
            if !bytes.is_empty() {
                pieces.push((stream.side, bytes));
            }
        }
    }
}
