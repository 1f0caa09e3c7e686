//! `/api/v1/incidents`: the same JSON as `gatepost incident --format json`.

use insight::views::IncidentView;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Incidents as _, Right};
use uuid::Uuid;

use super::{
    form::Form,
    listing::{self, PAGE},
    operation::{Asked, Operation},
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

const LIST: &str = "/api/v1/incidents";
const ID: Parameter = Parameter::new("id", "Id of the incident", Form::Id);
/// Of which pages are made; years of incidents.
const INCIDENTS_MAX: u32 = 20_000;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        LIST,
        "listIncidents",
        "List incidents (mail that is or was stuck) with their root causes, open ones first",
        |asked| Box::pin(list(asked)),
    )
    .needs(Right::Viewer)
    .query(&PAGE)
    .gives::<Incidents>()
    .fails(&[Kind::NotFound])
    .commands(&["incident list"])
    .polled(),
    Operation::get("/api/v1/incidents/{id}", "showIncident", "Show one incident", |asked| Box::pin(show(asked)))
        .needs(Right::Viewer)
        .in_path(&[ID])
        .gives::<IncidentView>()
        .fails(&[Kind::NotFound])
        .commands(&["incident show"])
        .polled(),
];

#[derive(Serialize, JsonSchema)]
struct Incidents {
    /// Open incidents first, then closed ones, the last closed first.
    incidents: Vec<IncidentView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let incidents = node.store.incidents(INCIDENTS_MAX).await?;
    let (incidents, next) = listing::page(LIST, &query, incidents, |incident| incident.id.to_string())?;
    Reply::json(&Incidents { incidents: incidents.iter().map(IncidentView::from).collect(), next })
}

async fn show(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let id: Uuid = query.parsed("id")?.unwrap_or_default();
    let incident = node.store.incident(id).await?;
    let incident = incident.ok_or_else(|| Problem::not_found(format!("there is no incident {id}")))?;
    Reply::json(&IncidentView::from(&incident))
}
