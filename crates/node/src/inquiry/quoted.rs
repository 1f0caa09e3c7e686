//! Sessions for a report that other nodes have logged.

use anyhow::Context as _;
use insight::{Elsewhere, Excerpts};
use store::Store;

use super::{Answer, Question, Sessions, ask};

/// Adds sessions that are in the protocol logs of other nodes.
pub async fn add_from_nodes<S: Store>(
    excerpts: &mut Excerpts,
    store: &S,
    mut elsewhere: Elsewhere,
) -> anyhow::Result<()> {
    let missing: Vec<String> = elsewhere.by_node.values().flatten().cloned().collect();
    if !missing.is_empty() {
        let question = Question::Sessions(Sessions { sessions: missing, since: elsewhere.since });
        let is_asked = |node: &str| elsewhere.by_node.contains_key(node);
        let answers = ask(store, &question, is_asked).await.context("failed to ask the nodes for their logs")?;
        for (node, answer) in answers {
            if let Some(Answer::Logged(lines)) = answer {
                excerpts.add_quoted(&node, &lines, &mut elsewhere);
            }
        }
    }
    excerpts.leave_out(&elsewhere);
    Ok(())
}
