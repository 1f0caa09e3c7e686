//! `dns-failure`: The destination's name cannot be resolved. Logs: "Host not found", "DNS query failed", Exchange 450
//! 4.4.312, `InfoDomainNonexistent`. A name that does not exist and name servers that fail look alike to mail: both
//! wait.

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, here, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::DnsFailure,
    does: "cannot be found in DNS",
    likelihood,
    remedies: &[
        here("Ask the author of the message first whether {domain} is spelt right: there is no such name.")
            .on(&[Sign::HostNotFound])
            .outbound(),
        destination(
            "Ask each name server of {domain} (`dig +trace NS {domain}`, then `dig @SERVER MX {domain}`), and tell its administrator which of them do not answer or answer SERVFAIL.",
        )
        .on(&[Sign::DnsFailed])
        .unless(&[Sign::HostNotFound, Sign::LocalResolver]),
        here("Start or replace the resolver that {us} uses: it finds no domain at all.").everywhere(),
        gatepost("Look up the name on this node, and check `servers` in `[dns]` and `hosts` of the connector."),
        postfix(
            "Look up the name (`dig MX {domain}`), and compare `/etc/resolv.conf` with the copy in the chroot (`/var/spool/postfix/etc/resolv.conf`).",
        ),
        exchange(
            "Look up the name (`Resolve-DnsName -Type MX {domain}`), and check which DNS servers Exchange asks (`Get-TransportService | fl *DNS*`).",
        ),
        exim("Look up the name as Exim does (`exim -bt postmaster@{domain}`), and check `/etc/resolv.conf`."),
        sender("Look up the name on {us}, and check its resolver."),
        destination("Publish MX and address records, and check that the name servers answer.")
            .unless(&[Sign::DnsFailed, Sign::LocalResolver]),
    ],
    check: Check::Dns,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.signs.any(&[Sign::DnsFailed, Sign::LocalResolver]) => 0.95,
        () if s.has(Sign::HostNotFound) => 0.9,
        () if s.is_enhanced(4, 312) => 0.85,
        () if s.phase == Some(Phase::Resolve) => 0.5,
        () => 0.0,
    }
}
