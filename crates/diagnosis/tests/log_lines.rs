//! What a few lines of a log are told as: the cause, what became of the messages, and what the remedies say and do not say.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use gatepost_diagnosis::{
    Evidence, Finding, Source, diagnose,
    sources::{protocol_log, trace_rows},
};
use jiff::{Timestamp, tz::TimeZone};
use trace::{ForeignFormat, exim_log, postfix_log, sendmail_log};

fn findings(format: &'static ForeignFormat, lines: &[String]) -> Vec<Finding> {
    found_in(Evidence::default(), format, lines)
}

fn found_in(mut evidence: Evidence, format: &'static ForeignFormat, lines: &[String]) -> Vec<Finding> {
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let now: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
    for row in format.read(log.as_bytes(), now, &TimeZone::UTC).unwrap() {
        trace_rows::add_row(&mut evidence, format, &row.unwrap(), "log", 1);
    }
    diagnose(&evidence)
}

fn postfix(id: u32, to: &str, relay: &str, dsn: &str, status: &str) -> String {
    format!(
        "Nov 25 07:{:02}:00 mx postfix/smtp[4]: 4F{id:04}: to=<{to}>, relay={relay}, delay=1, delays=0.1/0/0.1/0.5, \
         dsn={dsn}, status={status}",
        id % 60
    )
}

fn remedies(finding: &Finding) -> String {
    finding.remedy.iter().map(|remedy| format!("{}: {}\n", remedy.side, remedy.action)).collect()
}

/// Postfix with `soft_bounce`, or one that could not log in, tries again whatever the reply was.
#[test]
fn mail_that_is_tried_again_waits_though_the_reply_was_final() {
    for (dsn, status, cause) in [
        (
            "5.1.1",
            "deferred (host mx.dest.test[192.0.2.1] said: 550 5.1.1 <a@dest.test>: User unknown (in reply to RCPT TO command))",
            "recipient-unknown",
        ),
        (
            "4.7.8",
            "deferred (SASL authentication failed; server mx.dest.test[192.0.2.1] said: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant)",
            "authentication-required",
        ),
    ] {
        let lines: Vec<String> =
            (0..4).map(|id| postfix(id, "a@dest.test", "mx.dest.test[192.0.2.1]:587", dsn, status)).collect();
        let found = findings(&postfix_log::FORMAT, &lines);
        let shown = (found[0].cause.as_str(), found[0].messages_pending, found[0].messages_bounced);
        assert_eq!(shown, (cause, 4, 0), "{status}");
    }
    let refused = "bounced (host mx.dest.test[192.0.2.1] said: 550 5.1.1 <a@dest.test>: User unknown (in reply to RCPT TO command))";
    let line = postfix(1, "a@dest.test", "mx.dest.test[192.0.2.1]:25", "5.1.1", refused);
    assert_eq!(findings(&postfix_log::FORMAT, &[line])[0].messages_bounced, 1);
}

/// To accept mail from such clients without authentication would make an open relay.
#[test]
fn nobody_is_told_to_open_a_relay() {
    let strange = "Nov 25 07:00:00 mx postfix/smtpd[4]: NOQUEUE: reject: RCPT from unknown[203.0.113.200]: 554 5.7.1 \
                   <x@nowhere.test>: Relay access denied; from=<s@spam.test> to=<x@nowhere.test> proto=ESMTP helo=<h>";
    let found = found_in(Evidence::default().inbound(), &postfix_log::FORMAT, &vec![strange.to_owned(); 3]);
    let told = remedies(&found[0]);
    assert_eq!(found[0].cause.as_str(), "authentication-required");
    assert!(told.starts_with("gateway: Change nothing if the client is a stranger"), "{told}");
    assert!(!told.contains("Accept mail from") && !told.contains("destination: "), "{told}");
    // A server that no longer has the domain.
    let moved = "bounced (host mx.moved.test[192.0.2.1] said: 554 5.7.1 <a@moved.test>: Relay access denied (in reply to RCPT TO command))";
    let lines: Vec<String> =
        (0..3).map(|id| postfix(id, "a@moved.test", "mx.moved.test[192.0.2.1]:25", "5.7.1", moved)).collect();
    let told = remedies(&findings(&postfix_log::FORMAT, &lines)[0]);
    assert!(told.contains("dig MX moved.test") && told.contains("`relay_domains`"), "{told}");
    assert!(!told.contains("without authentication (Exchange"), "{told}");
}

