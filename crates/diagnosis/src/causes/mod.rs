//! The cause catalogue: one file each, with how it looks on the wire and in logs, how sure a symptom makes us, and what
//! to do. Ids are stable.

mod authentication_required;
mod banner_timeout;
mod cause;
mod certificate_expired;
mod certificate_name_mismatch;
mod certificate_untrusted;
mod certificate_weak;
mod choice;
mod client_certificate_required;
mod connection_dropped_before_banner;
mod connection_refused;
mod connection_timed_out;
mod dane_failed;
mod delivered_without_tls;
mod destination_internal_failure;
mod destination_overloaded;
mod dns_failure;
mod domain_takes_no_mail;
mod greylisted;
mod handshake_reset;
mod handshake_timeout;
mod hang_after_handshake;
mod id;
mod implicit_tls_mismatch;
mod local_configuration_error;
mod local_service;
mod local_tls_credentials;
mod mail_loop;
mod mailbox_full;
mod message_too_large;
mod mta_sts_failed;
mod network_unreachable;
mod no_reply_to_message;
mod no_shared_cipher;
mod no_shared_tls_version;
mod of_failure;
mod outbound_port_blocked;
mod own_certificate;
mod pipelining_broken;
mod properties;
mod queue_expired;
mod rate_limited;
mod recipient_unknown;
mod rejected_by_policy;
mod remedy;
mod size_dependent_stall;
mod starttls_masked;
mod starttls_not_offered;
mod starttls_refused;
mod starttls_required;
mod tls_session_ticket_interop;
mod unknown;
mod weak_dh;

use crate::evidence::Symptom;
pub use cause::{Aspect, Cause, Check};
pub use id::{CauseId, NotACause};
pub use of_failure::cause_of;
pub use properties::Reach;
pub(crate) use remedy::{Depth, System};
pub use remedy::{Remedy, Side, Situation};

