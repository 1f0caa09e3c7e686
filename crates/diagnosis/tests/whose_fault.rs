//! Whose fault it is: all destinations at once, mail that left in plaintext, what says nothing, and counter-evidence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Attempt, CauseId, Evidence, Failed, Finding, Severity, Side, Sign, Signs, Source, diagnose};
use jiff::{Timestamp, ToSpan};
use protocol::{
    smtp::{EnhancedCode, Phase},
    tls::{Alert, HandshakeFacts},
};
use trace::postfix_log;

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn failed(phase: Phase, signs: &[Sign]) -> Failed<'static> {
    let signs = signs.iter().fold(Signs::default(), |signs, sign| signs.and(*sign));
    Failed { phase: Some(phase), signs, code: None, enhanced: None, text: "it failed".into() }
}

fn refused_recipient() -> Failed<'static> {
    let enhanced = Some(EnhancedCode::new(5, 1, 1));
    Failed { code: Some(550), enhanced, ..failed(Phase::Rcpt, &[Sign::RecipientUnknown]) }
}

/// The attempt of that minute, from a Postfix log: `host` and `domain` are those of the destination.
fn attempt(minute: i64, host: &str, domain: &str, failure: Option<Failed<'static>>) -> Attempt<'static> {
    Attempt {
        at: Some(START + minute.minutes()),
        message: Some(format!("message {minute} to {domain}").into()),
        recipient: Some(format!("user@{domain}").into()),
        recipient_domain: Some(domain.to_owned().into()),
        destination: (!host.is_empty()).then(|| (host.to_owned().into(), Some(25))),
        failure,
        ..Attempt::by(Source::Log(&postfix_log::FORMAT))
    }
}

fn found(attempts: impl IntoIterator<Item = Attempt<'static>>) -> Vec<Finding> {
    let mut evidence = Evidence::default();
    for attempt in attempts {
        evidence.add(&attempt, || None);
    }
    diagnose(&evidence)
}

/// One attempt a minute to each of so many unrelated destinations, which fail in the same way.
fn to_strangers(number: i64, failure: &Failed<'static>) -> Vec<Attempt<'static>> {
    let host = |n: i64| (format!("mx.stranger{n}.test"), format!("stranger{n}.test"));
    (0..number).map(|n| attempt(n, &host(n).0, &host(n).1, Some(failure.clone()))).collect()
}

#[test]
fn what_fails_at_all_destinations_is_one_fault_on_this_side() {
    let table = [
        (Phase::Connect, &[Sign::TimedOut][..], CauseId::OutboundPortBlocked),
        (Phase::Connect, &[Sign::ConnectionRefused], CauseId::OutboundPortBlocked),
        (Phase::Connect, &[Sign::Unreachable], CauseId::NetworkUnreachable),
        (Phase::Resolve, &[Sign::HostNotFound], CauseId::DnsFailure),
        (Phase::Banner, &[Sign::TimedOut], CauseId::BannerTimeout),
        (Phase::Banner, &[Sign::ConnectionClosed], CauseId::ConnectionDroppedBeforeBanner),
        (Phase::Handshake, &[Sign::CertificateUntrusted], CauseId::CertificateUntrusted),
        (Phase::Handshake, &[Sign::NoSharedCipherSaid], CauseId::NoSharedCipher),
        (Phase::Handshake, &[Sign::LocalTlsCredentials], CauseId::LocalTlsCredentials),
        (Phase::Handshake, &[Sign::HandshakeFailed], CauseId::Unknown),
    ];
    for (phase, signs, cause) in table {
        let mut before = 0.0;
        for number in [3, 6, 15] {
            let findings = found(to_strangers(number, &failed(phase, signs)));
            let [finding] = findings.as_slice() else { panic!("{cause} {number}: {findings:#?}") };
            assert_eq!(finding.cause, cause, "{finding:#?}");
            let everywhere = finding.scope.everywhere.as_ref().expect("at all destinations");
            assert_eq!(everywhere.destinations, number as u64);
            assert_eq!(finding.remedy[0].side, Side::Gateway, "{cause}: {:#?}", finding.remedy);
            assert!(finding.remedy.iter().all(|remedy| remedy.side != Side::Destination), "{cause}");
            assert!(finding.confidence > before || cause == CauseId::Unknown, "{cause}: {}", finding.confidence);
            before = finding.confidence;
        }
    }
}

/// Two destinations, hosts of one organisation, or others that get further: then each destination is a fault of its own.
#[test]
fn a_few_or_related_destinations_are_no_fault_on_this_side() {
    let timed_out = || failed(Phase::Connect, &[Sign::TimedOut]);
    let everywhere = |findings: &[Finding]| findings.iter().any(|finding| finding.scope.everywhere.is_some());
    assert!(!everywhere(&found(to_strangers(2, &timed_out()))));
    let related =
        (0..9).map(|n| attempt(n, &format!("mx{n}.firm.test"), &format!("branch{n}.test"), Some(timed_out())));
    assert!(!everywhere(&found(related)));
    let of_one_domain = (0..9).map(|n| attempt(n, &format!("mx.provider{n}.test"), "firm.test", Some(timed_out())));
    assert!(!everywhere(&found(of_one_domain)));
    // Others work, or get as far as the recipient, at the same time.
    for (further, is_everywhere) in [(None, false), (Some(refused_recipient()), false), (Some(timed_out()), true)] {
        let strangers = to_strangers(6, &timed_out());
        let others =
            (0..3).map(|n| attempt(n, &format!("mx.other{n}.test"), &format!("other{n}.test"), further.clone()));
        let findings = found(strangers.into_iter().chain(others));
        assert_eq!(everywhere(&findings), is_everywhere, "{further:?}");
        if !is_everywhere {
            assert!(findings.iter().all(|finding| finding.cause != CauseId::OutboundPortBlocked));
        }
    }
}

#[test]
fn what_worked_before_or_after_or_nearby_does_not_excuse_this_side() {
    let strangers = || to_strangers(6, &failed(Phase::Connect, &[Sign::TimedOut]));
    let works = |minute, host: &str, domain: &str| attempt(minute, host, domain, None);
    let before = (-9..0).map(|minute| works(minute, "mx.stranger0.test", "stranger0.test"));
    let after = (6..16).map(|minute| works(minute, "mx.stranger1.test", "stranger1.test"));
    let nearby = (0..6).map(|minute| works(minute, "127.0.0.1", "stranger2.test"));
    for others in [before.collect::<Vec<_>>(), after.collect(), nearby.collect()] {
        let findings = found(strangers().into_iter().chain(others));
        assert_eq!(findings[0].cause, CauseId::OutboundPortBlocked, "{findings:#?}");
    }
}

#[test]
fn an_ipv6_address_without_a_route_beside_ipv4_says_nothing() {
    let by = |address: &str, minute, failure| Attempt {
        destination_address: address.parse().ok(),
        ..attempt(minute, "mx.firm.test", "firm.test", failure)
    };
    let unreachable = || Some(failed(Phase::Connect, &[Sign::Unreachable]));
    let ipv6 = |minute| by("2001:db8::1", minute, unreachable());
    let timed_out = || Some(failed(Phase::Connect, &[Sign::TimedOut]));
    for failure in [timed_out(), None] {
        let attempts = (0..6).flat_map(|minute| [ipv6(minute), by("192.0.2.1", minute, failure.clone())]);
        let causes: Vec<_> = found(attempts).into_iter().map(|finding| finding.cause).collect();
        let expected = failure.map(|_| CauseId::ConnectionTimedOut);
        assert_eq!(causes, expected.into_iter().collect::<Vec<_>>());
    }
    // Alone it is the cause.
    assert_eq!(found((0..6).map(ipv6))[0].cause, CauseId::NetworkUnreachable);
}

#[test]
fn mail_that_left_in_plaintext_is_a_warning() {
    let handshake = || failed(Phase::Handshake, &[Sign::NoSharedCipherSaid, Sign::HandshakeFailed]);
    let plain = |minute, host: &str| Attempt {
        plaintext_after: Some(Box::new(handshake())),
        ..attempt(minute, host, "firm.test", None)
    };
    let attempts = (0..3).map(|minute| plain(minute, "mx1.firm.test")).chain([plain(3, "mx2.firm.test")]);
    let worked = (4..9).map(|minute| attempt(minute, "mx3.firm.test", "firm.test", None));
    let findings = found(attempts.chain(worked));
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.cause, finding.severity), (CauseId::DeliveredWithoutTls, Severity::Warning));
    assert!(!finding.is_root_cause() && finding.messages_pending == 0);
    let expected = "4 messages left in plaintext, because TLS had failed: 3 to mx1.firm.test:25 (no-shared-cipher), \
                    1 to mx2.firm.test:25 (no-shared-cipher)";
    assert_eq!(finding.summary, expected);
    assert!(finding.remedy.iter().any(|remedy| remedy.action.contains("smtp_tls_security_level = encrypt")));
    assert_eq!(finding.evidence[0].what, "it failed");
}

