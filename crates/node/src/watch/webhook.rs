//! Makes the webhook's calls. It repeats each call until the receiver accepts it, within limits. The store keeps the
//! calls, and any node of the fleet can continue.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use net::webhook::{Secret, Url, Webhook};
use store::{Incidents as _, WebhookCall};
use tokio::time::sleep;

use crate::{Node, config::Config, metrics::CallCounts};

/// Interval of the check for calls that are due.
const POLL: Duration = Duration::from_secs(1);
/// Time after which another node repeats a call whose node stopped. It is longer than a call may take.
const AGAIN: Duration = Duration::from_secs(60);
/// Number of calls claimed at once.
const CALLS_MAX: u32 = 1;
/// Waits after the first attempt, the second, and so on. The last wait repeats.
const WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
];
/// After about a day, the report is too old to be useful.
const ATTEMPTS_MAX: u32 = 30;

/// The webhook of a configuration, with its secret.
pub(crate) fn from_config(config: &Config) -> anyhow::Result<Option<Webhook>> {
    let (Some(url), Some(file)) = (&config.watch.webhook, &config.watch.secret_file) else { return Ok(None) };
    let url = Url::parse(url).map_err(anyhow::Error::msg).context("[watch] webhook")?;
    let in_file = || format!("[watch] secret_file {}", file.display());
    let secret = fs::read_to_string(file).with_context(in_file)?;
    let secret = Secret::parse(&secret).with_context(in_file)?;
    Ok(Some(Webhook::new(url, secret, config.watch.tls_authorities.as_deref()).context("[watch] webhook")?))
}

pub(super) async fn run(node: Arc<Node>) {
    loop {
        match call_what_is_due(&node).await {
            Ok(0) => sleep(POLL).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to read or store the webhook's calls; trying again");
                sleep(POLL).await;
            }
        }
    }
}

/// Returns the number of calls.
async fn call_what_is_due(node: &Node) -> store::Result<usize> {
    let Some(webhook) = node.webhook.load_full() else { return Ok(0) };
    let calls = node.store.claim_calls(AGAIN, CALLS_MAX).await?;
    for call in &calls {
        let id = call.id.to_string();
        let result = webhook.call(&node.resolver(), &id, call.body.clone(), Timestamp::now()).await;
        let due_in = match result {
            Ok(()) => None,
            Err(ref error) => after_failure(call, &error.to_string()),
        };
        let CallCounts { worked, failed, given_up } = &node.metrics.calls;
        let counter = if result.is_ok() {
            worked
        } else if due_in.is_some() {
            failed
        } else {
            given_up
        };
        counter.add(1);
        node.store.settle_call(call.id, due_in).await?;
    }
    Ok(calls.len())
}

/// How long until it is made again; `None`: no more.
fn after_failure(call: &WebhookCall, error: &str) -> Option<Duration> {
    let attempts = call.attempts + 1;
    if attempts >= ATTEMPTS_MAX {
        tracing::error!(call = %call.id, incident = %call.incident, attempts, error, "webhook call failed; making no further attempt");
        return None;
    }
    tracing::warn!(call = %call.id, incident = %call.incident, attempts, error, "webhook call failed; retrying");
    Some(WAITS.get(call.attempts as usize).or(WAITS.last()).copied().unwrap_or(AGAIN))
}
