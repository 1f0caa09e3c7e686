//! Sessions from TLS reports (RFC 8460): what others saw of a domain's servers, counted.

use std::borrow::Cow;

use protocol::smtp::Phase;
use trace::tls_report::{FailureDetails, PolicyReport, ResultType, TlsReport};

use crate::evidence::{Attempt, Evidence, Failed, Place, Sign, Signs, Source, Words};

/// Sessions taken of one count; a report may claim any number.
const SESSIONS_MAX: u64 = 10_000;

/// Adds the sessions of a report, those that worked and those that failed.
pub fn add_report(evidence: &mut Evidence, report: &TlsReport, file: &str) {
    for policy in &report.policies {
        let worked = policy.summary.total_successful_session_count;
        add(evidence, report, policy, &Attempt::by(Source::TlsReport), worked, file);
        for details in &policy.failure_details {
            // The policy's own hosts may be patterns, and any of several.
            let host = Some(details.receiving_mx_hostname.as_str()).filter(|host| !host.is_empty());
            let failed = Attempt {
                destination: host.map(|host| (host.into(), 25)),
                source_address: details.sending_mta_ip.parse().ok(),
                destination_address: details.receiving_ip.parse().ok(),
                failure: Some(Failed {
                    phase: Some(phase(&details.result_type)),
                    signs: signs(&details.result_type).union(reason(&details.failure_reason_code)),
                    code: None,
                    enhanced: None,
                    text: text(details).into(),
                }),
                ..Attempt::by(Source::TlsReport)
            };
            add(evidence, report, policy, &failed, details.failed_session_count.max(1), file);
        }
    }
}

fn add(
    evidence: &mut Evidence,
    report: &TlsReport,
    policy: &PolicyReport,
    attempt: &Attempt<'_>,
    sessions: u64,
    file: &str,
) {
    let attempt = Attempt {
        at: report.date_range.start_datetime,
        recipient_domain: Some(Cow::from(&policy.policy.policy_domain)).filter(|domain| !domain.is_empty()),
        ..attempt.clone()
    };
    for _ in 0..sessions.min(SESSIONS_MAX) {
        evidence.add(&attempt, || Some(Place::Line { file: file.to_owned(), line: 1 }));
    }
}

fn text(details: &FailureDetails) -> String {
    let kind = serde_json::to_value(&details.result_type).ok();
    let kind = kind.as_ref().and_then(|value| value.as_str()).unwrap_or("failure").to_owned();
    let more = [&details.failure_reason_code, &details.additional_information];
    more.into_iter().filter(|more| !more.is_empty()).fold(kind, |text, more| text + ": " + more)
}

/// In the words of whatever system made the attempt.
fn reason(text: &str) -> Signs {
    Signs::of_words(&Words::here(text, Some(Phase::Handshake)))
}

fn phase(result: &ResultType) -> Phase {
    if *result == ResultType::StarttlsNotSupported { Phase::StartTls } else { Phase::Handshake }
}

/// RFC 8460 section 4.3.
fn signs(result: &ResultType) -> Signs {
    let signs = Signs::default();
    match result {
        ResultType::StarttlsNotSupported => signs.and(Sign::StartTlsNotOffered).and(Sign::StartTlsRequiredHere),
        ResultType::CertificateHostMismatch => signs.and(Sign::CertificateNameMismatch),
        ResultType::CertificateExpired => signs.and(Sign::CertificateExpired),
        ResultType::CertificateNotTrusted => signs.and(Sign::CertificateUntrusted),
        ResultType::TlsaInvalid | ResultType::DnssecInvalid | ResultType::DaneRequired => signs.and(Sign::DaneFailed),
        ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid => {
            signs.and(Sign::MtaStsFailed)
        }
        ResultType::ValidationFailure | ResultType::Other(_) => signs.and(Sign::HandshakeFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose;

    #[test]
    fn what_worked_and_what_failed_are_held_against_each_other() {
        let report = br#"{
            "organization-name": "Others", "report-id": "1",
            "date-range": {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"},
            "policies": [{
                "policy": {"policy-type": "sts", "policy-domain": "onprem.test", "mx-host": ["*.onprem.test"]},
                "summary": {"total-successful-session-count": 90, "total-failure-session-count": 10},
                "failure-details": [{
                    "result-type": "certificate-expired", "receiving-mx-hostname": "mx2.onprem.test",
                    "failed-session-count": 10
                }]
            }]
        }"#;
        let report = trace::tls_report::read(report).unwrap();
        let mut evidence = Evidence::default();
        add_report(&mut evidence, &report, "report.json");
        let findings = diagnose(&evidence);
        let scope = &findings[0].scope;
        assert_eq!((findings.len(), findings[0].cause.as_str()), (1, "certificate-expired"));
        assert_eq!((scope.destination.as_str(), scope.failed, scope.attempts), ("mx2.onprem.test:25", 10, 100));
        assert_eq!(scope.connector, None);
        assert!(!findings[0].summary.contains("messages"), "{}", findings[0].summary);
    }
}
