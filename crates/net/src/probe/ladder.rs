//! Searches for a change that makes a failing connection work. It tries one change at a time, the smallest first. Such
//! an experiment shows the cause, where a comparison of attempts shows only an association.

use std::{net::SocketAddr, sync::Arc};

use protocol::{
    smtp::{Phase, client::TlsLevel},
    tls::{TlsPolicy, TlsVersion},
};
use tokio::time::sleep;

use super::{ProbeOptions, open, options};
use crate::{send::ConnectionResult, tls::TlsSettings};

/// How mail goes to a destination. The ladder tries this first, and then changes it.
#[derive(Clone, Debug)]
pub struct Trial {
    pub host: String,
    /// In the order in which mail tries them. Not empty.
    pub addresses: Vec<SocketAddr>,
    pub level: TlsLevel,
    pub tls: TlsSettings,
}

/// One difference from how mail goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    OtherAddress(SocketAddr),
    SmallSegments,
    SmallHello,
    NoServerName,
    UncheckedCertificate,
    WithoutFiniteFieldDh,
    WeakKeys,
    With(OldSuite),
    WithoutAes,
    UpToTls12,
    FromTls10,
    /// Both are needed if a server supports only this cipher suite in only this version.
    FromTls10With(OldSuite),
    InTheClear,
}

/// Cipher suites without authenticated encryption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OldSuite {
    AesCbc,
    TripleDes,
    Rc4,
}

impl OldSuite {
    fn name(self) -> &'static str {
        match self {
            Self::AesCbc => "AES-CBC",
            Self::TripleDes => "3DES",
            Self::Rc4 => "RC4",
        }
    }

    /// The name in OpenSSL's ciphers(1).
    fn class(self) -> &'static str {
        match self {
            Self::AesCbc => "AES",
            Self::TripleDes => "3DES",
            Self::Rc4 => "RC4",
        }
    }
}

impl Change {
    /// For people, as the continuation of "works".
    pub fn what(self) -> String {
        match self {
            Self::OtherAddress(address) => format!("at the host's other address {address}"),
            Self::SmallSegments => format!("with TCP segments of at most {SMALL_SEGMENT} bytes"),
            Self::SmallHello => "with a smaller ClientHello (one group only)".to_owned(),
            Self::NoServerName => "without a server name in the ClientHello (SNI)".to_owned(),
            Self::UncheckedCertificate => "without checking the certificate".to_owned(),
            Self::WithoutFiniteFieldDh => "without finite-field Diffie-Hellman (DHE)".to_owned(),
            Self::WeakKeys => "with weak keys and signatures allowed".to_owned(),
            Self::With(suite) => format!("with {} offered too", suite.name()),
            Self::WithoutAes => "without AES: RC4, 3DES and ChaCha20 only".to_owned(),
            Self::UpToTls12 => "without TLS 1.3".to_owned(),
            Self::FromTls10 => "with TLS 1.0 and 1.1 allowed".to_owned(),
            Self::FromTls10With(suite) => format!("with TLS 1.0 and {} allowed", suite.name()),
            Self::InTheClear => "in plaintext, without TLS".to_owned(),
        }
    }
}

/// A size that passes every path: the default of RFC 9293 section 3.7.1 for IPv4.
const SMALL_SEGMENT: u32 = 536;

/// From the smallest change to the largest. No change removes something that a later one needs.
const OF_TLS: [Change; 15] = [
    Change::SmallSegments,
    Change::SmallHello,
    Change::NoServerName,
    Change::UncheckedCertificate,
    Change::WithoutFiniteFieldDh,
    Change::UpToTls12,
    Change::With(OldSuite::AesCbc),
    Change::With(OldSuite::TripleDes),
    Change::With(OldSuite::Rc4),
    Change::WeakKeys,
    Change::FromTls10,
    Change::FromTls10With(OldSuite::AesCbc),
    Change::FromTls10With(OldSuite::TripleDes),
    Change::FromTls10With(OldSuite::Rc4),
    Change::WithoutAes,
];

/// Where it begins, and each change that was tried with what came of it; the last one may work.
#[derive(Clone, Debug)]
pub struct Ladder {
    pub baseline: ConnectionResult,
    pub changes: Vec<(Change, ConnectionResult)>,
}

impl Ladder {
    /// The smallest change that works.
    pub fn smallest(&self) -> Option<Change> {
        self.changes.last().filter(|(_, result)| result.works()).map(|(change, _)| *change)
    }
}

/// Connects as mail does, to the first address; `None` if there is none.
pub async fn try_once(trial: &Trial, probe: &ProbeOptions) -> Option<ConnectionResult> {
    let first = *trial.addresses.first()?;
    let plain = options(probe, trial.level, trial.tls.clone());
    Some(open(&trial.host, first, &plain).await)
}

