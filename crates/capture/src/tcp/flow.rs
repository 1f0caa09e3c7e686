//! One connection: which side is the client, the dialogue, and how it ended.

use std::net::{IpAddr, SocketAddr};

use protocol::tls::{Ended, Ending, Side};

use super::{
    Segment,
    analysis::{Analysis, Analyzer, Counts},
    copies::{Copies, Place},
    coverage::Coverage,
    flag,
    reassembly::{Piece, Reassembly},
    turns::{Turns, is_alert},
};
use crate::{
    dialogue::Dialogue,
    fields::Fields,
    icmp::IcmpError,
    ip,
    note::{Note, Notes},
};

/// Ports of mail servers, which identify the server if the SYN is not in the capture.
const SERVER_PORTS: [u16; 4] = [25, 465, 587, 2525];

const ICMP_ERRORS_MAX: usize = 8;

/// Whether a flow is among the open ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Counted {
    #[default]
    NotYet,
    Open,
    Over,
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub number: u64,
    pub ends: [SocketAddr; 2],
    /// Which end is the client. `None`: not known yet.
    pub client: Option<usize>,
    pub first_ns: i64,
    pub last_ns: i64,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub duplicates: u64,
    pub counts: Counts,
    pub maximum_segment: [Option<u16>; 2],
    pub largest_segment: [u32; 2],
    pub missing_bytes: u64,
    pub ended: Option<Ended>,
    /// ICMP errors about its packets, each once.
    pub icmp_errors: Vec<IcmpError>,
    pub dialogue: Option<Box<Dialogue>>,
    pub turns: Turns,
    /// Time of the last payload. `None`: there was none yet.
    last_word_ns: Option<i64>,
    analyzer: Analyzer,
    streams: [Reassembly; 2],
    finished: [bool; 2],
    pub is_closed: bool,
    pub syn_ns: Option<i64>,
    /// The client has acknowledged the server's SYN, as far as the capture has the client's.
    pub is_connected: bool,
    /// Connections that the client had open to the server when this one was made, with this one.
    pub connections: Option<u32>,
    pub counted: Counted,
    /// The last packets, only while the connection is open.
    copies: Copies,
    coverage: [Coverage; 2],
    /// The last window of each side.
    windows: [Option<u16>; 2],
    /// A packet is in the file without its last bytes.
    is_cut: bool,
    /// The last result of [`Flow::held_bytes`] in the table of flows.
    pub counted_bytes: usize,
}

impl Flow {
    pub(crate) fn new(number: u64, ends: [SocketAddr; 2], now_ns: i64, dialogue: Option<Box<Dialogue>>) -> Self {
        Self {
            number,
            ends,
            client: None,
            first_ns: now_ns,
            last_ns: now_ns,
            packets: [0; 2],
            bytes: [0; 2],
            duplicates: 0,
            counts: Counts::default(),
            maximum_segment: [None; 2],
            largest_segment: [0; 2],
            missing_bytes: 0,
            ended: None,
            icmp_errors: Vec::new(),
            dialogue,
            turns: Turns::default(),
            last_word_ns: None,
            analyzer: Analyzer::default(),
            streams: Default::default(),
            finished: [false; 2],
            is_closed: false,
            syn_ns: None,
            is_connected: false,
            connections: None,
            counted: Counted::default(),
            copies: Copies::default(),
            coverage: Default::default(),
            windows: [None; 2],
            is_cut: false,
            counted_bytes: 0,
        }
    }

    /// Approximate memory besides the flow itself.
    pub(crate) fn held_bytes(&self) -> usize {
        let said = self.dialogue.as_ref().map_or(0, |dialogue| dialogue.held_bytes());
        said + self.copies.held_bytes() + self.streams.iter().map(Reassembly::held_bytes).sum::<usize>()
    }

    pub(crate) fn is_new_connection(&self, from: usize, segment: &Segment<'_>) -> bool {
        self.analyzer.is_new_connection(from, segment)
    }

    /// True if the same packet was seen a moment ago at another place.
    pub(crate) fn is_copy(
        &mut self,
        from: usize,
        header: &ip::Header,
        place: Place,
        segment: &Segment<'_>,
        now_ns: i64,
    ) -> bool {
        let is_copy = self.copies.is_copy(from, header, place, segment, now_ns);
        self.duplicates += u64::from(is_copy);
        is_copy
    }

