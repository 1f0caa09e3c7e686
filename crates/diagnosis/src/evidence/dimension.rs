//! What attempts may differ in.

/// What attempts may differ in. Those that are names come first: [`Record::values`] is in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dimension {
    TlsPolicy,
    Node,
    SourceAddress,
    DestinationHost,
    DestinationAddress,
    TlsVersion,
    Cipher,
    RecipientDomain,
    SenderDomain,
    MessageSize,
    /// Connections that were open to the destination.
    Concurrency,
    Time,
}

/// How many dimensions are names.
pub(crate) const DIMENSIONS: usize = 9;

impl Dimension {
    /// What explains more stands first: of two that part attempts equally well, it is told.
    pub(crate) const ALL: [Self; 12] = [
        Self::TlsPolicy,
        Self::MessageSize,
        Self::Concurrency,
        Self::DestinationAddress,
        Self::DestinationHost,
        Self::SourceAddress,
        Self::Node,
        Self::Cipher,
        Self::TlsVersion,
        Self::RecipientDomain,
        Self::SenderDomain,
        Self::Time,
    ];

    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsPolicy => "tls-policy",
            Self::Node => "node",
            Self::SourceAddress => "source-address",
            Self::DestinationHost => "destination-host",
            Self::DestinationAddress => "destination-address",
            Self::TlsVersion => "tls-version",
            Self::Cipher => "cipher",
            Self::RecipientDomain => "recipient-domain",
            Self::SenderDomain => "sender-domain",
            Self::MessageSize => "message-size",
            Self::Concurrency => "concurrency",
            Self::Time => "time",
        }
    }

    pub(crate) fn is_name(self) -> bool {
        (self as usize) < DIMENSIONS
    }
}
