//! The facts about one connection, once it has ended.

use std::net::SocketAddr;

use jiff::Timestamp;
use protocol::tls::{Ended, HandshakeFacts};
use serde::Serialize;

use crate::{
    dialogue::{Line, Oddity, Protocol, Step},
    icmp::IcmpError,
    tcp::{analysis::Counts, flow::Flow, turns::Turns},
};

/// One connection in the capture. Pairs are the client's and the server's values.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// As Wireshark's tcp.stream.
    pub stream: u64,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub protocol: Protocol,
    pub first: Timestamp,
    pub last: Timestamp,
    /// True if the client's SYN is in the capture.
    pub has_begin: bool,
    pub packets: [u64; 2],
    /// Bytes of payload as in the packets. Retransmitted bytes count again.
    pub bytes: [u64; 2],
    /// Packets that are in the capture twice, for example from a router or a mirror port. They were skipped.
    pub duplicates: u64,
    pub analysis: Counts,
    pub lines: Vec<Line>,
    pub lines_left_out: u64,
    pub messages: u64,
    pub phases: Vec<Step>,
    pub handshake: Option<HandshakeFacts>,
    /// When the handshake began, counted from the first packet, in microseconds.
    pub handshake_at_us: Option<u64>,
    /// The side that first sent FIN or RST. `None`: still open when the capture ended.
    pub ended: Option<Ended>,
    pub oddities: Vec<Oddity>,
    pub turns: Turns,
    /// Maximum segment size in each side's SYN.
    pub maximum_segment: [Option<u16>; 2],
    pub largest_segment: [u32; 2],
    /// ICMP errors from devices on the path about its packets, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub icmp_errors: Vec<IcmpError>,
    /// Bytes that are not in the capture.
    pub missing_bytes: u64,
    /// True if the capture missed packets that their receiver has acknowledged, or has packets without their last
    /// bytes. What is not there then says nothing about the network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_incomplete: bool,
    /// True if the server's system has acknowledged everything that the client sent.
    #[serde(skip)]
    pub is_client_acknowledged: bool,
    /// True if the server's system accepted no more bytes at last, because the server did not read them.
    #[serde(skip)]
    pub is_server_full: bool,
    /// Connections that the client had open to the server when this one was made, with this one. `None`: the capture
    /// does not have its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
}

impl Session {
    pub(crate) fn of(flow: &mut Flow) -> Self {
        let client = flow.client.unwrap_or(0);
        let order = |pair: [u64; 2]| [pair[client], pair[1 - client]];
        let dialogue = flow.dialogue.take().map(|dialogue| *dialogue).unwrap_or_default();
        let time = |ns: i64| Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
        let handshake_at_us =
            dialogue.handshake_ns.map(|at_ns| u64::try_from((at_ns - flow.first_ns) / 1000).unwrap_or(0));
        Self {
            stream: flow.number,
            client: flow.ends[client],
            server: flow.ends[1 - client],
            protocol: dialogue.protocol,
            first: time(flow.first_ns),
            last: time(flow.last_ns),
            has_begin: flow.syn_ns.is_some(),
            packets: order(flow.packets),
            bytes: order(flow.bytes),
            duplicates: flow.duplicates,
            analysis: flow.counts,
            lines: dialogue.lines,
            lines_left_out: dialogue.lines_left_out,
            messages: dialogue.messages,
            phases: dialogue.phases,
            handshake: dialogue.handshake,
            handshake_at_us,
            ended: flow.ended,
            oddities: dialogue.oddities,
            turns: std::mem::take(&mut flow.turns),
            maximum_segment: [flow.maximum_segment[client], flow.maximum_segment[1 - client]],
            largest_segment: [flow.largest_segment[client], flow.largest_segment[1 - client]],
            icmp_errors: std::mem::take(&mut flow.icmp_errors),
            missing_bytes: flow.missing_bytes,
            is_incomplete: flow.is_incomplete(),
            is_client_acknowledged: flow.is_client_acknowledged(),
            is_server_full: flow.is_server_full(),
            connections: flow.connections,
        }
    }
}
