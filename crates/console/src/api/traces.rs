//! `/api/v1/message-traces`: the same JSON and filters as `gatepost trace --format json`, each attempt with what was said, and
//! the content of a message.

use std::{io, sync::Arc};

use axum::{body::Bytes, http::header};
use insight::{
    Search, SearchError, WaitReasons, cursor_text, read_cursor,
    views::{DialogueLineView, MessageView, TraceView},
};
use jiff::Timestamp;
use node::{
    Node,
    inquiry::{self, Attempted},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Actor, Bodies as _, ChangeLog as _, History as _, MessageKey, NewChange, Right};
use tokio::sync::mpsc::Sender;
use trace::{ChangeKind, Event, change::AccessChange};
use uuid::Uuid;

use super::{
    SEARCH_BUDGET, cursor,
    form::Form,
    operation::{Asked, Operation},
    parameters::{SEARCH, search},
    pieces,
    problem::{Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
    within::{Found, page_within},
};
use crate::access::Client;

const MESSAGE: Parameter = Parameter::new("id", "Network message id", Form::Id);
const SESSION: Parameter = Parameter::new("session", "Session of the attempt, as its event names it", Form::Session);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        LIST,
        "listMessageTraces",
        "List what happened to messages, newest first, one row per recipient",
        |asked| Box::pin(list(asked)),
    )
    .needs(Right::Tracer)
    .query(&SEARCH)
    .gives::<Page>()
    .fails(&[Kind::NotFound])
    .commands(&["trace"]),
    Operation::get(
        "/api/v1/message-traces/{id}",
        "showMessage",
        "Show everything about one message: envelope, deliveries, what each waits for, events",
        |asked| Box::pin(show(asked)),
    )
    .needs(Right::Tracer)
    .in_path(&[MESSAGE])
    .gives::<MessageView>()
    .fails(&[Kind::NotFound])
    .commands(&["queue show"]),
    Operation::get(
        "/api/v1/message-traces/{id}/events",
        "listMessageEvents",
        "List all events of one message, in the order of time",
        |asked| Box::pin(events(asked)),
    )
    .needs(Right::Tracer)
    .in_path(&[MESSAGE])
    .gives::<History<'_>>()
    .fails(&[Kind::NotFound])
    .commands(&["queue show"]),
    Operation::get(
        "/api/v1/message-traces/{id}/attempts/{session}",
        "showAttempt",
        "Show one attempt, with what was said in its session, whichever node made it",
        |asked| Box::pin(attempt(asked)),
    )
    .needs(Right::Tracer)
    .in_path(&[MESSAGE, SESSION])
    .gives::<AttemptView>()
    .fails(&[Kind::NotFound])
    .commands(&["trace"]),
    Operation::get(
        "/api/v1/message-traces/{id}/content",
        "readContent",
        "Read the content of a message that is in the queue",
        |asked| Box::pin(content(asked)),
    )
    .needs(Right::Administrator)
    .in_path(&[MESSAGE])
    .gives_other(MESSAGE_TYPE)
    .fails(&[Kind::NotFound])
    .commands(&["queue export"]),
];

const LIST: &str = "/api/v1/message-traces";
const MESSAGE_TYPE: &str = "message/rfc822";

#[derive(Serialize, JsonSchema)]
struct Page {
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
struct History<'a> {
    /// Events in the order of time.
    #[schemars(schema_with = "insight::views::schema::events")]
    events: &'a [Event],
}

async fn list(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let now = Timestamp::now();
    let after = cursor::read(LIST, &query, |text| read_cursor(text).ok())?;
    let search = Search { after, ..search(&query)? };
    let found = match search.query(now) {
        Ok(query) => page_within(&node.store, query, SEARCH_BUDGET, now).await?,
        // No time is in such a range. OpenAPI cannot say that one parameter must be before another, so it is no error.
        Err(SearchError::Reversed { .. }) => Found { records: Vec::new(), next: None, searched_since: None },
        Err(error) => return Err(Problem::bad_request(error.to_string())),
    };
    let Found { records, next, searched_since } = found;
    let config = node.config.load();
    let reasons = WaitReasons::read(&node.store, &**config, now).await?;
    let messages = records.iter().map(|record| TraceView::new(record, &reasons, None)).collect();
    let next = next.map(|next| cursor::write(&cursor_text(next), LIST, &query));
    Reply::json(&Page { messages, next, searched_since })
}

async fn show(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let id = message_id(&query)?;
    let record = node.store.message(id).await?.ok_or_else(|| no_message(id))?;
    looked_at(&node, id, &client).await?;
    let events = node.store.events(id).await?;
    let config = node.config.load();
    let reasons = WaitReasons::read(&node.store, &**config, Timestamp::now()).await?;
    Reply::json(&MessageView::new(&record, &reasons, events))
}

async fn events(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let id = message_id(&query)?;
    let events = node.store.events(id).await?;
    if events.is_empty() {
        return Err(no_message(id));
    }
    looked_at(&node, id, &client).await?;
    Reply::json(&History { events: &events })
}

/// One attempt: its events, one for each recipient, and what was said. The node that made it is asked for the latter.
#[derive(Serialize, JsonSchema)]
struct AttemptView {
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

async fn attempt(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let id = message_id(&query)?;
    let found = inquiry::attempt(&node, id, query.given("session")).await;
    let found = found.map_err(|error| Problem::unreadable(&error))?.ok_or_else(|| {
        Problem::not_found("there is no such attempt; the events of the message name the session of each")
    })?;
    looked_at(&node, id, &client).await?;
    let missing = found.missing();
    let Attempted { node, events, dialogue } = found;
    Reply::json(&AttemptView { node, events, dialogue, missing })
}

async fn content(Asked { node, query, client, .. }: Asked) -> Result<Reply, Problem> {
    let id = message_id(&query)?;
    let record = node.store.message(id).await?.ok_or_else(|| no_message(id))?;
    looked_at(&node, id, &client).await?;
    if !record.body_present {
        let detail = format!("the content of message {id} is deleted, because no delivery needs it any more");
        return Err(Problem::not_found(detail));
    }
    let (sender, body) = pieces::channel();
    tokio::spawn(send_content(node, record.message.key, sender));
    let name = format!("attachment; filename=\"{id}.eml\"");
    Ok(Reply::other(MESSAGE_TYPE, body).header(header::CONTENT_DISPOSITION, &name))
}

/// Ends with the client, or with the content.
async fn send_content(node: Arc<Node>, message: MessageKey, to: Sender<io::Result<Bytes>>) {
    for sequence in 0.. {
        let piece = match node.store.read_body(message, sequence).await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "failed to read the content of a message for the API; cut the answer off");
                Err(io::Error::other("the store cannot be read"))
            }
        };
        let is_over = piece.is_err();
        if to.send(piece).await.is_err() || is_over {
            return;
        }
    }
}

fn message_id(query: &Query) -> Result<Uuid, Problem> {
    Ok(query.parsed("id")?.unwrap_or_default())
}

/// The audit gets a row for each look at somebody's message.
async fn looked_at(node: &Node, message: Uuid, client: &Client) -> Result<(), Problem> {
    let Actor { name: who, address: from } = client.actor();
    let kind = ChangeKind::Access(AccessChange::MessageViewed { message });
    Ok(node.store.record_change(NewChange { node: None, who, from, kind }).await?)
}

fn no_message(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no message {id}"))
}
