//! What is watched, by how many, and how it looked last.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Bytes;
use maud::Markup;
use store::Right;
use tokio::sync::{oneshot, watch};

use super::super::fragment::{Key, Look, Snapshot};

/// Maximum number of streams. Each costs about 20 KB.
const VIEWERS_MAX: usize = 2000;
/// Maximum number of different fragments that are rendered.
const WATCHED_MAX: usize = 1000;

/// A fragment as people with one right see it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Watched {
    pub(super) key: Key,
    pub(super) right: Right,
}

impl Watched {
    pub(super) fn look(&self, snapshot: &Arc<Snapshot>) -> Look {
        Look { snapshot: Arc::clone(snapshot), of: self.key.of.clone(), right: self.right }
    }
}

#[derive(Default)]
pub(super) struct Board {
    shown: BTreeMap<Watched, Shown>,
    /// By number, the oldest first.
    viewers: BTreeMap<u64, Viewer>,
    last_number: u64,
    /// Counts the times that something changed.
    version: u64,
}

#[derive(Default)]
struct Shown {
    viewers: usize,
    /// As it is sent. Empty: not rendered yet.
    event: Bytes,
    /// The board's version at its last change.
    version: u64,
}

struct Viewer {
    person: String,
    watched: Vec<Watched>,
    /// Dropping it ends the stream.
    _stay: oneshot::Sender<()>,
}

impl Board {
    pub(super) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    pub(super) fn watched(&self) -> Vec<Watched> {
        self.shown.keys().cloned().collect()
    }

    /// If there is no room, the person with the most streams loses the oldest.
    fn make_room(&mut self) {
        if self.viewers.len() < VIEWERS_MAX {
            return;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        self.viewers.values().for_each(|viewer| *counts.entry(&viewer.person).or_default() += 1);
        let most = counts.values().copied().max();
        let oldest = self.viewers.iter().find(|(_, viewer)| counts.get(viewer.person.as_str()).copied() == most);
        if let Some(number) = oldest.map(|(number, _)| *number) {
            self.leave(number);
        }
    }

    fn leave(&mut self, number: u64) {
        let Some(viewer) = self.viewers.remove(&number) else { return };
        for watched in viewer.watched {
            if let Some(shown) = self.shown.get_mut(&watched) {
                shown.viewers -= 1;
                if shown.viewers == 0 {
                    self.shown.remove(&watched);
                }
            }
        }
    }

    /// The events that changed after `seen`.
    fn news(&self, number: u64, seen: u64) -> Vec<u8> {
        let watched = self.viewers.get(&number).map(|viewer| viewer.watched.as_slice()).unwrap_or_default();
        let shown = watched.iter().filter_map(|watched| self.shown.get(watched));
        shown.filter(|shown| shown.version > seen).map(|shown| shown.event.as_ref()).collect::<Vec<_>>().concat()
    }
}

/// The board, and a bell that rings when it changes.
#[derive(Clone, Default)]
pub(super) struct Shared {
    board: Arc<Mutex<Board>>,
    version: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what was rendered to those who look at it, if it has changed.
    pub(super) fn show(&self, rendered: Vec<(Watched, Markup)>) {
        let mut board = self.lock();
        let version = board.version + 1;
        let mut any = false;
        for (watched, markup) in rendered {
            let event = event(&watched.key, &markup);
            // Its last viewer may have gone.
            let Some(shown) = board.shown.get_mut(&watched).filter(|shown| shown.event != event) else { continue };
            (shown.event, shown.version, any) = (event, version, true);
        }
        if any {
            board.version = version;
            drop(board);
            self.version.send_replace(version);
        }
    }