/// Beside stuck mail, the root cause comes first.
#[test]
fn a_warning_comes_after_a_root_cause() {
    let handshake = failed(Phase::Handshake, &[Sign::HandshakeFailed]);
    let plain =
        Attempt { plaintext_after: Some(Box::new(handshake)), ..attempt(0, "mx1.firm.test", "firm.test", None) };
    let stuck = (1..9).map(|minute| {
        attempt(minute, "mx.other.test", "other.test", Some(failed(Phase::Connect, &[Sign::ConnectionRefused])))
    });
    let causes: Vec<_> = found([plain].into_iter().chain(stuck)).into_iter().map(|finding| finding.cause).collect();
    assert_eq!(causes, [CauseId::ConnectionRefused, CauseId::DeliveredWithoutTls]);
}

#[test]
fn mail_delivered_to_the_same_address_or_domain_is_counter_evidence() {
    for (failure, delivered) in [
        (failed(Phase::Resolve, &[Sign::HostNotFound]), attempt(50, "mx.firm.test", "firm.test", None)),
        (refused_recipient(), attempt(50, "mx2.firm.test", "firm.test", None)),
    ] {
        let host = if failure.phase == Some(Phase::Resolve) { "" } else { "mx.firm.test" };
        let failing = || (0..4).map(|minute| attempt(minute, host, "firm.test", Some(failure.clone())));
        let (alone, beside) = (found(failing()), found(failing().chain([delivered])));
        assert_eq!(alone[0].cause, beside[0].cause);
        assert!(beside[0].confidence < 0.7 * alone[0].confidence, "{} {}", alone[0].confidence, beside[0].confidence);
    }
}

