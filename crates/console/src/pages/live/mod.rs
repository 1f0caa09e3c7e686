//! `/live`: fragments that changed, as server-sent events.
//!
//! ```text
//!   page ──Fragment::element──> data-live=KEY ──console.js──> /live?of=KEY&of=KEY ──> Events (one stream)
//!                                                                                       ↑ what it has not sent yet
//!   Live: a snapshot each second, only while somebody looks ──render──> Board: KEY, right → event, version
//! ```
//!
//! A stream sends each fragment first as it is now, so that a page catches up after a break, and then only changes. A slow
//! reader misses states in between, and costs no more than others. Streams end after a minute. Browsers open the next one
//! at once, and only then the session and its right are checked again.

mod board;
mod events;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::OriginalUri,
    http::header,
    response::{IntoResponse, Response},
};
use node::Node;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    Refusal, assets,
    fragment::{Fragment, Key, OF_MAX, Snapshot},
};
use crate::{access::Person, places::Work};
use board::{Shared, Watched};
use events::Events;

pub(super) const PATH: &str = "/live";

/// Time between two snapshots.
const INTERVAL: Duration = Duration::from_secs(1);
/// A slow snapshot is followed by a pause of this many times what it took, so that it costs mail little.
const PAUSE_FACTOR: u32 = 20;
/// Maximum number of fragments of one stream, which serves all tabs of a browser.
const KEYS_MAX: usize = 100;

/// The streams of this node.
pub(crate) struct Live {
    node: Arc<Node>,
    fragments: &'static [Fragment],
    board: Shared,
    /// Somebody has come.
    came: Notify,
}

impl Live {
    pub(super) fn new(node: Arc<Node>, fragments: &'static [Fragment]) -> Self {
        Self { node, fragments, board: Shared::default(), came: Notify::new() }
    }

    /// Number of open streams.
    pub(crate) fn viewers(&self) -> usize {
        self.board.lock().viewers()
    }

    /// Renders what people look at. Never ends.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            if self.viewers() == 0 {
                self.came.notified().await;
            }
            let began = Instant::now();
            self.render().await;
            sleep(INTERVAL.max(began.elapsed() * PAUSE_FACTOR)).await;
        }
    }

    async fn render(&self) {
        let snapshot = Arc::new(Snapshot::now(Arc::clone(&self.node)));
        let watched = self.board.lock().watched();
        let mut rendered = Vec::new();
        for watched in watched {
            let Some(fragment) = self.fragments.iter().find(|fragment| fragment.name == watched.key.name) else {
                continue;
            };
            match (fragment.render)(&watched.look(&snapshot)).await {
                Ok(markup) => rendered.push((watched, markup)),
                Err(error) => {
                    tracing::debug!(%error, fragment = fragment.name, "failed to read the store for the console; trying again")
                }
            }
        }
        self.board.show(rendered);
    }
}

/// `GET /live?of=KEY&of=KEY`
pub(super) async fn stream(
    Extension(live): Extension<Arc<Live>>,
    Extension(person): Extension<Person>,
    Extension(work): Extension<Work>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Refusal> {
    let keys = keys(live.fragments, uri.query().unwrap_or_default(), &person)?;
    let watched = keys.into_iter().map(|key| Watched { key, right: person.right }).collect();
    let Some(seat) = live.board.join(&person.name, watched) else {
        return Err(Refusal::busy("Too many people look at too many things. Try again in a minute."));
    };
    live.came.notify_one();
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let events = Events::start(seat, work.stream(), &assets::version());
    Ok((headers, [("x-accel-buffering", "no")], Body::new(events)).into_response())
}

/// The fragments that a query names.
fn keys(fragments: &[Fragment], query: &str, person: &Person) -> Result<Vec<Key>, Refusal> {
    let mut keys = Vec::new();
    for (parameter, key) in form_urlencoded::parse(query.as_bytes()) {
        if parameter != "of" {
            return Err(Refusal::bad_request("The only parameter is of."));
        }
        let (name, of) = key.split_once(':').unwrap_or((&key, ""));
        let Some(fragment) = fragments.iter().find(|fragment| fragment.name == name) else {
            return Err(Refusal::bad_request("The parameter of names a fragment that does not exist."));
        };
        if !person.may(fragment.needs) {
            return Err(Refusal::forbidden(fragment.needs));
        }
        if of.len() > OF_MAX || of.chars().any(char::is_control) {
            return Err(Refusal::bad_request("The parameter of is too long, or has characters that are not text."));
        }
        keys.push(Key { name: fragment.name, of: of.to_owned() });
    }
    keys.sort();
    keys.dedup();
    match keys.len() {
        0 => Err(Refusal::bad_request("The parameter of is missing.")),
        1..=KEYS_MAX => Ok(keys),
        _ => Err(Refusal::bad_request(format!("The parameter of may occur {KEYS_MAX} times."))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::StatusCode;
    use maud::html;
    use store::Right;

    use super::*;
    use crate::pages::{FRAGMENTS, fragment::Shape};

    const fn fragment(name: &'static str, needs: Right) -> Fragment {
        Fragment { name, needs, shape: Shape::Block, render: |_| Box::pin(async { Ok(html! {}) }) }
    }

    const KNOWN: [Fragment; 2] = [fragment("all", Right::Viewer), fragment("some", Right::Operator)];

    fn status(query: &str, right: Right) -> StatusCode {
        let person = Person { name: "ana".to_owned(), right, csrf: String::new(), from: [127, 0, 0, 1].into() };
        match keys(&KNOWN, query, &person) {
            Ok(_) => StatusCode::OK,
            Err(refusal) => refusal.into_response().status(),
        }
    }

    #[test]
    fn only_fragments_that_exist_and_that_the_person_may_see_are_sent() {
        let long = format!("of=all:{}", "x".repeat(OF_MAX + 1));
        let many: String = (0..=KEYS_MAX).map(|number| format!("of=all:{number}&")).collect();
        for (query, expected) in [
            ("of=all", 200),
            ("of=all:%3Cscript%3E&of=all", 200),
            ("of=some:x", 403),
            ("", 400),
            ("of=", 400),
            ("of=none", 400),
            ("of=all%00", 400),
            ("of=all:%00", 400),
            ("of=all:%FF%0A", 400),
            ("if=all", 400),
            (&long, 400),
            (&many, 400),
        ] {
            assert_eq!(status(query, Right::Tracer).as_u16(), expected, "{query}");
        }
        assert_eq!(status("of=some:x", Right::Operator), StatusCode::OK);
    }

    #[test]
    fn names_of_fragments_are_unique() {
        let names: BTreeSet<&str> = FRAGMENTS.iter().map(|fragment| fragment.name).collect();
        assert_eq!(names.len(), FRAGMENTS.len());
        let is_plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(names.iter().all(is_plain), "{names:?}");
    }
}
