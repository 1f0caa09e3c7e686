//! Which policies work, and variations of the ClientHello with one change each from the one that mail sends, to find what a
//! destination, or a device before it, cannot handle.

use protocol::{
    smtp::{Failure, client::TlsLevel},
    tls::TlsPolicy,
};
use serde::Serialize;

use super::{
    Prober,
    ladder::{Change, Trial, of_tls},
};
use crate::{send::ConnectionResult, tls::TlsSettings};

/// Whether a policy works.
#[derive(Clone, Debug, Serialize)]
pub struct PolicySupport {
    pub name: String,
    pub works: bool,
    pub failure: Option<Failure>,
}

/// The ClientHello of mail, or one that differs from it in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Variation {
    /// Stable, kebab-case; of the first one, the name of the policy.
    pub name: String,
    /// For people.
    pub what: String,
    pub works: bool,
    pub hello_bytes: Option<u32>,
    pub failure: Option<Failure>,
}

/// Changes of a ClientHello that works, to see what more the destination can handle.
const OF_WORKING: [Change; 3] = [Change::LargeHello, Change::SmallHello, Change::NoServerName];

impl Prober<'_> {
    /// Tries the policy of mail and the built-in ones. Returns the connection under the policy of mail.
    pub(super) async fn policies(&mut self, policies: &mut Vec<PolicySupport>) -> ConnectionResult {
        let own = &self.options.as_mail.policy;
        let as_mail = self.connect(own.clone()).await;
        policies.push(PolicySupport::new(own.name.clone(), &as_mail));
        for policy in TlsPolicy::built_in().into_iter().filter(|policy| policy.name != own.name) {
            let name = policy.name.clone();
            policies.push(PolicySupport::new(name, &self.connect(policy).await));
        }
        as_mail
    }

    /// From a ClientHello that fails, one change after another until one works. If the destination supports no cipher suite
    /// at all, changes of what may be negotiated cannot help.
    pub(super) async fn variations(&mut self, as_mail: ConnectionResult, has_suites: bool) -> Vec<Variation> {
        let tls = TlsSettings { verify: false, ..self.options.as_mail.clone() };
        let level = TlsLevel::Opportunistic;
        let trial = Trial { host: self.host.to_owned(), addresses: vec![self.address], level, tls, envelope: None };
        let works = is_encrypted(&as_mail);
        let what = format!("of the policy {}", trial.tls.policy.name);
        let mut variations = vec![Variation::new(trial.tls.policy.name.clone(), what, as_mail)];
        let changes: Vec<Change> = match works {
            true => OF_WORKING.to_vec(),
            false => of_tls(&trial).filter(|change| has_suites || !change.is_about_negotiation()).collect(),
        };
        for change in changes {
            self.count_connection().await;
            let result = trial.with(change, self.address, self.options).await;
            let is_found = !works && is_encrypted(&result);
            variations.push(Variation::new(change.name(), change.what(), result));
            if is_found || self.is_exhausted() {
                break;
            }
        }
        variations
    }
}

/// A connection in plaintext says nothing about TLS.
fn is_encrypted(result: &ConnectionResult) -> bool {
    result.works() && result.seen.tls.is_some()
}

impl PolicySupport {
    fn new(name: String, result: &ConnectionResult) -> Self {
        Self { name, works: is_encrypted(result), failure: result.failure.clone() }
    }
}

impl Variation {
    fn new(name: String, what: String, result: ConnectionResult) -> Self {
        let hello = result.seen.handshake.as_ref().and_then(|facts| facts.client_hello.as_ref());
        Self {
            name,
            what,
            works: is_encrypted(&result),
            hello_bytes: hello.map(|hello| hello.length_bytes),
            failure: result.failure,
        }
    }
}