/// Connects as mail does. If that fails, tries one change after another until one works. `progress` is called for each.
pub async fn climb(trial: &Trial, probe: &ProbeOptions, mut progress: impl FnMut(&str)) -> Option<Ladder> {
    let (first, others) = trial.addresses.split_first()?;
    progress("connecting as mail does");
    let baseline = try_once(trial, probe).await?;
    let mut ladder = Ladder { baseline, changes: Vec::new() };
    for change in changes(&ladder.baseline, trial, others) {
        progress(&change.what());
        sleep(probe.pause).await;
        let result = trial.with(change, *first, probe).await;
        let works = result.works();
        ladder.changes.push((change, result));
        if works {
            break;
        }
    }
    Some(ladder)
}

/// What could help where the connection broke off.
fn changes(baseline: &ConnectionResult, trial: &Trial, others: &[SocketAddr]) -> Vec<Change> {
    let Some(failure) = &baseline.failure else { return Vec::new() };
    let mut changes: Vec<Change> = others.iter().copied().map(Change::OtherAddress).collect();
    if baseline.seen.handshake.is_some() {
        changes.extend(OF_TLS.into_iter().filter(|change| change.differs(trial)));
    }
    if (baseline.seen.handshake.is_some() || failure.phase >= Phase::StartTls) && trial.level != TlsLevel::None {
        changes.push(Change::InTheClear);
    }
    changes
}

impl Change {
    /// False if the connection already is as the change would make it.
    fn differs(self, trial: &Trial) -> bool {
        let policy = &trial.tls.policy;
        match self {
            Self::UncheckedCertificate => trial.tls.verify,
            // A certificate is not issued for the address.
            Self::NoServerName => !trial.host.starts_with('[') && !trial.tls.verify,
            _ => self.to(policy).is_none_or(|changed| changed != *policy),
        }
    }

    /// The policy with this change. `None`: the change does not affect the policy.
    fn to(self, policy: &TlsPolicy) -> Option<TlsPolicy> {
        let mut policy = policy.clone();
        let add = |policy: &mut TlsPolicy, class: &str| policy.ciphers = with_class(&policy.ciphers, class);
        match self {
            Self::SmallHello => policy.groups = "P-256".to_owned(),
            Self::WithoutFiniteFieldDh => policy.ciphers.push_str(":!kDHE"),
            Self::WeakKeys => policy.security_level = 0,
            Self::With(suite) => add(&mut policy, suite.class()),
            Self::WithoutAes => policy.ciphers = "CHACHA20:RC4:3DES:!aNULL:!eNULL:!PSK:!SRP".to_owned(),
            Self::UpToTls12 => policy.maximum = policy.maximum.min(TlsVersion::Tls12),
            // OpenSSL accepts the SHA-1 signatures of TLS 1.0 only at level 0.
            Self::FromTls10 => (policy.minimum, policy.security_level) = (TlsVersion::Tls10, 0),
            Self::FromTls10With(suite) => {
                add(&mut policy, suite.class());
                return Self::FromTls10.to(&policy);
            }
            Self::OtherAddress(_)
            | Self::SmallSegments
            | Self::NoServerName
            | Self::UncheckedCertificate
            | Self::InTheClear => return None,
        }
        if let Self::With(OldSuite::Rc4 | OldSuite::TripleDes) = self {
            policy.security_level = 0;
        }
        Some(policy)
    }
}

/// Adds one class of cipher suites, which the policy may have excluded ("!RC4").
fn with_class(ciphers: &str, class: &str) -> String {
    let out = format!("!{class}");
    let kept: Vec<&str> = ciphers.split(':').filter(|word| *word != out).collect();
    format!("{}:{class}:!aNULL:!eNULL:!PSK:!SRP", kept.join(":"))
}

impl Trial {
    async fn with(&self, change: Change, first: SocketAddr, probe: &ProbeOptions) -> ConnectionResult {
        let mut options = options(probe, self.level, self.tls.clone());
        let mut tls = self.tls.clone();
        if let Some(policy) = change.to(&tls.policy) {
            tls.policy = policy;
        }
        let (mut host, mut address) = (self.host.clone(), first);
        match change {
            Change::OtherAddress(other) => address = other,
            Change::SmallSegments => options.maximum_segment = Some(SMALL_SEGMENT),
            // Literals are never sent as a server name (RFC 6066 section 3).
            Change::NoServerName => host = format!("[{}]", first.ip()),
            Change::UncheckedCertificate => {
                tls.verify = false;
                options.tls_level = TlsLevel::Require;
            }
            Change::InTheClear => options.tls_level = TlsLevel::None,
            _ => {}
        }
        options.tls = Arc::new(tls);
        open(&host, address, &options).await
    }
}
