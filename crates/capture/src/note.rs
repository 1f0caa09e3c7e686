//! What was wrong with a file, told beside what could be read of it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// A kind of fault; each is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The file ends within a packet or a block.
    FileCut,
    /// A block's or packet's length cannot be; nothing after it is read.
    FileDamaged,
    /// A pcapng packet names an interface that the file does not describe.
    UnknownInterface,
    /// A link type that is not known here.
    UnknownLinkType,
    /// A header of IP or TCP that cannot be.
    BadHeader,
    /// Fragments of IP packets whose other fragments are missing.
    FragmentsIncomplete,
    /// Fragments beyond what one packet may have: too many, too long, or at places that cannot be.
    FragmentsLeftOut,
    /// Bytes of a conversation that the capture lacks.
    BytesMissing,
    /// Flows were forgotten while they were open, to bound memory.
    FlowsForgotten,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileCut => "the file ends within a packet",
            Self::FileDamaged => "the file is damaged: a length cannot be; what comes after it was not read",
            Self::UnknownInterface => "packets of interfaces that the file does not describe",
            Self::UnknownLinkType => "packets of a link type that is not known here",
            Self::BadHeader => "packets with headers of IP or TCP that cannot be",
            Self::FragmentsIncomplete => "fragments of IP packets without the others",
            Self::FragmentsLeftOut => "fragments of IP packets that were left out: too many of one packet, or too long",
            Self::BytesMissing => "places where the capture lacks bytes of a conversation",
            Self::FlowsForgotten => "open flows that were forgotten to bound memory",
        })
    }
}

/// Notes, with how often each was made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Notes(pub BTreeMap<Note, u64>);

impl Notes {
    pub(crate) fn add(&mut self, note: Note) {
        *self.0.entry(note).or_default() += 1;
    }

    /// These and others, counted together.
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
