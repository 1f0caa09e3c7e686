//! Places for open connections: a maximum in total and a lower one per client. A new connection always gets a place. If none
//! is free, the oldest connection is closed: an answer takes seconds, so the oldest connection is idle or stuck.

use std::{collections::VecDeque, net::IpAddr};

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
}

impl Places {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, taken: VecDeque::new() }
    }

    pub(super) fn take(&mut self, address: IpAddr, connection: AbortHandle) {
        let client = self.prefixes.client(address);
        self.taken.retain(|place| !place.connection.is_finished());
        let of_client = self.taken.iter().filter(|place| place.client == client).count();
        let displaced = if of_client >= CONNECTIONS_PER_CLIENT_MAX {
            self.taken.iter().position(|place| place.client == client)
        } else {
            (self.taken.len() >= CONNECTIONS_MAX).then_some(0)
        };
        if let Some(place) = displaced.and_then(|at| self.taken.remove(at)) {
            tracing::debug!(client = %place.client, "closed the oldest API connection, because a new one needs its place");
            place.connection.abort();
        }
        self.taken.push_back(Place { client, connection });
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_the_oldest() {
        let mut places = Places::new(Prefixes { ipv4: 32, ipv6: 64 });
        let mut tasks = JoinSet::new();
        let mut open = |client: u8| {
            let connection = tasks.spawn(pending::<()>());
            places.take(Ipv4Addr::new(192, 0, 2, client).into(), connection.clone());
            connection
        };
        let first: Vec<_> = (0..=CONNECTIONS_PER_CLIENT_MAX).map(|_| open(1)).collect();
        let others: Vec<_> =
            (0..=CONNECTIONS_MAX - CONNECTIONS_PER_CLIENT_MAX).map(|client| open(2 + client as u8)).collect();
        for _ in 0..2 {
            assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
        }
        assert!(first[0].is_finished() && first[1].is_finished() && !first[2].is_finished());
        assert!(others.iter().all(|connection| !connection.is_finished()));
    }
}
