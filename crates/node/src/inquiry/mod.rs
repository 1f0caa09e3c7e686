//! Asks nodes what only they can answer: how mail leaves from there, and what their protocol logs have. The questions go
//! through the store. Nodes differ in policy, address, libraries and network path, and each writes its own logs.

pub(crate) mod answer;
mod attempt;
mod envelope;
mod quoted;

use std::time::Duration;

use jiff::Timestamp;
use net::send::ConnectionResult;
use protocol::smtp::Address;
use serde::{Deserialize, Serialize};
use store::{Inquiry, MemberRecord, Store};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::config::Complaint;

pub use answer::logged;
pub use attempt::{Attempted, attempt};
pub use envelope::transaction;
pub use quoted::add_from_nodes;

/// Interval at which nodes check for questions.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time from question to answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Nodes report every two seconds. Who was last heard so long before another node is not waited for.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A question to a node. Its JSON has no tag, because nodes of older versions know [`Connect`] alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Question {
    Connect(Connect),
    Sessions(Sessions),
    Configuration(Candidate),
}

/// The connection that a node makes: as its mail leaves by this connector, up to the point where a transaction could
/// begin, or with an envelope as far as RCPT.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Connect {
    pub connector: String,
    pub host: String,
    pub port: u16,
    /// Maximum wait in each phase.
    pub timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<OfMessage>,
}

/// A configuration for all nodes, as TOML: can this node follow it?
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    pub fleet_configuration: String,
}

/// The envelope of one delivery of a message in the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfMessage {
    pub message: Uuid,
    pub recipient: Address,
}

/// Sessions that the node's protocol log of sending may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sessions {
    pub sessions: Vec<String>,
    /// When the oldest of their attempts was recorded. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Tried {
        tls_policy: String,
        #[serde(flatten)]
        result: Box<ConnectionResult>,
    },
    /// The lines of the sessions that the node has, as its protocol log has them.
    Logged(String),
    /// What keeps the node from following a configuration. Empty: it can follow.
    Checked(Vec<Complaint>),
    /// Why the node could not answer, in words.
    Refused(String),
}

/// Asks all nodes that live. Each comes with its answer, or with `None` where none came in time.
pub async fn ask_all<S: Store>(store: &S, question: &Question) -> anyhow::Result<Vec<(String, Option<Answer>)>> {
    ask(store, question, |_| true).await
}

/// Asks those of the nodes that live.
pub async fn ask<S: Store>(
    store: &S,
    question: &Question,
    is_asked: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<(String, Option<Answer>)>> {
    let mut nodes = nodes(store).await?;
    nodes.retain(|node| is_asked(node));
    ask_nodes(store, question, nodes, PATIENCE, |_, _| {}).await
}

/// How long a node may take.
pub(crate) const PATIENCE: Duration = ANSWERED_WITHIN.saturating_add(LOOK_INTERVAL);

/// The nodes that live, by name.
pub(crate) async fn nodes<S: Store>(store: &S) -> anyhow::Result<Vec<String>> {
    let members: Vec<MemberRecord> = store.members().await?.into_iter().filter(|member| member.lives).collect();
    // By the store's clock alone: the one of this machine may be wrong.
    let newest = members.iter().map(|member| member.seen).max().unwrap_or_default();
    let answers = |member: &MemberRecord| newest.duration_since(member.seen).unsigned_abs() < REPORTED_WITHIN;
    Ok(members.into_iter().filter(answers).map(|member| member.name).collect())
}

/// Asks these nodes, and waits for their answers as long as `patience`. `heard` learns of each answer when it comes.
pub(crate) async fn ask_nodes<S: Store>(
    store: &S,
    question: &Question,
    nodes: Vec<String>,
    patience: Duration,
    mut heard: impl FnMut(&str, &Answer) + Send,
) -> anyhow::Result<Vec<(String, Option<Answer>)>> {
    let question = serde_json::to_string(question)?;
    let inquiry = |node: String| Inquiry { id: Uuid::now_v7(), node, question: question.clone() };
    let mut asked: Vec<Inquiry> = nodes.into_iter().map(inquiry).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    asked.sort_by(|a, b| a.node.cmp(&b.node));
    store.ask(asked.clone()).await?;
    let mut answers: Vec<(String, Option<Answer>)> = asked.iter().map(|inquiry| (inquiry.node.clone(), None)).collect();
    let deadline = Instant::now() + patience;
    loop {
        let missing = asked.iter().zip(&answers).filter(|(_, (_, answer))| answer.is_none());
        let missing: Vec<Uuid> = missing.map(|(inquiry, _)| inquiry.id).collect();
        if missing.is_empty() {
            return Ok(answers);
        }
        let mut unreadable = 0;
        for (id, json) in store.answers(missing.clone()).await? {
            let place = asked.iter().position(|inquiry| inquiry.id == id);
            match (place.and_then(|place| answers.get_mut(place)), serde_json::from_str(&json)) {
                (Some((node, answer)), Ok(new)) => heard(node, answer.insert(new)),
                // One of a newer version.
                _ => unreadable += 1,
            }
        }
        if unreadable == missing.len() || Instant::now() > deadline {
            return Ok(answers);
        }
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of other versions read them.
    #[test]
    fn questions_and_answers_are_written_as_ever() {
        let connect = r#"{"connector":"onprem","host":"mail.onprem.test","port":25,"timeout_ms":10000}"#;
        let sessions = r#"{"sessions":["08DF4D549346540D"],"since":"2026-11-25T12:00:00Z"}"#;
        let configuration = r#"{"fleet_configuration":"[retry]\n"}"#;
        for text in [connect, sessions, configuration] {
            let question: Question = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&question).unwrap(), text);
        }
        let failed = r#"{"tried":{"tls_policy":"modern","address":"192.0.2.1:25","failure":{"phase":"connect","kind":"connection-refused"}}}"#;
        let worked = r#"{"tried":{"tls_policy":"legacy","address":"[2001:db8::1]:25","tls":{"version":"TLSv1","cipher":"RC4-SHA"}}}"#;
        let checked = r#"{"checked":[{"setting":["connector","0","hosts"],"message":"why"}]}"#;
        for text in
            [failed, worked, checked, r#"{"refused":"the host has no address"}"#, r##"{"logged":"#Fields: …"}"##]
        {
            let answer: Answer = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        }
    }
}
