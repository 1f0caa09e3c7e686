//! `/api/v1/incidents`: the same JSON as `gatepost incident --format json`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use insight::views::IncidentView;
use node::Node;
use schemars::JsonSchema;
use serde::Serialize;
use store::Incidents as _;
use uuid::Uuid;

use super::{ApiError, ROWS_MAX};

#[derive(Serialize, JsonSchema)]
pub(super) struct Incidents {
    /// Open incidents first, then closed ones, the last closed first.
    incidents: Vec<IncidentView>,
}

pub(super) async fn list(State(node): State<Arc<Node>>) -> Result<Response, ApiError> {
    let incidents = node.store.incidents(ROWS_MAX).await?;
    Ok(Json(Incidents { incidents: incidents.iter().map(IncidentView::from).collect() }).into_response())
}

pub(super) async fn show(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let known: Uuid = id.parse().map_err(|_| {
        ApiError::bad_request(format!("\"{id}\" is not an id of an incident; use a whole id from /api/v1/incidents"))
    })?;
    let incident = node.store.incident(known).await?;
    let incident = incident.ok_or_else(|| ApiError::not_found(format!("there is no incident {id}")))?;
    Ok(Json(IncidentView::from(&incident)).into_response())
}
