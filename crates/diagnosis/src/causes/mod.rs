//! The cause catalogue: one file each, with how it looks on the wire and in logs, how sure a symptom makes us, and what
//! to do. Ids are stable.

mod authentication_required;
mod banner_timeout;
mod cause;
mod certificate_expired;
mod certificate_name_mismatch;
mod certificate_untrusted;
mod certificate_weak;
mod client_certificate_required;
mod connection_dropped_before_banner;
mod connection_refused;
mod connection_timed_out;
mod dane_failed;
mod destination_overloaded;
mod dns_failure;
mod greylisted;
mod handshake_reset;
mod handshake_timeout;
mod hang_after_handshake;
mod id;
mod mail_loop;
mod mailbox_full;
mod message_too_large;
mod mta_sts_failed;
mod network_unreachable;
mod no_shared_cipher;
mod no_shared_tls_version;
mod queue_expired;
mod rate_limited;
mod recipient_unknown;
mod rejected_by_policy;
mod size_dependent_stall;
mod starttls_masked;
mod starttls_not_offered;
mod starttls_refused;
mod starttls_required;
mod unknown;
mod weak_dh;

use crate::evidence::Symptom;
pub use cause::{Aspect, Cause, Check, Remedy, Side};
pub use id::{CauseId, NotACause, Reach};

/// Of equally likely ones, the first is told: what is more particular stands first.
pub static CATALOGUE: [Cause; 35] = [
    dns_failure::CAUSE,
    connection_refused::CAUSE,
    connection_timed_out::CAUSE,
    network_unreachable::CAUSE,
    connection_dropped_before_banner::CAUSE,
    banner_timeout::CAUSE,
    greylisted::CAUSE,
    rate_limited::CAUSE,
    destination_overloaded::CAUSE,
    recipient_unknown::CAUSE,
    mailbox_full::CAUSE,
    message_too_large::CAUSE,
    rejected_by_policy::CAUSE,
    authentication_required::CAUSE,
    mail_loop::CAUSE,
    starttls_required::CAUSE,
    starttls_not_offered::CAUSE,
    starttls_masked::CAUSE,
    starttls_refused::CAUSE,
    no_shared_tls_version::CAUSE,
    no_shared_cipher::CAUSE,
    handshake_reset::CAUSE,
    handshake_timeout::CAUSE,
    certificate_expired::CAUSE,
    certificate_untrusted::CAUSE,
    certificate_name_mismatch::CAUSE,
    certificate_weak::CAUSE,
    client_certificate_required::CAUSE,
    weak_dh::CAUSE,
    hang_after_handshake::CAUSE,
    dane_failed::CAUSE,
    mta_sts_failed::CAUSE,
    size_dependent_stall::CAUSE,
    queue_expired::CAUSE,
    unknown::CAUSE,
];

impl Symptom {
    /// The cause that explains it best, and how likely it makes it.
    pub(crate) fn cause(&self) -> (&'static Cause, f64) {
        let judged = CATALOGUE.iter().map(|cause| (cause, (cause.likelihood)(self)));
        // `max_by` keeps the last of equals, so the order is turned round.
        judged.rev().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((CauseId::Unknown.cause(), 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_the_order_of_the_ids_and_every_cause_says_what_to_do() {
        for (place, cause) in CATALOGUE.iter().enumerate() {
            assert_eq!(CauseId::ALL.get(place), Some(&cause.id));
            assert!(!cause.remedies.is_empty() && !cause.does.is_empty(), "{}", cause.id);
        }
        assert_eq!(CATALOGUE.len(), CauseId::ALL.len());
    }
}
