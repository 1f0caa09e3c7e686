//! Sessions from TLS reports (RFC 8460): what others saw of a domain's servers, counted.

use protocol::smtp::Phase;
use trace::tls_report::{FailureDetails, PolicyReport, ResultType, TlsReport};

use crate::{
    evidence::{Evidence, Observed, Outcome, Place, Source},
    signs::{Sign, Signs},
};

/// Sessions taken of one count; a report may claim any number.
const SESSIONS_MAX: u64 = 10_000;

/// Adds the sessions of a report, those that worked and those that failed.
pub fn add_report(evidence: &mut Evidence, report: &TlsReport, file: &str) {
    for policy in &report.policies {
        let host = policy.policy.mx_host.first();
        let worked = policy.summary.total_successful_session_count;
        add(evidence, report, policy, host, &Observed::by(Source::TlsReport), worked, file);
        for details in &policy.failure_details {
            let host = Some(&details.receiving_mx_hostname).filter(|host| !host.is_empty()).or(host);
            let text = text(details);
            let failed = Observed {
                source_address: details.sending_mta_ip.parse().ok(),
                destination_address: details.receiving_ip.parse().ok(),
                outcome: Outcome::Failed {
                    phase: Some(phase(&details.result_type)),
                    signs: signs(&details.result_type).union(Signs::of_text(&details.failure_reason_code)),
                    code: None,
                    enhanced: None,
                    text: &text,
                },
                ..Observed::by(Source::TlsReport)
            };
            add(evidence, report, policy, host, &failed, details.failed_session_count.max(1), file);
        }
    }
}

fn add(
    evidence: &mut Evidence,
    report: &TlsReport,
    policy: &PolicyReport,
    host: Option<&String>,
    observed: &Observed<'_>,
    sessions: u64,
    file: &str,
) {
    let observed = Observed {
        at: report.date_range.start_datetime,
        destination: host.map(|host| (host.as_str(), 25)),
        recipient_domain: Some(policy.policy.policy_domain.as_str()).filter(|domain| !domain.is_empty()),
        ..observed.clone()
    };
    for _ in 0..sessions.min(SESSIONS_MAX) {
        evidence.add(&observed, || Some(Place::Line { file: file.to_owned(), line: 1 }));
    }
}

fn text(details: &FailureDetails) -> String {
    let kind = serde_json::to_value(&details.result_type).ok();
    let kind = kind.as_ref().and_then(|value| value.as_str()).unwrap_or("failure").to_owned();
    let more = [&details.failure_reason_code, &details.additional_information];
    more.into_iter().filter(|more| !more.is_empty()).fold(kind, |text, more| text + ": " + more)
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