/// Mail to a mailbox or a socket of this machine says nothing of outgoing connections.
#[test]
fn local_delivery_does_not_hide_a_blocked_port() {
    let blocked = |id: u32| {
        let (host, to) = (format!("mx.d{id}.test"), format!("a@d{id}.test"));
        let status = format!("deferred (connect to {host}[192.0.{id}.1]:25: Connection timed out)");
        postfix(id, &to, "none", "4.4.1", &status)
    };
    for local in ["mail.our.test[private/dovecot-lmtp]", "local"] {
        let mut lines: Vec<String> = (0..5).map(blocked).collect();
        lines.extend((10..20).map(|id| postfix(id, "us@our.test", local, "2.0.0", "sent (250 2.0.0 Saved)")));
        let found = findings(&postfix_log::FORMAT, &lines);
        assert_eq!(found[0].cause.as_str(), "outbound-port-blocked", "{local}: {found:#?}");
        assert_eq!(found[0].scope.destinations, 5);
    }
    // Mail to another host got through.
    let mut lines: Vec<String> = (0..5).map(blocked).collect();
    lines.extend((10..20).map(|id| postfix(id, "b@z.test", "mx.z.test[198.51.100.1]:25", "2.0.0", "sent (250 ok)")));
    assert!(findings(&postfix_log::FORMAT, &lines).iter().all(|found| found.cause.as_str() != "outbound-port-blocked"));
}

#[test]
fn what_a_log_says_of_tls_in_several_lines_is_one_story() {
    let exim = |line: &str| format!("2026-11-25 07:00:02 1vNqXY-0000000001a-2bcd {line}");
    let sendmail = |line: &str| format!("Nov 25 07:00:02 mx sendmail[77]: {line}");
    for (format, lines, expected) in [
        (
            &exim_log::FORMAT,
            vec![
                exim("[192.0.2.1] SSL verify error: depth=0 error=certificate has expired cert=/CN=mx.dest.test"),
                exim(
                    "== b@dest.test R=dnslookup T=remote_smtp defer (-37) H=mx.dest.test [192.0.2.1]: a TLS session is required, but an attempt to start TLS failed",
                ),
            ],
            "certificate-expired",
        ),
        (
            &exim_log::FORMAT,
            vec![exim(
                "== b@dest.test R=dnslookup T=remote_smtp defer (-37) H=mx.dest.test [192.0.2.1]: DANE attempt failed; TLS connection to mx.dest.test [192.0.2.1]: (SSL_connect): error:0A000086:SSL routines::certificate verify failed",
            )],
            "dane-failed",
        ),
        (
            &postfix_log::FORMAT,
            vec![postfix(1, "a@dest.test", "none", "4.7.5", "deferred (TLSA lookup error for mx.dest.test:25)")],
            "dane-failed",
        ),
        (
            &sendmail_log::FORMAT,
            vec![
                sendmail(
                    "STARTTLS=client, error: connect failed=-1, reason=tlsv1 alert protocol version, SSL_error=1, errno=0, retry=-1",
                ),
                sendmail(
                    "1AB2CD34: to=<b@dest.test>, delay=00:00:01, mailer=esmtp, relay=mx.dest.test. [192.0.2.1], dsn=4.0.0, stat=Deferred: 403 4.7.0 TLS handshake failed.",
                ),
            ],
            "no-shared-tls-version",
        ),
    ] {
        let found = findings(format, &lines);
        assert_eq!(found[0].cause.as_str(), expected, "{lines:#?}");
    }
}

