//! Searches for a change that makes a failing connection work. It tries one change at a time, the smallest first. Such
//! an experiment shows the cause, where a comparison of attempts shows only an association.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use protocol::{
    smtp::{Phase, Transaction, client::TlsLevel},
    tls::{TlsPolicy, TlsVersion},
};
use tokio::time::sleep;

use super::{ProbeOptions, begin_with_tls, open, options};
use crate::{
    send::{ConnectionResult, rank},
    tls::TlsSettings,
};

/// How mail goes to a destination. The ladder tries this first, and then changes it.
#[derive(Clone, Debug)]
pub struct Trial {
    pub host: String,
    /// In the order in which mail tries them. Not empty.
    pub addresses: Vec<SocketAddr>,
    pub level: TlsLevel,
    pub tls: TlsSettings,
    /// A transaction to take as far as RCPT and back. `None`: stop where one could begin.
    pub envelope: Option<Transaction>,
}

/// One difference from how mail goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    SmallSegments,
    SmallHello,
    /// Larger than one packet. For a ClientHello that works; it is not a remedy.
    LargeHello,
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
    /// A TLS handshake in place of the greeting.
    TlsAtOnce,
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
    /// Stable, kebab-case.
    pub fn name(self) -> String {
        match self {
            Self::SmallSegments => "small-segments".to_owned(),
            Self::SmallHello => "small-hello".to_owned(),
            Self::LargeHello => "large-hello".to_owned(),
            Self::NoServerName => "no-server-name".to_owned(),
            Self::UncheckedCertificate => "unchecked-certificate".to_owned(),
            Self::WithoutFiniteFieldDh => "without-dhe".to_owned(),
            Self::WeakKeys => "weak-keys".to_owned(),
            Self::With(suite) => format!("with-{}", suite.name().to_ascii_lowercase()),
            Self::WithoutAes => "without-aes".to_owned(),
            Self::UpToTls12 => "without-tls-1.3".to_owned(),
            Self::FromTls10 => "with-tls-1.0".to_owned(),
            Self::FromTls10With(suite) => format!("with-tls-1.0-and-{}", suite.name().to_ascii_lowercase()),
            Self::InTheClear => "in-plaintext".to_owned(),
            Self::TlsAtOnce => "tls-at-once".to_owned(),
        }
    }

    /// True if it changes what may be negotiated, not only how the ClientHello travels.
    pub(super) fn is_about_negotiation(self) -> bool {
        !matches!(
            self,
            Self::SmallSegments
                | Self::SmallHello
                | Self::LargeHello
                | Self::NoServerName
                | Self::InTheClear
                | Self::TlsAtOnce
        )
    }

    /// For people, as the continuation of "works".
    pub fn what(self) -> String {
        match self {
            Self::SmallSegments => format!("with TCP segments of at most {SMALL_SEGMENT} bytes"),
            Self::SmallHello => "with a smaller ClientHello (one group only)".to_owned(),
            Self::LargeHello => "with a ClientHello larger than one packet (post-quantum key share)".to_owned(),
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
            Self::TlsAtOnce => "if TLS begins at once, before the greeting".to_owned(),
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

/// The connections of an experiment.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// As mail makes them: one address after another until one works.
    pub as_mail: Vec<ConnectionResult>,
    /// Each change that was tried; the last may work.
    pub changes: Vec<(Change, ConnectionResult)>,
}

impl Ladder {
    /// What mail comes to: the connection that works, or else the one that came furthest. `None` without an address.
    pub fn baseline(&self) -> Option<&ConnectionResult> {
        // `max_by_key` keeps the last of equals, so the order is turned round.
        self.as_mail.iter().rev().max_by_key(|result| (result.works(), result.failure.as_ref().map(rank)))
    }

    /// The smallest change that works.
    pub fn smallest(&self) -> Option<Change> {
        self.changes.last().filter(|(_, result)| result.works()).map(|(change, _)| *change)
    }
}

/// What an experiment does next, or what came of that.
#[derive(Clone, Copy, Debug)]
pub enum Rung<'a> {
    /// With the settings of mail, at this address, and under this TLS policy.
    AsMail(SocketAddr, &'a str),
    With(Change),
    Ended(&'a ConnectionResult),
}

/// Connects as mail does: to one address after another until one works. Empty if there is no address.
pub async fn connect_as_mail(trial: &Trial, probe: &ProbeOptions, mut progress: impl FnMut(Rung<'_>)) -> Ladder {
    let plain = options(probe, trial.level, trial.tls.clone());
    let mut as_mail: Vec<ConnectionResult> = Vec::new();
    for address in &trial.addresses {
        if !as_mail.is_empty() {
            sleep(probe.pause).await;
        }
        progress(Rung::AsMail(*address, &trial.tls.policy.name));
        let result = open(&trial.host, *address, &plain, trial.envelope.as_ref()).await;
        progress(Rung::Ended(&result));
        as_mail.push(result);
        if as_mail.last().is_some_and(ConnectionResult::works) {
            break;
        }
    }
    Ladder { as_mail, changes: Vec::new() }
}

/// Connects as mail does. If that fails, tries one change after another until one works, at the address where mail came
/// furthest. `progress` learns of each when it begins and when it has ended.
pub async fn climb(trial: &Trial, probe: &ProbeOptions, mut progress: impl FnMut(Rung<'_>)) -> Ladder {
    let mut ladder = connect_as_mail(trial, probe, &mut progress).await;
    let Some(baseline) = ladder.baseline() else { return ladder };
    let Some(address) = baseline.seen.address else { return ladder };
    for change in changes(baseline, trial) {
        sleep(probe.pause).await;
        progress(Rung::With(change));
        let result = trial.with(change, address, probe).await;
        progress(Rung::Ended(&result));
        let works = result.works();
        ladder.changes.push((change, result));
        if works {
            break;
        }
    }
    ladder
}

/// What could help where the connection broke off.
fn changes(baseline: &ConnectionResult, trial: &Trial) -> Vec<Change> {
    // What the destination says about an envelope does not depend on the connection.
    let Some(failure) = baseline.failure.as_ref().filter(|failure| failure.phase < Phase::Mail) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    if failure.phase == Phase::Banner {
        changes.push(Change::TlsAtOnce);
    }
    if baseline.seen.handshake.is_some() {
        changes.extend(of_tls(trial));
    }
    if (baseline.seen.handshake.is_some() || failure.phase >= Phase::StartTls) && trial.level != TlsLevel::None {
        changes.push(Change::InTheClear);
    }
    changes
}

/// The changes of TLS that make a difference to how mail goes, the smallest first.
pub(super) fn of_tls(trial: &Trial) -> impl Iterator<Item = Change> {
    OF_TLS.into_iter().filter(|change| change.differs(trial))
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
            Self::LargeHello => policy.groups = "X25519MLKEM768:X25519:P-256".to_owned(),
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
            Self::SmallSegments
            | Self::NoServerName
            | Self::UncheckedCertificate
            | Self::InTheClear
            | Self::TlsAtOnce => return None,
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
    /// One connection with a change.
    pub(super) async fn with(&self, change: Change, address: SocketAddr, probe: &ProbeOptions) -> ConnectionResult {
        let mut options = options(probe, self.level, self.tls.clone());
        let mut tls = self.tls.clone();
        if let Some(policy) = change.to(&tls.policy) {
            tls.policy = policy;
        }
        let mut host = self.host.clone();
        match change {
            Change::SmallSegments => options.maximum_segment = Some(SMALL_SEGMENT),
            // Literals are never sent as a server name (RFC 6066 section 3).
            Change::NoServerName => host = literal(address.ip()),
            Change::UncheckedCertificate => {
                tls.verify = false;
                options.tls_level = TlsLevel::Require;
            }
            Change::InTheClear => options.tls_level = TlsLevel::None,
            _ => {}
        }
        options.tls = Arc::new(tls);
        if change == Change::TlsAtOnce {
            return begin_with_tls(&host, address, &options).await;
        }
        open(&host, address, &options, self.envelope.as_ref()).await
    }
}

/// An address literal (RFC 5321 section 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}
