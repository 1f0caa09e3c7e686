//! Answers an operator's question to this node: how mail leaves from here. Each question makes one connection and sends
//! no mail.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use net::{
    probe::{ProbeOptions, Trial, try_once},
    send::ConnectionResult,
};
use store::{Fleet as _, Inquiry};
use tokio::{task::JoinSet, time::timeout};

use super::{ANSWERED_WITHIN, Answer, LOOK_INTERVAL, Question};
use crate::Node;

/// Maximum number of questions answered at once. Others wait.
const AT_A_TIME_MAX: usize = 4;

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
    let tried = timeout(ANSWERED_WITHIN, try_out(&node, &question)).await;
    let answer = match tried {
        Ok(answer) => answer,
        Err(_) => Answer::Refused(format!("no result within {} s", ANSWERED_WITHIN.as_secs())),
    };
    let Ok(answer) = serde_json::to_string(&answer) else { return };
    if let Err(error) = node.store.answer(id, answer).await {
        tracing::warn!(%error, "failed to store the answer to an operator's question");
    }
}

async fn try_out(node: &Node, question: &str) -> Answer {
    let Ok(question) = serde_json::from_str::<Question>(question) else {
        return Answer::Refused("this version of Gatepost does not support the question".to_owned());
    };
    let Some(connector) = node.config.load().connector(&question.connector) else {
        return Answer::Refused(format!("the node has no connector \"{}\"", question.connector));
    };
    tracing::info!(connector = connector.name, host = question.host, "probing a destination at an operator's request");
    let tls = node.tls_under(&connector).tls;
    let tried = |result| Answer::Tried { tls_policy: tls.policy.name.clone(), result: Box::new(result) };
    let addresses = match node.resolver().addresses(&question.host).await {
        Ok(addresses) => addresses.into_iter().map(|ip| SocketAddr::new(ip, question.port)).collect(),
        Err(kind) => return tried(ConnectionResult::not_resolved(kind)),
    };
    let trial = Trial { host: question.host, addresses, level: connector.tls.into(), tls: (*tls).clone() };
    let options = ProbeOptions {
        ehlo_name: connector.hello,
        timeout: Duration::from_millis(question.timeout_ms),
        ..ProbeOptions::default()
    };
    match try_once(&trial, &options).await {
        Some(result) => tried(result),
        None => Answer::Refused("the host has no address".to_owned()),
    }
}
