//! `rejected-by-policy`: The destination rejects mail by its own rules: content, sender, deny list. Replies: 5.7.1, 554
//! after the content, "blocked using …".

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{destination, exchange, exim, gatepost, here, postfix, sender},
};

/// Signs of the name in EHLO.
const HELO: &[Sign] = &[Sign::HeloRejected, Sign::ReverseDnsRejected];
/// Signs of the rule, each with remedies of its own.
const REASONED: &[Sign] = &[
    Sign::HeloRejected,
    Sign::ReverseDnsRejected,
    Sign::SpfFailed,
    Sign::DkimFailed,
    Sign::DmarcFailed,
    Sign::AddressListed,
    Sign::SenderRejected,
    Sign::SpamFound,
    Sign::VirusFound,
];

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::RejectedByPolicy,
    does: "rejects mail by its own policy",
    likelihood,
    remedies: &[
        here("Look at the message itself: the destination found a virus or spam in it. Find out which account or device sent it. If the verdict is wrong, send the whole reply to the destination or its filter maker.").on(&[Sign::SpamFound, Sign::VirusFound]),
        gatepost("Set `name` in `[node]` to the name that reverse DNS gives for the sending address, and publish an address record for it.").on(HELO),
        postfix("Set `smtp_helo_name` (or `myhostname`) to the name that reverse DNS gives for the sending address, and publish an address record for it.").on(HELO),
        exchange("Set the name that reverse DNS gives for the sending address: `Set-SendConnector NAME -Fqdn mail.example.com`.").on(HELO),
        exim("Set `primary_hostname`, or `helo_data` of the transport, to the name that reverse DNS gives for the sending address.").on(HELO),
        sender("Announce a name in EHLO that reverse DNS gives for the sending address and that has an address record.").on(HELO),
        here("Ask the provider of the sending address for a reverse DNS name (PTR), and publish an address record for the same name.").on(&[Sign::ReverseDnsRejected]),
        here("Add the sending address to the SPF record of the sender's domain. For forwarded mail, rewrite the envelope sender (SRS).").on(&[Sign::SpfFailed]),
        here("Sign mail with DKIM in the name of the sender's domain, and check that nothing changes messages after they are signed.").on(&[Sign::DkimFailed, Sign::DmarcFailed]),
        here("Find out why the sending address is listed (a compromised account, an open relay, a shared address). Fix that first, then ask the list that the reply names for removal.").on(&[Sign::AddressListed]),
        here("Check that the sender's domain exists and has MX or address records.").on(&[Sign::SenderRejected]),
        destination("Allow the sender's addresses. A gateway that relays mail sends it from its own address, not from that of the author.").unless(REASONED),
        here("Read the reply: it names the rule, and often a page or an address to write to.").unless(REASONED),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    match () {
        () if s.signs.any(&[Sign::RecipientUnknown, Sign::AuthenticationRequired, Sign::Greylisted]) => 0.0,
        () if s.signs.any(REASONED) => 0.88,
        () if s.has(Sign::PolicyRejection) && s.code.is_some() => 0.85,
        () if s.is_permanent() && s.is_enhanced(7, 1) => 0.7,
        () if s.code == Some(554) => 0.5,
        () => 0.0,
    }
}
