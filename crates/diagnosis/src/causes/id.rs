//! The ids of all causes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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
        }
        assert_eq!("nosuch".parse::<CauseId>().unwrap_err().to_string(), "\"nosuch\" is not a cause");
    }
}
