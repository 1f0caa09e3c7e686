//! Asks each node how mail leaves from there. The questions go through the store, and each node answers with one
//! connection of its own. Nodes differ in policy, address, libraries and network path, so only the node itself can
//! answer.

pub(crate) mod answer;

use std::time::Duration;

use jiff::Timestamp;
use net::send::ConnectionResult;
use serde::{Deserialize, Serialize};
use store::{Inquiry, Store};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Interval at which nodes check for questions.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time from question to answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Nodes report every two seconds.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The connection that a node makes: as its mail leaves by this connector, up to the point where a transaction could
/// begin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Question {
    pub connector: String,
    pub host: String,
    pub port: u16,
    /// Maximum wait in each phase.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Tried {
        tls_policy: String,
        #[serde(flatten)]
        result: Box<ConnectionResult>,
    },
    /// Why the node could not try, in words.
    Refused(String),
}

/// Asks all nodes that live. Each comes with its answer, or with `None` where none came in time.
pub async fn ask_all<S: Store>(store: &S, question: &Question) -> anyhow::Result<Vec<(String, Option<Answer>)>> {
    let now = Timestamp::now();
    let reports = store.reports().await?;
    let lives = |at: Timestamp| now.duration_since(at).unsigned_abs() < REPORTED_WITHIN;
    let question = serde_json::to_string(question)?;
    let inquiry = |node: String| Inquiry { id: Uuid::now_v7(), node, question: question.clone() };
    let living = reports.into_iter().filter(|report| lives(report.at)).map(|report| report.node);
    let mut asked: Vec<Inquiry> = living.map(inquiry).collect();
    asked.sort_by(|a, b| a.node.cmp(&b.node));
    store.ask(asked.clone()).await?;
    let ids: Vec<Uuid> = asked.iter().map(|inquiry| inquiry.id).collect();
    let deadline = Instant::now() + ANSWERED_WITHIN + LOOK_INTERVAL;
    let answers = loop {
        let answers = store.answers(ids.clone()).await?;
        if answers.len() == ids.len() || Instant::now() > deadline {
            break answers;
        }
        sleep(POLL_INTERVAL).await;
    };
    let answer = |id: Uuid| {
        let (_, json) = answers.iter().find(|(answered, _)| *answered == id)?;
        serde_json::from_str(json).ok()
    };
    Ok(asked.into_iter().map(|inquiry| (inquiry.node, answer(inquiry.id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of other versions read them.
    #[test]
    fn answers_are_written_as_ever() {
        let failed = r#"{"tried":{"tls_policy":"modern","address":"192.0.2.1:25","failure":{"phase":"connect","kind":"connection-refused"}}}"#;
        let worked = r#"{"tried":{"tls_policy":"legacy","address":"[2001:db8::1]:25","tls":{"version":"TLSv1","cipher":"RC4-SHA"}}}"#;
        for text in [failed, worked, r#"{"refused":"the host has no address"}"#] {
            let answer: Answer = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        }
    }
}