/// Of equally likely ones, the first is told: what is more particular stands first.
pub static CATALOGUE: [Cause; 45] = [
    dns_failure::CAUSE,
    connection_refused::CAUSE,
    connection_timed_out::CAUSE,
    network_unreachable::CAUSE,
    outbound_port_blocked::CAUSE,
    connection_dropped_before_banner::CAUSE,
    banner_timeout::CAUSE,
    greylisted::CAUSE,
    rate_limited::CAUSE,
    destination_overloaded::CAUSE,
    destination_internal_failure::CAUSE,
    recipient_unknown::CAUSE,
    domain_takes_no_mail::CAUSE,
    mailbox_full::CAUSE,
    message_too_large::CAUSE,
    rejected_by_policy::CAUSE,
    authentication_required::CAUSE,
    mail_loop::CAUSE,
    starttls_required::CAUSE,
    starttls_not_offered::CAUSE,
    starttls_masked::CAUSE,
    starttls_refused::CAUSE,
    implicit_tls_mismatch::CAUSE,
    no_shared_tls_version::CAUSE,
    no_shared_cipher::CAUSE,
    handshake_reset::CAUSE,
    handshake_timeout::CAUSE,
    certificate_expired::CAUSE,
    certificate_untrusted::CAUSE,
    certificate_name_mismatch::CAUSE,
    certificate_weak::CAUSE,
    client_certificate_required::CAUSE,
    local_tls_credentials::CAUSE,
    local_configuration_error::CAUSE,
    weak_dh::CAUSE,
    hang_after_handshake::CAUSE,
    no_reply_to_message::CAUSE,
    pipelining_broken::CAUSE,
    tls_session_ticket_interop::CAUSE,
    dane_failed::CAUSE,
    mta_sts_failed::CAUSE,
    size_dependent_stall::CAUSE,
    delivered_without_tls::CAUSE,
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
    use protocol::smtp::{EnhancedCode, Phase};

    use super::*;
    use crate::evidence::{Sign, Signs};

    #[test]
    fn the_catalogue_is_in_the_order_of_the_ids_and_every_cause_says_what_to_do() {
        for (place, cause) in CATALOGUE.iter().enumerate() {
            assert_eq!(CauseId::ALL.get(place), Some(&cause.id));
            assert!(!cause.remedies.is_empty() && !cause.does.is_empty(), "{}", cause.id);
        }
        assert_eq!(CATALOGUE.len(), CauseId::ALL.len());
    }

    /// A phase alone, or nothing at all, shows no cause.
    #[test]
    fn without_signs_and_codes_no_cause_is_likely() {
        for phase in Phase::ALL.into_iter().map(Some).chain([None]) {
            let symptom = Symptom { phase, ..Symptom::default() };
            for cause in &CATALOGUE {
                let likelihood = (cause.likelihood)(&symptom);
                assert!(likelihood <= 0.5, "{} {likelihood} in {phase:?}", cause.id);
            }
        }
    }

    fn of(phase: Phase, code: u16, enhanced: (u8, u16, u16), signs: &[Sign]) -> Symptom {
        let (class, subject, detail) = enhanced;
        Symptom {
            phase: Some(phase),
            code: (code > 0).then_some(code),
            enhanced: (code > 0).then(|| EnhancedCode::new(class, subject, detail)),
            signs: signs.iter().fold(Signs::default(), |signs, sign| signs.and(*sign)),
            ..Symptom::default()
        }
    }

    #[test]
    fn symptoms_have_their_causes() {
        use Sign::*;
        let none = (0, 0, 0);
        for (phase, code, enhanced, signs, expected) in [
            (Phase::Connect, 0, none, &[LocalConfiguration][..], CauseId::LocalConfigurationError),
            (Phase::Handshake, 0, none, &[LocalConfiguration, HandshakeFailed], CauseId::LocalConfigurationError),
            (Phase::Handshake, 0, none, &[LocalTlsCredentials, HandshakeFailed], CauseId::LocalTlsCredentials),
            (Phase::Handshake, 0, none, &[NotTls, HandshakeFailed], CauseId::ImplicitTlsMismatch),
            (Phase::Handshake, 0, none, &[NotTls, ConnectionClosed, NoServerHello], CauseId::ImplicitTlsMismatch),
            (Phase::EndOfData, 0, none, &[TimedOut], CauseId::NoReplyToMessage),
            (Phase::EndOfData, 421, (4, 4, 2), &[ConnectionClosed], CauseId::NoReplyToMessage),
            (Phase::EndOfData, 451, (4, 3, 0), &[InternalFailure], CauseId::DestinationInternalFailure),
            (Phase::Data, 0, none, &[TimedOut], CauseId::SizeDependentStall),
            (Phase::Mail, 503, (5, 5, 1), &[PipeliningBroken], CauseId::PipeliningBroken),
            (Phase::Rcpt, 451, (4, 3, 0), &[InternalFailure], CauseId::DestinationInternalFailure),
            (Phase::Rcpt, 451, (4, 3, 0), &[], CauseId::DestinationInternalFailure),
            (Phase::Rcpt, 452, (4, 3, 1), &[Overloaded], CauseId::DestinationOverloaded),
            (Phase::Rcpt, 556, (5, 1, 10), &[], CauseId::DomainTakesNoMail),
            (Phase::Rcpt, 550, (5, 1, 10), &[], CauseId::RecipientUnknown),
            (Phase::Resolve, 0, none, &[NullMx], CauseId::DomainTakesNoMail),
            (Phase::Resolve, 0, none, &[LocalResolver], CauseId::DnsFailure),
            (Phase::Handshake, 0, none, &[CipherNotOffered, ServerHelloSeen, AlertHere], CauseId::NoSharedCipher),
            (Phase::Handshake, 0, none, &[ClientCertificateRefused], CauseId::ClientCertificateRequired),
            (Phase::Handshake, 0, none, &[AlertDecodeError, HandshakeFailed], CauseId::TlsSessionTicketInterop),
            (Phase::Handshake, 0, none, &[HandshakeFailed], CauseId::Unknown),
            (Phase::Rcpt, 550, (5, 7, 1), &[HeloRejected], CauseId::RejectedByPolicy),
            (Phase::EndOfData, 554, (5, 7, 1), &[VirusFound], CauseId::RejectedByPolicy),
            (Phase::Mail, 553, (5, 1, 8), &[SenderRejected], CauseId::RejectedByPolicy),
        ] {
            let (cause, _) = of(phase, code, enhanced, signs).cause();
            assert_eq!(cause.id, expected, "{phase} {code} {signs:?}");
        }
    }
}
