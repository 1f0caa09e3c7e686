//! Clients that come and do nothing. Once is a scanner, a monitor or a test; again and again, a sender fails.

use std::net::IpAddr;

use crate::open_messages::OpenMessages;

/// This number of sessions without mail, and no mail between them, are a failure.
const SESSIONS_MIN: usize = 3;

/// By address: what shows such sessions, until there are enough of them.
pub(crate) struct QuietClients<T>(OpenMessages<Quiet<T>>);

struct Quiet<T> {
    told: Vec<T>,
    are_enough: bool,
}

impl<T> Default for Quiet<T> {
    fn default() -> Self {
        Self { told: Vec::new(), are_enough: false }
    }
}

impl<T> QuietClients<T> {
    pub(crate) fn new() -> Self {
        Self(OpenMessages::new())
    }

    /// One more such session. Returns what shows all that are failures and were not returned before.
    pub(crate) fn add(&mut self, client: &str, tells: T) -> Vec<T> {
        let quiet = self.0.entry(client);
        quiet.told.push(tells);
        quiet.are_enough |= quiet.told.len() >= SESSIONS_MIN;
        if quiet.are_enough { std::mem::take(&mut quiet.told) } else { Vec::new() }
    }

    /// The client handed mail in.
    pub(crate) fn forget(&mut self, client: &str) {
        if !self.0.is_empty() {
            self.0.remove(client);
        }
    }
}

/// An address of this machine, or of a private network (RFC 1918, RFC 4193): one's own monitors have such.
pub(crate) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_count_from_the_third_on_unless_mail_comes_between() {
        let mut clients = QuietClients::new();
        let (a, b) = ("192.0.2.1", "2001:db8::1");
        let told: Vec<Vec<u32>> =
            [(a, 1), (b, 2), (a, 3), (a, 4), (a, 5)].map(|(client, n)| clients.add(client, n)).into();
        assert_eq!(told, [vec![], vec![], vec![], vec![1, 3, 4], vec![5]]);
        clients.forget(a);
        assert_eq!(clients.add(a, 6), Vec::<u32>::new());
    }
}
