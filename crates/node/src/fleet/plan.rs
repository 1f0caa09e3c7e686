//! Which nodes a rollout moves: its plan, and how an operator's change makes the next one of it. All of it is pure.
//!
//! Invariants: a plan names the nodes that it moves, so that nothing changes when nodes come and go. Only at 100% does
//! a plan also move nodes that come later. A larger share never moves a node back.

use std::fmt;

use serde::{Deserialize, Serialize};
use trace::NextStep;

/// A move of the fleet, or of a part of it, from one TLS policy to another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rollout {
    pub from: String,
    pub to: String,
    /// Share of the fleet to move; `None` if the nodes were chosen by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The nodes that use the new policy.
    pub nodes: Vec<String>,
    /// Why the rollout is halted; `None` while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
    /// Why the rollout halted automatically; `None` if an operator halted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// Destinations whose trouble an operator accepted by resuming. The rollout does not halt automatically for them
    /// again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

/// A destination that works under the old policy and fails under the new one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trouble {
    pub destination: String,
    /// Id in the cause catalogue.
    pub cause: String,
    /// What each side can do to fix it.
    pub remedy: Vec<String>,
    /// The command that checks it.
    pub check: String,
}

impl Rollout {
    pub fn moves(&self, node: &str) -> bool {
        let all = self.percent == Some(100) && self.halted.is_none();
        all || self.nodes.iter().any(|moved| moved == node)
    }

    /// True if the plan moves no node, now or later.
    pub fn is_idle(&self) -> bool {
        self.nodes.is_empty() && self.percent != Some(100)
    }

    /// The policy that `node` uses if its configuration names `named`.
    pub fn policy_on<'a>(&'a self, node: &str, named: &'a str) -> &'a str {
        if named == self.from && self.moves(node) { &self.to } else { named }
    }
}

/// A change that an operator requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Set { from: String, to: String, share: Share },
    Halt { reason: String },
    Resume,
}

impl Change {
    /// True if nodes may get the new policy that do not have it now.
    pub fn raises(&self, current: Option<&Rollout>) -> bool {
        match self {
            Self::Halt { .. } => false,
            Self::Resume => current.is_some_and(|current| current.percent == Some(100)),
            Self::Set { from, to, share } => {
                let same = current.filter(|current| current.from == *from && current.to == *to);
                match (share, same) {
                    (Share::Percent(percent), Some(Rollout { percent: Some(before), .. })) => percent > before,
                    (Share::Percent(percent), _) => *percent > 0,
                    (Share::Named(names), Some(same)) => names.iter().any(|name| !same.moves(name)),
                    (Share::Named(names), None) => !names.is_empty(),
                }
            }
        }
    }
}

/// Which nodes to move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Share {
    /// From 0 to 100. A stable hash of the names chooses the nodes.
    Percent(u8),
    Named(Vec<String>),
}

/// Why a change was refused. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("from and to name the same policy, \"{0}\"; name two different policies")]
    SamePolicy(String),
    #[error("no node is called {}; nodes that reported in the last 10 minutes: {}", List(.unknown), List(.known))]
    UnknownNodes { unknown: Vec<String>, known: Vec<String> },
    #[error("no node has reported in the last 10 minutes; start the nodes first")]
    NoNodes,
    #[error("the rollout is halted ({reason}), and this would move {}; to resume it: {}", List(.more), NextStep::RolloutResume)]
    Halted { reason: String, more: Vec<String> },
    #[error(
        "the rollout from \"{from}\" to \"{to}\" is in progress, and only one can run at a time; \
         first roll it back with --percent 0, or complete it with --percent 100 and change tls_policy in the configuration"
    )]
    UnderWay { from: String, to: String },
    #[error("there is no rollout to {0}")]
    Nothing(&'static str),
    #[error("the rollout is already halted ({0})")]
    HaltedAlready(String),
    #[error("the rollout is not halted")]
    NotHalted,
}

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ")) }
    }
}

