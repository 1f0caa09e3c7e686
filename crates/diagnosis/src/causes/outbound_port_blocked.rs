//! `outbound-port-blocked`: No connection to any unrelated destination succeeds: a firewall or virus scanner on this
//! side, or the provider, blocks outgoing connections to the port. One destination alone never shows it.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Symptom},
    remedy::{exchange, exim, gatepost, network, postfix, sender},
};

const LINUX: &str = "Check that the firewall and any virus scanner on {us} allow outgoing connections to the mail port (`nft list ruleset`, `iptables -S OUTPUT`).";

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::OutboundPortBlocked,
    does: "cannot be reached, because outgoing connections are blocked on this side",
    likelihood,
    remedies: &[
        exchange(
            "Check that the firewall and any virus scanner on {us} allow outgoing connections to the mail port (`Get-NetFirewallRule -Direction Outbound -Action Block -Enabled True`; many scanners have a rule of their own against mass mail).",
        ),
        sender(
            "Check that the firewall and any virus scanner on {us} allow outgoing connections to the mail port (on Linux: `nft list ruleset`, `iptables -S OUTPUT`).",
        ),
        gatepost(LINUX),
        postfix(LINUX),
        exim(LINUX),
        network("Ask the provider of the sending address whether it blocks outgoing port 25, and have it opened."),
        gatepost("If the port stays blocked, set `hosts` and `port` of the connector to the provider's smart host."),
        postfix(
            "If the port stays blocked, send through the provider's smart host: `relayhost = [smtp.provider.example]:587`, with `smtp_sasl_auth_enable = yes` and `smtp_tls_security_level = encrypt`.",
        ),
        exchange(
            "If the port stays blocked, send through the provider's smart host: `Set-SendConnector NAME -DNSRoutingEnabled $false -SmartHosts smtp.provider.example -Port 587`.",
        ),
        exim(
            "If the port stays blocked, send through the provider's smart host: a `manualroute` router to it, with port 587 and a client authenticator on the transport.",
        ),
        sender("If the port stays blocked, send through the provider's smart host on port 587."),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::Address],
};

/// Only all destinations together show it.
fn likelihood(_: &Symptom) -> f64 {
    0.0
}