/// One connector of Exchange to the whole internet, whose addresses have nothing in common.
#[test]
fn a_blocked_port_shows_in_a_protocol_log_without_names() {
    let session = |n: usize| {
        let head = |second: usize, row: usize| {
            format!(
                "2026-11-25T07:{n:02}:{second:02}.000Z,Internet,08DD0000000000{n:02X},{row},,{}.{n}.2.25:25,*",
                11 + n * 9
            )
        };
        format!(
            "{},SendRoutingHeaders,attempting to connect\r\n{},,\"Failed to connect. Winsock error code: 10060, Win32 error code: 10060, Error Message: A connection attempt failed because the connected party did not properly respond after a period of time\"\r\n",
            head(0, 0),
            head(21, 1)
        )
    };
    let log: String = "#Software: Microsoft Exchange Server\r\n#Log-type: SMTP Send Protocol Log\r\n".to_owned()
        + "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r\n"
        + &(0..12).map(session).collect::<String>();
    let sessions = trace::protocol_log::sessions(trace::protocol_log::read(log.as_bytes()).rows);
    let mut evidence = Evidence::default();
    protocol_log::add_log(&mut evidence, Source::ProtocolLog, &sessions, "SEND.LOG", None);
    let found = diagnose(&evidence);
    assert_eq!(found[0].cause.as_str(), "outbound-port-blocked", "{found:#?}");
    assert_eq!(found[0].scope.destinations, 12);
    assert!(!found[0].messages_known);
    let told = remedies(&found[0]);
    assert!(told.contains("Set-SendConnector") && !told.contains("ProtocolLoggingLevel"), "{told}");
}

/// What is asked for is not in the input already.
#[test]
fn nothing_is_asked_for_that_is_there() {
    let log = "2026-11-25T07:00:00.000Z,Internet,08DD000000000001,0,192.0.2.9:4711,203.0.113.5:25,+,,\r\n\
               2026-11-25T07:00:01.000Z,Internet,08DD000000000001,1,192.0.2.9:4711,203.0.113.5:25,<,220 mx ESMTP,\r\n\
               2026-11-25T07:00:01.000Z,Internet,08DD000000000001,2,192.0.2.9:4711,203.0.113.5:25,>,EHLO edge,\r\n\
               2026-11-25T07:00:02.000Z,Internet,08DD000000000001,3,192.0.2.9:4711,203.0.113.5:25,<,471 3.9.9 Blorb,\r\n";
    let sessions = trace::protocol_log::sessions(trace::protocol_log::read(log.as_bytes()).rows);
    let mut evidence = Evidence::default();
    protocol_log::add_log(&mut evidence, Source::ProtocolLog, &sessions, "SEND.LOG", None);
    let found = diagnose(&evidence);
    assert_eq!(found[0].cause.as_str(), "unknown", "{found:#?}");
    let told = remedies(&found[0]);
    assert!(told.contains("pktmon") && !told.contains("protocol log"), "{told}");
}

/// A content filter behind a port of this machine: no network, and no firewall, is between.
#[test]
fn a_filter_on_this_machine_is_looked_at_itself() {
    let status = "deferred (conversation with 127.0.0.1[127.0.0.1] timed out while sending end of data -- message may be sent more than once)";
    let lines: Vec<String> =
        (0..4).map(|id| postfix(id, "a@our.test", "127.0.0.1[127.0.0.1]:10024", "4.4.2", status)).collect();
    let found = findings(&postfix_log::FORMAT, &lines);
    let told = remedies(&found[0]);
    assert_eq!(found[0].cause.as_str(), "no-reply-to-message");
    assert!(told.contains("sport = :10024") && told.contains("lmtp_data_done_timeout"), "{told}");
    assert!(!told.contains("network: ") && !told.contains("destination: "), "{told}");
}

/// The name servers of one domain fail while the resolver finds others: theirs to repair.
#[test]
fn name_servers_of_one_domain_are_looked_at_first() {
    let status = "deferred (Host or domain name not found. Name service error for name=broken.test type=MX: Host not found, try again)";
    let mut lines: Vec<String> = (0..4).map(|id| postfix(id, "a@broken.test", "none", "4.4.3", status)).collect();
    lines.extend((10..14).map(|id| postfix(id, "b@z.test", "mx.z.test[198.51.100.1]:25", "2.0.0", "sent (250 ok)")));
    let found = findings(&postfix_log::FORMAT, &lines);
    assert_eq!(found[0].cause.as_str(), "dns-failure");
    assert!(
        remedies(&found[0]).starts_with("destination: Ask each name server of broken.test"),
        "{:#?}",
        found[0].remedy
    );
}

