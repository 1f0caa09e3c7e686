//! Answers an operator's question to this node: how mail leaves from here. Each question makes one connection and sends
//! no mail.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use net::probe::{ProbeOptions, Trial, try_once};
use protocol::smtp::{Failure, Phase};
use store::{Inquiry, Store};
use tokio::{task::JoinSet, time::timeout};

use super::{ANSWERED_WITHIN, Answer, LOOK_INTERVAL, Question, Tried};
use crate::Node;

/// Maximum number of questions answered at once. Others wait.
const AT_A_TIME_MAX: usize = 4;

/// Answers questions as long as the node runs.
pub(crate) async fn answer_always<S: Store>(node: Arc<Node<S>>) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let mut answering = JoinSet::new();
    loop {
        look.tick().await;
        while answering.try_join_next().is_some() {}
        let room = AT_A_TIME_MAX - answering.len();
        // Nobody waits for the answer to an older question.
        let since = Timestamp::now() - ANSWERED_WITHIN;
        match node.store.take_inquiries(&node.name, since, room as u32).await {
            Ok(inquiries) => inquiries.into_iter().for_each(|inquiry| {
                answering.spawn(answer(Arc::clone(&node), inquiry));
            }),
            Err(error) => tracing::warn!(%error, "failed to read an operator's questions to this node"),
        }
    }
}

async fn answer<S: Store>(node: Arc<Node<S>>, Inquiry { id, question, .. }: Inquiry) {
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

async fn try_out<S: Store>(node: &Node<S>, question: &str) -> Answer {
    let Ok(question) = serde_json::from_str::<Question>(question) else {
        return Answer::Refused("this version of Gatepost does not support the question".to_owned());
    };
    let Some(connector) = node.config.load().connector(&question.connector) else {
        return Answer::Refused(format!("the node has no connector \"{}\"", question.connector));
    };
    tracing::info!(connector = connector.name, host = question.host, "probing a destination at an operator's request");
    let tls = node.tls_under(&connector).tls;
    let tls_policy = tls.policy.name.clone();
    let failed = |kind| Tried {
        tls_policy: tls_policy.clone(),
        address: None,
        tls: None,
        handshake: None,
        failure: Some(Failure::new(Phase::Resolve, kind)),
    };
    let addresses = match node.resolver().addresses(&question.host).await {
        Ok(addresses) => addresses.into_iter().map(|ip| SocketAddr::new(ip, question.port)).collect(),
        Err(kind) => return Answer::Tried(Box::new(failed(kind))),
    };
    let trial = Trial { host: question.host, addresses, level: connector.tls.into(), tls: (*tls).clone() };
    let options = ProbeOptions {
        hello: connector.hello,
        timeout: Duration::from_millis(question.timeout_ms),
        ..ProbeOptions::default()
    };
    let Some(rung) = try_once(&trial, &options).await else {
        return Answer::Refused("the host has no address".to_owned());
    };
    let (tls, handshake) = (rung.tls, rung.handshake);
    let (address, failure) = (Some(rung.address), rung.failure);
    Answer::Tried(Box::new(Tried { tls_policy, address, tls, handshake, failure }))
}
