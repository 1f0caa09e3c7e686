//! An attempt as a compact record, and what records share.

use protocol::{
    smtp::{EnhancedCode, Phase},
    tls::{CipherSuite, WireVersion},
};

use super::{
    dimension::{DIMENSIONS, Dimension},
    signs::{ProviderCode, Signs},
    source::Source,
};

/// How an attempt failed. Equal ones are judged once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Symptom {
    pub phase: Option<Phase>,
    pub code: Option<u16>,
    pub enhanced: Option<EnhancedCode>,
    pub signs: Signs,
    /// A code that the destination's provider documents.
    pub known: Option<&'static ProviderCode>,
}

/// A failing attempt in words, with where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Example {
    pub source: Source,
    /// Where it stands, in words; empty where nothing tells.
    pub place: String,
    /// The file that `source` read it from.
    pub file: Option<String>,
    pub text: String,
}

/// What a client's hello offered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    pub versions: Vec<WireVersion>,
    pub suites: Vec<CipherSuite>,
}

/// An attempt. Numbers are those of the interners; 0: not observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Milliseconds since 1970; `i64::MIN`: not observed.
    pub at: i64,
    /// Message and recipient; 0: not observed.
    pub delivery: Delivery,
    pub message_bytes: u32,
    pub group: u32,
    pub destination: u32,
    pub values: [u32; DIMENSIONS],
    /// 0: it worked.
    pub symptom: u32,
    /// It worked in plaintext, because TLS had failed like this; 0: it did not.
    pub plaintext_after: u32,
    pub offer: u32,
    pub agreed: u32,
    pub flight: u32,
    pub seen: u32,
}

impl Record {
    /// The number of its name for a dimension that is a name; 0: not observed.
    pub(crate) fn value(&self, dimension: Dimension) -> u32 {
        self.values[dimension as usize]
    }
}

/// Hashes of a message and of one of its recipients; 0: not observed. So few bits take two of a million messages for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Delivery(u64);

impl Delivery {
    const RECIPIENT_BITS: u32 = 22;

    pub(crate) fn new(message: Option<u64>, recipient: Option<u64>) -> Self {
        let message = message.map_or(0, |hash| (hash | 1) << Self::RECIPIENT_BITS);
        let recipient = recipient.map_or(0, |hash| (hash >> (u64::BITS - Self::RECIPIENT_BITS)) | 1);
        Self(message | recipient)
    }

    /// The message is known.
    pub(crate) fn is_known(self) -> bool {
        self.message() != 0
    }

    /// 0: not known.
    pub(crate) fn recipient(self) -> u64 {
        self.0 & ((1 << Self::RECIPIENT_BITS) - 1)
    }

    pub(crate) fn message(self) -> u64 {
        self.0 >> Self::RECIPIENT_BITS
    }
}

/// What else an attempt shows of the destination.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Seen {
    /// Thumbprint and subject of its certificate.
    pub certificate: Option<(String, String)>,
    /// The message left without TLS.
    pub is_plaintext: bool,
}

/// How a record shows the connections that were open at the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flight {
    /// The source counted them.
    Counted(u32),
    /// A connection, by the hash of its client's address, since this time in milliseconds. The record's time ends it.
    Since { client: u32, began: i64 },
}
