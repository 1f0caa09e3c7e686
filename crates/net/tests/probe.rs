//! Tests the prober with servers whose features are known.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::time::Duration;

use gatepost_net::probe::{ProbeOptions, Probed, StartTls, probe};
use lab::{Device, Server};
use protocol::{smtp::Phase, tls::TlsVersion};

async fn probe_device(device: Device) -> Probed {
    let server =
        Server::start(device, lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() }).unwrap();
    let options =
        ProbeOptions { timeout: Duration::from_millis(1500), pause: Duration::ZERO, ..ProbeOptions::default() };
    probe("localhost", ([127, 0, 0, 1], server.port()).into(), &options, |_| ()).await
}

/// The versions that have suites, with the number of suites.
fn suites(probed: &Probed) -> Vec<(TlsVersion, usize)> {
    let counts = probed.versions.iter().map(|support| (support.version, support.suites.len()));
    counts.filter(|(_, count)| *count > 0).collect()
}

fn works(probed: &Probed, name: &str) -> bool {
    probed.variations.iter().find(|variation| variation.name == name).unwrap().works
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_is_known_in_full() {
    let probed = probe_device(Device::Healthy).await;
    assert_eq!(probed.starttls, StartTls::Offered);
    let versions: Vec<TlsVersion> = suites(&probed).iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [TlsVersion::Tls12, TlsVersion::Tls13]);
    let tls13 = probed.versions.last().unwrap();
    let names: Vec<&str> = tls13.suites.iter().map(|suite| suite.name.as_str()).collect();
    assert!(names.contains(&"TLS_AES_256_GCM_SHA384") && names.len() >= 3, "{names:?}");
    assert!(tls13.suites.iter().all(|suite| suite.failure.is_none()));
    assert!(probed.groups.contains(&"X25519") && probed.groups.contains(&"P-256"), "{:?}", probed.groups);
    assert!(
        ["modern", "large-hello", "small-hello", "no-server-name"].iter().all(|name| works(&probed, name)),
        "{probed:#?}"
    );
    let large = probed.variations.iter().find(|variation| variation.name == "large-hello").unwrap();
    assert!(large.hello_bytes.unwrap() > 1400);
    assert!(!probed.handshake.as_ref().unwrap().certificates.is_empty());
    assert!(!probed.is_cut && probed.failure.is_none() && probed.extensions.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_appliance_of_the_story_is_known_by_its_one_suite() {
    let probed = probe_device(Device::Rc4Only).await;
    let [tls10] = probed.versions.iter().filter(|support| !support.suites.is_empty()).collect::<Vec<_>>()[..] else {
        panic!("{probed:#?}");
    };
    assert_eq!(tls10.version, TlsVersion::Tls10);
    assert!(tls10.suites.iter().all(|suite| suite.name.contains("RC4")), "{tls10:#?}");
    let policies: Vec<_> = probed.policies.iter().map(|policy| (policy.name.as_str(), policy.works)).collect();
    assert_eq!(policies, [("modern", false), ("intermediate", false), ("legacy", true)]);
    // Each row has one change from the ClientHello that fails: a smaller one, or none with a server name, is no cure.
    assert!(!works(&probed, "modern") && !works(&probed, "small-hello") && !works(&probed, "no-server-name"));
    let cures = probed.variations.iter().filter(|variation| variation.works).map(|variation| variation.name.as_str());
    assert_eq!(cures.collect::<Vec<_>>(), ["with-tls-1.0-and-rc4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_after_the_handshake_is_told_from_a_suite_that_works() {
    let probed = probe_device(Device::AesThenSilence).await;
    let all: Vec<_> = probed.versions.iter().flat_map(|support| &support.suites).collect();
    assert!(!all.is_empty(), "{probed:#?}");
    for suite in all {
        let hangs = suite.name.contains("AES").then_some(Phase::Ehlo);
        assert_eq!(suite.failure.as_ref().map(|failure| failure.phase), hangs, "{suite:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_handshake_is_told_and_left_alone() {
    for (device, starttls, connections) in [
        (Device::StartTlsNotOffered, StartTls::NotOffered, 1),
        (Device::StartTlsMasked, StartTls::Masked, 1),
        (Device::StartTlsRefused, StartTls::Refused, 1),
        // A second connection begins TLS at once.
        (Device::SlowBanner, StartTls::NotObserved, 2),
        (Device::ImplicitTls, StartTls::NotObserved, 2),
    ] {
        let probed = probe_device(device).await;
        assert_eq!((probed.starttls, probed.connections), (starttls, connections), "{device:?}");
        assert_eq!(probed.begins_with_tls, device == Device::ImplicitTls, "{device:?}");
    }
    let reset = probe_device(Device::HandshakeReset).await;
    assert_eq!((reset.starttls, suites(&reset).len()), (StartTls::Offered, 0));
    assert!(reset.variations.iter().all(|variation| !variation.works));
}
