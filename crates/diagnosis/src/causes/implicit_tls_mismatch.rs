//! `implicit-tls-mismatch`: One side begins TLS at once where the other expects plain SMTP with STARTTLS, or the other
//! way round. Logs: "wrong version number" on port 587; a greeting that never comes on port 465.

use super::{
    cause::{Aspect, Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::ImplicitTlsMismatch,
    does: "and the sender disagree on whether TLS begins at once or with STARTTLS",
    likelihood,
    remedies: &[
        gatepost(
            "In `hosts` or `port` of the connector, set a port with STARTTLS, such as 25. Gatepost does not begin TLS at once, as port 465 expects.",
        ),
        postfix(
            "For port 465, set `smtp_tls_wrappermode = yes` and `smtp_tls_security_level = encrypt`. For ports 25 and 587, set `smtp_tls_wrappermode = no`.",
        ),
        exchange(
            "Use a port with STARTTLS (25 or 587): `Set-SendConnector NAME -Port 587`. A send connector cannot begin TLS at once, as port 465 expects.",
        ),
        exim("For port 465, set `protocol = smtps` on the transport. For ports 25 and 587, set `protocol = smtp`."),
        sender("Begin TLS at once on port 465 only. On ports 25 and 587, use STARTTLS."),
        destination(
            "Check that the server speaks plain SMTP on ports 25 and 587, and TLS from the first byte on port 465 only.",
        ),
    ],
    check: Check::Probe,
    cured_by: &[Aspect::TlsAtOnce],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::NotTls) { 0.9 } else { 0.0 }
}
