//! `/api/v1/rollout`: which nodes use which TLS policy, and what a policy would break; as `gatepost rollout` and `gatepost policy
//! impact`. A change names the plan that its client has seen, and changes nothing if another one is in force.

use std::time::Duration;

use axum::http::header;
use insight::views::{PolicyImpactView, RolloutView};
use jiff::Timestamp;
use node::{
    Forecast,
    fleet::{self, Basis, Change, NotChanged, Share, Status},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Fleet as _, Right, StoredPlan};

use super::{
    form::{Form, Shape},
    listing::{self, PAGE},
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
};

const PATH: &str = "/api/v1/rollout";
const HISTORY: &str = "/api/v1/rollout/history";
/// Of a TLS policy.
const NAME: Form = Form::Text(100);
/// Nodes of a share that names them.
const SHARED_NODES: &str = "set.share.nodes";
/// Reason of a halt without one.
const BECAUSE: &str = "by an operator";
/// How long a client waits for a forecast. Then it is told how far the history was read.
const PATIENCE: Duration = Duration::from_secs(5);

const IF_MATCH: Parameter = Parameter::new(
    "If-Match",
    "the ETag of GET /api/v1/rollout, or its first part: the version of the plan, such as \"7\"; \"none\" if there is no plan",
    Form::Shaped(&PLAN),
)
.required();

static PLAN: Shape = Shape {
    pattern: "^\"(none|[0-9]{1,9}(\\.[0-9]{1,14})?)(\\+[0-9a-f]{16})?\"$",
    is: |text| basis(text).is_some(),
    what: "the ETag of a rollout, such as \"7\"",
    example: "\"7.1785412800000\"",
};

const OF_CHANGE: [Parameter; 7] = [
    Parameter::new("set", "Move these nodes to the new policy; all other nodes return to the old one", Form::Object),
    Parameter::new("set.from", "Old TLS policy, the one that connectors name", NAME).required(),
    Parameter::new("set.to", "New TLS policy", NAME).required(),
    Parameter::new("set.share", "Share of the fleet in percent, or the names of the nodes", Form::Share).required(),
    Parameter::new("halt", "Move no further node until somebody resumes", Form::Object),
    Parameter::new("halt.because", "Reason, shown in the status", Form::Text(500)),
    Parameter::new("resume", "End a halt, and accept the finding that caused an automatic halt", Form::Object),
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(PATH, "showRollout", "Show the rollout plan in force and the policy of each node", |asked| {
        Box::pin(show(asked))
    })
    .needs(Right::Viewer)
    .gives::<RolloutView>()
    .commands(&["rollout status"])
    .polled(),
    Operation::post(
        PATH,
        "changeRollout",
        "Change the rollout, if the plan that If-Match names is in force: set a share, halt, or resume",
        |asked| Box::pin(change(asked)),
    )
    .needs(Right::Operator)
    .header(IF_MATCH)
    .takes(Takes::JsonOneOf(&OF_CHANGE))
    .gives::<RolloutView>()
    .fails(&[Kind::Conflict])
    .commands(&["rollout set", "rollout halt", "rollout resume"]),
    Operation::get(HISTORY, "listRollouts", "List all rollout plans, newest first", |asked| Box::pin(history(asked)))
        .needs(Right::Viewer)
        .query(&PAGE)
        .gives::<Plans>()
        .fails(&[Kind::NotFound])
        .commands(&["rollout status"]),
    Operation::get(
        "/api/v1/policies/{name}/impact",
        "foreseeImpact",
        "Show which destinations would break under a policy, from the handshakes of the last 30 days",
        |asked| Box::pin(impact(asked)),
    )
    .needs(Right::Viewer)
    .in_path(&[Parameter::new("name", "Name of the TLS policy", NAME)])
    .gives::<Foreseen>()
    .fails(&[Kind::NotFound, Kind::Conflict])
    .commands(&["policy impact"]),
];

