//! Counts open connections, in all and by client address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::Limits;

#[derive(Default)]
pub(super) struct Clients(Mutex<(usize, HashMap<IpAddr, usize>)>);

/// One counted connection.
pub(super) struct Counted {
    clients: Arc<Clients>,
    client: IpAddr,
    /// False once a parked connection has taken the count over.
    counts: bool,
}

impl Clients {
    /// `None` when a limit is reached.
    pub(super) fn count(self: &Arc<Self>, client: IpAddr, limits: Limits) -> Option<Counted> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_client) = &mut *guard;
        let of_client = by_client.entry(client).or_default();
        if *total >= limits.connections_max || *of_client >= limits.connections_per_client_max {
            if *of_client == 0 {
                by_client.remove(&client);
            }
            return None;
        }
        *of_client += 1;
        *total += 1;
        Some(self.resume(client))
    }

    /// Takes over the count of a connection that was parked.
    pub(super) fn resume(self: &Arc<Self>, client: IpAddr) -> Counted {
        Counted { clients: Arc::clone(self), client, counts: true }
    }
}

impl Counted {
    /// Leaves the count to a parked connection, which is smaller than this.
    pub(super) fn park(mut self) {
        self.counts = false;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        let mut guard = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_client) = &mut *guard;
        *total -= 1;
        if let Some(of_client) = by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}
