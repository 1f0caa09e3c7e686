//! The fields that a filter may name, as Wireshark names them, and their values in one packet.

use std::net::{IpAddr, SocketAddr};

use crate::{
    capture::TcpFacts,
    fields::Fields,
    file::Packet,
    tcp::{Analysis, flag},
};

/// The input of a filter.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub packet: &'a Packet<'a>,
    /// `None`: the packet has no TCP.
    pub tcp: Option<&'a TcpFacts>,
    pub fields: &'a Fields,
    /// Time of the file's first packet.
    pub first_ns: i64,
}

/// One value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Address(IpAddr),
    Text(&'a str),
    /// Nanoseconds: since 1970, or from the beginning.
    Time(i64),
}

/// The kind of a field's values, which decides what they can be compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Number,
    Flag,
    Address,
    Text,
    /// A point in time.
    Time,
    /// Seconds with a fraction.
    Seconds,
    /// The field exists or not.
    Presence,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    FrameNumber,
    FrameLength,
    FrameCaptured,
    FrameTime,
    FrameEpoch,
    FrameRelative,
    IpSource,
    IpDestination,
    IpAddress,
    Ip6Source,
    Ip6Destination,
    Ip6Address,
    Ip,
    Ip6,
    Tcp,
    Port,
    SourcePort,
    DestinationPort,
    Flags,
    Flag(u16),
    Stream,
    Length,
    Window,
    Analysis(Analysis),
    AnyAnalysis,
    Smtp,
    Command,
    Parameter,
    Response,
    Tls,
    RecordVersion,
    HandshakeType,
    HandshakeVersion,
    CipherSuite,
    AlertLevel,
    AlertDescription,
}

/// Names that are not `tcp.analysis.…`.
pub(super) const NAMES: [(&str, Field, Kind); 44] = [
    ("frame.number", Field::FrameNumber, Kind::Number),
    ("frame.len", Field::FrameLength, Kind::Number),
    ("frame.cap_len", Field::FrameCaptured, Kind::Number),
    ("frame.time", Field::FrameTime, Kind::Time),
    ("frame.time_epoch", Field::FrameEpoch, Kind::Seconds),
    ("frame.time_relative", Field::FrameRelative, Kind::Seconds),
    ("ip", Field::Ip, Kind::Presence),
    ("ip.src", Field::IpSource, Kind::Address),
    ("ip.dst", Field::IpDestination, Kind::Address),
    ("ip.addr", Field::IpAddress, Kind::Address),
    ("ipv6", Field::Ip6, Kind::Presence),
    ("ipv6.src", Field::Ip6Source, Kind::Address),
    ("ipv6.dst", Field::Ip6Destination, Kind::Address),
    ("ipv6.addr", Field::Ip6Address, Kind::Address),
    ("tcp", Field::Tcp, Kind::Presence),
    ("tcp.port", Field::Port, Kind::Number),
    ("tcp.srcport", Field::SourcePort, Kind::Number),
    ("tcp.dstport", Field::DestinationPort, Kind::Number),
    ("tcp.stream", Field::Stream, Kind::Number),
    ("tcp.len", Field::Length, Kind::Number),
    ("tcp.window_size_value", Field::Window, Kind::Number),
    ("tcp.flags", Field::Flags, Kind::Number),
    ("tcp.flags.fin", Field::Flag(flag::FIN), Kind::Flag),
    ("tcp.flags.syn", Field::Flag(flag::SYN), Kind::Flag),
    ("tcp.flags.reset", Field::Flag(flag::RST), Kind::Flag),
    ("tcp.flags.push", Field::Flag(flag::PSH), Kind::Flag),
    ("tcp.flags.ack", Field::Flag(flag::ACK), Kind::Flag),
    ("tcp.flags.urg", Field::Flag(flag::URG), Kind::Flag),
    ("tcp.flags.ece", Field::Flag(flag::ECE), Kind::Flag),
    ("tcp.flags.cwr", Field::Flag(flag::CWR), Kind::Flag),
    ("tcp.analysis.flags", Field::AnyAnalysis, Kind::Presence),
    ("smtp", Field::Smtp, Kind::Presence),
    ("smtp.req.command", Field::Command, Kind::Text),
    ("smtp.req.parameter", Field::Parameter, Kind::Text),
    ("smtp.response.code", Field::Response, Kind::Number),
    ("tls", Field::Tls, Kind::Presence),
    ("tls.record.version", Field::RecordVersion, Kind::Number),
    ("tls.handshake.type", Field::HandshakeType, Kind::Number),
    ("tls.handshake.version", Field::HandshakeVersion, Kind::Number),
    ("tls.handshake.ciphersuite", Field::CipherSuite, Kind::Number),
    ("tls.alert_message.level", Field::AlertLevel, Kind::Number),
    ("tls.alert_message.desc", Field::AlertDescription, Kind::Number),
    ("tls.handshake", Field::HandshakeType, Kind::Presence),
    ("tls.alert_message", Field::AlertDescription, Kind::Presence),
];