/// verify(8) tests addresses: no message waits for that, and none bounced. That a recipient does not exist is an answer.
#[test]
fn addresses_that_are_only_tested_are_no_bounces() {
    let tested = |reply: &str| {
        let status =
            format!("undeliverable (host mx.dest.test[192.0.2.1] said: {reply} (in reply to RCPT TO command))");
        let lines: Vec<String> =
            (0..4).map(|id| postfix(id, "a@dest.test", "mx.dest.test[192.0.2.1]:25", "4.3.0", &status)).collect();
        findings(&postfix_log::FORMAT, &lines)
    };
    let found = &tested("451 4.3.0 <a@dest.test>: Temporary lookup failure")[0];
    let counted = (found.cause.as_str(), found.messages_bounced, found.messages_pending, found.messages_known);
    assert_eq!(counted, ("destination-internal-failure", 0, 0, false));
    assert_eq!(tested("550 5.1.1 <a@dest.test>: User unknown"), []);
}

/// What the master says of a process that a signal killed, and the map that made a lookup fail.
#[test]
fn a_crash_is_no_setting_and_a_map_is_named() {
    let line = |program: &str, text: &str| format!("Nov 25 07:00:00 mx postfix/{program}: {text}");
    let crashed = [
        line("master[2]", "warning: process /usr/lib/postfix/sbin/smtp pid 77 killed by signal 11"),
        line(
            "error[9]",
            "4F0001: to=<a@dest.test>, relay=none, delay=1, delays=1/0/0/0, dsn=4.3.0, status=deferred (unknown mail transport error)",
        ),
    ];
    let found = findings(&postfix_log::FORMAT, &crashed);
    let told = remedies(&found[0]);
    assert_eq!(found[0].cause.as_str(), "local-configuration-error");
    assert!(told.starts_with("gateway: A process of Postfix was killed"), "{told}");
    let without_map = [
        line("smtp[4]", "warning: connect to 192.0.2.43:8462: Connection refused"),
        line("smtp[4]", "warning: socketmap:inet:192.0.2.43:8462:query lookup error for \"dest.test\""),
        line("smtp[4]", "warning: smtp_tls_policy_maps, next-hop destination \"dest.test\": policy table lookup error"),
        line("smtp[4]", "warning: TLS policy lookup for dest.test/mx.dest.test: client TLS configuration problem"),
        postfix(1, "a@dest.test", "none", "4.7.5", "deferred (client TLS configuration problem)"),
    ];
    let found = findings(&postfix_log::FORMAT, &without_map);
    assert_eq!(found[0].cause.as_str(), "local-configuration-error");
    assert!(found[0].evidence[0].what.contains("socketmap:inet:192.0.2.43:8462"), "{:#?}", found[0].evidence);
    assert!(remedies(&found[0]).contains("Correct the setting"));
}

/// A content filter stands between, and takes all mail.
#[test]
fn what_a_filter_takes_has_not_reached_its_domain() {
    let mut lines = Vec::new();
    for id in 0..5 {
        let to = format!("a@d{id}.test");
        lines.push(postfix(id, &to, "127.0.0.1[127.0.0.1]:10024", "2.0.0", "sent (250 2.0.0 from MTA)"));
        let status = format!(
            "deferred (Host or domain name not found. Name service error for name=d{id}.test type=MX: Host not found, try again)"
        );
        lines.push(postfix(id + 20, &to, "none", "4.4.3", &status));
    }
    let found = findings(&postfix_log::FORMAT, &lines);
    let everywhere = found[0].scope.everywhere.as_ref().map(|all| all.destinations);
    assert_eq!((found[0].cause.as_str(), everywhere), ("dns-failure", Some(5)), "{found:#?}");
    assert!(remedies(&found[0]).starts_with("gateway: Start or replace the resolver"));
}

