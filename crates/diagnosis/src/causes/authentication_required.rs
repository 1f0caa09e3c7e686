//! `authentication-required`: The destination requires authentication on this port. Replies: 530 5.7.0 or 5.7.1
//! "authentication required", 454 4.7.0, "unable to relay".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, postfix, sender},
};

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::AuthenticationRequired,
    does: "requires authentication from this gateway",
    likelihood,
    remedies: &[
        destination(
            "Accept mail from the sender's addresses without authentication (Exchange: an anonymous receive connector limited to those addresses).",
        ),
        gatepost("Set `port` of the connector to 25. Submission ports such as 587 require authentication."),
        postfix("Set `smtp_sasl_auth_enable = yes` with `smtp_sasl_password_maps`, or deliver to port 25."),
        exchange(
            "Between Exchange servers, enable Exchange Server authentication (`Set-ReceiveConnector NAME -AuthMechanism Tls,ExchangeServer`) and let no firewall inspect SMTP. To a smart host, set `-SmartHostAuthMechanism` of `Set-SendConnector`.",
        ),
        exim("Add a client authenticator and `hosts_require_auth` to the transport, or deliver to port 25."),
        sender("Deliver to port 25, or set the user name and password that the destination has given you."),
    ],
    check: Check::Probe,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.has(Sign::AuthenticationRequired) => 0.92,
        () if matches!(s.code, Some(530 | 535)) && !s.has(Sign::StartTlsRequiredThere) => 0.85,
        () if s.is_enhanced(7, 57) => 0.9,
        () => 0.0,
    }
}