    /// Adds an ICMP error about a packet that `from` sent.
    pub(crate) fn heard_error(&mut self, from: usize, error: IcmpError) {
        self.client.get_or_insert(from);
        if self.icmp_errors.len() < ICMP_ERRORS_MAX && !self.icmp_errors.contains(&error) {
            self.icmp_errors.push(error);
        }
    }

    pub(crate) fn see(
        &mut self,
        from: usize,
        segment: &Segment<'_>,
        now_ns: i64,
        fields: &mut Fields,
        notes: &mut Notes,
    ) -> Analysis {
        self.last_ns = now_ns;
        self.packets[from] += 1;
        self.bytes[from] += u64::from(segment.length);
        self.largest_segment[from] = self.largest_segment[from].max(segment.length);
        let seen = self.analyzer.see(from, segment, now_ns);
        self.counts.add(seen);
        self.cover(from, segment);
        self.greet(from, segment, now_ns);
        if self.dialogue.is_some() {
            let was_encrypted = self.is_encrypted();
            self.carry(from, segment, now_ns, fields, notes);
            if self.is_encrypted() && !was_encrypted {
                self.turns = Turns::default();
                self.last_word_ns = Some(now_ns);
            } else if segment.length > 0 && !seen.is_repetition() && segment.flags & flag::SYN == 0 {
                self.speak(from, segment, now_ns);
            }
        }
        self.part(from, segment, now_ns);
        seen
    }

    fn cover(&mut self, from: usize, segment: &Segment<'_>) {
        self.is_cut |= (segment.payload.len() as u32) < segment.length;
        // The numbers of a reset may be made up.
        if segment.flags & flag::RST != 0 {
            return;
        }
        let counted = u32::from(segment.flags & flag::SYN != 0) + u32::from(segment.flags & flag::FIN != 0);
        self.windows[from] = Some(segment.window);
        self.coverage[from].see(segment.sequence, segment.length + counted);
        if segment.flags & flag::ACK != 0 {
            self.coverage[1 - from].acknowledged(segment.acknowledgment);
        }
    }