pub(super) fn find(name: &str) -> Option<(Field, Kind)> {
    if let Some(kind) = name.strip_prefix("tcp.analysis.")
        && let Some((analysis, _)) = Analysis::ALL.into_iter().find(|(_, known)| *known == kind)
    {
        return Some((Field::Analysis(analysis), Kind::Presence));
    }
    NAMES.iter().find(|(known, ..)| *known == name).map(|(_, field, kind)| (*field, *kind))
}

/// All names, to suggest similar ones.
pub(super) fn names() -> impl Iterator<Item = String> {
    let analysis = Analysis::ALL.into_iter().map(|(_, name)| format!("tcp.analysis.{name}"));
    NAMES.iter().map(|(name, ..)| (*name).to_owned()).chain(analysis)
}

impl Field {
    /// True if the field requires reading the dialogue.
    pub(super) fn is_of_content(self) -> bool {
        matches!(
            self,
            Self::Smtp
                | Self::Command
                | Self::Parameter
                | Self::Response
                | Self::Tls
                | Self::RecordVersion
                | Self::HandshakeType
                | Self::HandshakeVersion
                | Self::CipherSuite
                | Self::AlertLevel
                | Self::AlertDescription
        )
    }

    /// True if `test` holds for one of the field's values.
    pub(super) fn any<'a>(self, view: &View<'a>, mut test: impl FnMut(Value<'a>) -> bool) -> bool {
        let fields = view.fields;
        let mut numbers = |numbers: &mut dyn Iterator<Item = u64>| {
            let mut numbers = numbers;
            Iterator::any(&mut numbers, |number| test(Value::Number(number)))
        };
        match self {
            Self::FrameNumber => return test(Value::Number(view.packet.number)),
            Self::FrameLength => return test(Value::Number(view.packet.length.into())),
            Self::FrameCaptured => return test(Value::Number(view.packet.data.len() as u64)),
            Self::FrameTime | Self::FrameEpoch => return test(Value::Time(view.packet.time_ns)),
            Self::FrameRelative => return test(Value::Time(view.packet.time_ns - view.first_ns)),
            Self::Response => return numbers(&mut fields.responses.iter().map(|code| u64::from(*code))),
            Self::RecordVersion => {
                return numbers(&mut fields.record_versions.iter().map(|version| u64::from(*version)));
            }
            Self::HandshakeType => return numbers(&mut fields.handshake_types.iter().map(|kind| u64::from(*kind))),
            Self::HandshakeVersion => {
                return numbers(&mut fields.handshake_versions.iter().map(|version| u64::from(*version)));
            }
            Self::CipherSuite => return numbers(&mut fields.cipher_suites.iter().map(|suite| u64::from(*suite))),
            Self::AlertLevel => return numbers(&mut fields.alert_levels.iter().map(|level| u64::from(*level))),
            Self::AlertDescription => {
                return numbers(&mut fields.alert_descriptions.iter().map(|number| u64::from(*number)));
            }
            // In Wireshark a command has four letters: STARTTLS is STAR.
            Self::Command => {
                let short = |text: &'a str| text.get(..4).unwrap_or(text);
                return fields.commands.iter().any(|text| test(Value::Text(text)) || test(Value::Text(short(text))));
            }
            Self::Parameter => return fields.parameters.iter().any(|text| test(Value::Text(text))),
            Self::Smtp => {
                return !(fields.commands.is_empty() && fields.responses.is_empty()) && test(Value::Number(1));
            }
            Self::Tls => return !fields.record_versions.is_empty() && test(Value::Number(1)),
            _ => {}
        }
        let Some(tcp) = view.tcp else { return false };
        let mut address = |end: SocketAddr, is_v4: bool| end.is_ipv4() == is_v4 && test(Value::Address(end.ip()));
        match self {
            Self::IpSource => address(tcp.source, true),
            Self::IpDestination => address(tcp.destination, true),
            Self::IpAddress => address(tcp.source, true) || address(tcp.destination, true),
            Self::Ip6Source => address(tcp.source, false),
            Self::Ip6Destination => address(tcp.destination, false),
            Self::Ip6Address => address(tcp.source, false) || address(tcp.destination, false),
            Self::Ip => tcp.source.is_ipv4() && test(Value::Number(1)),
            Self::Ip6 => tcp.source.is_ipv6() && test(Value::Number(1)),
            Self::Tcp => test(Value::Number(1)),
            Self::Flags | Self::Flag(_) | Self::Length | Self::Window if tcp.is_quoted => false,
            Self::Port => {
                test(Value::Number(tcp.source.port().into())) || test(Value::Number(tcp.destination.port().into()))
            }
            Self::SourcePort => test(Value::Number(tcp.source.port().into())),
            Self::DestinationPort => test(Value::Number(tcp.destination.port().into())),
            Self::Flags => test(Value::Number(tcp.flags.into())),
            Self::Flag(bit) => test(Value::Number(u64::from(tcp.flags & bit != 0))),
            Self::Stream => test(Value::Number(tcp.stream)),
            Self::Length => test(Value::Number(tcp.length.into())),
            Self::Window => test(Value::Number(tcp.window.into())),
            Self::Analysis(kind) => tcp.analysis.has(kind) && test(Value::Number(1)),
            Self::AnyAnalysis => !tcp.analysis.is_empty() && test(Value::Number(1)),
            _ => false,
        }
    }
}
