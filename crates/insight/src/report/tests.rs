//! Tests of the page with made-up cases, also hostile ones.

use std::borrow::Cow;

use diagnosis::{Attempt, Evidence, Failed, Place, Sign, Signs, Source, explain};
use jiff::Timestamp;
use protocol::{
    smtp::Phase,
    tls::{Alert, CipherSuite, ClientHello, HandshakeFacts, ServerHello, Side, WireVersion},
};
use trace::protocol_log::{self, RowKind, Session};

use super::*;
use crate::{attempts, bundle};

const HOSTILE: &str = "</pre><script>alert(1)</script><img src=x onerror=\"alert(2)\">' \u{202e}&lt;";

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn facts(versions: &[WireVersion], suites: &[u16], works: bool) -> HandshakeFacts {
    let suites: Vec<CipherSuite> = suites.iter().map(|number| CipherSuite(*number)).collect();
    let chosen = works.then_some(ServerHello {
        version: WireVersion::TLS10,
        cipher_suite: CipherSuite(5),
        key_exchange: None,
        retried: false,
    });
    let alert = Alert { by: Side::Server, description: Some(Alert::HANDSHAKE_FAILURE), fatal: true };
    HandshakeFacts {
        client_hello: Some(ClientHello {
            versions: versions.to_vec(),
            cipher_suites: suites,
            extensions: Vec::new(),
            server_name: None,
            groups: Vec::new(),
            signature_algorithms: Vec::new(),
            length_bytes: 200,
        }),
        server_hello: chosen,
        alerts: if works { Vec::new() } else { vec![alert] },
        completed: works,
        ..HandshakeFacts::default()
    }
}

/// 20 attempts under the policy `modern` that fail, with `text`, and 20 under `legacy` that work.
fn evidence(host: &str, text: &str) -> Evidence {
    let mut evidence = Evidence::keeping(25);
    let modern = facts(&[WireVersion::TLS12, WireVersion::TLS10], &[0xc02f], false);
    let legacy = facts(&[WireVersion::TLS12, WireVersion::TLS10], &[0xc02f, 5], true);
    for number in 0..40u64 {
        let fails = number % 2 == 0;
        let signs = Signs::default().and(Sign::HandshakeFailed).and(Sign::AlertHandshakeFailure);
        let failed = Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text: text.into() };
        let attempt = Attempt {
            at: Timestamp::from_second(1_764_072_000 + number as i64).ok(),
            message: Some(number.to_string().into()),
            recipient: Some("bob@onprem.test".into()),
            node: Some(host.into()),
            destination: Some((host.into(), Some(25))),
            tls_policy: Some(if fails { "modern" } else { "legacy" }.into()),
            handshake: Some(Cow::Borrowed(if fails { &modern } else { &legacy })),
            failure: fails.then_some(failed),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, || Some(Place::Session { id: format!("{number:016X}"), file: None }));
    }
    evidence
}

/// After the repair, mail flows in plaintext under both policies: what worked beside the failures is older.
fn add_repair(evidence: &mut Evidence) {
    for number in 40..60u64 {
        let attempt = Attempt {
            at: Timestamp::from_second(1_764_072_000 + number as i64).ok(),
            message: Some(number.to_string().into()),
            node: Some("mail.onprem.test".into()),
            destination: Some(("mail.onprem.test".into(), Some(25))),
            tls_policy: Some(if number % 2 == 0 { "modern" } else { "legacy" }.into()),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, || Some(Place::Session { id: format!("{number:016X}"), file: None }));
    }
}

/// The page; also checks that the bundle can be built.
fn page(evidence: &Evidence, addresses: &Addresses, said: &str) -> String {
    let findings = explain(evidence);
    let ids: Vec<Session> = attempts(&findings)
        .iter()
        .flat_map(|attempt| crate::excerpts::session_ids(attempt))
        .map(|id| {
            let row = protocol_log::Row { kind: RowKind::Received, data: said.to_owned(), ..Default::default() };
            Session { id, rows: vec![row] }
        })
        .collect();
    let report = Report {
        findings: &findings,
        excerpts: Excerpts { sessions: ids, left_out: vec![said.to_owned()], ..Excerpts::default() },
        addresses,
        read: Read { attempts: 40, ..Read::default() },
        sources: &[said.to_owned()],
        skipped: &[said.to_owned()],
        changes: Vec::new(),
        made: now(),
    };
    assert!(bundle(&report).is_ok());
    report.page()
}

