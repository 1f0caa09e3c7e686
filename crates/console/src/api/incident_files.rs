//! `/api/v1/incidents/{id}`: notes of people, and the files for the administrator of the destination.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{StatusCode, header},
};
use insight::Report;
use jiff::Timestamp;
use node::{Node, question};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Incident, IncidentNote, Incidents as _, NOTE_CHARACTERS_MAX, NoteAdded, Right};
use uuid::Uuid;

use super::{
    form::Form,
    operation::{Asked, Operation, Takes},
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
};

const ID: Parameter = Parameter::new("id", "Id of the incident", Form::Id);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        "/api/v1/incidents/{id}/report",
        "readReport",
        "Read the report for the administrator of the destination: one page without scripts, without local parts of addresses",
        |asked| Box::pin(report(asked)),
    )
    .needs(Right::Viewer)
    .in_path(&[ID])
    .gives_other("text/html")
    .fails(&[Kind::NotFound])
    .commands(&["why"]),
    Operation::get(
        "/api/v1/incidents/{id}/bundle",
        "readBundle",
        "Read the report with its evidence as a ZIP file",
        |asked| Box::pin(bundle(asked)),
    )
    .needs(Right::Viewer)
    .in_path(&[ID])
    .gives_other("application/zip")
    .fails(&[Kind::NotFound])
    .commands(&["why"]),
    Operation::get("/api/v1/incidents/{id}/notes", "listNotes", "List the notes about an incident", |asked| {
        Box::pin(list(asked))
    })
    .needs(Right::Viewer)
    .in_path(&[ID])
    .gives::<Notes>()
    .fails(&[Kind::NotFound])
    .commands(&["incident show"]),
    Operation::post("/api/v1/incidents/{id}/notes", "addNote", "Add a note to an incident", |asked| {
        Box::pin(add(asked))
    })
    .needs(Right::Operator)
    .in_path(&[ID])
    .takes(Takes::Json(&[
        Parameter::new("text", "The note, in one or more lines", Form::Prose(NOTE_CHARACTERS_MAX)).required(),
    ]))
    .gives_as::<Notes>(201)
    .fails(&[Kind::NotFound, Kind::Conflict])
    .commands(&["incident show"]),
];

#[derive(Serialize, JsonSchema)]
struct Notes {
    /// In the order of time.
    notes: Vec<NoteView>,
}

#[derive(Serialize, JsonSchema)]
struct NoteView {
    id: Uuid,
    #[schemars(schema_with = "insight::views::schema::time")]
    at: Timestamp,
    who: String,
    text: String,
}

impl From<IncidentNote> for NoteView {
    fn from(IncidentNote { id, at, who, text }: IncidentNote) -> Self {
        Self { id, at, who, text }
    }
}

async fn find(node: &Node, query: &Query) -> Result<Incident, Problem> {
    let id = query.parsed("id")?.unwrap_or_default();
    node.store.incident(id).await?.ok_or_else(|| no_incident(id))
}

fn no_incident(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no incident {id}"))
}

async fn made<T: Send + 'static>(
    node: &Arc<Node>,
    query: &Query,
    make: fn(&Report<'_>) -> anyhow::Result<T>,
) -> Result<T, Problem> {
    let made = question::report(node, find(node, query).await?, make).await;
    let made = made.map_err(|error| Problem::unreadable(&format!("{error:#}")))?;
    made.ok_or_else(|| {
        Problem::not_found("the history of this incident has been deleted, so there is no report any more")
    })
}

async fn report(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let page = made(&node, &query, |report| Ok(report.page())).await?;
    let policy = format!("{}; frame-ancestors 'none'; sandbox", Report::policy());
    Ok(Reply::other("text/html; charset=utf-8", Body::from(page)).header(header::CONTENT_SECURITY_POLICY, &policy))
}

async fn bundle(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let bytes = made(&node, &query, insight::bundle).await?;
    let name = "attachment; filename=\"gatepost-incident.zip\"";
    Ok(Reply::other("application/zip", Body::from(bytes)).header(header::CONTENT_DISPOSITION, name))
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let incident = find(&node, &query).await?;
    let notes = node.store.notes(incident.id).await?;
    Reply::json(&Notes { notes: notes.into_iter().map(NoteView::from).collect() })
}

async fn add(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let incident = find(&node, &query).await?;
    match node.store.add_note(incident.id, &client.name, query.given("text").trim()).await? {
        NoteAdded::Added => {}
        NoteAdded::NoIncident => return Err(no_incident(incident.id)),
        NoteAdded::Full => return Err(Problem::conflict("the incident has as many notes as one may have")),
    }
    let notes = node.store.notes(incident.id).await?;
    Ok(Reply::json(&Notes { notes: notes.into_iter().map(NoteView::from).collect() })?.status(StatusCode::CREATED))
}
