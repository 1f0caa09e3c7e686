//! Makes the connections of a probe.

use std::time::Duration;

use anyhow::Context as _;
use net::{
    probe::{Ladder, Rung, Trial, climb},
    send::ConnectionResult,
};
use store::Store;

use super::target::Target;
use crate::{
    config::Config,
    inquiry::{self, Answer, Connect, PATIENCE, Question},
};

/// What a probe found.
#[derive(Debug)]
pub struct Probed {
    pub target: Target,
    /// How mail goes there from this node.
    pub trial: Trial,
    /// From this node, with one change at a time.
    pub ladder: Ladder,
    /// With the settings of mail, from each node that answered.
    pub nodes: Vec<NodeResult>,
    pub unanswered: Vec<Unanswered>,
}

/// How mail goes from a node.
#[derive(Clone, Debug)]
pub struct NodeResult {
    pub node: String,
    pub tls_policy: String,
    pub result: ConnectionResult,
}

/// A node that made no connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unanswered {
    pub node: String,
    /// In words.
    pub why: String,
}

/// Sees the connections of a probe while they are made.
pub trait Witness: Send {
    /// These nodes are asked to connect.
    fn asked(&mut self, nodes: &[String]);
    fn answered(&mut self, answer: Result<&NodeResult, &Unanswered>);
    /// This node makes a connection.
    fn rung(&mut self, rung: Rung<'_>);
}

/// The TLS policy that this node tries changes of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyTried {
    OfTarget,
    /// That of the first node whose mail fails, if there is one.
    Failing,
}

/// Lets each node of the fleet connect as its mail does, then tries changes from here until one works.
pub async fn run<S: Store>(
    mut target: Target,
    policy: PolicyTried,
    fleet: Option<&S>,
    config: Option<&Config>,
    timeout: Option<Duration>,
    witness: &mut dyn Witness,
) -> anyhow::Result<Probed> {
    let mut trial = target.trial(config, fleet).await?;
    let mut options = target.options(config);
    options.timeout = timeout.unwrap_or(options.timeout);
    let (nodes, unanswered) = match fleet {
        Some(store) => ask(&target, store, options.timeout, witness).await?,
        None => Default::default(),
    };
    let failing = nodes.iter().find(|node| policy == PolicyTried::Failing && !node.result.works());
    if let Some(policy) = failing.and_then(|node| config?.policy(&node.tls_policy)) {
        target = target.under(policy);
        trial.tls = target.tls().clone();
    }
    let ladder = climb(&trial, &options, |rung| witness.rung(rung)).await;
    Ok(Probed { target, trial, ladder, nodes, unanswered })
}

/// The result of a connection from each node, and the nodes that gave none.
async fn ask<S: Store>(
    target: &Target,
    store: &S,
    timeout: Duration,
    witness: &mut dyn Witness,
) -> anyhow::Result<(Vec<NodeResult>, Vec<Unanswered>)> {
    let Target { connector, host, port, envelope, .. } = target;
    let Some(connector) = connector else { return Ok(Default::default()) };
    let question = Question::Connect(Connect {
        connector: connector.name.clone(),
        host: host.clone(),
        port: *port,
        timeout_ms: timeout.as_millis().try_into().unwrap_or(u64::MAX),
        envelope: envelope.clone(),
    });
    let asking = "failed to ask the nodes for a probe";
    let names = inquiry::nodes(store).await.context(asking)?;
    witness.asked(&names);
    let heard = |node: &str, answer: &Answer| witness.answered(read(node, answer).as_ref());
    let answers = inquiry::ask_nodes(store, &question, names, PATIENCE, heard).await.context(asking)?;
    let (mut nodes, mut unanswered) = (Vec::new(), Vec::new());
    for (node, answer) in answers {
        match answer.map(|answer| read(&node, &answer)) {
            Some(Ok(result)) => nodes.push(result),
            Some(Err(why)) => unanswered.push(why),
            None => {
                let why = Unanswered { node, why: "the node did not answer".to_owned() };
                witness.answered(Err(&why));
                unanswered.push(why);
            }
        }
    }
    Ok((nodes, unanswered))
}

fn read(node: &str, answer: &Answer) -> Result<NodeResult, Unanswered> {
    let node = node.to_owned();
    match answer {
        Answer::Tried { tls_policy, result } => {
            Ok(NodeResult { node, tls_policy: tls_policy.clone(), result: ConnectionResult::clone(result) })
        }
        Answer::Refused(why) => Err(Unanswered { node, why: why.clone() }),
        Answer::Logged(_) | Answer::Checked(_) => {
            Err(Unanswered { node, why: "the node answered another question".to_owned() })
        }
    }
}