/// The names of the opening and closing tags of a page, as a browser sees them.
fn tags(page: &str) -> Vec<&str> {
    let names = page.split('<').skip(1).map(|tag| tag.split([' ', '>']).next().unwrap_or_default());
    names.collect()
}

#[test]
fn a_page_shows_who_fails_what_each_side_offered_and_what_to_do() {
    let evidence = evidence("mail.onprem.test", "TLS handshake failed");
    let page = page(&evidence, &Addresses::default(), "220 ready");
    for part in [
        "<h1>mail.onprem.test:25 shares no cipher suite with nodes under the policy modern</h1>",
        "The TLS policy separates failed attempts from those that worked.",
        "<th scope=\"row\">modern</th><td data-label=\"failed\">20</td><td data-label=\"worked\">–</td>",
        "aria-label=\"modern: 20 attempts failed, 0 worked\"",
        "aria-label=\"legacy: 0 attempts failed, 20 worked\"",
        "separates them: 20 of 20 failed, 20 of 20 worked",
        "<b>Server sent alert 40 handshake_failure (fatal)</b>",
        "with <b>TLS_RSA_WITH_RC4_128_SHA</b>",
        "2025-11-25 12:00:38.000",
        "session 0000000000000026",
        "220 ready",
        "In attempts that worked, the destination chose TLS 1.0 and TLS_RSA_WITH_RC4_128_SHA. In attempts that failed, \
         the sender did not offer TLS_RSA_WITH_RC4_128_SHA.",
        "<td class=\"quiet\">not offered</td><td><b>chosen</b>, 20 times</td>",
        "Server sent alert 40 handshake_failure (fatal), 20 times",
        "gatepost probe mail.onprem.test:25",
        "2026-11-25 12:00:00 UTC",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// From both sides of the difference, close to each other in time, whatever came later.
#[test]
fn what_worked_is_quoted_from_beside_the_failures() {
    let mut evidence = evidence("mail.onprem.test", "TLS handshake failed");
    add_repair(&mut evidence);
    let findings = explain(&evidence);
    let (failing, working) = (findings[0].failing(), findings[0].working());
    assert_eq!(findings[0].finding.scope.split.as_ref().unwrap().fails, ["modern"]);
    let (failed, worked) = (failing[0], working[0]);
    assert_eq!((failed.tls_policy.as_deref(), worked.tls_policy.as_deref()), (Some("modern"), Some("legacy")));
    let distance = worked.at.unwrap().duration_since(failed.at.unwrap()).abs();
    assert!(distance.as_secs() <= 2 && worked.handshake.is_some(), "{failed:?} {worked:?}");
    let page = page(&evidence, &Addresses::default(), "220 ready");
    for part in
        ["aria-label=\"modern: 20 attempts failed, 10 worked\"", "aria-label=\"legacy: 0 attempts failed, 30 worked\""]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Conversations of the closest pair.
    assert!(page.contains("session 0000000000000026") && page.contains("session 0000000000000027"), "{page}");
}

#[test]
fn steps_of_a_rollout_are_marked_and_the_probe_s_line_stays_in() {
    let mut evidence = Evidence::keeping(25);
    let (modern, legacy) = (facts(&[WireVersion::TLS12], &[0xc02f], false), facts(&[WireVersion::TLS12], &[5], true));
    for number in 0..60u64 {
        // The second node moves in the middle.
        let (node, fails) = if number % 2 == 0 { ("mx1", false) } else { ("mx2", number > 30) };
        let signs = Signs::default().and(Sign::HandshakeFailed).and(Sign::AlertHandshakeFailure);
        let text = "TLS handshake failed".into();
        let failed = Failed { phase: Some(Phase::Handshake), signs, code: None, enhanced: None, text };
        let attempt = Attempt {
            at: Timestamp::from_second(1_764_072_000 + number as i64 * 60).ok(),
            message: Some(number.to_string().into()),
            node: Some(node.into()),
            destination: Some(("mail.onprem.test".into(), Some(25))),
            tls_policy: Some(if fails { "modern" } else { "legacy" }.into()),
            handshake: Some(Cow::Borrowed(if fails { &modern } else { &legacy })),
            failure: fails.then_some(failed),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, || Some(Place::Session { id: format!("{number:016X}"), file: None }));
    }
    let mut findings = explain(&evidence);
    let tried = || (step("with the same settings as mail"), Attempt::by(Source::Probe));
    fn step(what: &str) -> diagnosis::experiment::Step {
        let (what, detail) = (what.to_owned(), "TLSv1.2".to_owned());
        diagnosis::experiment::Step { what, aspects: &[], works: true, detail, chose: None }
    }
    findings[0].finding.try_by(diagnosis::experiment::Tried {
        baseline: tried(),
        others: Vec::new(),
        changes: Vec::new(),
        nodes: Vec::new(),
        place: "mail.onprem.test".to_owned(),
    });
    let at = Timestamp::from_second(1_764_072_000 + 1800).unwrap();
    let plan = crate::Mark::seen(at, "rollout of modern to 50%: mx2");
    let report = Report {
        findings: &findings,
        excerpts: Excerpts::default(),
        addresses: &Addresses::default(),
        read: Read::default(),
        sources: &[],
        skipped: &[],
        changes: vec![plan],
        made: now(),
    };
    let page = report.page();
    for part in [
        "Node mx2 moved from TLS policy legacy to modern",
        "Rollout of modern to 50%: mx2",
        "<line class=\"change\"",
        "A probe with the same settings as mail now works",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The comparison has a section of its own.
    assert!(!page.contains("comparison of"), "{page}");
}

#[test]
fn foreign_text_stays_text() {
    let expected = page(&evidence("mail.onprem.test", "a"), &Addresses::default(), "a");
    let page = page(&evidence(HOSTILE, HOSTILE), &Addresses::default(), HOSTILE);
    assert_eq!(tags(&page).into_iter().filter(|tag| ["script", "img", "/script"].contains(tag)).count(), 0, "{page}");
    assert!(!page.contains('\u{202e}') && page.contains("&lt;script&gt;"), "{page}");
    // The page has the same elements as without foreign markup.
    let of = |page: &str, tag: &str| tags(page).into_iter().filter(|known| *known == tag).count();
    for tag in ["pre", "/pre", "h1", "table", "section", "/section", "style", "li"] {
        assert_eq!(of(&page, tag), of(&expected, tag), "{tag}");
    }
}

#[test]
fn addresses_are_shown_only_if_that_is_wanted() {
    let evidence = evidence("mail.onprem.test", "450 alice: <bob@onprem.test> unknown");
    let mut addresses = Addresses::default();
    addresses.learn("<alice@partner.test>");
    let text = page(&evidence, &addresses, "MAIL FROM:<alice@partner.test>");
    assert!(!text.contains("alice") && !text.contains("bob"), "{text}");
    assert!(text.contains("450 withheld: &lt;withheld-1@onprem.test&gt; unknown"), "{text}");
    let text = page(&evidence, &Addresses::shown(), "MAIL FROM:<alice@partner.test>");
    assert!(text.contains("450 alice: &lt;bob@onprem.test&gt;") && text.contains("alice@partner.test"), "{text}");
}

#[test]
fn the_policy_allows_the_style_and_nothing_else() {
    let page = page(&evidence("mail.onprem.test", "a"), &Addresses::default(), "a");
    let style = page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).unwrap().0;
    assert_eq!(style, style::STYLE);
    assert!(page.contains(&format!("content=\"{}\"", style::policy())), "{page}");
    for part in ["url(", "@import", " src=", " href=", " style="] {
        assert!(!page.contains(part), "{part}");
    }
}
