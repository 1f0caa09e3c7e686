//! Explains a number of attempts, made up, and prints what it took as JSON: `why_speed ATTEMPTS`.

use std::{borrow::Cow, fs, time::Instant};

use gatepost_diagnosis::{Attempt, Evidence, Failed, Place, Sign, Signs, Source, diagnose};
use jiff::Timestamp;
use protocol::{
    smtp::Phase,
    tls::{CipherSuite, ClientHello, HandshakeFacts, WireVersion},
};

fn facts(versions: &[WireVersion], suites: usize) -> HandshakeFacts {
    let hello = ClientHello {
        versions: versions.to_vec(),
        cipher_suites: (0..suites as u16).map(|number| CipherSuite(0xc000 + number)).collect(),
        extensions: vec![0, 10, 11, 13, 43, 51],
        server_name: Some("mail.onprem.example".to_owned()),
        groups: vec![29, 23],
        signature_algorithms: vec![0x0403, 0x0804],
        length_bytes: 300,
    };
    HandshakeFacts { client_hello: Some(hello), client_bytes: 300, server_bytes: 7, ..HandshakeFacts::default() }
}

fn main() {
    let attempts: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let failing = facts(&[WireVersion::TLS13, WireVersion::TLS12], 14);
    let nodes: Vec<String> = (1..=16).map(|number| format!("mx{number}")).collect();
    let hosts: Vec<String> = (0..50).map(|number| format!("mail{number}.example")).collect();
    let signs = Signs::default().and(Sign::HandshakeFailed).and(Sign::AlertHandshakeFailure);
    let began = Instant::now();
    let mut evidence = Evidence::default();
    let mut random = 1u64;
    for number in 0..attempts {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let draw = (random >> 33) as usize;
        let (node, host) = (draw % 16, draw / 16 % 50);
        let fails = host < 10 && node < 8;
        let message = format!("01a2137e-b7ef-7443-bece-{number:012x}");
        let session = || Some(Place::Session { id: format!("{number:016X}"), file: None });
        let attempt = Attempt {
            at: Timestamp::from_millisecond(1_700_000_000_000 + number as i64).ok(),
            message: Some((&message).into()),
            recipient: Some("user@onprem.example".into()),
            connector: Some((&hosts[host]).into()),
            node: Some((&nodes[node]).into()),
            destination: Some(((&hosts[host]).into(), Some(25))),
            tls_policy: Some(if node < 8 { "modern" } else { "legacy" }.into()),
            tls: (!fails).then(|| ("TLSv1.2".into(), "ECDHE-RSA-AES128-GCM-SHA256".into())),
            handshake: fails.then_some(Cow::Borrowed(&failing)),
            message_bytes: Some(1000 + draw as u64 % 100_000),
            sender_domain: Some("partner.example".into()),
            recipient_domain: Some("onprem.example".into()),
            failure: fails.then(|| Failed {
                phase: Some(Phase::Handshake),
                signs,
                code: None,
                enhanced: None,
                text: "TLS handshake failed (alert handshake failure) while negotiating TLS".into(),
            }),
            ..Attempt::by(Source::History)
        };
        evidence.add(&attempt, session);
    }
    let gathered = began.elapsed();
    let findings = diagnose(&evidence);
    let all = began.elapsed();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak_kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    println!(
        "{{\"attempts\": {attempts}, \"findings\": {}, \"gather_s\": {:.3}, \"total_s\": {:.3}, \"peak_mib\": {}}}",
        findings.len(),
        gathered.as_secs_f64(),
        all.as_secs_f64(),
        peak_kib / 1024
    );
}
