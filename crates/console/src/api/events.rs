//! `/api/v1/events`: what happens, as it happens: incidents, plans and all other changes. A browser's `EventSource` gets a
//! stream; a client that asks for JSON gets what has happened since the event that it names.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use insight::{ChangeSearch, change_cursor_text, read_change_cursor, views::FleetChangeView};
use jiff::{SignedDuration, Timestamp};
use node::Node;
use schemars::JsonSchema;
use serde::Serialize;
use store::{ChangeCursor, ChangeLog as _, ChangeQuery, Right};
use tokio::{sync::mpsc::Sender, time::interval};
use trace::Change;

use super::{
    form::{Form, Shape},
    operation::{Asked, Operation},
    pieces,
    problem::{Kind, Problem},
    query::Parameter,
    reply::Reply,
};

/// Events of an answer. A client that was away for longer reads `/api/v1/changes`.
const EVENTS_MAX: u32 = 1000;
/// How often a stream looks for news.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A stream without news says that it lives, so that its client can tell.
const HEARTBEAT_LOOKS: u32 = 15;
/// Streams of this process. Each of them asks the store once a second.
const STREAMS_MAX: usize = 32;
const STREAM: &str = "text/event-stream";

const OF_EVENTS: [Parameter; 2] = [
    Parameter::new(
        "after",
        "Only events after this one: last of the answer before, or its id in a stream. Without it, a stream begins now, and \
         JSON has the events of the last hour",
        Form::Shaped(&EVENT),
    ),
    Parameter::new("kind", "Only events of these kinds", Form::Names(|| ChangeSearch::KINDS.to_vec())),
];

static EVENT: Shape = Shape {
    pattern: "^[0-9]{1,14}\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    is: is_event,
    what: "an event; copy last of an answer, or an id of a stream",
    example: "1785412800000.0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e",
};

fn is_event(text: &str) -> bool {
    let Some((at, id)) = text.split_once('.') else { return false };
    let is_lower = !id.bytes().any(|b| b.is_ascii_uppercase());
    (1..=14).contains(&at.len()) && is_lower && Form::Id.check(id).is_ok() && read_change_cursor(text).is_ok()
}

pub(super) const OPERATIONS: &[Operation] = &[Operation::get(
    "/api/v1/events",
    "listEvents",
    "Follow what happens: incidents, rollouts and all other changes, oldest first. With Accept: text/event-stream, the \
     answer is a stream of server-sent events, which continues after Last-Event-ID",
    |asked| Box::pin(follow(asked)),
)
.needs(Right::Viewer)
.query(&OF_EVENTS)
.gives::<Events>()
.fails(&[Kind::Busy])
.commands(&["changes"])];

#[derive(Serialize, JsonSchema)]
struct Events {
    /// The oldest first.
    events: Vec<FleetChangeView>,
    /// Value of `after` for the next request; null if nothing has ever happened.
    last: Option<String>,
}

async fn follow(asked: Asked) -> Result<Reply, Problem> {
    let kinds = asked.query.named_values("kind", &ChangeSearch::KINDS, |kind| kind).unwrap_or_default();
    let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
    let after = asked.query.text("after").map(str::to_owned).or_else(|| last_event(&asked.headers));
    let after = after.and_then(|text| read_change_cursor(&text).ok());
    let is_blind = !asked.client.may(Right::Tracer);
    if wants_stream(&asked.headers) {
        return stream(asked.node, kinds, after, is_blind);
    }
    let hour_ago = || ChangeCursor { at: Timestamp::now() - SignedDuration::from_hours(1), id: uuid::Uuid::max() };
    let after = after.unwrap_or_else(hour_ago);
    let changes = since(&asked.node, &kinds, after).await?;
    let last = changes.last().map_or(after, ChangeCursor::from);
    let events = changes.iter().map(FleetChangeView::from).collect();
    Reply::json(&Events { events, last: Some(change_cursor_text(last)) })
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(STREAM)))
}

/// What a browser sends when it connects again.
fn last_event(headers: &HeaderMap) -> Option<String> {
    let last = headers.get("last-event-id")?.to_str().ok()?;
    is_event(last).then(|| last.to_owned())
}

