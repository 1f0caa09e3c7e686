//! Places for open connections: a maximum in total and a lower one per client. A new connection always gets a place. If none
//! is free, the client with the most connections loses one, first one on which no request is being worked on. So idle
//! clients, slow readers and half requests cost only their own client.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use net::serve::Prefixes;
use tokio::task::AbortHandle;

const CONNECTIONS_MAX: usize = 100;
/// Enough for a proxy on the same machine that forwards all requests.
const CONNECTIONS_PER_CLIENT_MAX: usize = 50;

pub(super) struct Places {
    prefixes: Prefixes,
    /// Places in use, the oldest first.
    taken: VecDeque<Place>,
}

struct Place {
    client: IpAddr,
    connection: AbortHandle,
    work: Work,
}

/// What a connection is used for.
#[derive(Clone, Default, Debug)]
pub(super) struct Work(Arc<Doing>);

#[derive(Default, Debug)]
struct Doing {
    /// A request is being worked on: its header has arrived, and its answer is not ready.
    request: AtomicBool,
    /// The answer is a stream of events. People's browsers keep one open each, and `Live` limits their number: such a
    /// connection counts no more here, and does not lose its place.
    stream: AtomicBool,
}

/// Work that goes on until this is dropped.
pub(super) struct Working(Work);

/// A stream that goes on until this is dropped.
pub(super) struct Streaming(Work);

impl Work {
    pub(super) fn begin(&self) -> Working {
        self.0.request.store(true, Ordering::Relaxed);
        Working(self.clone())
    }

    pub(super) fn stream(&self) -> Streaming {
        self.0.stream.store(true, Ordering::Relaxed);
        Streaming(self.clone())
    }

    fn is_going_on(&self) -> bool {
        self.0.request.load(Ordering::Relaxed)
    }

    fn is_stream(&self) -> bool {
        self.0.stream.load(Ordering::Relaxed)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.request.store(false, Ordering::Relaxed);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.0.stream.store(false, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, taken: VecDeque::new() }
    }

    pub(super) fn take(&mut self, address: IpAddr, connection: AbortHandle, work: Work) {
        let client = self.prefixes.client(address);
        self.taken.retain(|place| !place.connection.is_finished());
        if let Some(place) = self.displaced_by(client).and_then(|at| self.taken.remove(at)) {
            tracing::debug!(client = %place.client, "closed an API connection, because a new one needs its place");
            place.connection.abort();
        }
        self.taken.push_back(Place { client, connection, work });
    }

    /// The place that a new connection of this client needs.
    fn displaced_by(&self, client: IpAddr) -> Option<usize> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::from([(client, 1)]);
        let counted = || self.taken.iter().enumerate().filter(|(_, place)| !place.work.is_stream());
        counted().for_each(|(_, place)| *counts.entry(place.client).or_default() += 1);
        let has_too_many = counts[&client] > CONNECTIONS_PER_CLIENT_MAX;
        if !has_too_many && counted().count() < CONNECTIONS_MAX {
            return None;
        }
        let places = counted().filter(|(_, place)| !has_too_many || place.client == client);
        let first_to_go = |(at, place): &(usize, &Place)| {
            (counts.get(&place.client).copied(), !place.work.is_going_on(), Reverse(*at))
        };
        places.max_by_key(first_to_go).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use tokio::task::JoinSet;

    use super::*;

    /// Connections that stay open until they are displaced.
    struct Crowd {
        places: Places,
        tasks: JoinSet<()>,
    }

    impl Crowd {
        fn new() -> Self {
            Self { places: Places::new(Prefixes { ipv4: 32, ipv6: 64 }), tasks: JoinSet::new() }
        }

        fn open(&mut self, client: u8, work: &Work) -> AbortHandle {
            let connection = self.tasks.spawn(pending::<()>());
            self.places.take(Ipv4Addr::new(192, 0, 2, client).into(), connection.clone(), work.clone());
            connection
        }

        async fn expect_displaced(&mut self, count: usize) {
            for _ in 0..count {
                assert!(self.tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
            }
            tokio::task::yield_now().await;
            assert!(self.tasks.try_join_next().is_none());
        }
    }

    #[tokio::test]
    async fn a_client_with_too_many_connections_loses_its_oldest_idle_one() {
        let (mut crowd, idle) = (Crowd::new(), Work::default());
        let other = crowd.open(2, &idle);
        let busy = Work::default();
        let _working = busy.begin();
        let worked_on = crowd.open(1, &busy);
        let first: Vec<_> = (0..CONNECTIONS_PER_CLIENT_MAX + 1).map(|_| crowd.open(1, &idle)).collect();
        crowd.expect_displaced(2).await;
        assert!(first[0].is_finished() && first[1].is_finished() && !first[2].is_finished());
        assert!(!worked_on.is_finished() && !other.is_finished());
    }

    #[tokio::test]
    async fn the_client_with_the_most_connections_makes_room() {
        let (mut crowd, idle) = (Crowd::new(), Work::default());
        let busy = Work::default();
        let _working = busy.begin();
        let patient = crowd.open(9, &idle);
        let crowded: Vec<_> = (0..40).map(|_| crowd.open(1, &busy)).collect();
        let others: Vec<_> = (0..59).map(|client| crowd.open(100 + client, &idle)).collect();
        let new: Vec<_> = (0..20).map(|client| crowd.open(10 + client, &idle)).collect();
        crowd.expect_displaced(20).await;
        assert!(crowded[..20].iter().all(AbortHandle::is_finished) && !crowded[20].is_finished());
        assert!(others.iter().chain(&new).chain([&patient]).all(|connection| !connection.is_finished()));
        // Those of a client that opens more and more are its own.
        let flood: Vec<_> = (0..500).map(|_| crowd.open(1, &idle)).collect();
        crowd.expect_displaced(500).await;
        assert!(others.iter().chain(&new).chain([&patient]).all(|connection| !connection.is_finished()));
        assert!(!flood[499].is_finished());
    }

    #[test]
    fn work_ends_with_its_answer() {
        let work = Work::default();
        let (working, streaming) = (work.begin(), work.stream());
        assert!(work.is_going_on() && work.is_stream());
        drop(working);
        assert!(!work.is_going_on() && work.is_stream());
        drop(streaming);
        assert!(!work.is_stream());
    }

    #[tokio::test]
    async fn streams_of_events_neither_lose_their_places_nor_count() {
        let (mut crowd, idle, watched) = (Crowd::new(), Work::default(), Work::default());
        let streaming = watched.stream();
        let streams: Vec<_> = (0..CONNECTIONS_MAX + 1).map(|_| crowd.open(1, &watched)).collect();
        let others: Vec<_> = (0..CONNECTIONS_PER_CLIENT_MAX).map(|_| crowd.open(1, &idle)).collect();
        crowd.expect_displaced(0).await;
        drop(streaming);
        crowd.open(1, &idle);
        crowd.expect_displaced(1).await;
        assert!(streams[0].is_finished() && others.iter().all(|connection| !connection.is_finished()));
    }
}