    /// True if the capture lacks bytes that were sent and received.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_cut || self.coverage.iter().any(Coverage::is_incomplete)
    }

    /// True if the server's system accepts no more bytes, because the server does not read them.
    pub(crate) fn is_server_full(&self) -> bool {
        self.windows[1 - self.client.unwrap_or(0)] == Some(0)
    }

    /// True if the server's system has received everything that the client sent.
    pub(crate) fn is_client_acknowledged(&self) -> bool {
        self.coverage[self.client.unwrap_or(0)].is_acknowledged()
    }

    /// The handshake is over.
    fn is_encrypted(&self) -> bool {
        self.dialogue.as_ref().is_some_and(|dialogue| dialogue.handshake.is_some())
    }

    fn speak(&mut self, from: usize, segment: &Segment<'_>, now_ns: i64) {
        if !(self.is_encrypted() && is_alert(segment.payload)) {
            self.turns.add(self.side(from), u64::from(segment.length));
            self.last_word_ns = Some(now_ns);
        }
    }

    /// Ends the connection, or the capture.
    fn fall_silent(&mut self, now_ns: i64) {
        let since_ns = self.last_word_ns.unwrap_or(self.first_ns);
        self.turns.silence_us = u64::try_from(now_ns.saturating_sub(since_ns) / 1000).unwrap_or(0);
    }

    /// The end that opened the connection.
    fn greet(&mut self, from: usize, segment: &Segment<'_>, now_ns: i64) {
        let is_syn = segment.flags & flag::SYN != 0;
        let is_ack = segment.flags & flag::ACK != 0;
        if is_syn {
            self.client = Some(if is_ack { 1 - from } else { from });
            self.maximum_segment[from] = segment.maximum_segment;
            self.streams[from].begin(segment.sequence);
            if !is_ack {
                self.syn_ns = Some(now_ns);
            }
        } else if let Some(syn_ns) = self.syn_ns
            && is_ack
            && segment.flags & flag::RST == 0
            && !self.is_connected
        {
            self.is_connected = true;
            if let Some(dialogue) = &mut self.dialogue {
                dialogue.connected(syn_ns, now_ns);
            }
        }
        if self.client.is_none() {
            self.client = Some(self.likely_client());
        }
    }

    /// The likely client: the end with the less common port.
    fn likely_client(&self) -> usize {
        let [a, b] = self.ends.map(|end| end.port());
        let is_server = |port: u16| SERVER_PORTS.contains(&port);
        match (is_server(a), is_server(b)) {
            (true, false) => 1,
            (false, true) => 0,
            _ => usize::from(a < b),
        }
    }

    pub(crate) fn side(&self, from: usize) -> Side {
        if self.client.is_none_or(|client| client == from) { Side::Client } else { Side::Server }
    }

    /// Passes payload to the dialogue, in order.
    fn carry(&mut self, from: usize, segment: &Segment<'_>, now_ns: i64, fields: &mut Fields, notes: &mut Notes) {
        let sides = [self.side(0), self.side(1)];
        let Some(dialogue) = self.dialogue.as_deref_mut() else { return };
        if dialogue.is_deaf() {
            return;
        }
        dialogue.is_one_sided = self.packets[1 - from] == 0;
        let mut missing = 0;
        let mut hand = |side, piece: Piece<'_>| missing += hand_over(dialogue, side, piece, now_ns, fields);
        if segment.flags & flag::ACK != 0 {
            self.streams[1 - from].acknowledged(segment.acknowledgment, &mut |piece| hand(sides[1 - from], piece));
        }
        // The byte of a keep-alive does not belong to the stream.
        let is_syn = segment.flags & flag::SYN != 0;
        if segment.length > 0 && !is_syn {
            self.streams[from]
                .push(segment.sequence, segment.payload, segment.length, &mut |piece| hand(sides[from], piece));
        }
        self.miss(missing, notes);
    }

    fn miss(&mut self, bytes: u64, notes: &mut Notes) {
        if bytes > 0 {
            self.missing_bytes += bytes;
            notes.add(Note::BytesMissing);
        }
    }

    /// Ends the connection by FIN or RST.
    fn part(&mut self, from: usize, segment: &Segment<'_>, now_ns: i64) {
        let how = match segment.flags & (flag::FIN | flag::RST) {
            0 => return,
            flags if flags & flag::RST != 0 => Ending::Reset,
            _ => Ending::Fin,
        };
        let by = self.side(from);
        if self.ended.is_none() {
            self.fall_silent(now_ns);
            self.ended = Some(Ended { by, how });
        }
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.end(by, how, now_ns);
        }
        self.finished[from] = true;
        self.is_closed |= how == Ending::Reset || self.finished == [true, true];
    }

    /// Passes on the bytes that wait for missing ones. `now_ns` is the time of the last packet of the capture.
    pub(crate) fn finish(&mut self, now_ns: i64, notes: &mut Notes) {
        if self.ended.is_none() {
            self.fall_silent(now_ns);
        }
        self.turns.end_turn();
        let sides = [self.side(0), self.side(1)];
        if let Some(dialogue) = self.dialogue.as_deref_mut() {
            let (last_ns, mut fields, mut missing) = (self.last_ns, Fields::default(), 0);
            for (stream, side) in self.streams.iter_mut().zip(sides) {
                stream.finish(&mut |piece| missing += hand_over(dialogue, side, piece, last_ns, &mut fields));
            }
            dialogue.finish();
            self.miss(missing, notes);
        }
        self.streams = Default::default();
        self.copies = Copies::default();
    }
}

/// Passes a piece from `side` to the dialogue. Returns the number of missing bytes in it.
fn hand_over(dialogue: &mut Dialogue, side: Side, piece: Piece<'_>, at_ns: i64, fields: &mut Fields) -> u64 {
    match piece {
        Piece::Bytes(bytes) => {
            dialogue.bytes(side, bytes, at_ns, fields);
            0
        }
        Piece::Missing(count) => {
            dialogue.missing(side, count, at_ns);
            u64::from(count)
        }
    }
}

/// The two ends in an order that does not depend on the direction, and the one that sends.
pub(crate) fn ends(source: (IpAddr, u16), destination: (IpAddr, u16)) -> ([SocketAddr; 2], usize) {
    let (a, b) = (SocketAddr::from(source), SocketAddr::from(destination));
    if (a.ip(), a.port()) <= (b.ip(), b.port()) { ([a, b], 0) } else { ([b, a], 1) }
}