/// The plan after a change. `nodes` are the members of the fleet. `in_use` are the policies that connectors name.
pub fn plan(
    current: Option<&Rollout>,
    change: Change,
    nodes: &[String],
    in_use: &[String],
) -> Result<Rollout, Refused> {
    match change {
        Change::Set { from, to, share } => set(current, from, to, share, nodes, in_use),
        Change::Halt { reason } => match current {
            None => Err(Refused::Nothing("halt")),
            Some(Rollout { halted: Some(reason), .. }) => Err(Refused::HaltedAlready(reason.clone())),
            Some(current) => Ok(halt(current, reason, nodes)),
        },
        Change::Resume => match current {
            None => Err(Refused::Nothing("resume")),
            Some(Rollout { halted: None, .. }) => Err(Refused::NotHalted),
            Some(current) => Ok(resume(current.clone())),
        },
    }
}

fn set(
    current: Option<&Rollout>,
    from: String,
    to: String,
    share: Share,
    nodes: &[String],
    in_use: &[String],
) -> Result<Rollout, Refused> {
    if from == to {
        return Err(Refused::SamePolicy(from));
    }
    let same = current.filter(|current| current.from == from && current.to == to);
    if let Some(other) = current.filter(|_| same.is_none()) {
        let completed = other.percent == Some(100) && !in_use.contains(&other.from);
        if !other.is_idle() && !completed {
            return Err(Refused::UnderWay { from: other.from.clone(), to: other.to.clone() });
        }
    }
    let (percent, moved) = match share {
        Share::Percent(percent) => (Some(percent), chosen(nodes, percent, same)?),
        Share::Named(names) => (None, known(names, nodes)?),
    };
    let halted = same.and_then(|current| current.halted.clone());
    let trouble = same.and_then(|current| current.trouble.clone());
    let accepted = same.map(|current| current.accepted.clone()).unwrap_or_default();
    let planned = Rollout { from, to, percent, nodes: moved, halted, trouble, accepted };
    if let (Some(reason), Some(current)) = (&planned.halted, same) {
        let more: Vec<String> =
            nodes.iter().filter(|node| planned.moves(node) && !current.moves(node)).cloned().collect();
        if !more.is_empty() {
            return Err(Refused::Halted { reason: reason.clone(), more });
        }
    }
    Ok(planned)
}

/// At 100%, the nodes that have joined since keep the new policy too.
pub(super) fn halt(current: &Rollout, reason: String, nodes: &[String]) -> Rollout {
    let mut halted = current.clone();
    let joined = nodes.iter().filter(|node| current.moves(node) && !current.nodes.contains(node));
    halted.nodes.extend(joined.cloned());
    halted.halted = Some(reason);
    halted
}

/// If all nodes have moved, no node is left whose policy works. The half that moved last then returns to the old
/// policy.
pub(super) fn keep_some(mut halted: Rollout, nodes: &[String]) -> Rollout {
    if nodes.iter().all(|node| halted.moves(node)) {
        halted.nodes.retain(|node| nodes.contains(node));
        halted.nodes.truncate(nodes.len() / 2);
    }
    halted
}

/// An operator who resumes accepts the trouble that halted the rollout.
fn resume(mut rollout: Rollout) -> Rollout {
    rollout.halted = None;
    rollout.accepted.extend(rollout.trouble.take().map(|trouble| trouble.destination));
    rollout
}

/// The first `percent` of the nodes in the order of their hashes, and at least one if `percent` is not 0. Unless the
/// share becomes smaller, nodes that have already moved come first, even if they have not reported recently.
fn chosen(nodes: &[String], percent: u8, current: Option<&Rollout>) -> Result<Vec<String>, Refused> {
    if nodes.is_empty() && percent > 0 && percent < 100 {
        return Err(Refused::NoNodes);
    }
    let count = (nodes.len() * usize::from(percent)).div_ceil(100);
    let raised = current.filter(|current| current.percent.unwrap_or(0) <= percent);
    let mut chosen = raised.map(|current| current.nodes.clone()).unwrap_or_default();
    let mut others: Vec<&String> = nodes.iter().filter(|node| !chosen.contains(node)).collect();
    others.sort_by_key(|node| (hash(node), node.as_str()));
    let missing = count.saturating_sub(chosen.len());
    chosen.extend(others.into_iter().take(missing).cloned());
    Ok(chosen)
}

