//! Innocent replies and addresses: what an address, a host or a domain is called tells no cause.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{Evidence, diagnose, sources::trace_rows};
use trace::{
    ForeignFormat, exim_log,
    message_trace::{Column, Row, TRACKING_LOG},
    postfix_log,
};

const NAMES: [&str; 26] = [
    "dane",
    "spf",
    "dkim",
    "dmarc",
    "spam",
    "tls",
    "quota",
    "policy",
    "virus",
    "dnssec",
    "greylist",
    "relay",
    "certificate",
    "timeout",
    "refused",
    "expired",
    "starttls",
    "loop",
    "blacklist",
    "rbl",
    "helo",
    "ptr",
    "malware",
    "busy",
    "unreachable",
    "sender",
];

/// A failure in the words of a mail system, with the cause that it has whatever the names are. `{l}`, `{d}` and `{h}` stand
/// for a local part, a domain and a host.
const FAILURES: [(&ForeignFormat, &str, &[&str]); 15] = [
    (
        &postfix_log::FORMAT,
        "5.1.1 host {h}[192.0.2.1] said: 550 5.1.1 <{l}@{d}>: Recipient address rejected: User unknown (in reply to RCPT TO command)",
        &["recipient-unknown"],
    ),
    (
        &postfix_log::FORMAT,
        "5.0.0 host {h}[192.0.2.1] said: 550 No such user '{l}' here (in reply to RCPT TO command)",
        &["recipient-unknown"],
    ),
    (
        &postfix_log::FORMAT,
        "4.2.0 host {h}[192.0.2.1] said: 450 4.2.0 <{l}@{d}>: Recipient address rejected: Greylisted, see http://{h}/{l}.html (in reply to RCPT TO command)",
        &["greylisted"],
    ),
    (&postfix_log::FORMAT, "4.4.1 connect to {h}[192.0.2.1]:25: Connection refused", &["connection-refused"]),
    (&postfix_log::FORMAT, "4.4.1 connect to {h}[192.0.2.1]:25: Connection timed out", &["connection-timed-out"]),
    (
        &postfix_log::FORMAT,
        "4.3.0 host {h}[192.0.2.1] said: 451 4.3.0 <{l}@{d}>: Temporary lookup failure (in reply to RCPT TO command)",
        &["destination-internal-failure", "unknown"],
    ),
    (
        &postfix_log::FORMAT,
        "4.2.2 host {h}[192.0.2.1] said: 452 4.2.2 <{l}@{d}>: Mailbox of {l} is over quota (in reply to RCPT TO command)",
        &["mailbox-full"],
    ),
    (
        &postfix_log::FORMAT,
        "4.4.3 Host or domain name not found. Name service error for name={d} type=MX: Host not found, try again",
        &["dns-failure"],
    ),
    (
        &postfix_log::FORMAT,
        "4.4.2 lost connection with {h}[192.0.2.1] while receiving the initial server greeting",
        &["connection-dropped-before-banner"],
    ),
    (
        &postfix_log::FORMAT,
        "5.3.4 message size 5000 exceeds size limit 4000 of server {h}[192.0.2.1]",
        &["message-too-large"],
    ),
    (
        &exim_log::FORMAT,
        "SMTP error from remote mail server after RCPT TO:<{l}@{d}>: 550 5.1.1 <{l}@{d}> User unknown",
        &["recipient-unknown"],
    ),
    (
        &exim_log::FORMAT,
        "SMTP error from remote mail server after RCPT TO:<{l}+x={d}@{h}>: 450 <{l}+x={d}@{h}>: Greylisted",
        &["greylisted"],
    ),
    (
        &TRACKING_LOG,
        "[{LED=450 4.4.316 Connection refused [Message=Socket error code 10061] [LastAttemptedServerName={h}]};{MSG=};{FQDN={h}};{IP=192.0.2.1}]",
        &["connection-refused"],
    ),
    (
        &TRACKING_LOG,
        "[{LRT=x};{LED=451 4.4.0 Primary target IP address responded with: \"452 4.2.2 The mailbox of '{l}@{d}' is full, host {h}.\" Attempted failover};{FQDN={h}};{IP=192.0.2.1}]",
        &["mailbox-full"],
    ),
    (&TRACKING_LOG, "550 5.1.1 RESOLVER.ADR.RecipNotFound; {l}@{d} not found at {h}", &["recipient-unknown"]),
];

#[test]
fn names_tell_no_cause() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let (local, domain) =
            (["{w}", "{w}-team", "no.{w}"][index % 3], ["{w}.example", "my-{w}.co.example"][index % 2]);
        let host = ["mx.{w}.example", "{w}.example.com", "{w}-mx1.example", "{w}"][index % 4];
        for (format, template, expected) in FAILURES {
            let text = template.replace("{l}", local).replace("{d}", domain).replace("{h}", host).replace("{w}", name);
            let causes = causes(format, &text);
            cases += 1;
            if causes.len() != 1 || !expected.contains(&causes[0].as_str()) {
                wrong.push(format!("{causes:?} for {text}"));
            }
        }
    }
    assert!(cases >= 200 && wrong.is_empty(), "{} of {cases}: {wrong:#?}", wrong.len());
}

fn causes(format: &'static ForeignFormat, status: &str) -> Vec<String> {
    let mut row = Row::default();
    row.set(Column::EventId, "DEFER");
    row.set(Column::RecipientAddress, "user@onprem.test");
    row.set(Column::MessageId, "<1@a>");
    row.set(Column::RecipientStatus, status);
    let mut evidence = Evidence::default();
    trace_rows::add_row(&mut evidence, format, &row, "a.log", 1);
    diagnose(&evidence).iter().map(|finding| finding.cause.to_string()).collect()
}
