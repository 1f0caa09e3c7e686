//! Sessions from TLS reports (RFC 8460): what others saw of a domain's servers, counted.

use std::borrow::Cow;

use protocol::smtp::Phase;
use trace::tls_report::{FailureDetails, Policy, PolicyReport, PolicyType, ResultType, TlsReport};

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
            let attempt = Attempt {
                destination: host.map(|host| (host.into(), None)),
                source_address: details.sending_mta_ip.parse().ok(),
                destination_address: details.receiving_ip.parse().ok(),
                failure: Some(failed(&policy.policy, details)),
                ..Attempt::by(Source::TlsReport)
            };
            add(evidence, report, policy, &attempt, details.failed_session_count.max(1), file);
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

fn failed(policy: &Policy, details: &FailureDetails) -> Failed<'static> {
    let (signs, text) = match missed(policy, details) {
        Some(patterns) => {
            let host = &details.receiving_mx_hostname;
            let text =
                format!("the MTA-STS policy does not list {host}, only {}: {}", patterns.join(", "), text(details));
            (Signs::of(&[Sign::MtaStsFailed]), text)
        }
        None => (signs(&details.result_type).union(reason(&details.failure_reason_code)), text(details)),
    };
    Failed { phase: Some(phase(&details.result_type)), signs, code: None, enhanced: None, text: text.into() }
}

/// The host patterns of an MTA-STS policy (RFC 8461 section 4.1), if the host that failed fits none of them.
fn missed<'a>(policy: &'a Policy, details: &FailureDetails) -> Option<Vec<&'a str>> {
    let is_about_host =
        matches!(details.result_type, ResultType::ValidationFailure | ResultType::CertificateHostMismatch);
    let host = details.receiving_mx_hostname.trim_end_matches('.');
    if policy.policy_type != PolicyType::Sts || !is_about_host || host.is_empty() {
        return None;
    }
    let lines = policy.policy_string.iter().flat_map(|text| text.lines());
    let of_policy = lines.filter_map(|line| line.trim().strip_prefix("mx:")).map(str::trim);
    let mut patterns: Vec<&str> = of_policy.chain(policy.mx_host.iter().map(String::as_str)).collect();
    patterns.retain(|pattern| !pattern.is_empty());
    patterns.dedup();
    let fits = |pattern: &&str| match pattern.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => pattern.trim_end_matches('.').eq_ignore_ascii_case(host),
    };
    (!patterns.is_empty() && !patterns.iter().any(fits)).then_some(patterns)
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
        assert_eq!((scope.destination.as_str(), scope.failed, scope.attempts), ("mx2.onprem.test", 10, 100));
        assert_eq!(scope.connector, None);
        assert!(!findings[0].summary.contains("messages"), "{}", findings[0].summary);
    }

    #[test]
    fn a_host_that_the_policy_does_not_list_is_seen() {
        let cause = |kind: &str, host: &str, patterns: &str| {
            let report = format!(
                r#"{{"policies": [{{
                    "policy": {{"policy-type": "sts", "policy-domain": "onprem.test",
                        "policy-string": ["version: STSv1", "mode: enforce", {patterns}]}},
                    "failure-details": [{{
                        "result-type": "{kind}", "receiving-mx-hostname": "{host}", "failed-session-count": 1
                    }}]
                }}]}}"#
            );
            let report = trace::tls_report::read(report.as_bytes()).unwrap();
            let mut evidence = Evidence::default();
            add_report(&mut evidence, &report, "report.json");
            diagnose(&evidence)[0].cause.to_string()
        };
        for (kind, host, patterns, expected) in [
            (
                "validation-failure",
                "mx3.onprem.test",
                r#""mx: mx1.onprem.test", "mx: mx2.onprem.test""#,
                "mta-sts-failed",
            ),
            ("validation-failure", "mx3.onprem.test", r#""mx: *.onprem.test""#, "unknown"),
            ("certificate-host-mismatch", "a.mx.onprem.test", r#""mx: *.onprem.test""#, "mta-sts-failed"),
            ("certificate-host-mismatch", "MX1.onprem.test.", r#""mx: mx1.onprem.test""#, "certificate-name-mismatch"),
            ("certificate-expired", "mx3.onprem.test", r#""mx: mx1.onprem.test""#, "certificate-expired"),
        ] {
            assert_eq!(cause(kind, host, patterns), expected, "{kind} {host} {patterns}");
        }
    }

    #[test]
    fn each_result_type_has_a_remedy_of_its_own() {
        let remedy = |kind: &str| {
            let report = format!(
                r#"{{"policies": [{{"policy": {{"policy-domain": "onprem.test"}}, "failure-details": [{{
                    "result-type": "{kind}", "failed-session-count": 1}}]}}]}}"#
            );
            let report = trace::tls_report::read(report.as_bytes()).unwrap();
            let mut evidence = Evidence::default();
            add_report(&mut evidence, &report, "report.json");
            diagnose(&evidence)[0].remedy[0].action.clone()
        };
        let kinds = [
            "tlsa-invalid",
            "dnssec-invalid",
            "dane-required",
            "sts-policy-fetch-error",
            "sts-policy-invalid",
            "sts-webpki-invalid",
        ];
        let mut remedies: Vec<String> = kinds.into_iter().map(remedy).collect();
        assert!(remedies.iter().zip(kinds).all(|(remedy, kind)| remedy.contains(kind)), "{remedies:#?}");
        remedies.sort();
        remedies.dedup();
        assert_eq!(remedies.len(), kinds.len());
    }
}
