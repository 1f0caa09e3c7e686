//! An attempt as a compact record, and what records share.

use protocol::{
    smtp::{EnhancedCode, Phase},
    tls::{CipherSuite, WireVersion},
};

use super::{
    dimension::DIMENSIONS,
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
    /// Hash of message and recipient; 0: not observed.
    pub delivery: u64,
    pub message_bytes: u64,
    pub group: u32,
    pub destination: u32,
    pub values: [u32; DIMENSIONS],
    /// Hash of the recipient; 0: not observed.
    pub recipient: u32,
    /// 0: it worked.
    pub symptom: u32,
    /// It worked in plaintext, because TLS had failed like this; 0: it did not.
    pub plaintext_after: u32,
    pub offer: u32,
    pub agreed: u32,
}
