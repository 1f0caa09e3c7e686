//! One attempt with all that is known of it: its events from the store, what was said from the node that made it.

use insight::{dialogue, views::DialogueLineView};
use store::History as _;
use trace::Event;
use uuid::Uuid;

use super::{Answer, Sessions, logged};
use crate::Node;

/// One connection that carried a message.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempted {
    /// The node that made it.
    pub node: String,
    /// One for each recipient. Never empty.
    pub events: Vec<Event>,
    /// Without content and credentials. `None`: the node did not answer, or has no record of it.
    pub dialogue: Option<Vec<DialogueLineView>>,
}

impl Attempted {
    /// Why there is no dialogue.
    pub fn missing(&self) -> Option<String> {
        let node = &self.node;
        self.dialogue.is_none().then(|| {
            format!(
                "node {node} did not answer, or its protocol log does not have the session; see [protocol_log] in its \
                 configuration"
            )
        })
    }
}

/// `None`: the message has no such attempt.
pub async fn attempt(node: &Node, message: Uuid, session: &str) -> anyhow::Result<Option<Attempted>> {
    let mut events = node.store.events(message).await?;
    events.retain(|event| event.kind.attempt().is_some_and(|attempt| attempt.session == session));
    let Some(first) = events.first() else { return Ok(None) };
    let (by, sessions) = (first.node.clone(), Sessions { sessions: vec![session.to_owned()], since: Some(first.at) });
    let dialogue = match logged(node, &by, sessions).await? {
        Some(Answer::Logged(lines)) => Some(dialogue(&lines, session)).filter(|lines| !lines.is_empty()),
        Some(Answer::Tried { .. } | Answer::Checked(_) | Answer::Refused(_)) | None => None,
    };
    Ok(Some(Attempted { node: by, events, dialogue }))
}
