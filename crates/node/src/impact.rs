//! Foresees what a TLS policy would break: what it offers comes from OpenSSL, the rest from the history.

use anyhow::Context as _;
use diagnosis::Offer;
use insight::Effect;
use jiff::{Timestamp, ToSpan};
use store::Store;

use crate::config::Config;

/// The effect of a policy on the destinations of the last days. `progress` learns how far back the history was read.
pub async fn impact<S: Store>(
    store: &S,
    config: &Config,
    policy: &str,
    days: u32,
    now: Timestamp,
    progress: impl FnMut(Timestamp) + Send,
) -> anyhow::Result<Effect> {
    let offer = offer(config, policy)?;
    let hours = i64::from(days) * 24;
    let since = now.checked_sub(hours.hours()).context("the number of days is too large; give a smaller one")?;
    let read = insight::impact(store, config, policy, &offer, since, progress).await;
    let (impacts, first) = read.context("failed to read the history")?;
    Ok(Effect::new(policy, since, now, first, impacts))
}

fn offer(config: &Config, name: &str) -> anyhow::Result<Offer> {
    let policy = config.known_policy(name)?;
    let hello = net::tls::offer(&policy)?
        .with_context(|| format!("OpenSSL offers no cipher suite under the policy \"{name}\""))?;
    Ok(Offer::of_policy(&hello, policy.security_level))
}
