//! Finds out what a destination supports, by connections that carry no mail: each TLS version, each cipher suite, the
//! order of preference, groups, the certificate, and what comes after the handshake. The connections are those that mail
//! goes by, so that what is found is what mail would meet.
//!
//! Polite: one connection at a time, a pause between, each ended by QUIT, and a bound on how many there are.

mod ladder;
mod suites;
mod variations;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    smtp::{
        Failure, FailureKind, Phase, PhaseTime,
        client::{Extensions, TlsLevel},
    },
    tls::{HandshakeFacts, TlsPolicy, TlsVersion},
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    send::{Connection, ConnectionResult, Options, Timeouts},
    tls::{TlsContext, TlsSettings},
};

pub use ladder::{Change, Ladder, OldSuite, Trial, climb, try_once};
pub use suites::{Suite, VersionSupport};
pub use variations::Variation;

/// How to probe.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    pub ehlo_name: String,
    /// Longest wait in each phase.
    pub timeout: Duration,
    /// From one connection to the next.
    pub pause: Duration,
    /// No more connections than this.
    pub connections_max: u32,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            ehlo_name: "localhost".to_owned(),
            timeout: Duration::from_secs(10),
            pause: Duration::from_millis(50),
            connections_max: 200,
        }
    }
}

/// What a destination supports.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    pub host: String,
    pub address: SocketAddr,
    pub starttls: StartTls,
    /// What EHLO's answer offers; in the clear where there is no TLS.
    pub extensions: Option<Extensions>,
    /// What each phase of the first connection took.
    pub phases: Vec<PhaseTime>,
    /// Why the first connection, which offered all that this program can, did not come about.
    pub failure: Option<Failure>,
    /// Of the first connection: certificate chain and its fault, alerts, what was agreed on.
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// The oldest first.
    pub versions: Vec<VersionSupport>,
    /// Key exchange groups that it agrees to, of those asked for.
    pub groups: Vec<&'static str>,
    pub variations: Vec<Variation>,
    /// How many connections it took.
    pub connections: u32,
    /// The bound on connections was met: there may be more than is told.
    pub is_cut: bool,
}

/// What became of STARTTLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartTls {
    /// No answer to EHLO was seen.
    NotObserved,
    Offered,
    NotOffered,
    /// Written over by a firewall.
    Masked,
    /// Offered, and then answered 4xx or 5xx.
    Refused,
}

/// Makes connections to one destination, and counts them.
pub(crate) struct Prober<'a> {
    host: &'a str,
    address: SocketAddr,
    options: &'a ProbeOptions,
    connections: u32,
}

/// Probes one address of a host. `progress` hears of each step in a few words.
pub async fn probe(host: &str, address: SocketAddr, options: &ProbeOptions, mut progress: impl FnMut(&str)) -> Probed {
    let mut prober = Prober { host, address, options, connections: 0 };
    progress("everything offered at once");
    let first = prober.connect(everything(), host).await;
    let starttls = starttls(&first);
    let mut probed = Probed {
        host: host.to_owned(),
        address,
        starttls,
        extensions: first.extensions,
        phases: first.seen.phases.clone(),
        handshake: first.seen.handshake.clone(),
        failure: first.failure,
        versions: Vec::new(),
        groups: Vec::new(),
        variations: Vec::new(),
        connections: 0,
        is_cut: false,
    };
    if first.seen.handshake.is_some() {
        for version in TlsVersion::ALL {
            progress(&format!("{version}: cipher suites"));
            probed.versions.push(prober.version(version).await);
        }
        progress("groups");
        probed.groups = prober.groups(&probed.versions).await;
        progress("variations of the hello");
        probed.variations = prober.variations(&probed).await;
    }
    probed.connections = prober.connections;
    probed.is_cut = prober.is_exhausted();
    probed
}

fn starttls(first: &ConnectionResult) -> StartTls {
    match (&first.failure, first.extensions) {
        (Some(Failure { phase: Phase::StartTls, kind: FailureKind::Rejected, .. }), _) => StartTls::Refused,
        _ if first.seen.handshake.is_some() => StartTls::Offered,
        (_, Some(extensions)) if extensions.starttls_masked => StartTls::Masked,
        (_, Some(_)) => StartTls::NotOffered,
        _ => StartTls::NotObserved,
    }
}

/// All that OpenSSL can do with a certificate and a cipher.
pub(crate) fn everything() -> TlsPolicy {
    TlsPolicy { name: "everything".to_owned(), ..TlsPolicy::legacy() }
}

impl Prober<'_> {
    pub(crate) fn is_exhausted(&self) -> bool {
        self.connections >= self.options.connections_max
    }

    /// One connection under a policy, greeted as `host`.
    pub(crate) async fn connect(&mut self, policy: TlsPolicy, host: &str) -> ConnectionResult {
        if self.connections > 0 {
            sleep(self.options.pause).await;
        }
        self.connections += 1;
        let settings = TlsSettings { policy, verify: false, authorities: None, identity: None };
        open(host, self.address, &options(self.options, TlsLevel::Opportunistic, settings)).await
    }
}

fn options(probe: &ProbeOptions, tls_level: TlsLevel, settings: TlsSettings) -> Options {
    Options {
        ehlo_name: probe.ehlo_name.clone(),
        tls_level,
        tls: Arc::new(settings),
        timeouts: timeouts(probe.timeout),
        maximum_segment: None,
        progress: Arc::default(),
    }
}

/// One connection, as far as a transaction could begin.
async fn open(host: &str, address: SocketAddr, options: &Options) -> ConnectionResult {
    // A context of its own: no session is taken up again.
    let context = TlsContext::default();
    match Connection::open(host, address, options, &context, None).await {
        Ok(mut connection) => {
            let (seen, extensions) = (connection.take_seen(), Some(*connection.extensions()));
            connection.quit().await;
            ConnectionResult { seen, extensions, failure: None }
        }
        Err(not_opened) => {
            let (failure, seen) = *not_opened;
            ConnectionResult { seen, extensions: None, failure: Some(failure) }
        }
    }
}

fn timeouts(each: Duration) -> Timeouts {
    Timeouts { quit: each.min(Duration::from_secs(1)), ..Timeouts::each(each) }
}
