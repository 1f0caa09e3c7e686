//! `/api/v1/message-traces`: the same JSON and filters as `gatepost trace --format json`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use insight::{
    WaitReasons, cursor_text,
    views::{DialogueLineView, TraceView},
};
use jiff::Timestamp;
use node::{
    Node,
    inquiry::{self, Attempted},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::History as _;
use trace::Event;
use uuid::Uuid;

use super::{
    ApiError, SEARCH_BUDGET,
    parameters::read_parameters,
    within::{Found, page_within},
};

#[derive(Serialize, JsonSchema)]
pub(super) struct Page {
    /// Deliveries, the newest first.
    messages: Vec<TraceView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
    /// Set if the search ended before the page was full, so that you need not wait: everything that was received since then was
    /// looked at, and the next page goes on from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "insight::views::schema::time")]
    searched_since: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct History<'a> {
    /// Events in the order of time.
    #[schemars(schema_with = "insight::views::schema::events")]
    events: &'a [Event],
}

pub(super) async fn list(State(node): State<Arc<Node>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let search = read_parameters(query.as_deref().unwrap_or_default()).map_err(ApiError::bad_request)?;
    let query = search.query(now).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let Found { records, next, searched_since } = page_within(&node.store, query, SEARCH_BUDGET, now).await?;
    let config = node.config.load();
    let reasons = WaitReasons::read(&node.store, &**config, now).await?;
    let messages = records.iter().map(|record| TraceView::new(record, &reasons, None)).collect();
    Ok(Json(Page { messages, next: next.map(cursor_text), searched_since }).into_response())
}

pub(super) async fn events(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let events = node.store.events(message_id(&id)?).await?;
    if events.is_empty() {
        return Err(ApiError::not_found(format!("there is no message {id}")));
    }
    Ok(Json(History { events: &events }).into_response())
}

/// One attempt: its events, one for each recipient, and what was said. The node that made it is asked for the latter.
#[derive(Serialize, JsonSchema)]
pub(super) struct AttemptView {
    /// The node that made it.
    node: String,
    #[schemars(schema_with = "insight::views::schema::events")]
    events: Vec<Event>,
    /// Without content and credentials. Null if the node has no record of it.
    dialogue: Option<Vec<DialogueLineView>>,
    /// Why there is no dialogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

pub(super) async fn attempt(
    State(node): State<Arc<Node>>,
    Path((id, session)): Path<(String, String)>,
) -> Result<Json<AttemptView>, ApiError> {
    let found = inquiry::attempt(&node, message_id(&id)?, &session).await;
    let found = found.map_err(|error| ApiError::unreadable(&error))?.ok_or_else(|| {
        ApiError::not_found("there is no such attempt; the events of the message name the session of each")
    })?;
    let missing = found.missing();
    let Attempted { node, events, dialogue } = found;
    Ok(Json(AttemptView { node, events, dialogue, missing }))
}

pub(super) fn message_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "\"{text}\" is not a network message id; use a whole id such as 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"
        ))
    })
}
