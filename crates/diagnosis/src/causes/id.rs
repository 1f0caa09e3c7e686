//! The ids of all causes, and the properties that other parts ask for instead of comparing ids.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{CATALOGUE, Cause, Check};

macro_rules! ids {
    ($($name:ident = $id:literal,)*) => {
        /// A cause of the catalogue. Its text is stable: it appears in JSON, in logs and in calls of webhooks.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum CauseId {
            $(#[serde(rename = $id)] $name,)*
        }

        impl CauseId {
            /// In the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }
        }
    };
}

ids! {
    DnsFailure = "dns-failure",
    ConnectionRefused = "connection-refused",
    ConnectionTimedOut = "connection-timed-out",
    NetworkUnreachable = "network-unreachable",
    OutboundPortBlocked = "outbound-port-blocked",
    ConnectionDroppedBeforeBanner = "connection-dropped-before-banner",
    BannerTimeout = "banner-timeout",
    Greylisted = "greylisted",
    RateLimited = "rate-limited",
    DestinationOverloaded = "destination-overloaded",
    DestinationInternalFailure = "destination-internal-failure",
    RecipientUnknown = "recipient-unknown",
    DomainTakesNoMail = "domain-takes-no-mail",
    MailboxFull = "mailbox-full",
    MessageTooLarge = "message-too-large",
    RejectedByPolicy = "rejected-by-policy",
    AuthenticationRequired = "authentication-required",
    MailLoop = "mail-loop",
    StarttlsRequired = "starttls-required",
    StarttlsNotOffered = "starttls-not-offered",
    StarttlsMasked = "starttls-masked",
    StarttlsRefused = "starttls-refused",
    ImplicitTlsMismatch = "implicit-tls-mismatch",
    NoSharedTlsVersion = "no-shared-tls-version",
    NoSharedCipher = "no-shared-cipher",
    HandshakeReset = "handshake-reset",
    HandshakeTimeout = "handshake-timeout",
    CertificateExpired = "certificate-expired",
    CertificateUntrusted = "certificate-untrusted",
    CertificateNameMismatch = "certificate-name-mismatch",
    CertificateWeak = "certificate-weak",
    ClientCertificateRequired = "client-certificate-required",
    LocalTlsCredentials = "local-tls-credentials",
    LocalConfigurationError = "local-configuration-error",
    WeakDh = "weak-dh",
    HangAfterHandshake = "hang-after-handshake",
    NoReplyToMessage = "no-reply-to-message",
    PipeliningBroken = "pipelining-broken",
    TlsSessionTicketInterop = "tls-session-ticket-interop",
    DaneFailed = "dane-failed",
    MtaStsFailed = "mta-sts-failed",
    SizeDependentStall = "size-dependent-stall",
    DeliveredWithoutTls = "delivered-without-tls",
    QueueExpired = "queue-expired",
    Unknown = "unknown",
}

/// What a cause can stop at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// One message or one recipient. Other mail still flows, and such a message may wait for a long time.
    Message,
    /// All mail to one destination, which only that destination can change.
    Destination,
    /// All mail to one destination; at unrelated destinations at the same time, the fault is on this side.
    Way,
    /// All mail that this side sends.
    ThisSide,
}

