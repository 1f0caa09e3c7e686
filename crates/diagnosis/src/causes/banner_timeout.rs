//! `banner-timeout`: TCP is established and no 220 comes within the timeout: an overloaded server, a tarpit, or a
//! DNS lookup of the client that hangs. Logs: "conversation timed out while receiving the initial server greeting".

use protocol::smtp::Phase;

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    local_service,
    remedy::{destination, exim, gatepost, here, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::BannerTimeout,
    does: "does not send its greeting in time",
    likelihood,
    remedies: &[
        local_service::LISTENER,
        here("Find what intercepts outgoing SMTP near {us}: a virus scanner for mail, a firewall that inspects SMTP, or the provider. Compare with a connection from another network.").everywhere(),
        here("Check the port that {us} sends to: a server that begins TLS at once (port 465) sends no greeting, and neither does one that is not a mail server."),
        destination("Find what delays the greeting: reverse DNS lookups, a tarpit, deny list lookups or load.").local(false),
        gatepost("Set `banner` in `[connector.timeouts]` of this connector to a longer time (RFC 5321 asks for 5 minutes)."),
        postfix("Set `smtp_helo_timeout` to 300s or more (RFC 5321 asks for 5 minutes)."),
        exim("Set `command_timeout` of the transport to 5m or more (RFC 5321 asks for 5 minutes)."),
        sender("Check how long {us} waits for a greeting (RFC 5321 asks for 5 minutes)."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.phase == Some(Phase::Banner) && s.has(Sign::TimedOut) { 0.95 } else { 0.0 }
}
