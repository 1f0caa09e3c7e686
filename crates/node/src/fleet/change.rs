//! Changes of the plan in the store. A change that was decided on another plan than the one in force changes nothing.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use store::{Store, StoreError, StoredPlan};
use trace::{NextStep, change::RolloutStep};

use super::{
    Change, Refused, Rollout, Trouble, in_force, members,
    plan::{halt, keep_some, plan},
};
use crate::config::{Config, UnknownPolicy};

/// Which plan it is. After a restore of the database, another plan may have the same version: then the time tells them
/// apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanId {
    pub version: u64,
    /// When it was set; `None`: not known.
    pub at: Option<Timestamp>,
}

impl PlanId {
    pub fn of(stored: &StoredPlan) -> Self {
        Self { version: stored.version, at: Some(stored.at) }
    }

    fn is(self, stored: &StoredPlan) -> bool {
        self.version == stored.version && self.at.is_none_or(|at| at == stored.at)
    }
}

/// Such as `7` or `7.1796112000000`: the version, and when it was set, in milliseconds.
impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.version.fmt(f)?;
        self.at.map_or(Ok(()), |at| write!(f, ".{}", at.as_millisecond()))
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, at) = text.split_once('.').map_or((text, None), |(version, at)| (version, Some(at)));
        let at = at.map(|at| Timestamp::from_millisecond(at.parse().ok()?).ok());
        match (version.parse(), at) {
            (Ok(version), None) => Ok(Self { version, at: None }),
            (Ok(version), Some(Some(at))) => Ok(Self { version, at: Some(at) }),
            _ => Err(format!("\"{text}\" is not the version of a rollout plan, such as 7")),
        }
    }
}

/// The plan that a change was decided on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// The plan in force, whichever that is.
    InForce,
    /// The one that the operator saw; `None`: there was none.
    Seen(Option<PlanId>),
}

impl Basis {
    /// The word for no plan.
    const NO_PLAN: &str = "none";

    /// The one that is in force now, for an operator who sees it.
    pub fn of(current: Option<&StoredPlan>) -> Self {
        Self::Seen(current.map(PlanId::of))
    }

    fn is(self, current: Option<&StoredPlan>) -> bool {
        match (self, current) {
            (Self::InForce, _) | (Self::Seen(None), None) => true,
            (Self::Seen(Some(seen)), Some(current)) => seen.is(current),
            (Self::Seen(_), _) => false,
        }
    }
}

/// As forms and headers carry it.
impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce => f.write_str("*"),
            Self::Seen(None) => f.write_str(Self::NO_PLAN),
            Self::Seen(Some(id)) => id.fmt(f),
        }
    }
}

impl FromStr for Basis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::InForce),
            Self::NO_PLAN => Ok(Self::Seen(None)),
            _ => text.parse().map(|id| Self::Seen(Some(id))),
        }
    }
}

/// Why the plan was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    UnknownPolicy(#[from] UnknownPolicy),
    /// Another plan is in force than the one that the change was decided on.
    #[error("somebody else has just changed the rollout; check it and try again: {}", NextStep::RolloutStatus)]
    Overtaken {
        /// The plans since then, the newest first.
        since: Vec<StoredPlan>,
    },
    #[error(transparent)]
    Unreadable(#[from] anyhow::Error),
}

impl From<StoreError> for NotChanged {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error.into())
    }
}

/// A plan in words, such as `rollout from legacy to modern: 50%, moved: mx1`.
pub fn in_words(stored: &StoredPlan) -> String {
    serde_json::from_str::<RolloutStep>(&stored.plan)
        .map_or_else(|_| "a plan of a newer version of Gatepost".to_owned(), |step| step.to_string())
}

