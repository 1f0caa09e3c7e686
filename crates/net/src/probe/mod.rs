//! Finds out what a destination supports, with connections that carry no mail: each TLS version, each cipher suite, the
//! order of preference, groups, the certificate, and the session after the handshake. It connects as mail does, so that
//! the result is what mail would get.
//!
//! It is polite: one connection at a time, with a pause between connections, QUIT at the end of each, and a maximum
//! number of connections.

mod ladder;
mod suites;
mod variations;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    smtp::{
        Failure, FailureKind, Phase, PhaseTime, Transaction,
        client::{Extensions, TlsLevel},
    },
    tls::{HandshakeFacts, TlsPolicy, TlsVersion},
};
use serde::Serialize;
use tokio::{net::TcpStream, time::sleep};

use crate::{
    send::{Connection, ConnectionResult, Options, Seen, Timeouts, connect},
    tls::{self, HandshakeError, TlsContext, TlsSettings},
};

pub use ladder::{Change, Ladder, OldSuite, Rung, Trial, climb, connect_as_mail};
pub use suites::{Suite, VersionSupport};
pub use variations::{PolicySupport, Variation};

/// How to probe.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    pub ehlo_name: String,
    /// Longest wait in each phase.
    pub timeout: Duration,
    /// Pause between two connections.
    pub pause: Duration,
    /// Maximum number of connections.
    pub connections_max: u32,
    /// How mail goes there: the policy whose ClientHello is varied, trusted certificates and client certificate.
    pub as_mail: TlsSettings,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            ehlo_name: "localhost".to_owned(),
            timeout: Duration::from_secs(10),
            pause: Duration::from_millis(50),
            connections_max: 200,
            as_mail: TlsSettings { policy: TlsPolicy::modern(), verify: false, authorities: None, identity: None },
        }
    }
}

/// What a destination supports.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    pub host: String,
    pub address: SocketAddr,
    pub starttls: StartTls,
    /// No greeting came in plaintext, and a TLS handshake in its place worked, as with servers on port 465.
    pub begins_with_tls: bool,
    /// The extensions in the reply to EHLO, in plaintext if there is no TLS.
    pub extensions: Option<Extensions>,
    /// Duration of each phase of the first connection.
    pub phases: Vec<PhaseTime>,
    /// Why the first connection failed. It offers everything that Gatepost supports.
    pub failure: Option<Failure>,
    /// Facts of the first connection: certificate chain and its fault, alerts, the chosen version and cipher suite.
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// The oldest first.
    pub versions: Vec<VersionSupport>,
    /// The key exchange groups that it accepts, of those that were tried.
    pub groups: Vec<&'static str>,
    /// The policy of mail, then the built-in ones, the strictest first.
    pub policies: Vec<PolicySupport>,
    /// The ClientHello of mail's policy, then the same with one change each.
    pub variations: Vec<Variation>,
    /// Number of connections.
    pub connections: u32,
    /// The maximum number of connections was reached, so the result may be incomplete.
    pub is_cut: bool,
}

/// The result of STARTTLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartTls {
    /// No reply to EHLO was seen.
    NotObserved,
    Offered,
    NotOffered,
    /// Overwritten by a firewall.
    Masked,
    /// Offered, and then refused with 4xx or 5xx.
    Refused,
}

/// Makes connections to one destination, and counts them.
pub(crate) struct Prober<'a> {
    host: &'a str,
    address: SocketAddr,
    options: &'a ProbeOptions,
    connections: u32,
}