/// Up to [`EVENTS_MAX`] changes after that one, the oldest first.
async fn since(node: &Node, kinds: &[String], after: ChangeCursor) -> store::Result<Vec<Change>> {
    let query =
        ChangeQuery { since: Some(after.at), kinds: kinds.to_vec(), limit: EVENTS_MAX, ..ChangeQuery::default() };
    let mut changes = node.store.changes(query).await?;
    changes.retain(|change| (change.at, change.id) > (after.at, after.id));
    changes.reverse();
    Ok(changes)
}

/// Counts as long as a stream lasts.
struct Place;

static STREAMS: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Result<Self, Problem> {
        let place = Self;
        match STREAMS.fetch_add(1, Ordering::Relaxed) {
            before if before < STREAMS_MAX => Ok(place),
            _ => Err(Problem::busy(format!("{STREAMS_MAX} streams are open; close one, or ask for JSON"))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn stream(node: Arc<Node>, kinds: Vec<String>, after: Option<ChangeCursor>, is_blind: bool) -> Result<Reply, Problem> {
    let (place, (sender, body)) = (Place::take()?, pieces::channel());
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = send(&node, &kinds, after, is_blind, &sender).await {
            tracing::warn!(%error, "failed to read the changes for a stream of the API; closed it");
        }
    });
    Ok(Reply::other(STREAM, body))
}

/// Ends when the client does.
async fn send(
    node: &Node,
    kinds: &[String],
    after: Option<ChangeCursor>,
    is_blind: bool,
    to: &Sender<io::Result<Bytes>>,
) -> store::Result<()> {
    let now = ChangeCursor { at: Timestamp::now(), id: uuid::Uuid::nil() };
    let (mut last, mut looks) = (after.unwrap_or(now), 0);
    let mut tick = interval(LOOK_INTERVAL);
    let mut text = ": stream\nretry: 2000\n\n".to_owned();
    loop {
        tick.tick().await;
        for change in since(node, kinds, last).await? {
            last = ChangeCursor::from(&change);
            text.push_str(&event(&change, is_blind));
        }
        looks = if text.is_empty() { looks + 1 } else { 0 };
        if looks == HEARTBEAT_LOOKS {
            (text, looks) = (": alive\n\n".to_owned(), 0);
        }
        if !text.is_empty() && to.send(Ok(Bytes::from(std::mem::take(&mut text)))).await.is_err() || to.is_closed() {
            return Ok(());
        }
    }
}

fn event(change: &Change, is_blind: bool) -> String {
    let view = serde_json::to_vec(&FleetChangeView::from(change)).unwrap_or_default();
    let view = if is_blind { super::reply::without_addresses(&view).unwrap_or_default() } else { view };
    let (id, name) = (change_cursor_text(ChangeCursor::from(change)), protocol::text::clean(change.kind.name()));
    format!("id: {id}\nevent: {name}\ndata: {}\n\n", String::from_utf8_lossy(&view))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use trace::ChangeKind;
    use uuid::Uuid;

    use super::*;

    fn change() -> Change {
        let (id, at) = (Uuid::from_u128(7), Timestamp::from_millisecond(1_785_412_800_000).unwrap());
        let kind = ChangeKind::Started { version: "a@b.test\n\nevent: x".to_owned() };
        Change { id, at, node: Some("mx1".to_owned()), who: "node mx1".to_owned(), from: None, kind }
    }

    #[test]
    fn an_event_is_three_lines_whatever_it_says() {
        let text = event(&change(), true);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.starts_with("id: 1785412800000.00000000-0000-0000-0000-000000000007\nevent: started\ndata: {"),
            "{text}"
        );
        assert!(text.ends_with("}\n\n") && text.contains("withheld@b.test") && !text.contains("a@b.test"), "{text}");
        let id = text.lines().next().unwrap().strip_prefix("id: ").unwrap();
        assert!(is_event(id) && is_event(EVENT.example));
        assert_eq!(read_change_cursor(id), Ok(ChangeCursor::from(&change())));
    }

    #[test]
    fn a_stream_is_for_those_who_ask_for_one() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.5", true),
            ("*/*", false),
            ("text/html", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_stream(&headers), expected, "{accept}");
        }
        for text in ["", "1", "1.", "1.7", "999999999999999.00000000-0000-0000-0000-000000000007", "a"] {
            assert!(!is_event(text), "{text}");
        }
    }
}
