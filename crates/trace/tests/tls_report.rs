//! TLS reports: what is read from them, and what tolerance means.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use gatepost_trace::tls_report::{Error, PolicyType, ResultType, TlsReport, read};

fn sample(name: &str) -> TlsReport {
    read(&samples::read(&format!("tlsrpt/resources_tlsrpt_{name}"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn own(name: &str) -> TlsReport {
    read(&samples::own(&format!("tlsrpt/{name}"))).unwrap()
}

#[test]
fn all_fields_are_read() {
    let report = own("report.json");
    assert_eq!(
        (report.organization_name.as_str(), report.contact_info.as_str()),
        ("Partner", "tls-reports@partner.test")
    );
    assert_eq!(report.report_id, "2026-11-24-onprem.test");
    assert_eq!(report.date_range.start_datetime, "2026-11-24T00:00:00Z".parse().ok());
    let [first, second] = report.policies.as_slice() else { panic!("{report:#?}") };
    assert_eq!((&first.policy.policy_type, first.policy.policy_domain.as_str()), (&PolicyType::Sts, "onprem.test"));
    assert_eq!(
        (first.policy.mx_host.as_slice(), first.policy.policy_string.len()),
        (["mail.onprem.test".to_owned()].as_slice(), 4)
    );
    let summary = first.summary;
    assert_eq!((summary.total_successful_session_count, summary.total_failure_session_count), (812, 104));
    let [expired, revoked] = first.failure_details.as_slice() else { panic!("{first:#?}") };
    assert_eq!((&expired.result_type, expired.failed_session_count), (&ResultType::CertificateExpired, 100));
    assert_eq!((&revoked.result_type, revoked.failed_session_count), (&ResultType::ValidationFailure, 4));
    assert_eq!(revoked.failure_reason_code, "X509_V_ERR_CERT_REVOKED");
    assert_eq!(second.policy.policy_type, PolicyType::NoPolicyFound);
}

#[test]
fn a_mail_has_the_same_report_in_it() {
    assert_eq!(own("report.eml"), own("report.json"));
}

#[test]
fn corpus_published_reports_are_read() {
    let report = sample("rpt01.json");
    assert_eq!(report.organization_name, "Company-X");
    assert_eq!(report.report_id, "5065427c-23d3-47ca-b6e0-946ea0e8c4be");
    assert_eq!(report.date_range.end_datetime, "2016-04-01T23:59:59Z".parse().ok());
    let policy = &report.policies[0];
    assert_eq!(
        (&policy.policy.policy_type, policy.policy.policy_domain.as_str()),
        (&PolicyType::Sts, "company-y.example")
    );
    assert_eq!(
        (policy.policy.mx_host.as_slice(), policy.policy.policy_string.len()),
        (["*.mail.company-y.example".to_owned()].as_slice(), 4)
    );
    let summary = policy.summary;
    assert_eq!((summary.total_successful_session_count, summary.total_failure_session_count), (5326, 303));
    let details: Vec<_> =
        policy.failure_details.iter().map(|details| (&details.result_type, details.failed_session_count)).collect();
    assert_eq!(
        details,
        [
            (&ResultType::CertificateExpired, 100),
            (&ResultType::StarttlsNotSupported, 200),
            (&ResultType::ValidationFailure, 3)
        ]
    );
    assert_eq!(policy.failure_details[2].failure_reason_code, "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED");

    assert_eq!(sample("rpt02.json").policies[0].failure_details[0].result_type, ResultType::CertificateHostMismatch);
    let types: Vec<_> = sample("rpt03.json").policies.into_iter().map(|policy| policy.policy.policy_type).collect();
    assert_eq!(types, [PolicyType::NoPolicyFound, PolicyType::Other("invalid-policy-type".to_owned())]);
}

#[test]
fn corpus_mails_have_the_same_reports_in_them() {
    // One is gzipped, one is not.
    assert_eq!(sample("rpt01.eml"), sample("rpt01.json"));
    assert_eq!(sample("rpt02.eml"), sample("rpt02.json"));
}

#[test]
fn what_is_missing_or_strange_is_borne() {
    let report = read(br#"{"organization-name": null, "date-range": {"start-datetime": "yesterday", "end-datetime": "2026-11-25T08:00:00"},
        "policies": [{"policy": {"mx-host": "mx.x.test", "policy-string": null, "policy-type": "tlsa"},
            "summary": {"total-failure-session-count": "7"}, "failure-details": null},
            {"failure-details": [{"result-type": "new-one", "failed-session-count": -1, "unheard-of": {}}, {}]}]}"#).unwrap();
    assert_eq!((report.organization_name.as_str(), report.date_range.start_datetime), ("", None));
    assert_eq!(report.date_range.end_datetime, "2026-11-25T08:00:00Z".parse().ok());
    assert_eq!(
        (report.policies[0].policy.mx_host.as_slice(), &report.policies[0].policy.policy_type),
        (["mx.x.test".to_owned()].as_slice(), &PolicyType::Tlsa)
    );
    assert_eq!(report.policies[0].summary.total_failure_session_count, 7);
    let details = &report.policies[1].failure_details;
    assert_eq!((details.len(), &details[0].result_type), (2, &ResultType::Other("new-one".to_owned())));
    let written = serde_json::to_vec(&report).unwrap();
    assert_eq!(read(&written).unwrap(), report);
}

#[test]
fn what_is_no_report_is_refused() {
    assert!(matches!(read(b""), Err(Error::NoReport)));
    assert!(matches!(read(b"From: a@x.test\r\n\r\nHello\r\n"), Err(Error::NoReport)));
    assert!(matches!(read(b"{\"policies\": 7}"), Err(Error::Json(_))));
    assert!(matches!(read(b"\x1f\x8b\x08nothing"), Err(Error::Gzip(_))));
}

proptest::proptest! {
    #[test]
    fn foreign_bytes_never_panic(head in "(\\{\"policies\": \\[|Content-Type: application/tlsrpt\\+gzip\r\n\r\n|)", rest: Vec<u8>) {
        let _ = read(&[head.as_bytes(), &rest].concat());
    }
}

/// Found by fuzzing: a mail within a mail that ends where the outer one's parts do.
#[test]
fn mails_within_each_other_that_end_too_early_are_read() {
    let text = "Content-Type:multipart/\n boundary=-\n\n---Content-Type:message/rfc822\n\n\
        Content-Type:message/rfc822\n\n\n-----";
    assert!(matches!(read(text.as_bytes()), Err(Error::NoReport)));
}
