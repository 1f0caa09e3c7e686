//! Faults of a file, reported together with the parts that could be read.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// A kind of fault. Each kind is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The file ends within a packet or a block.
    FileCut,
    /// The length of a block or packet is impossible. Nothing after it is read.
    FileDamaged,
    /// A pcapng packet names an interface that the file does not describe.
    UnknownInterface,
    /// A packet is so much later in the file than newer ones that it could not be put in order of time.
    PacketsLate,
    /// A link type that is not supported.
    UnknownLinkType,
    /// An invalid header of IP or TCP.
    BadHeader,
    /// Fragments of IP packets whose other fragments are missing.
    FragmentsIncomplete,
    /// Fragments that one packet cannot have: too many, too long, or at an impossible offset.
    FragmentsLeftOut,
    /// Bytes of a connection that are not in the capture.
    BytesMissing,
    /// Connections of which the capture missed packets: their receiver has acknowledged them.
    SessionsIncomplete,
    /// Open connections that were dropped to limit memory.
    FlowsForgotten,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileCut => "the file ends in the middle of a packet",
            Self::FileDamaged => "the file is damaged: a length is impossible, and nothing after it was read",
            Self::UnknownInterface => "packets of interfaces that the file does not describe",
            Self::PacketsLate => "packets that come more than a second too late in the file to be put in order of time",
            Self::UnknownLinkType => "packets of a link type that is not supported",
            Self::BadHeader => "packets with invalid headers of IP or TCP",
            Self::FragmentsIncomplete => "fragments of IP packets whose other fragments are missing",
            Self::FragmentsLeftOut => "fragments of IP packets that were skipped: too many for one packet, or too long",
            Self::BytesMissing => "gaps where bytes of a connection are not in the capture",
            Self::SessionsIncomplete => {
                "connections of which the capture missed packets, which says nothing about the network"
            }
            Self::FlowsForgotten => "open connections that were dropped to limit memory",
        })
    }
}

/// Notes with their counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Notes(pub BTreeMap<Note, u64>);

impl Notes {
    pub(crate) fn add(&mut self, note: Note) {
        *self.0.entry(note).or_default() += 1;
    }

    /// These notes and others, counted together.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        for (note, count) in others.0 {
            *self.0.entry(note).or_default() += count;
        }
        self
    }

    pub fn count(&self, note: Note) -> u64 {
        self.0.get(&note).copied().unwrap_or(0)
    }
}
