//! How mail goes from each node: nodes are asked through the store, and each answers with one connection of its own. They
//! differ in policy, address, libraries and what stands between them and a destination, and only they can tell.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use protocol::{
    smtp::{Failure, TlsSummary},
    tls::HandshakeFacts,
};
use serde::{Deserialize, Serialize};
use store::{Inquiry, Store};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Nodes look for questions this often.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// From question to answer at most.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Nodes report every two seconds.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What a node is to try: a connection as its mail goes by this connector, up to where a transaction could begin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub connector: String,
    pub host: String,
    pub port: u16,
    /// Longest wait in each phase.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Tried(Box<Tried>),
    /// Why the node could not try, in words.
    Refused(String),
}

/// What came of a node's connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub tls_policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// `None`: it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Asks all nodes that live. Each comes with its answer, or with `None` where none came in time.
pub(crate) async fn ask_all<S: Store>(store: &S, question: &Question) -> anyhow::Result<Vec<(String, Option<Answer>)>> {
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
