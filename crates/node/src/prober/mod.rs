//! Probes destinations: each node connects as its mail does, then this one with one change at a time until a connection works.
//! What a probe shows decides about a finding.
//!
//! ```text
//!   finding ──target──> Target ──run──> Probed ──judge──> finding with its experiment
//! ```

mod job;
mod judge;
mod run;
mod target;

use std::time::Duration;

use diagnosis::Explained;
use protocol::smtp::Phase;
use store::Store;

use crate::config::Config;

pub use job::{NotStarted, ProbeOf};
pub use run::{NodeResult, PolicyTried, Probed, Unanswered, Witness, run};
pub use target::{Target, destination, host_and_port, resolver};

use judge::judge;
use target::fails_late;

/// Number of findings to probe, from the first on.
const TRIED_MAX: usize = 3;

/// Settings of a probe. `S` is the store that carries questions to the nodes.
pub struct Prober<'a, S> {
    /// `None`: probe from this machine only.
    pub fleet: Option<&'a S>,
    /// `None`: connect as mail does under the policy modern.
    pub config: Option<&'a Config>,
    /// Timeout for each answer; `None`: the default.
    pub timeout: Option<Duration>,
    /// True: go on to MAIL and RCPT with the addresses of a waiting message, then take them back.
    pub envelope: bool,
}

impl<S: Store> Prober<'_, S> {
    /// Probes the first findings that a connection can test. Returns texts about findings that could not be probed.
    pub async fn try_all(&self, findings: &mut [Explained<'_>], witness: &mut dyn Witness) -> Vec<String> {
        let mut untried = Vec::new();
        let is_known = |explained: &&mut Explained<'_>| can_be_probed(explained);
        let mut left = TRIED_MAX;
        for explained in findings.iter_mut().filter(is_known) {
            if let Some(because) = out_of_reach(explained, self.envelope) {
                explained.finding.not_tested(because);
                continue;
            }
            if let Err(error) = self.try_one(explained, witness).await {
                untried.push(format!("failed to probe {}: {error:#}", explained.finding.scope.destination));
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        untried
    }

    async fn try_one(&self, explained: &mut Explained<'_>, witness: &mut dyn Witness) -> anyhow::Result<()> {
        let envelope_from = match (self.envelope && fails_late(explained), self.fleet) {
            (false, _) => None,
            (true, Some(store)) => Some(store),
            (true, None) => {
                anyhow::bail!("--envelope needs the history of this gateway; run it without files")
            }
        };
        let target = Target::of(explained, self.config, envelope_from).await?;
        let probed = run(target, PolicyTried::OfTarget, self.fleet, self.config, self.timeout, witness).await?;
        judge(explained, &probed)
    }
}

/// True if connections can say anything about a finding.
fn can_be_probed(explained: &Explained<'_>) -> bool {
    explained.finding.can_be_tried() || fails_late(explained)
}

/// Why a probe does not come as far as these attempts; `None`: it does.
fn out_of_reach(explained: &Explained<'_>, envelope: bool) -> Option<String> {
    let phase = explained.failing_phase().filter(|phase| *phase >= Phase::Mail)?;
    let has_envelope = phase <= Phase::Rcpt;
    if has_envelope && envelope {
        return None;
    }
    let hint = if has_envelope { " With --envelope it goes on to RCPT." } else { "" };
    Some(format!("Mail fails while {}, and a probe sends no mail.{hint}", phase.doing()))
}
