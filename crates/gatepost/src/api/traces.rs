//! `/api/v1/message-traces`: what `gatepost trace --format json` prints, searched by the same filters.

use std::sync::{Arc, LazyLock};

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use clap::{Arg, CommandFactory, Parser, error::ContextKind};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use store::History as _;
use trace::Event;
use uuid::Uuid;

use super::{ApiError, ROWS_MAX};
use crate::{
    cli::{SearchArguments, Standing, TraceView, cursor_text, page},
    config::hint,
    node::Node,
};

/// The filters as the command line reads them: one meaning in both places.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Filters {
    #[command(flatten)]
    search: SearchArguments,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Page<'a> {
    /// Newest first.
    messages: Vec<TraceView<'a>>,
    /// For `after`: where the next page begins; null on the last.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct History<'a> {
    /// In order.
    #[schemars(schema_with = "events_schema")]
    events: &'a [Event],
}

fn events_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "description": "With more keys, depending on the event: `attempt`, `reply`, `failure` and others.",
            "required": ["at", "node", "message", "event"],
            "properties": {
                "at": { "type": "string", "format": "date-time" },
                "node": { "type": "string", "description": "Who saw it" },
                "message": { "type": "string", "format": "uuid", "description": "The network message id" },
                "recipient": { "type": "string", "description": "Absent where it tells of the whole message" },
                "event": { "type": "string", "enum": [
                    "received", "delivered", "deferred", "failed", "interrupted", "notified", "notice-withheld",
                    "suspended", "resumed", "retried", "removed",
                ] },
            },
        },
    })
}

pub(super) async fn list(State(node): State<Arc<Node>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let search = search(query.as_deref().unwrap_or_default())?;
    let query = search.query(now).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let (records, next) = page(&node.store, query).await?;
    let config = node.config.load();
    let standing = Standing::read(&node.store, &config, now).await?;
    let messages = records.iter().map(|record| TraceView::new(record, &standing, None)).collect();
    Ok(Json(Page { messages, next: next.map(cursor_text) }).into_response())
}

pub(super) async fn events(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let events = node.store.events(message_id(&id)?).await?;
    if events.is_empty() {
        return Err(ApiError::not_found(format!("no message has the id {id}")));
    }
    Ok(Json(History { events: &events }).into_response())
}

pub(super) fn message_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("\"{text}\" is no network message id")))
}

/// The parameters of a search: an argument of the command line each.
pub(super) fn parameters() -> Vec<Arg> {
    Filters::command().get_arguments().cloned().collect()
}

/// An argument's name in a URL.
pub(super) fn parameter_name(argument: &Arg) -> String {
    argument.get_long().unwrap_or_default().replace('-', "_")
}

fn search(query: &str) -> Result<SearchArguments, ApiError> {
    // Asked for at each request.
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| parameters().iter().map(parameter_name).collect());
    let mut line = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !NAMES.iter().any(|known| *known == name) {
            let hint = hint(&name, "parameters are", NAMES.iter().map(String::as_str));
            return Err(ApiError::bad_request(format!("unknown parameter \"{name}\"; {hint}")));
        }
        line.push(format!("--{}={value}", name.replace('_', "-")));
    }
    let search = Filters::try_parse_from(line).map_err(|error| ApiError::bad_request(in_words(&error)))?.search;
    if search.limit > ROWS_MAX {
        return Err(ApiError::bad_request(format!("limit is at most {ROWS_MAX}")));
    }
    Ok(search)
}

/// What clap has to say, without the command line's look.
fn in_words(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    match error.get(ContextKind::ValidValue) {
        Some(values) => format!("{first}; values are {values}"),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_command_line() {
        let read = search("recipient=%40onprem.test&status=pending,failed&since=2h&size_min=1KiB&limit=5").unwrap();
        assert_eq!(read.recipient.as_deref(), Some("@onprem.test"));
        assert_eq!((read.status.len(), read.limit), (2, 5));
        assert!(read.since.is_some() && read.size_min.is_some());
        // What looks like an option is a value.
        assert_eq!(search("subject=--limit").unwrap().subject.as_deref(), Some("--limit"));
        assert_eq!(search("").unwrap().limit, 1000);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_said() {
        for (query, expected) in [
            ("recipent=a", "unknown parameter \"recipent\"; did you mean \"recipient\"?"),
            ("status=lost", "invalid value 'lost' for '--status <STATUS>'"),
            ("since=yesterday", "invalid value 'yesterday' for '--since <TIME>'"),
            ("limit=0", "invalid value '0'"),
            ("limit=5001", "limit is at most 5000"),
            ("sender=a&sender=b", "cannot be used multiple times"),
            ("subject=a&subject_ends_with=b", "cannot be used with"),
            ("message=12", "invalid value '12'"),
            ("after=12", "take it from"),
        ] {
            let error = search(query).unwrap_err();
            assert!(format!("{error:?}").contains(&expected.replace('"', "\\\"")), "{query}: {error:?}");
        }
    }
}