    /// `None`: too much is watched.
    pub(super) fn join(&self, person: &str, watched: Vec<Watched>) -> Option<Seat> {
        let mut board = self.lock();
        let new = watched.iter().filter(|watched| !board.shown.contains_key(watched)).count();
        if board.shown.len() + new > WATCHED_MAX {
            return None;
        }
        board.make_room();
        for watched in &watched {
            board.shown.entry(watched.clone()).or_default().viewers += 1;
        }
        board.last_number += 1;
        let (number, (stay, dismissed)) = (board.last_number, oneshot::channel());
        board.viewers.insert(number, Viewer { person: person.to_owned(), watched, _stay: stay });
        drop(board);
        Some(Seat { shared: self.clone(), number, changed: self.version.subscribe(), dismissed, seen: 0 })
    }
}

/// `data` is one line, because JSON escapes line ends.
fn event(key: &Key, markup: &Markup) -> Bytes {
    let part = serde_json::json!([key.to_string(), markup.0]);
    format!("event: part\ndata: {part}\n\n").into()
}

/// The place of one viewer, who leaves when it is dropped.
pub(super) struct Seat {
    shared: Shared,
    number: u64,
    changed: watch::Receiver<u64>,
    dismissed: oneshot::Receiver<()>,
    /// The version of the board that was sent.
    seen: u64,
}

impl Seat {
    /// What the viewer has not been sent; empty if that is nothing.
    pub(super) fn news(&mut self) -> Vec<u8> {
        let board = self.shared.lock();
        let news = board.news(self.number, self.seen);
        self.seen = board.version;
        news
    }

    /// Waits for a change of the board. False: the viewer lost the place.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.changed.changed() => changed.is_ok(),
            _ = &mut self.dismissed => false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use maud::PreEscaped;

    use super::*;

    fn watched(name: &'static str, right: Right) -> Watched {
        Watched { key: Key { name, of: String::new() }, right }
    }

    fn markup(text: &str) -> Markup {
        PreEscaped(text.to_owned())
    }

    fn text(seat: &mut Seat) -> String {
        String::from_utf8(seat.news()).unwrap()
    }

    #[test]
    fn a_viewer_gets_what_changed_of_what_it_watches_and_may_see() {
        let shared = Shared::default();
        let (a, b) = (watched("a", Right::Viewer), watched("b", Right::Viewer));
        let private = watched("a", Right::Tracer);
        let mut first = shared.join("ana", vec![a.clone(), b.clone()]).unwrap();
        let mut tracer = shared.join("tom", vec![private.clone()]).unwrap();
        assert_eq!(text(&mut first), "");
        shared.show(vec![(a.clone(), markup("1")), (b.clone(), markup("\"\n")), (private, markup("secret"))]);
        assert_eq!(text(&mut first), "event: part\ndata: [\"a\",\"1\"]\n\nevent: part\ndata: [\"b\",\"\\\"\\n\"]\n\n");
        assert!(text(&mut tracer).contains("secret") && text(&mut first).is_empty());
        shared.show(vec![(a.clone(), markup("2")), (b.clone(), markup("\"\n"))]);
        assert_eq!(text(&mut first), "event: part\ndata: [\"a\",\"2\"]\n\n");
        // One who comes later gets all as it is now.
        assert!(text(&mut shared.join("eva", vec![a, b]).unwrap()).contains("[\"b\","));
        drop((first, tracer));
        assert!(shared.lock().shown.is_empty() && shared.lock().viewers() == 0);
    }

    #[tokio::test]
    async fn the_person_with_the_most_streams_makes_room() {
        let shared = Shared::default();
        let one = || vec![watched("a", Right::Viewer)];
        let mut other = shared.join("tom", one()).unwrap();
        let mut crowd: Vec<_> = (1..VIEWERS_MAX).map(|_| shared.join("ana", one()).unwrap()).collect();
        let _new = shared.join("eva", one()).unwrap();
        assert!(!crowd[0].changed().await, "the oldest of ana's streams ends");
        assert_eq!(shared.lock().viewers(), VIEWERS_MAX);
        shared.show(vec![(watched("a", Right::Viewer), markup("1"))]);
        assert!(other.changed().await && crowd[1].changed().await);
    }

    #[test]
    fn the_number_of_different_fragments_is_bounded() {
        let shared = Shared::default();
        let of = |number: usize| Watched { key: Key { name: "a", of: number.to_string() }, right: Right::Viewer };
        let _full = shared.join("ana", (0..WATCHED_MAX).map(of).collect()).unwrap();
        assert!(shared.join("tom", vec![of(WATCHED_MAX)]).is_none());
        assert!(shared.join("tom", vec![of(0)]).is_some());
    }
}
