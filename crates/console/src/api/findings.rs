//! `/api/v1/findings`: what keeps mail from flowing, on demand; the findings of `gatepost why`.

use std::time::Duration;

use insight::{Moment, views::FindingView};
use jiff::{SignedDuration, Timestamp};
use node::question;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Right, StoreError};

use super::{
    form::Form,
    operation::{Asked, Operation},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

/// How long history is read for one answer.
const BUDGET: Duration = Duration::from_secs(5);
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(24);

pub(super) const OPERATIONS: &[Operation] = &[Operation::get(
    "/api/v1/findings",
    "listFindings",
    "Show why mail is stuck: cause, affected destination, evidence, remedy; the root cause first",
    |asked| Box::pin(list(asked)),
)
.needs(Right::Viewer)
.query(&[
    Parameter::new(
        "what",
        "Only what is about this message, address, domain, connector or host. An address needs the scope trace",
        Form::Text(320),
    ),
    Parameter::new("since", "Of messages that were received since then; 24h by default", Form::Moment),
])
.gives::<Findings>()
.fails(&[Kind::NotFound])
.commands(&["why"])];

#[derive(Serialize, JsonSchema)]
struct Findings {
    /// The root cause first.
    findings: Vec<FindingView>,
    /// Attempts that were compared, and their messages.
    attempts: u64,
    messages: u64,
    /// Set if the time was over: messages that were received earlier were not all read. Ask about less.
    #[schemars(schema_with = "insight::views::schema::time_or_null")]
    read_since: Option<Timestamp>,
}

async fn list(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let (now, what) = (Timestamp::now(), query.text("what"));
    if what.is_some_and(insight::names_mail) {
        client.must(Right::Tracer)?;
    }
    let since = query.parsed::<Moment>("since")?.map(|since| since.timestamp(now));
    let since = since.unwrap_or_else(|| now.checked_sub(DEFAULT_RANGE).unwrap_or(Timestamp::MIN));
    let found = question::findings(&node, what, since, BUDGET).await.map_err(problem)?;
    if found.is_unknown {
        return Err(Problem::not_found("what: nothing of that name was seen in this time"));
    }
    let findings = found.findings.into_iter().map(|(finding, _)| finding).collect();
    let (attempts, messages) = (found.read.attempts, found.read.messages);
    Reply::json(&Findings { findings, attempts, messages, read_since: found.read_since })
}

/// What the client has asked for does not exist, or the store could not be read.
fn problem(error: anyhow::Error) -> Problem {
    match error.chain().any(|cause| cause.is::<StoreError>()) {
        true => Problem::unreadable(&format!("{error:#}")),
        false => Problem::not_found(format!("what: {error}")),
    }
}