/// Changes the plan in the store. Returns the new version, or why nothing was changed.
pub async fn change<S: Store>(
    store: &S,
    config: &Config,
    change: Change,
    basis: Basis,
    by: &str,
    now: Timestamp,
) -> Result<u64, NotChanged> {
    if let Change::Set { from, to, .. } = &change {
        for policy in [from, to] {
            config.known_policy(policy)?;
        }
    }
    let in_use: Vec<String> = config.connectors.iter().map(|connector| connector.tls_policy.clone()).collect();
    let nodes = members(&store.reports().await?, now);
    let current = in_force(store).await?;
    let (stored, rollout) = current.unzip();
    if !basis.is(stored.as_ref()) {
        return Err(overtaken(store, basis).await?);
    }
    let rollout = plan(rollout.as_ref(), change, &nodes, &in_use)?;
    let json = serde_json::to_string(&rollout).map_err(anyhow::Error::from)?;
    let before = stored.as_ref().map(|stored| stored.version);
    match store.replace_plan(before, json, by).await? {
        Some(version) => Ok(version),
        None => Err(overtaken(store, Basis::of(stored.as_ref())).await?),
    }
}

/// Plans that are shown of those that an operator did not see.
const UNSEEN_MAX: usize = 10;

async fn overtaken<S: Store>(store: &S, basis: Basis) -> Result<NotChanged, StoreError> {
    let plans = store.plans().await?.into_iter();
    Ok(NotChanged::Overtaken { since: plans.take_while(|plan| !basis.is(Some(plan))).take(UNSEEN_MAX).collect() })
}

/// Halts that plan automatically. `None`: the plan has changed since, be it by a restore of the database.
pub async fn halt_itself<S: Store>(
    store: &S,
    (stored, rollout): &(StoredPlan, Rollout),
    reason: String,
    trouble: Trouble,
    by: &str,
    now: Timestamp,
) -> anyhow::Result<Option<u64>> {
    if store.plan().await?.as_ref() != Some(stored) {
        return Ok(None);
    }
    let nodes = members(&store.reports().await?, now);
    let halted = Rollout { trouble: Some(trouble), ..keep_some(halt(rollout, reason, &nodes), &nodes) };
    Ok(store.replace_plan(Some(stored.version), serde_json::to_string(&halted)?, by).await?)
}

#[cfg(test)]
mod tests {
    use store::{Fleet as _, SqliteStore};

    use super::*;
    use crate::fleet::Share;

    #[test]
    fn a_basis_reads_back() {
        let at = Timestamp::from_millisecond(1_796_112_000_123).unwrap();
        for (text, basis) in [
            ("*", Basis::InForce),
            ("none", Basis::Seen(None)),
            ("7", Basis::Seen(Some(PlanId { version: 7, at: None }))),
            ("7.1796112000123", Basis::Seen(Some(PlanId { version: 7, at: Some(at) }))),
        ] {
            assert_eq!((text.parse(), basis.to_string()), (Ok(basis), text.to_owned()));
        }
        for text in ["", "seven", "-1", "7.", "7.x", "7.99999999999999999999", "7.9999999999999999", "\0"] {
            assert!(text.parse::<Basis>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_change_on_an_outdated_plan_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), "mx1").unwrap();
        let config = Config::parse("", std::path::Path::new("gatepost.toml")).unwrap();
        let set = |percent| Change::Set {
            from: "legacy".to_owned(),
            to: "modern".to_owned(),
            share: Share::Percent(percent),
        };
        let now = Timestamp::now();
        let ask = async |percent, basis| change(&store, &config, set(percent), basis, "amy", now).await;
        assert_eq!(ask(100, Basis::Seen(None)).await.unwrap(), 1);
        let first = Basis::of(store.plan().await.unwrap().as_ref());
        assert_eq!(ask(0, Basis::InForce).await.unwrap(), 2);
        for outdated in [Basis::Seen(None), first] {
            let NotChanged::Overtaken { since } = ask(100, outdated).await.unwrap_err() else { panic!("{outdated}") };
            assert_eq!(since.first().map(|plan| (plan.version, plan.by.as_str())), Some((2, "amy")));
            assert_eq!(since.len(), if outdated == first { 1 } else { 2 });
            assert!(in_words(&since[0]).starts_with("rollout from legacy to modern: 0%"));
        }
        // Another one with the same version, as after a restore.
        let other = Basis::Seen(Some(PlanId { version: 2, at: Some(Timestamp::UNIX_EPOCH) }));
        assert!(matches!(ask(100, other).await, Err(NotChanged::Overtaken { .. })));
        assert_eq!(store.plan().await.unwrap().map(|plan| plan.version), Some(2), "nothing was changed");
        assert_eq!(ask(100, Basis::of(store.plan().await.unwrap().as_ref())).await.unwrap(), 3);
    }
}
