//! Changes that are marked on time axes.

use jiff::{SignedDuration, Timestamp};
use trace::{Change, ChangeKind};

use crate::wording::capitalised;

/// More lines would hide the picture.
const MARKS_MAX: usize = 12;
/// The same change of several nodes within this time is one.
const ONE_CHANGE: SignedDuration = SignedDuration::from_secs(20);

/// Something that changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark {
    pub at: Timestamp,
    /// For people; begins with a capital letter.
    pub what: String,
    /// What explains most has the smallest.
    rank: u8,
}

impl Mark {
    /// Something that attempts themselves show.
    pub(crate) fn seen(at: Timestamp, what: &str) -> Self {
        Self { at, what: capitalised(what), rank: 0 }
    }

    /// In order of time; the same change of several nodes at about the same time is one.
    pub fn of(changes: &[Change]) -> Vec<Self> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut in_order: Vec<&Change> = changes.iter().collect();
        in_order.sort_by_key(|change| (change.at, change.id));
        for change in in_order {
            let is_same = |group: &&mut Group<'_>| {
                group.kind == &change.kind && change.at.duration_since(group.at) <= ONE_CHANGE && change.node.is_some()
            };
            match groups.iter_mut().find(is_same) {
                Some(group) => group.nodes.extend(change.node.as_deref()),
                None => groups.push(Group {
                    at: change.at,
                    kind: &change.kind,
                    nodes: change.node.as_deref().into_iter().collect(),
                }),
            }
        }
        groups.into_iter().map(Self::from).collect()
    }

    /// Those that explain most, in order of time, and how many others there are.
    pub fn few(mut marks: Vec<Self>) -> (Vec<Self>, usize) {
        let others = marks.len().saturating_sub(MARKS_MAX);
        marks.sort_by_key(|mark| mark.rank);
        marks.truncate(MARKS_MAX);
        marks.sort();
        (marks, others)
    }
}

struct Group<'a> {
    at: Timestamp,
    kind: &'a ChangeKind,
    nodes: Vec<&'a str>,
}

impl From<Group<'_>> for Mark {
    fn from(Group { at, kind, mut nodes }: Group<'_>) -> Self {
        nodes.sort_unstable();
        nodes.dedup();
        let names_nodes = matches!(
            kind,
            ChangeKind::Started { .. }
                | ChangeKind::Stopped { .. }
                | ChangeKind::Reloaded(_)
                | ChangeKind::NodeDrained
                | ChangeKind::NodeResumed
        );
        let words = words(kind);
        let what = match nodes.join(", ") {
            names if names_nodes && !names.is_empty() => format!("{}: {names}", capitalised(&words)),
            _ => capitalised(&words),
        };
        Self { at, what, rank: rank(kind) }
    }
}

fn words(kind: &ChangeKind) -> String {
    match kind {
        ChangeKind::IncidentOpened(incident) => format!("incident opened: {}", incident.cause),
        ChangeKind::IncidentClosed { incident, .. } => format!("incident closed: {}", incident.cause),
        ChangeKind::RolloutSet(step) if step.halted.is_none() => match (step.percent, step.nodes.as_slice()) {
            (_, []) => format!("all nodes returned to {}", step.from),
            (Some(percent), nodes) => format!("rollout of {} to {percent}%: {}", step.to, nodes.join(", ")),
            (None, nodes) => format!("rollout of {}: {}", step.to, nodes.join(", ")),
        },
        other => other.to_string(),
    }
}

/// What explains most comes first.
fn rank(kind: &ChangeKind) -> u8 {
    match kind {
        ChangeKind::RolloutSet(_) | ChangeKind::ConfigurationApplied(_) => 0,
        ChangeKind::DestinationChanged(_) => 1,
        ChangeKind::IncidentOpened(_) | ChangeKind::IncidentClosed { .. } => 2,
        ChangeKind::Reloaded(_) | ChangeKind::StoreRestored { .. } | ChangeKind::RestoreAnswered { .. } => 3,
        ChangeKind::QueueCommand(_) | ChangeKind::NodeDrained | ChangeKind::NodeResumed => 4,
        ChangeKind::Started { .. }
        | ChangeKind::Stopped { .. }
        | ChangeKind::Unknown { .. }
        | ChangeKind::Access(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn change(second: i64, node: Option<&str>, json: &str) -> Change {
        Change {
            id: Uuid::from_u128(second as u128),
            at: Timestamp::from_second(second).unwrap(),
            node: node.map(str::to_owned),
            who: "amy".to_owned(),
            kind: ChangeKind::read(json).unwrap(),
            from: None,
        }
    }

    #[test]
    fn the_same_change_of_several_nodes_is_one_mark() {
        let started = r#"{"change":"started","version":"1"}"#;
        let set = |nodes: &str, percent: u8| {
            format!(
                r#"{{"change":"rollout-set","version":1,"from":"old","to":"new","percent":{percent},"nodes":[{nodes}]}}"#
            )
        };
        let changes = [
            change(103, Some("mx2"), started),
            change(100, Some("mx1"), started),
            change(150, Some("mx1"), started),
            change(120, None, &set(r#""mx1","mx2""#, 50)),
            change(160, None, &set("", 0)),
        ];
        let marks: Vec<_> = Mark::of(&changes).into_iter().map(|mark| (mark.at.as_second(), mark.what)).collect();
        let expected = [
            (100, "Node started, Gatepost 1: mx1, mx2"),
            (120, "Rollout of new to 50%: mx1, mx2"),
            (150, "Node started, Gatepost 1: mx1"),
            (160, "All nodes returned to old"),
        ];
        assert_eq!(marks, expected.map(|(at, what)| (at, what.to_owned())));
    }

    #[test]
    fn of_many_changes_those_that_explain_most_are_marked() {
        let drained = (0..20).map(|second| change(second * 100, Some("mx1"), r#"{"change":"node-drained"}"#));
        let set = r#"{"change":"rollout-set","version":1,"from":"old","to":"new","percent":0,"nodes":[]}"#;
        let changes: Vec<Change> = drained.chain([change(5000, None, set)]).collect();
        let (marks, others) = Mark::few(Mark::of(&changes));
        assert_eq!((marks.len(), others), (MARKS_MAX, 21 - MARKS_MAX));
        assert_eq!(marks.last().map(|mark| mark.at.as_second()), Some(5000));
    }
}
