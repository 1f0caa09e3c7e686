//! `pipelining-broken`: The server announces PIPELINING and fails if commands arrive together: it acts on QUIT first
//! and closes, or answers 503 out of order.

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::PipeliningBroken,
    does: "announces PIPELINING and fails when commands arrive together",
    likelihood,
    remedies: &[
        destination("Update the server or the device in front of it, or stop announcing PIPELINING."),
        gatepost("Do not use it with this destination: set `pipelining = false` on its connector."),
        postfix(
            "Do not use it with this host: set `smtp_discard_ehlo_keywords = pipelining`, or only for its address in `smtp_discard_ehlo_keyword_address_maps`.",
        ),
        exim("Do not use it with this host: add it to `hosts_avoid_pipelining` of the transport."),
        sender("Do not use PIPELINING with this host."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    let is_cut = s.signs.any(&[Sign::ConnectionClosed, Sign::ConnectionReset]);
    match () {
        () if s.has(Sign::PipeliningBroken) => 0.9,
        // Senders send RCPT together with the command after it; a server that cannot do that closes without a reply.
        () if s.phase == Some(Phase::Rcpt) && is_cut && s.code.is_none() => 0.45,
        () => 0.0,
    }
}