#[test]
fn a_name_that_is_missing_is_no_destination() {
    for host in ["none", ""] {
        let mut attempts = to_strangers(2, &failed(Phase::Connect, &[Sign::TimedOut]));
        for attempt in &mut attempts {
            attempt.destination = Some((host.into(), Some(25)));
        }
        for finding in found(attempts) {
            let text = format!("{finding:?}");
            assert!(!text.contains("none:25") && !text.contains("\":25") && !text.contains(" :25"), "{text}");
        }
    }
    let mut attempt = attempt(0, "Internet", "firm.test", Some(failed(Phase::Connect, &[Sign::TimedOut])));
    attempt.connector = Some("Internet".into());
    assert!(!format!("{:?}", found([attempt])).contains("Internet:25"));
}

#[test]
fn causes_that_one_attempt_alone_cannot_show() {
    // A greeting that never comes on port 465.
    let mut silent = to_strangers(1, &failed(Phase::Banner, &[Sign::TimedOut]));
    silent[0].destination = Some(("mx.firm.test".into(), Some(465)));
    assert_eq!(found(silent)[0].cause, CauseId::ImplicitTlsMismatch);
    // Alert 50: with handshakes that work it is about resumption, without any it is not known.
    let decode = || Some(failed(Phase::Handshake, &[Sign::AlertDecodeError, Sign::HandshakeFailed]));
    let failing = || (0..6).map(|minute| attempt(minute, "mx.firm.test", "firm.test", decode()));
    let tls = Some(("TLSv1.3".into(), "TLS_AES_256_GCM_SHA384".into()));
    let working =
        (6..12).map(|minute| Attempt { tls: tls.clone(), ..attempt(minute, "mx.firm.test", "firm.test", None) });
    assert_eq!(found(failing())[0].cause, CauseId::Unknown);
    let tickets = &found(failing().chain(working))[0];
    assert!(tickets.cause == CauseId::TlsSessionTicketInterop && tickets.is_root_cause(), "{tickets:#?}");
    // No reply to the end of the message: only the sizes can blame the size.
    let hang = |minute, bytes: u64, fails: bool| Attempt {
        message_bytes: Some(bytes),
        ..attempt(minute, "mx.firm.test", "firm.test", fails.then(|| failed(Phase::EndOfData, &[Sign::TimedOut])))
    };
    assert_eq!(found((0..6).map(|minute| hang(minute, 429, true)))[0].cause, CauseId::NoReplyToMessage);
    let sizes = (0..40).map(|minute| hang(minute, if minute % 2 == 0 { 900 } else { 90_000 }, minute % 2 == 1));
    assert_eq!(found(sizes)[0].cause, CauseId::SizeDependentStall);
}

