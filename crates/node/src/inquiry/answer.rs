//! Answers an operator's questions to this node: how mail leaves from here, with one connection that sends no mail, and what
//! its protocol log has about a session.

use std::{sync::Arc, time::Duration};

use net::{
    probe::{ProbeOptions, Trial, connect_as_mail},
    send::ConnectionResult,
};
use store::{Fleet as _, Inquiry};
use tokio::{task::JoinSet, time::timeout};

use super::{ANSWERED_WITHIN, Answer, Candidate, Connect, LOOK_INTERVAL, Question, Sessions, ask_nodes, transaction};
use crate::{Node, addresses, config::FleetConfig};

/// Maximum number of questions answered at once. Others wait.
const AT_A_TIME_MAX: usize = 4;
/// Maximum number of sessions that one question asks for, and of bytes in the answer.
const SESSIONS_MAX: usize = 100;
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// A person who looks at an attempt does not wait longer for its session.
const LOGGED_WITHIN: Duration = Duration::from_secs(5);

/// Answers questions as long as the node runs.
pub(crate) async fn answer_always(node: Arc<Node>) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut answering = JoinSet::new();
    loop {
        look.tick().await;
        while answering.try_join_next().is_some() {}
        let room = AT_A_TIME_MAX - answering.len();
        // Nobody waits for the answer to an older question.
        match node.store.take_inquiries(&node.member, ANSWERED_WITHIN, room as u32).await {
            Ok(inquiries) => inquiries.into_iter().for_each(|inquiry| {
                answering.spawn(answer(Arc::clone(&node), inquiry));
            }),
            Err(error) => tracing::warn!(%error, "failed to read an operator's questions to this node"),
        }
    }
}

async fn answer(node: Arc<Node>, Inquiry { id, question, .. }: Inquiry) {
    let answer = match timeout(ANSWERED_WITHIN, reply(&node, &question)).await {
        Ok(answer) => answer,
        Err(_) => Answer::Refused(format!("no result within {} s", ANSWERED_WITHIN.as_secs())),
    };
    let Ok(answer) = serde_json::to_string(&answer) else { return };
    if let Err(error) = node.store.answer(id, answer).await {
        tracing::warn!(%error, "failed to store the answer to an operator's question");
    }
}

async fn reply(node: &Node, question: &str) -> Answer {
    match serde_json::from_str::<Question>(question) {
        Ok(Question::Connect(question)) => connect(node, question).await,
        Ok(Question::Sessions(question)) => quote(node, question).await,
        Ok(Question::Configuration(candidate)) => check(node, candidate).await,
        Err(_) => Answer::Refused("this version of Gatepost does not support the question".to_owned()),
    }
}

async fn connect(node: &Node, question: Connect) -> Answer {
    let config = node.config.load_full();
    let Some(connector) = config.connector(&question.connector) else {
        return Answer::Refused(format!("the node has no connector \"{}\"", question.connector));
    };
    tracing::info!(connector = connector.name, host = question.host, "probing a destination at an operator's request");
    let envelope = match &question.envelope {
        None => None,
        Some(wanted) => match transaction(&node.store, wanted).await {
            Ok(Some(transaction)) => Some(transaction),
            Ok(None) => return Answer::Refused("the message is no longer waiting".to_owned()),
            Err(error) => return Answer::Refused(format!("failed to read the message: {error}")),
        },
    };
    let tls = node.tls_under(&connector).tls;
    let tried = |result| Answer::Tried { tls_policy: tls.policy.name.clone(), result: Box::new(result) };
    let addresses = match addresses(&node.resolver(), &config, &connector, &question.host, question.port).await {
        Ok(addresses) => addresses,
        Err(kind) => return tried(ConnectionResult::not_resolved(kind)),
    };
    let trial = Trial { host: question.host, addresses, level: connector.tls.into(), tls: (*tls).clone(), envelope };
    let options = ProbeOptions {
        ehlo_name: connector.hello,
        timeout: Duration::from_millis(question.timeout_ms),
        ..ProbeOptions::default()
    };
    match connect_as_mail(&trial, &options, |_| {}).await.baseline() {
        Some(result) => tried(result.clone()),
        None => Answer::Refused("the host has no address".to_owned()),
    }
}

/// Lines of this node's protocol log of sending. They have no content and no credentials.
async fn quote(node: &Node, Sessions { mut sessions, since }: Sessions) -> Answer {
    sessions.truncate(SESSIONS_MAX);
    let folder = node.protocol_logs.send_folder().to_owned();
    // Reading files blocks.
    let read = tokio::task::spawn_blocking(move || insight::logged(&folder, &sessions, since, ANSWER_BYTES_MAX)).await;
    read.map_or_else(|_| Answer::Refused("failed to read the protocol log".to_owned()), Answer::Logged)
}

/// What the protocol log of one node has about sessions; `None` if the node does not answer. `node` is the one that asks.
pub async fn logged(node: &Node, of: &str, sessions: Sessions) -> anyhow::Result<Option<Answer>> {
    if node.name == of {
        return Ok(Some(quote(node, sessions).await));
    }
    let question = Question::Sessions(sessions);
    let answers = ask_nodes(&node.store, &question, vec![of.to_owned()], LOGGED_WITHIN, |_, _| {}).await?;
    Ok(answers.into_iter().find_map(|(_, answer)| answer))
}

/// With this node's own file, and the files that the configuration names on this machine.
async fn check(node: &Node, Candidate { fleet_configuration }: Candidate) -> Answer {
    let Some(file) = node.file.load_full() else {
        return Answer::Refused("the node has no configuration file of its own".to_owned());
    };
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let config = FleetConfig { id: None, toml: fleet_configuration, program };
    // Reading files blocks.
    let check = tokio::task::spawn_blocking(move || file.complaints(&config)).await;
    check.map_or_else(|_| Answer::Refused("failed to check the configuration".to_owned()), Answer::Checked)
}
