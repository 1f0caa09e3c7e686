//! Counts open connections, in total and for each client. A client is a network, because one machine can use very many
//! IPv6 addresses.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::{Duration, Instant};

use super::Limits;

/// Number of leading bits of an address that identify one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefixes {
    pub ipv4: u32,
    pub ipv6: u32,
}

impl Prefixes {
    /// The client of this address, as the first address of its network.
    pub fn client(self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.ipv4)).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.ipv6)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        }
    }
}

/// One connection in this many is reserved for clients that have no connection yet.
const SHARE_OF_NEW_CLIENTS: usize = 10;

/// Minimum interval between log lines about refused connections, because strangers decide how many there are.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// The open connections of all listeners.
pub(super) struct Clients {
    prefixes: Prefixes,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
    /// When a refusal was last logged, and the number of refusals since then.
    refused: Mutex<(Option<Instant>, u64)>,
}

/// One counted connection.
pub(super) struct Counted {
    clients: Arc<Clients>,
    client: IpAddr,
    /// False once a parked connection has taken over the count.
    counts: bool,
}

impl Clients {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, open: Mutex::default(), refused: Mutex::default() }
    }

    /// `None` when a limit is reached.
    pub(super) fn count(self: &Arc<Self>, address: IpAddr, limits: Limits) -> Option<Counted> {
        let client = self.prefixes.client(address);
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_client) = &mut *guard;
        let of_client = by_client.get(&client).copied().unwrap_or_default();
        let reserved = if of_client == 0 { 0 } else { limits.connections_max / SHARE_OF_NEW_CLIENTS };
        if *total >= limits.connections_max - reserved || of_client >= limits.connections_per_client_max {
            return None;
        }
        by_client.insert(client, of_client + 1);
        *total += 1;
        Some(Counted { clients: Arc::clone(self), client, counts: true })
    }

    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes over the count of a connection that was parked.
    pub(super) fn resume(self: &Arc<Self>, address: IpAddr) -> Counted {
        Counted { clients: Arc::clone(self), client: self.prefixes.client(address), counts: true }
    }

    /// Notes a refused connection. If it is time to log, returns the number of refusals since the last log line.
    pub(super) fn complain(&self) -> Option<u64> {
        let mut guard = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, count) = &mut *guard;
        *count += 1;
        if last.is_some_and(|last| last.elapsed() < COMPLAINT_INTERVAL) {
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(count))
    }
}

impl Counted {
    /// Passes the count to a parked connection, which needs less memory.
    pub(super) fn park(mut self) {
        self.counts = false;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        let mut guard = self.clients.open.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIXES: Prefixes = Prefixes { ipv4: 32, ipv6: 64 };

    fn limits(connections_max: usize, connections_per_client_max: usize) -> Limits {
        let session_max = Duration::from_secs(1);
        Limits { connections_max, connections_per_client_max, session_max, data_rate_min: 1 }
    }

    /// Connections that are taken of each address in turn.
    fn taken(clients: &Arc<Clients>, addresses: impl Iterator<Item = IpAddr>, limits: Limits) -> Vec<Counted> {
        addresses.filter_map(|address| clients.count(address, limits)).collect()
    }

    fn ipv6(network: u16, host: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host).into()
    }

    #[test]
    fn a_client_is_a_network() {
        for (prefixes, address, client) in [
            (PREFIXES, "2001:db8:0:1:2:3:4:5", "2001:db8:0:1::"),
            (PREFIXES, "192.0.2.77", "192.0.2.77"),
            (PREFIXES, "::ffff:192.0.2.77", "192.0.2.77"),
            (Prefixes { ipv4: 24, ipv6: 48 }, "192.0.2.77", "192.0.2.0"),
            (Prefixes { ipv4: 24, ipv6: 48 }, "2001:db8:1:2::1", "2001:db8:1::"),
            (Prefixes { ipv4: 1, ipv6: 128 }, "192.0.2.77", "128.0.0.0"),
            (Prefixes { ipv4: 1, ipv6: 128 }, "2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(prefixes.client(address.parse().unwrap()), client.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    /// However many addresses it uses.
    #[test]
    fn a_client_reaches_its_limit_and_others_do_not() {
        let clients = Arc::new(Clients::new(PREFIXES));
        let limits = limits(1000, 20);
        let mut open = taken(&clients, (0..10_000).map(|host| ipv6(1, host)), limits);
        assert_eq!(open.len(), 20);
        assert!(clients.count(ipv6(2, 1), limits).is_some());
        open.pop();
        assert!(clients.count(ipv6(1, 30_000), limits).is_some(), "a place that became free");
        assert!(clients.complain() == Some(1) && clients.complain().is_none(), "the log has one refusal a second");
    }

    /// Clients that take all they can leave a tenth to those that have nothing yet.
    #[test]
    fn new_clients_have_a_share_of_their_own() {
        let clients = Arc::new(Clients::new(PREFIXES));
        let limits = limits(1000, 200);
        let open = taken(&clients, (0..10_000).map(|host| ipv6(host % 50, host)), limits);
        assert_eq!(open.len(), 900);
        let new = taken(&clients, (0..200).map(|network| ipv6(1000 + network, 1)), limits);
        assert_eq!(new.len(), 100);
        assert!(clients.count(ipv6(5000, 1), limits).is_none(), "the limit of all connections holds");
        drop((open, new));
        assert!(clients.open.lock().unwrap().1.is_empty(), "clients without connections are forgotten");
    }

    #[test]
    fn a_parked_connection_stays_counted() {
        let clients = Arc::new(Clients::new(PREFIXES));
        let limits = limits(10, 1);
        clients.count(ipv6(1, 1), limits).unwrap().park();
        assert!(clients.count(ipv6(1, 2), limits).is_none());
        drop(clients.resume(ipv6(1, 1)));
        assert!(clients.count(ipv6(1, 2), limits).is_some());
    }
}