/// Probes one address of a host. `progress` gets a few words about each step.
pub async fn probe(host: &str, address: SocketAddr, options: &ProbeOptions, mut progress: impl FnMut(&str)) -> Probed {
    let mut prober = Prober { host, address, options, connections: 0 };
    progress("offering everything at once");
    let first = prober.connect(everything()).await;
    let starttls = starttls(&first);
    let begins_with_tls = match &first.failure {
        Some(failure) if failure.phase == Phase::Banner => {
            progress("beginning TLS at once");
            prober.connect_with_tls(everything()).await.works()
        }
        _ => false,
    };
    let mut probed = Probed {
        host: host.to_owned(),
        address,
        starttls,
        begins_with_tls,
        extensions: first.extensions,
        phases: first.seen.phases.clone(),
        handshake: first.seen.handshake.clone(),
        failure: first.failure,
        versions: Vec::new(),
        groups: Vec::new(),
        policies: Vec::new(),
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
        progress("policies");
        let as_mail = prober.policies(&mut probed.policies).await;
        progress("variations of the ClientHello");
        let has_suites = probed.versions.iter().any(|support| !support.suites.is_empty());
        probed.variations = prober.variations(as_mail, has_suites).await;
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

/// Everything that OpenSSL supports, except suites without certificate or encryption.
pub(crate) fn everything() -> TlsPolicy {
    TlsPolicy { name: "everything".to_owned(), ..TlsPolicy::legacy() }
}

impl Prober<'_> {
    pub(crate) fn is_exhausted(&self) -> bool {
        self.connections >= self.options.connections_max
    }

    /// One connection under a policy.
    pub(crate) async fn connect(&mut self, policy: TlsPolicy) -> ConnectionResult {
        self.count_connection().await;
        let settings = TlsSettings { policy, verify: false, ..self.options.as_mail.clone() };
        open(self.host, self.address, &options(self.options, TlsLevel::Opportunistic, settings), None).await
    }

    /// One connection that begins with TLS.
    async fn connect_with_tls(&mut self, policy: TlsPolicy) -> ConnectionResult {
        self.count_connection().await;
        let settings = TlsSettings { policy, verify: false, ..self.options.as_mail.clone() };
        begin_with_tls(self.host, self.address, &options(self.options, TlsLevel::Require, settings)).await
    }

    /// Pauses between two connections.
    async fn count_connection(&mut self) {
        if self.connections > 0 {
            sleep(self.options.pause).await;
        }
        self.connections += 1;
    }
}

fn options(probe: &ProbeOptions, tls_level: TlsLevel, settings: TlsSettings) -> Options {
    Options {
        ehlo_name: probe.ehlo_name.clone(),
        tls_level,
        tls: Arc::new(settings),
        timeouts: timeouts(probe.timeout),
        pipelining: true,
        maximum_segment: None,
        progress: Arc::default(),
    }
}

/// One connection, as far as a transaction could begin, or with an envelope as far as RCPT.
async fn open(host: &str, address: SocketAddr, options: &Options, envelope: Option<&Transaction>) -> ConnectionResult {
    // A context of its own: no session is taken up again.
    let context = TlsContext::default();
    match Connection::open(host, address, options, &context, None).await {
        Ok(mut connection) => {
            let (mut seen, extensions) = (connection.take_seen(), Some(*connection.extensions()));
            let mut failure = None;
            if let Some(transaction) = envelope {
                failure = connection.rehearse(transaction).await.into_iter().find_map(Result::err);
                seen.phases.extend(connection.take_seen().phases);
            }
            connection.quit().await;
            ConnectionResult { seen, extensions, failure }
        }
        Err(not_opened) => {
            let (failure, seen) = *not_opened;
            ConnectionResult { seen, extensions: None, failure: Some(failure) }
        }
    }
}

/// A TLS handshake before the greeting.
async fn begin_with_tls(host: &str, address: SocketAddr, options: &Options) -> ConnectionResult {
    let mut seen = Seen { address: Some(address), ..Seen::default() };
    let tried = match connect(address, options.timeouts.connect, None).await {
        Ok(stream) => handshake(host, address, options, stream, &mut seen).await,
        Err(kind) => Err(Failure::new(Phase::Connect, kind)),
    };
    ConnectionResult { seen, extensions: None, failure: tried.err() }
}

async fn handshake(
    host: &str,
    address: SocketAddr,
    options: &Options,
    stream: TcpStream,
    seen: &mut Seen,
) -> Result<(), Failure> {
    let failed = |detail: String| Failure::new(Phase::Handshake, FailureKind::HandshakeFailed { detail });
    let context = TlsContext::default();
    let connector = context.connector(&options.tls).map_err(|error| failed(error.to_string()))?;
    let handshake = tls::connect(&connector, host, address, stream, options.timeouts.handshake).await;
    seen.handshake = Some(Arc::new(handshake.facts));
    match handshake.result {
        Ok((_, summary)) => {
            seen.tls = Some(summary);
            Ok(())
        }
        Err(HandshakeError::TimedOut) => Err(failed("timed out".to_owned())),
        Err(HandshakeError::Failed(detail)) => Err(failed(detail)),
    }
}

fn timeouts(each: Duration) -> Timeouts {
    Timeouts { quit: each.min(Duration::from_secs(1)), ..Timeouts::each(each) }
}
