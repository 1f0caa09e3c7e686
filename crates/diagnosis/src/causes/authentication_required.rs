//! `authentication-required`: The destination requires authentication on this port. Replies: 530 5.7.0 or 5.7.1
//! "authentication required", 454 4.7.0, "unable to relay".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{System, destination, exchange, exim, gatepost, here, postfix, sender},
};

/// The recipient's domain may simply not be the destination's.
const RELAY: &[Sign] = &[Sign::RelayDenied];
/// A login was tried, or the recipient's domain may not be the destination's.
const RELAY_OR_LOGIN: &[Sign] = &[Sign::RelayDenied, Sign::LoginRefused];

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::AuthenticationRequired,
    does: "does not accept this mail without a valid login",
    likelihood,
    remedies: &[
        destination(
            "Change nothing if the client is a stranger: the refusal keeps this server from relaying for others. If it is yours, let it log in on the submission port, or add its address to those that may relay.",
        )
        .inbound(),
        here("Look up where mail for {domain} goes now (`dig MX {domain}`), and correct the route to it: the destination does not take mail for this domain from strangers.").on(RELAY).outbound(),
        postfix("Compare the answer with `transport_maps` and `relayhost`.").on(RELAY),
        destination("If {domain} belongs to this server, add it to the domains that it accepts (Postfix: `relay_domains` or `virtual_mailbox_domains`; Exchange: `New-AcceptedDomain`).").on(RELAY).outbound(),
        destination(
            "Between Exchange servers, enable Exchange Server authentication on the receive connector beside what it has already (`Get-ReceiveConnector NAME | fl AuthMechanism`, then `Set-ReceiveConnector NAME -AuthMechanism` with all of it and `ExchangeServer`), and let no firewall inspect SMTP.",
        )
        .of(System::Exchange)
        .outbound(),
        destination(
            "Accept mail from the sender's addresses without authentication (Exchange: an anonymous receive connector limited to those addresses).",
        )
        .unless(RELAY_OR_LOGIN)
        .outbound(),
        gatepost("Set `port` of the connector to 25. Submission ports such as 587 require authentication.").unless(RELAY),
        postfix("If the destination is your provider's server, check the user name and the password in `smtp_sasl_password_maps`, that `smtp_sasl_auth_enable` is `yes`, and that the account may use SMTP AUTH. Otherwise deliver to port 25."),
        exchange("To a smart host, set `-SmartHostAuthMechanism` and the credentials of `Set-SendConnector`."),
        exim("If the destination is your provider's server, add a client authenticator and `hosts_require_auth` to the transport. Otherwise deliver to port 25."),
        sender("If the destination is your provider's server, check the user name and the password that it has given you. Otherwise deliver to port 25.").outbound(),
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