/// Where some lines name the host and some do not, each is a destination.
#[test]
fn a_blocked_port_shows_though_a_line_lacks_its_host() {
    let line = |n: u32, host: &str| {
        format!(
            "2026-11-25 07:0{n}:02 1vNqXY-000000000{n}a-2bcd == b@d{n}.test R=dnslookup T=remote_smtp defer (110): {host}Connection timed out"
        )
    };
    let lines = [line(1, ""), line(2, "H=mx.d2.test [192.0.2.1] "), line(3, "H=mx.d3.test [198.51.100.1] ")];
    let lines = lines.map(|line| match line.split_once("defer (110): H=") {
        Some((head, rest)) => {
            format!("{head}H={} defer (110): Connection timed out", rest.replace(" Connection timed out", ""))
        }
        None => line,
    });
    let found = findings(&exim_log::FORMAT, &lines);
    assert_eq!(found[0].cause.as_str(), "outbound-port-blocked", "{found:#?}");
}

/// Exim says so of a local part that does not exist as well as of a domain without a server.
#[test]
fn exim_s_unrouteable_address_is_no_missing_domain() {
    let line = "2026-11-25 07:01:02 1vNqXY-0000000001a-2bcd ** nobody@corp.test: Unrouteable address".to_owned();
    let found = findings(&exim_log::FORMAT, &[line]);
    assert_eq!(found[0].cause.as_str(), "unknown");
    assert!(remedies(&found[0]).starts_with("gateway: Ask Exim why it finds no route"), "{:#?}", found[0].remedy);
}

#[test]
fn remedies_are_for_whom_they_help() {
    let told = |to: &str, relay: &str, dsn: &str, status: &str| {
        let lines: Vec<String> = (0..3).map(|id| postfix(id, to, relay, dsn, status)).collect();
        let found = findings(&postfix_log::FORMAT, &lines);
        (found[0].cause.as_str(), remedies(&found[0]))
    };
    let refused = "deferred (connect to 127.0.0.1[127.0.0.1]:10024: Connection refused)";
    let (cause, text) = told("a@our.test", "none", "4.4.1", refused);
    assert_eq!(cause, "connection-refused");
    assert!(text.contains("sport = :10024") && !text.contains("destination: "), "{text}");
    let socket = "deferred (connect to mx1.our.test[private/dovecot-lmtp]: Connection refused)";
    assert_eq!(told("a@our.test", "none", "4.4.1", socket).0, "local-configuration-error");
    let login = "deferred (SASL authentication failed; server smtp.p.test[192.0.2.5] said: 535 5.7.8 Error: authentication failed)";
    let (cause, text) = told("a@z.test", "smtp.p.test[192.0.2.5]:587", "4.7.8", login);
    assert_eq!(cause, "authentication-required");
    assert!(text.contains("smtp_sasl_password_maps") && !text.contains("without authentication"), "{text}");
    let piped = "bounced (Command died with status 127: \"/usr/bin/spamc\". Command output: sh: spamc: not found)";
    assert_eq!(told("a@our.test", "filter", "5.3.0", piped).0, "local-configuration-error");
}

/// The queue manager gives up for age alone; the attempts are those of smtp(8).
#[test]
fn an_expiry_is_no_attempt() {
    let lines = [
        postfix(
            1,
            "a@far.test",
            "none",
            "4.4.1",
            "deferred (connect to mx.far.test[203.0.113.33]:25: Connection timed out)",
        ),
        "Nov 30 07:01:00 mx postfix/qmgr[9]: 4F0001: from=<s@our.test>, status=expired, returned to sender".to_owned(),
    ];
    let found = &findings(&postfix_log::FORMAT, &lines)[0];
    assert_eq!((found.scope.failed, found.messages_bounced, found.messages_pending), (1, 1, 0), "{found:#?}");
    assert!(found.summary.contains("the only attempt failed"), "{}", found.summary);
}
