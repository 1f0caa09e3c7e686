//! The view of a capture: its sessions, one by one, and what was read.

use std::{collections::BTreeMap, net::SocketAddr};

use capture::{Analysis, Counts, Session, Turn, Turns, dialogue};
use jiff::Timestamp;
use protocol::tls::{Ended, HandshakeFacts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The answer of `capture`. The list of sessions is written as they end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CaptureView {
    pub sessions: Vec<SessionView>,
    /// Packets in the file, and those that match the filter.
    pub packets: u64,
    pub passed: u64,
    /// Faults of the file, each with its count.
    pub notes: BTreeMap<String, u64>,
}

/// One connection. Pairs are the client's and the server's values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// As Wireshark's tcp.stream.
    pub stream: u64,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// `smtp`, `tls`, `other` or `unknown`.
    pub protocol: String,
    #[schemars(schema_with = "schema::time")]
    pub first: Timestamp,
    #[schemars(schema_with = "schema::time")]
    pub last: Timestamp,
    /// True if the client's SYN is in the capture.
    pub has_begin: bool,
    pub packets: [u64; 2],
    /// Bytes of payload. Retransmitted bytes count again.
    pub bytes: [u64; 2],
    /// Packets that are in the capture several times. The copies were skipped.
    pub duplicates: u64,
    pub analysis: AnalysisView,
    pub lines: Vec<LineView>,
    pub lines_left_out: u64,
    /// Messages whose content was sent in plaintext.
    pub messages: u64,
    pub phases: Vec<CapturedStepView>,
    #[schemars(schema_with = "schema::handshake")]
    pub handshake: Option<HandshakeFacts>,
    /// When the handshake began, counted from the first packet, in microseconds.
    pub handshake_at_us: Option<u64>,
    /// The side that first ended the connection. Null: it was open when the capture ended.
    pub ended: Option<EndedView>,
    /// What is unusual, such as `starttls-masked`.
    pub oddities: Vec<String>,
    pub turns: TurnsView,
    /// Maximum segment size in each side's SYN.
    pub maximum_segment: [Option<u16>; 2],
    pub largest_segment: [u32; 2],
    /// ICMP errors about its packets, in words, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icmp_errors: Vec<String>,
    /// Bytes that are not in the capture.
    pub missing_bytes: u64,
    /// True if the capture missed packets of the connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_incomplete: bool,
    /// Connections that the client had open to the server when this one was made, with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
}

/// One line, or a replacement for it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LineView {
    /// `client` or `server`.
    pub side: String,
    pub text: String,
}

/// Duration of a phase of the conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CapturedStepView {
    /// Such as `starttls` or `rcpt`.
    pub phase: String,
    pub duration_us: u64,
}

/// Who ended a connection, and how.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndedView {
    /// `client` or `server`.
    pub by: String,
    /// `fin` or `reset`.
    pub how: String,
}

/// Who said how much, of the encrypted part or of all.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TurnsView {
    pub client_bytes: Vec<u64>,
    pub by_server: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<TurnView>,
    /// From the last payload to the end of the connection or of the capture.
    pub silence_us: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TurnView {
    /// `client` or `server`.
    pub by: String,
    pub bytes: u64,
}

/// Each kind with its key, in the order of Wireshark's user's guide.
macro_rules! analysis {
    ($($key:ident $kind:ident)*) => {
        /// How many segments Wireshark would mark as `tcp.analysis.…`. A kind that was not seen is absent.
        #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default)]
        pub struct AnalysisView {
            $(#[serde(skip_serializing_if = "is_zero")] pub $key: u32,)*
        }

        impl From<&Counts> for AnalysisView {
            fn from(counts: &Counts) -> Self {
                Self { $($key: counts.of(Analysis::$kind),)* }
            }
        }
    };
}

analysis! {
    retransmission RETRANSMISSION
    fast_retransmission FAST_RETRANSMISSION
    spurious_retransmission SPURIOUS_RETRANSMISSION
    out_of_order OUT_OF_ORDER
    lost_segment LOST_SEGMENT
    ack_lost_segment ACK_LOST_SEGMENT
    duplicate_ack DUPLICATE_ACK
    keep_alive KEEP_ALIVE
    keep_alive_ack KEEP_ALIVE_ACK
    zero_window ZERO_WINDOW
    zero_window_probe ZERO_WINDOW_PROBE
    zero_window_probe_ack ZERO_WINDOW_PROBE_ACK
    window_update WINDOW_UPDATE
    window_full WINDOW_FULL
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The word of an enum in JSON.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self {
            stream: session.stream,
            client: session.client,
            server: session.server,
            protocol: word(session.protocol),
            first: session.first,
            last: session.last,
            has_begin: session.has_begin,
            packets: session.packets,
            bytes: session.bytes,
            duplicates: session.duplicates,
            analysis: AnalysisView::from(&session.analysis),
            lines: session.lines.iter().map(LineView::from).collect(),
            lines_left_out: session.lines_left_out,
            messages: session.messages,
            phases: session.phases.iter().map(CapturedStepView::from).collect(),
            handshake: session.handshake.clone(),
            handshake_at_us: session.handshake_at_us,
            ended: session.ended.map(EndedView::from),
            oddities: session.oddities.iter().map(word).collect(),
            turns: TurnsView::from(&session.turns),
            maximum_segment: session.maximum_segment,
            largest_segment: session.largest_segment,
            icmp_errors: session.icmp_errors.iter().map(ToString::to_string).collect(),
            missing_bytes: session.missing_bytes,
            is_incomplete: session.is_incomplete,
            connections: session.connections,
        }
    }
}

impl From<&dialogue::Line> for LineView {
    fn from(line: &dialogue::Line) -> Self {
        Self { side: line.side.to_string(), text: line.text.clone() }
    }
}

impl From<&dialogue::Step> for CapturedStepView {
    fn from(step: &dialogue::Step) -> Self {
        Self { phase: word(step.phase), duration_us: step.duration_us }
    }
}

impl From<Ended> for EndedView {
    fn from(ended: Ended) -> Self {
        Self { by: ended.by.to_string(), how: word(ended.how) }
    }
}

impl From<&Turns> for TurnsView {
    fn from(turns: &Turns) -> Self {
        let Turns { client_bytes, by_server, last, silence_us } = turns;
        let (client_bytes, last) = (client_bytes.clone(), last.map(TurnView::from));
        Self { client_bytes, by_server: *by_server, last, silence_us: *silence_us }
    }
}

impl From<Turn> for TurnView {
    fn from(turn: Turn) -> Self {
        Self { by: turn.by.to_string(), bytes: turn.bytes }
    }
}