impl CauseId {
    pub fn cause(self) -> &'static Cause {
        &CATALOGUE[self as usize]
    }

    /// What can verify it.
    pub fn verify(self) -> Check {
        self.cause().check
    }

    pub fn reach(self) -> Reach {
        match self {
            Self::RecipientUnknown
            | Self::MailboxFull
            | Self::MessageTooLarge
            | Self::RejectedByPolicy
            | Self::MailLoop
            | Self::DomainTakesNoMail
            | Self::QueueExpired => Reach::Message,
            Self::Greylisted
            | Self::RateLimited
            | Self::DestinationOverloaded
            | Self::AuthenticationRequired
            | Self::StarttlsRequired
            | Self::StarttlsMasked
            | Self::StarttlsRefused
            | Self::CertificateExpired
            | Self::CertificateNameMismatch
            | Self::WeakDh
            | Self::HangAfterHandshake
            | Self::DaneFailed
            | Self::MtaStsFailed
            | Self::DestinationInternalFailure
            | Self::NoReplyToMessage
            | Self::PipeliningBroken
            | Self::TlsSessionTicketInterop
            | Self::SizeDependentStall
            | Self::DeliveredWithoutTls => Reach::Destination,
            Self::DnsFailure
            | Self::ConnectionRefused
            | Self::ConnectionTimedOut
            | Self::NetworkUnreachable
            | Self::ConnectionDroppedBeforeBanner
            | Self::BannerTimeout
            | Self::StarttlsNotOffered
            | Self::NoSharedTlsVersion
            | Self::NoSharedCipher
            | Self::HandshakeReset
            | Self::HandshakeTimeout
            | Self::CertificateUntrusted
            | Self::CertificateWeak
            | Self::ClientCertificateRequired
            | Self::ImplicitTlsMismatch
            | Self::Unknown => Reach::Way,
            Self::OutboundPortBlocked | Self::LocalTlsCredentials | Self::LocalConfigurationError => Reach::ThisSide,
        }
    }

    /// Unrelated destinations do not have it at the same time: where they do, this side is at fault.
    pub fn can_be_everywhere(self) -> bool {
        matches!(self.reach(), Reach::Way | Reach::ThisSide)
    }

    /// Usually it ends without anybody's help.
    pub fn passes_by_itself(self) -> bool {
        matches!(self, Self::Greylisted | Self::RateLimited | Self::DestinationOverloaded)
    }

    /// TLS handshakes show it, also those that succeed.
    pub fn concerns_tls(self) -> bool {
        match self {
            Self::StarttlsRefused
            | Self::NoSharedTlsVersion
            | Self::NoSharedCipher
            | Self::HandshakeReset
            | Self::HandshakeTimeout
            | Self::CertificateExpired
            | Self::CertificateUntrusted
            | Self::CertificateNameMismatch
            | Self::CertificateWeak
            | Self::ClientCertificateRequired
            | Self::WeakDh
            | Self::HangAfterHandshake
            | Self::DaneFailed
            | Self::MtaStsFailed
            | Self::ImplicitTlsMismatch
            | Self::LocalTlsCredentials
            | Self::TlsSessionTicketInterop => true,
            Self::DnsFailure
            | Self::ConnectionRefused
            | Self::ConnectionTimedOut
            | Self::NetworkUnreachable
            | Self::ConnectionDroppedBeforeBanner
            | Self::BannerTimeout
            | Self::Greylisted
            | Self::RateLimited
            | Self::DestinationOverloaded
            | Self::RecipientUnknown
            | Self::MailboxFull
            | Self::MessageTooLarge
            | Self::RejectedByPolicy
            | Self::AuthenticationRequired
            | Self::MailLoop
            | Self::StarttlsRequired
            | Self::StarttlsNotOffered
            | Self::StarttlsMasked
            | Self::SizeDependentStall
            | Self::OutboundPortBlocked
            | Self::DestinationInternalFailure
            | Self::DomainTakesNoMail
            | Self::LocalConfigurationError
            | Self::NoReplyToMessage
            | Self::PipeliningBroken
            | Self::DeliveredWithoutTls
            | Self::QueueExpired
            | Self::Unknown => false,
        }
    }

    /// A client that verifies no certificates does not meet it.
    pub fn concerns_certificate(self) -> bool {
        matches!(
            self,
            Self::CertificateExpired
                | Self::CertificateUntrusted
                | Self::CertificateNameMismatch
                | Self::CertificateWeak
        )
    }
}

impl fmt::Display for CauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not the id of a cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotACause(String);

impl fmt::Display for NotACause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a cause", self.0)
    }
}

impl std::error::Error for NotACause {}

impl FromStr for CauseId {
    type Err = NotACause;

    fn from_str(text: &str) -> Result<Self, NotACause> {
        let known = Self::ALL.iter().find(|id| id.as_str() == text).copied();
        known.ok_or_else(|| NotACause(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_in_every_form() {
        for id in CauseId::ALL {
            let text = id.as_str();
            assert_eq!(text.parse(), Ok(*id));
            assert_eq!(serde_json::to_string(id).unwrap(), format!("\"{text}\""));
            assert_eq!(id.cause().id, *id);
        }
        assert_eq!("nosuch".parse::<CauseId>().unwrap_err().to_string(), "\"nosuch\" is not a cause");
    }
}