fn known(names: Vec<String>, nodes: &[String]) -> Result<Vec<String>, Refused> {
    let unknown: Vec<String> = names.iter().filter(|name| !nodes.contains(name)).cloned().collect();
    if unknown.is_empty() { Ok(names) } else { Err(Refused::UnknownNodes { unknown, known: nodes.to_vec() }) }
}

/// FNV-1a with 64 bits. It is the same on every machine and in every version, unlike the standard library's hash.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trace::change::RolloutStep;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("mx{number}")).collect()
    }

    fn to_modern(share: Share) -> Change {
        Change::Set { from: "legacy".to_owned(), to: "modern".to_owned(), share }
    }

    fn percent(current: Option<&Rollout>, percent: u8, nodes: &[String]) -> Result<Rollout, Refused> {
        plan(current, to_modern(Share::Percent(percent)), nodes, &["legacy".to_owned()])
    }

    #[test]
    fn nodes_that_come_and_go_do_not_bring_moved_ones_back() {
        let half = percent(None, 50, &names(4)).unwrap();
        // Twice as many nodes, and one of the moved nodes has not reported.
        let mut nodes = names(8);
        nodes.retain(|node| *node != half.nodes[0]);
        let more = percent(Some(&half), 60, &nodes).unwrap();
        assert!(half.nodes.iter().all(|node| more.moves(node)), "{half:?} {more:?}");
        assert_eq!(more.nodes.len(), 5);
    }

    #[test]
    fn a_halt_holds_at_all_of_them_too() {
        let all = percent(None, 100, &names(2)).unwrap();
        assert!(all.moves("mx3"));
        // mx3 has joined and is moved. A node that joins after the halt is not.
        let halted = plan(Some(&all), Change::Halt { reason: "why".to_owned() }, &names(3), &[]).unwrap();
        assert!(halted.moves("mx1") && halted.moves("mx3") && !halted.moves("mx4"), "{halted:?}");
        let resumed = plan(Some(&halted), Change::Resume, &names(4), &[]).unwrap();
        assert!(resumed.moves("mx4"));
    }

    #[test]
    fn a_fleet_that_halts_itself_keeps_nodes_under_the_old_policy() {
        let (half, all) = (percent(None, 50, &names(4)).unwrap(), percent(None, 100, &names(4)).unwrap());
        let halted = |rollout: &Rollout| keep_some(halt(rollout, "why".to_owned(), &names(4)), &names(4));
        assert_eq!(halted(&half).nodes, half.nodes, "no node moves back if one still has the old policy");
        assert_eq!(halted(&all).nodes, half.nodes, "the last half returns to the old policy");
        assert!(plan(Some(&halted(&all)), Change::Resume, &names(4), &[]).unwrap().moves("mx9"));
        let alone = percent(None, 100, &names(1)).unwrap();
        assert!(!keep_some(halt(&alone, "why".to_owned(), &names(1)), &names(1)).moves("mx1"));
    }

    #[test]
    fn whoever_resumes_accepts_the_trouble() {
        let destination = "mail.onprem.test:25".to_owned();
        let trouble = Trouble { destination, cause: String::new(), remedy: vec![], check: String::new() };
        let half = percent(None, 50, &names(4)).unwrap();
        let halted = Rollout { halted: Some("why".to_owned()), trouble: Some(trouble), ..half };
        // Fewer nodes: still halted, for the same reason.
        assert_eq!(percent(Some(&halted), 25, &names(4)).unwrap().trouble, halted.trouble);
        let resumed = plan(Some(&halted), Change::Resume, &names(4), &[]).unwrap();
        assert_eq!((resumed.halted, resumed.trouble), (None, None));
        assert_eq!(resumed.accepted, ["mail.onprem.test:25"]);
    }

    #[test]
    fn half_of_four_are_two() {
        let rollout = percent(None, 50, &names(4)).unwrap();
        assert_eq!(rollout.nodes.len(), 2);
        for node in names(4) {
            let expected = if rollout.nodes.contains(&node) { "modern" } else { "legacy" };
            assert_eq!(rollout.policy_on(&node, "legacy"), expected);
            assert_eq!(rollout.policy_on(&node, "intermediate"), "intermediate");
        }
        assert!(!rollout.moves("mx5"), "a node that joins later keeps the old policy");
        assert!(percent(Some(&rollout), 100, &names(4)).unwrap().moves("mx5"));
        assert!(percent(Some(&rollout), 0, &names(4)).unwrap().is_idle());
    }

    #[test]
    fn refusals() {
        let nodes = names(4);
        let half = percent(None, 50, &nodes).unwrap();
        let halted = plan(Some(&half), Change::Halt { reason: "queue grows".to_owned() }, &nodes, &[]).unwrap();
        assert!(half.nodes.iter().all(|node| halted.moves(node)), "nodes that have moved keep the new policy");
        assert!(matches!(percent(Some(&halted), 75, &nodes), Err(Refused::Halted { .. })));
        assert!(percent(Some(&halted), 25, &nodes).unwrap().halted.is_some());
        let resumed = plan(Some(&halted), Change::Resume, &nodes, &[]).unwrap();
        assert!(percent(Some(&resumed), 75, &nodes).is_ok());
        assert_eq!(percent(None, 50, &[]), Err(Refused::NoNodes));
        let unknown = plan(None, to_modern(Share::Named(vec!["mx9".to_owned()])), &nodes, &[]);
        assert!(unknown.unwrap_err().to_string().contains("no node is called mx9; nodes that"));
        let other = Change::Set { from: "legacy".to_owned(), to: "intermediate".to_owned(), share: Share::Percent(1) };
        assert!(matches!(plan(Some(&half), other.clone(), &nodes, &[]), Err(Refused::UnderWay { .. })));
        let done = percent(Some(&half), 100, &nodes).unwrap();
        assert!(plan(Some(&done), other.clone(), &nodes, &["legacy".to_owned()]).is_err());
        assert!(plan(Some(&done), other, &nodes, &["modern".to_owned()]).is_ok());
        assert_eq!(plan(None, Change::Resume, &nodes, &[]), Err(Refused::Nothing("resume")));
        assert_eq!(plan(Some(&half), Change::Resume, &nodes, &[]), Err(Refused::NotHalted));
    }

    #[test]
    fn some_changes_raise_the_share() {
        let half = percent(None, 50, &names(4)).unwrap();
        let all = percent(None, 100, &names(4)).unwrap();
        let named = |names: &[&str]| to_modern(Share::Named(names.iter().map(|name| (*name).to_owned()).collect()));
        let moved = half.nodes[0].clone();
        for (current, change, raises) in [
            (None, to_modern(Share::Percent(0)), false),
            (None, to_modern(Share::Percent(1)), true),
            (Some(&half), to_modern(Share::Percent(50)), false),
            (Some(&half), to_modern(Share::Percent(51)), true),
            (Some(&half), named(&[]), false),
            (Some(&half), named(&[&moved]), false),
            (Some(&half), named(&["mx9"]), true),
            (Some(&half), Change::Resume, false),
            (Some(&all), Change::Resume, true),
            (Some(&all), Change::Halt { reason: String::new() }, false),
        ] {
            assert_eq!(change.raises(current), raises, "{change:?}");
        }
    }

    /// The change log reads a plan by these names.
    #[test]
    fn a_plan_has_the_facts_of_the_change_log() {
        let half = percent(None, 50, &names(2)).unwrap();
        let halted = Rollout { halted: Some("why".to_owned()), ..half };
        let step: RolloutStep = serde_json::from_str(&serde_json::to_string(&halted).unwrap()).unwrap();
        let Rollout { from, to, percent, nodes, halted, .. } = halted;
        assert_eq!(step, RolloutStep { version: 0, from, to, percent, nodes, halted });
    }

    proptest! {
        #[test]
        fn raising_the_share_moves_nobody_back(count in 1usize..40, low in 0u8..=100, high in 0u8..=100) {
            let (low, high) = (low.min(high), low.max(high));
            let nodes = names(count);
            let (before, after) = (percent(None, low, &nodes).unwrap(), percent(None, high, &nodes).unwrap());
            prop_assert!(nodes.iter().all(|node| !before.moves(node) || after.moves(node)));
            let moved = nodes.iter().filter(|node| after.moves(node)).count();
            prop_assert_eq!(moved, (count * usize::from(high)).div_ceil(100));
        }
    }
}