#[test]
fn a_message_that_tried_four_hosts_is_one_story() {
    let attempts = (0..8).map(|minute| Attempt {
        message: Some("one message".into()),
        ..attempt(
            minute,
            &format!("mx{}.firm.test", minute % 4),
            "firm.test",
            Some(failed(Phase::Connect, &[Sign::TimedOut])),
        )
    });
    let findings = found(attempts);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.cause, finding.scope.destination.as_str()), (CauseId::ConnectionTimedOut, "firm.test"));
    assert_eq!((finding.scope.failed, finding.messages_pending), (8, 1));
    // The next host of the same domain took the message: nothing is stuck.
    let attempts = [
        attempt(0, "mx1.firm.test", "firm.test", Some(failed(Phase::Connect, &[Sign::TimedOut]))),
        Attempt { message: Some("message 0 to firm.test".into()), ..attempt(1, "mx2.firm.test", "firm.test", None) },
    ];
    assert!(found(attempts).iter().all(|finding| !finding.is_root_cause()));
}

/// A burst to three dead domains, in a second in which nothing else was sent, and names that do not exist at all.
#[test]
fn a_burst_to_dead_domains_is_no_fault_on_this_side() {
    let in_a_burst = |number: i64, failure: &Failed<'static>| {
        let at = |second: i64| Some(START + second.seconds());
        let burst = (to_strangers(number, failure).into_iter().zip(0..))
            .map(|(attempt, second)| Attempt { at: at(second), ..attempt })
            .collect::<Vec<_>>();
        let others = (1..60)
            .flat_map(|minute| [minute, -minute])
            .map(|minute| attempt(minute, "mx.firm.test", "firm.test", None));
        found(burst.into_iter().chain(others))
    };
    let everywhere = |findings: &[Finding]| findings.iter().any(|finding| finding.scope.everywhere.is_some());
    assert!(!everywhere(&in_a_burst(3, &failed(Phase::Connect, &[Sign::TimedOut]))));
    let no_such_name = Failed {
        enhanced: Some(EnhancedCode::new(5, 4, 4)),
        ..failed(Phase::Resolve, &[Sign::HostNotFound, Sign::GivenUp])
    };
    assert!(!everywhere(&found(to_strangers(6, &no_such_name))));
}

/// The server reads another protocol there, and says so in its first line.
#[test]
fn a_server_that_does_not_speak_smtp_is_no_riddle() {
    let mut attempt = attempt(0, "mx.firm.test", "firm.test", Some(failed(Phase::Banner, &[Sign::NotSmtp])));
    attempt.destination = Some(("mx.firm.test".into(), Some(22)));
    let [finding] = &found([attempt])[..] else { panic!("one finding") };
    assert_eq!(finding.cause, CauseId::Unknown);
    let actions: Vec<&str> = finding.remedy.iter().map(|remedy| remedy.action.as_str()).collect();
    assert!(actions[0].contains("does not speak SMTP"), "{actions:?}");
    assert!(actions.iter().any(|action| action.contains("edge.pcap port 22`")), "{actions:?}");
}

/// An alert about the client's certificate: it has expired, or it was revoked.
#[test]
fn a_client_certificate_that_is_of_no_use_is_this_side_s_fault() {
    for (description, expected) in [
        (44, CauseId::LocalTlsCredentials),
        (45, CauseId::LocalTlsCredentials),
        (48, CauseId::ClientCertificateRequired),
    ] {
        let alert = Alert { by: protocol::tls::Side::Server, fatal: true, description: Some(description) };
        let facts =
            HandshakeFacts { alerts: vec![alert], client_certificate_requested: true, ..HandshakeFacts::default() };
        let failure = Failed { signs: Signs::of_handshake(&facts), ..failed(Phase::Handshake, &[]) };
        let attempt = attempt(0, "mx.firm.test", "firm.test", Some(failure));
        assert_eq!(found([attempt])[0].cause, expected, "{description}");
    }
}
