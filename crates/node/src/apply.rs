//! Gives the fleet a new configuration. The program of every live node checks it first, with that node's own file, and it
//! is stored only if all of them can follow it.
//!
//! ```text
//!   FleetConfig ──ask each live node──> all can follow ──store, if nobody else was faster──> version
//!                                       one cannot, or does not answer ──> refused, unless that node is left out by name
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use store::{Fleet as _, NewConfiguration, PostgresStore, Queue as _};
use toml::Table;

use crate::{
    config::{Change, Complaint, FleetConfig, differences, names_in, recorded},
    inquiry::{self, Answer, Candidate, Question},
};

/// Maximum time for the answers of the nodes. Each looks for questions every second, and reads a few files.
const CHECKED_WITHIN: Duration = Duration::from_secs(10);

/// A configuration that an operator wants the fleet to have.
pub struct Proposal {
    pub config: FleetConfig,
    pub by: String,
    pub comment: Option<String>,
    /// The version that it is again.
    pub repeats: Option<u64>,
    /// Nodes that need not be able to follow.
    pub without: Vec<String>,
    /// Everything but storing it.
    pub is_trial: bool,
}

/// What came of a proposal.
pub struct Proposed {
    /// The version in force when it was made.
    pub before: Option<u64>,
    pub changes: Vec<Change>,
    /// Connectors that it removes while deliveries wait for them, and how many.
    pub without_connector: Vec<(String, u64)>,
    pub nodes: Vec<Checked>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is in force under this version.
    Applied(u64),
    /// It could be applied, but was only tried.
    Possible,
    /// It is in force already.
    Unchanged,
    /// A node that was not left out did not confirm that it can follow.
    Refused,
    /// Somebody else has applied another one meanwhile.
    Overtaken,
}

/// A live node that was asked.
pub struct Checked {
    pub node: String,
    /// Its version of Gatepost; empty if it is not known.
    pub program: String,
    pub verdict: Verdict,
    /// An operator does without it.
    pub is_left_out: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    CanFollow,
    CannotFollow(Vec<Complaint>),
    /// Such as an older version, which does not know the question. The reason, for people.
    CannotCheck(String),
    NoAnswer,
}

impl Checked {
    /// Nothing is applied because of it.
    pub fn is_in_the_way(&self) -> bool {
        self.verdict != Verdict::CanFollow && !self.is_left_out
    }
}

/// # Errors
///
/// The store cannot be read or written; nothing was changed, unless it is not known.
pub async fn propose(proposal: Proposal, store: &PostgresStore) -> anyhow::Result<Proposed> {
    let current = store.newest_configuration().await.context("failed to read the fleet's configuration")?;
    let (before, toml) = current.map(|stored| (stored.record.version, stored.toml)).unzip();
    let old = toml.as_deref().map(|toml| toml.parse::<Table>().unwrap_or_default()).unwrap_or_default();
    let changes = differences(&old, &proposal.config.table());
    let without_connector = without_connector(&old, &proposal.config.table(), store).await?;
    let done = |nodes, outcome| Proposed { before, changes, without_connector, nodes, outcome };
    if toml.as_ref() == Some(&proposal.config.toml) {
        return Ok(done(Vec::new(), Outcome::Unchanged));
    }
    let nodes = ask(&proposal, store).await?;
    if nodes.iter().any(Checked::is_in_the_way) {
        return Ok(done(nodes, Outcome::Refused));
    }
    if proposal.is_trial {
        return Ok(done(nodes, Outcome::Possible));
    }
    let settings = recorded(&old, &proposal.config.table());
    let Proposal { config: FleetConfig { toml, program, .. }, by, comment, repeats, .. } = proposal;
    let new = NewConfiguration { toml, by, comment, repeats, program, settings };
    let version = store.replace_configuration(before, new).await.context("failed to store the configuration")?;
    Ok(done(nodes, version.map_or(Outcome::Overtaken, Outcome::Applied)))
}

/// Deliveries whose connector is removed: no node sends them as long as there is none of that name.
async fn without_connector(old: &Table, new: &Table, store: &PostgresStore) -> anyhow::Result<Vec<(String, u64)>> {
    let kept = names_in(new, "connector");
    let removed: BTreeSet<_> = names_in(old, "connector").into_iter().filter(|name| !kept.contains(name)).collect();
    if removed.is_empty() {
        return Ok(Vec::new());
    }
    let mut waiting = BTreeMap::<String, u64>::new();
    for count in store.counts().await.context("failed to read the queue")? {
        if removed.contains(&count.connector) {
            *waiting.entry(count.connector).or_default() += count.deliveries;
        }
    }
    Ok(waiting.into_iter().collect())
}

/// All nodes that live, by the store's clock.
async fn ask(proposal: &Proposal, store: &PostgresStore) -> anyhow::Result<Vec<Checked>> {
    let (reports, members) = (store.reports().await?, store.members().await?);
    let living = members.into_iter().filter(|member| member.lives).map(|member| member.name).collect();
    let question = Question::Configuration(Candidate { fleet_configuration: proposal.config.toml.clone() });
    let answers = inquiry::ask_nodes(store, &question, living, CHECKED_WITHIN, |_, _| {}).await?;
    let checked = |(node, answer): (String, Option<Answer>)| Checked {
        program: reports
            .iter()
            .find(|report| report.node == node)
            .map(|report| report.version.clone())
            .unwrap_or_default(),
        verdict: verdict(answer),
        is_left_out: proposal.without.contains(&node),
        node,
    };
    Ok(answers.into_iter().map(checked).collect())
}

fn verdict(answer: Option<Answer>) -> Verdict {
    match answer {
        None => Verdict::NoAnswer,
        Some(Answer::Checked(complaints)) if complaints.is_empty() => Verdict::CanFollow,
        Some(Answer::Checked(complaints)) => Verdict::CannotFollow(complaints),
        Some(Answer::Refused(why)) => Verdict::CannotCheck(why),
        Some(Answer::Tried { .. } | Answer::Logged(_)) => {
            Verdict::CannotCheck("the node answered another question".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(verdict: Verdict, is_left_out: bool) -> Checked {
        Checked { node: "edge-1".to_owned(), program: String::new(), verdict, is_left_out }
    }

    /// Only a node that says that it can follow is ready; an older version and a silent node are not.
    #[test]
    fn what_a_node_answers_decides() {
        let complaint = Complaint { setting: vec![], message: "no file".to_owned() };
        for (json, expected, is_ready) in [
            (Some(r#"{"checked":[]}"#), Verdict::CanFollow, true),
            (
                Some(r#"{"checked":[{"setting":[],"message":"no file"}]}"#),
                Verdict::CannotFollow(vec![complaint]),
                false,
            ),
            // As versions before this question answer.
            (Some(r#"{"refused":"not supported"}"#), Verdict::CannotCheck("not supported".to_owned()), false),
            (Some(r#"{"logged":""}"#), Verdict::CannotCheck("the node answered another question".to_owned()), false),
            // As a later version may.
            (Some(r#"{"future":1}"#), Verdict::NoAnswer, false),
            (None, Verdict::NoAnswer, false),
        ] {
            let verdict = verdict(json.and_then(|json| serde_json::from_str(json).ok()));
            assert_eq!(verdict, expected);
            assert_eq!(!checked(verdict.clone(), false).is_in_the_way(), is_ready, "{json:?}");
            assert!(!checked(verdict, true).is_in_the_way(), "{json:?}");
        }
    }
}
