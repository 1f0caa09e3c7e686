//! What a dialogue consists of, once it was read.

use protocol::{smtp::Phase, tls::Side};
use serde::Serialize;

/// One line, or a replacement for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    #[serde(skip)]
    pub at_ns: i64,
    #[serde(skip)]
    pub kind: LineKind,
    pub side: Side,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    /// A command or a reply.
    Said,
    /// Content of a message, or its size.
    Content,
    /// What the client said may be a password.
    Credentials,
    /// Bytes are missing here. Lines before and after them may be missing, too.
    Gap,
}

/// Something unusual or wrong in a dialogue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// A line ends with LF alone (RFC 5321 section 2.3.8 forbids it).
    BareLineFeed,
    /// The reply to EHLO has XXXXXXXA instead of STARTTLS.
    #[serde(rename = "starttls-masked")]
    StartTlsMasked,
    /// The client sent more before the handshake began. It may be injected (CVE-2011-0411).
    CommandsBeforeHandshake,
    /// A ClientHello where a command should be.
    #[serde(rename = "hello-without-starttls")]
    HelloWithoutStartTls,
    HelloAnsweredByReset,
    HelloAnsweredByFin,
    HelloNeverAnswered,
    /// The server chose a cipher suite that the client had not offered.
    CipherNotOffered,
    /// The handshake succeeded, but the server sent nothing after it.
    SilentAfterHandshake,
}

/// The kind of dialogue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    #[default]
    Unknown,
    Smtp,
    /// TLS without SMTP before it.
    Tls,
    Other,
}

/// Duration of a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    pub phase: Phase,
    pub duration_us: u64,
}
