//! Which of a host's addresses mail tries, in which order, and which failure counts if all of them fail. Delivery and probe
//! both ask here, so that a probe tries the same addresses as delivery.

use std::net::IpAddr;

use protocol::smtp::{Failure, FailureKind, Phase};

/// Maximum number of addresses of one host in one attempt.
const ADDRESSES_MAX: usize = 3;

/// The addresses that one attempt tries, in order.
pub fn in_order(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut ordered = interleave(addresses);
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// All addresses of a host in order: IPv6 and IPv4 alternate, so that a broken path of one family costs one connection (RFC
/// 8305 section 4, without the race).
pub fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut four = four.into_iter();
    let mut ordered = Vec::with_capacity(six.len() + four.len());
    for address in six {
        ordered.push(address);
        ordered.extend(four.next());
    }
    ordered.extend(four);
    ordered
}

/// Of several failures, the one with the highest rank counts, and of equals the first: a temporary failure ranks above a
/// permanent one, and a later phase above an earlier one. That no route leads to an address says nothing of the
/// destination: many hosts have IPv6 addresses, and many networks have no IPv6.
pub fn rank(failure: &Failure) -> (bool, Phase, bool) {
    (!failure.is_permanent(), failure.phase, failure.kind != FailureKind::NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_route_counts_least_in_its_phase() {
        let failure = |phase, kind| Failure::new(phase, kind);
        let unreachable = failure(Phase::Connect, FailureKind::NetworkUnreachable);
        let refused = failure(Phase::Connect, FailureKind::ConnectionRefused);
        let unresolved = failure(Phase::Resolve, FailureKind::HostNotFound);
        assert!(rank(&unresolved) < rank(&unreachable) && rank(&unreachable) < rank(&refused));
    }

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
        let table = [
            (vec!["192.0.2.1", "192.0.2.2", "2001:db8::1"], vec!["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
            (vec!["2001:db8::1", "2001:db8::2", "192.0.2.1"], vec!["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
            (vec![], vec![]),
        ];
        for (addresses, expected) in table {
            assert_eq!(interleave(parse(&addresses)), parse(&expected));
        }
        let five = parse(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "2001:db8::1"]);
        assert_eq!(in_order(five), parse(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]));
    }
}
