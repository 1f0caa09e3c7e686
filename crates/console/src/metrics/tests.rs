//! The text of `/metrics`, from figures as large as they get.

use std::{collections::BTreeMap, sync::Arc};

use node::metrics::{AttemptFigures, Expiry, FailedAs, Figures, FleetFigures, QueueFigures, TlsAs};
use store::{Durations, StoreTimes};

use super::*;

const CONNECTORS: usize = 21;

/// Of a node with 20 connectors, each of which has failed in all ways that are counted.
fn figures() -> Figures {
    let durations = Durations::new(&[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0]);
    durations.note(std::time::Duration::from_millis(20));
    let failed = |_| (FailedAs { outcome: "deferred", phase: "handshake", cause: "no-shared-cipher" }, 7);
    let tls = |number| {
        let (policy, version, cipher) = (format!("policy {number}"), "TLSv1.3".to_owned(), "x".to_owned());
        (TlsAs { policy, version, cipher, outcome: "delivered" }, 1)
    };
    let attempts = AttemptFigures {
        durations: durations.read(),
        delivered: 3,
        failed: (0..53).map(failed).collect(),
        tls: (0..29).map(tls).collect(),
    };
    let connectors = || (0..CONNECTORS).map(|number| format!("connector \"{number}\"\\ \u{202e}"));
    let queue = QueueFigures { oldest: Some(std::time::Duration::from_millis(1500)), ..QueueFigures::default() };
    let times = StoreTimes::default();
    Figures {
        node: "mx1".to_owned(),
        version: "1.2.3",
        is_ready: true,
        accepted: 10,
        accepted_bytes: 2000,
        refused: 1,
        sessions_open: 4,
        attempts: connectors().map(|connector| (connector, attempts.clone())).collect(),
        connections_open: connectors().map(|connector| (connector, 1)).collect(),
        commits: times.commits.read(),
        searches: times.searches.read(),
        store_bytes: Some(4096),
        calls: [("worked", 1), ("failed", 0), ("given-up", 0)],
        lost_rows: 0,
        certificates: Arc::new(vec![Expiry { of: "inbound".to_owned(), at_s: 1_800_000_000 }]),
        fleet: Some(FleetFigures {
            queues: connectors().map(|connector| (connector, queue.clone())).collect(),
            incidents: (0..100).map(|number| ((format!("c{number}"), "greylisted".to_owned()), 1)).collect(),
            rollout_share: Some(0.5),
            rollout_halted: Some(false),
        }),
    }
}

fn of(figures: Figures) -> OfNode {
    OfNode { figures, console_viewers: 2 }
}

fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn twenty_connectors_have_less_than_3000_series() {
    let page = written(of(figures()), ProcessFigures::now(), Format::Text).unwrap();
    let series = samples(&page).len();
    assert!((2300..3000).contains(&series), "{series}");
}

#[test]
fn both_formats_have_the_same_samples() {
    let process = ProcessFigures { cpu_s: Some(1.5), ..ProcessFigures::default() };
    let text = written(of(figures()), process, Format::Text).unwrap();
    let open = written(of(figures()), process, Format::OpenMetrics).unwrap();
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    let by_name = |page: &str| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for sample in samples(page) {
            *counts.entry(sample.split(['{', ' ']).next().unwrap().to_owned()).or_default() += 1;
        }
        counts
    };
    assert_eq!(by_name(&text), by_name(&open));
    for expected in [
        "gatepost_build_info{version=\"1.2.3\",node=\"mx1\"} 1",
        "gatepost_received_bytes_total 2000",
        "gatepost_store_bytes 4096",
        "gatepost_certificate_expiry_timestamp_seconds{of=\"inbound\"} 1800000000",
        "gatepost_fleet_rollout_share 0.5",
        "process_cpu_seconds_total 1.5",
        "gatepost_fleet_queue_oldest_age_seconds{connector=\"connector \\\"0\\\"\\\\ \u{202e}\"} 1.5",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        assert!(open.lines().any(|line| line == expected), "{expected}\n{open}");
    }
}

#[test]
fn what_the_store_does_not_say_is_left_out() {
    let figures = Figures { fleet: None, store_bytes: None, ..figures() };
    let page = written(of(figures), ProcessFigures::now(), Format::OpenMetrics).unwrap();
    assert!(!samples(&page).iter().any(|line| line.starts_with("gatepost_fleet_")), "{page}");
    assert!(page.contains("# TYPE gatepost_fleet_queue_deliveries gauge\n"));
}
