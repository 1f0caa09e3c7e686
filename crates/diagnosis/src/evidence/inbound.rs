//! Attempts of senders to deliver mail to the system that a source is about.

use std::net::IpAddr;

/// Attempts of the other direction than the evidence is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    pub attempts: u64,
    /// Those of them that failed.
    pub failed: u64,
}

impl LeftOut {
    pub(super) fn count(&mut self, has_failed: bool) {
        self.attempts += 1;
        self.failed += u64::from(has_failed);
    }
}

/// What the hosts of one sender have in common: large senders connect from hundreds of hosts, whose names differ in the
/// first label only. An address, and a name that would lose its own domain, stay whole.
pub(super) fn sender_group(host: &str) -> &str {
    let Some((_, domain)) = host.split_once('.').filter(|_| host.parse::<IpAddr>().is_err()) else { return host };
    match domain.rsplit_once('.') {
        // `mail.co.uk`: the rest is not a domain of a sender.
        Some((second, top)) if !second.contains('.') && second.len() <= 3 && top.len() == 2 => host,
        Some(_) => domain,
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_sender_are_one_group() {
        for (host, group) in [
            ("mail-am6eur05on2062.outbound.protection.outlook.test", "outbound.protection.outlook.test"),
            ("mx.sender.test", "sender.test"),
            ("sender.test", "sender.test"),
            ("mx1.firm.co.uk", "firm.co.uk"),
            ("firm.co.uk", "firm.co.uk"),
            ("192.0.2.9", "192.0.2.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(sender_group(host), group, "{host}");
        }
    }
}