#[derive(Serialize, JsonSchema)]
struct Plans {
    plans: Vec<PlanView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

/// One plan.
#[derive(Serialize, JsonSchema)]
struct PlanView {
    version: u64,
    #[schemars(schema_with = "insight::views::schema::time")]
    at: Timestamp,
    by: String,
    /// The plan in words.
    what: String,
    /// Null, as the next ones, if a newer version of Gatepost has set it.
    from: Option<String>,
    to: Option<String>,
    /// Null if the nodes were chosen by name.
    percent: Option<u8>,
    nodes: Option<Vec<String>>,
    /// Why it is halted.
    halted: Option<String>,
}

impl From<&StoredPlan> for PlanView {
    fn from(stored: &StoredPlan) -> Self {
        let StoredPlan { version, at, by, plan: _ } = stored;
        let rollout = fleet::read(stored).ok();
        Self {
            version: *version,
            at: *at,
            by: by.clone(),
            what: fleet::in_words(stored),
            from: rollout.as_ref().map(|rollout| rollout.from.clone()),
            to: rollout.as_ref().map(|rollout| rollout.to.clone()),
            percent: rollout.as_ref().and_then(|rollout| rollout.percent),
            nodes: rollout.as_ref().map(|rollout| rollout.nodes.clone()),
            halted: rollout.and_then(|rollout| rollout.halted),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Foreseen {
    /// Null while the history is being read: ask again.
    impact: Option<PolicyImpactView>,
    /// When it was foreseen. It is read again after five minutes.
    #[schemars(schema_with = "insight::views::schema::time_or_null")]
    at: Option<Timestamp>,
    /// The history since then was read so far.
    #[schemars(schema_with = "insight::views::schema::time_or_null")]
    read_back_to: Option<Timestamp>,
}

/// What a client has seen: the first part of an ETag.
fn basis(etag: &str) -> Option<Basis> {
    let text = etag.strip_prefix('"')?.strip_suffix('"')?;
    let plan = text.split_once('+').map_or(text, |(plan, _)| plan);
    plan.parse().ok().filter(|basis| *basis != Basis::InForce)
}

async fn status(node: &node::Node) -> Result<Reply, Problem> {
    let status = Status::read(&node.store, Timestamp::now()).await.map_err(|error| Problem::unreadable(&error))?;
    Ok(Reply::json(&status.view())?.header(header::ETAG, &status.basis().to_string()))
}

async fn show(Asked { node, .. }: Asked) -> Result<Reply, Problem> {
    status(&node).await
}

async fn change(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let seen = basis(query.given(IF_MATCH.name)).ok_or_else(|| Problem::parameter(IF_MATCH.name, PLAN.what))?;
    let config = node.config.load_full();
    let changed = fleet::change(&node.store, &config, wanted(&query), seen, &client.name, Timestamp::now()).await;
    match changed {
        Ok(_) => status(&node).await,
        Err(NotChanged::Overtaken { since }) => {
            let since: Vec<String> = since
                .iter()
                .map(|plan| format!("version {} by {}: {}", plan.version, plan.by, fleet::in_words(plan)))
                .collect();
            let since = if since.is_empty() { "that plan is not known".to_owned() } else { since.join("; ") };
            Err(Problem::changed(format!(
                "another plan is in force than the one that you have seen ({since}); nothing was changed"
            )))
        }
        Err(NotChanged::Unreadable(error)) => Err(Problem::unreadable(&format!("{error:#}"))),
        Err(error @ (NotChanged::Refused(_) | NotChanged::UnknownPolicy(_))) => {
            Err(Problem::conflict(error.to_string()))
        }
    }
}

/// Exactly one of the keys is there.
fn wanted(query: &Query) -> Change {
    if query.has("set") {
        let (from, to) = (query.given("set.from").to_owned(), query.given("set.to").to_owned());
        let nodes: Vec<String> = query.all(SHARED_NODES).map(str::to_owned).collect();
        let percent = query.text("set.share").and_then(|share| share.parse().ok());
        let share = percent.map_or(Share::Named(nodes), Share::Percent);
        Change::Set { from, to, share }
    } else if query.has("halt") {
        Change::Halt { reason: query.text("halt.because").unwrap_or(BECAUSE).to_owned() }
    } else {
        Change::Resume
    }
}

async fn history(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let plans = node.store.plans().await?;
    let (plans, next) = listing::page(HISTORY, &query, plans, |plan| format!("{} {}", plan.version, plan.at))?;
    Reply::json(&Plans { plans: plans.iter().map(PlanView::from).collect(), next })
}

async fn impact(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let forecast = node.forecast(query.given("name"), PATIENCE).await;
    match forecast.map_err(|error| Problem::not_found(error.to_string()))? {
        Forecast::Known { at, effect } => {
            Reply::json(&Foreseen { impact: Some(effect.view()), at: Some(at), read_back_to: None })
        }
        Forecast::Reading { back_to } => Reply::json(&Foreseen { impact: None, at: None, read_back_to: back_to }),
        Forecast::Failed(why) => Err(Problem::conflict(why)),
    }
}
