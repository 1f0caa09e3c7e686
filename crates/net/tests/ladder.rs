//! The smallest change that works, at devices whose trouble is known.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{net::SocketAddr, time::Duration};

use gatepost_net::{
    probe::{Change, Ladder, OldSuite, ProbeOptions, Trial, climb},
    tls::TlsSettings,
};
use lab::{Device, Server};
use protocol::{smtp::client::TlsLevel, tls::TlsPolicy};

async fn climb_at(addresses: Vec<SocketAddr>, policy: TlsPolicy, authorities: Option<std::path::PathBuf>) -> Ladder {
    let verify = authorities.is_some();
    let trial = Trial {
        host: "localhost".to_owned(),
        addresses,
        level: if verify { TlsLevel::Verify } else { TlsLevel::Require },
        tls: TlsSettings { policy, verify, authorities, identity: None },
    };
    let options =
        ProbeOptions { timeout: Duration::from_millis(1000), pause: Duration::ZERO, ..ProbeOptions::default() };
    climb(&trial, &options, |_| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_change_that_works_is_found() {
    let (modern, intermediate, legacy) = (TlsPolicy::modern, TlsPolicy::intermediate, TlsPolicy::legacy);
    let rc4 = Change::FromTls10With(OldSuite::Rc4);
    let table = [
        (Device::Healthy, modern(), false, None),
        (Device::Rc4Only, modern(), false, Some(rc4)),
        (Device::Rc4Only, intermediate(), false, Some(Change::With(OldSuite::Rc4))),
        (Device::Rc4Only, legacy(), false, None),
        (Device::Tls10Only, modern(), false, Some(Change::FromTls10With(OldSuite::AesCbc))),
        (Device::AesThenSilence, legacy(), false, Some(Change::WithoutAes)),
        // 512 bits are too few for OpenSSL at any level.
        (Device::WeakDh, modern(), false, Some(Change::InTheClear)),
        (Device::HandshakeReset, modern(), false, Some(Change::InTheClear)),
        (Device::ClientCertificateRequired, modern(), false, Some(Change::InTheClear)),
        (Device::StartTlsMasked, modern(), false, Some(Change::InTheClear)),
        (Device::CertificateExpired, modern(), true, Some(Change::UncheckedCertificate)),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (device, policy, verify, wanted) in table {
        let options = lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() };
        let server = Server::start(device, options).unwrap();
        let authorities = folder.path().join("authorities.pem");
        std::fs::write(&authorities, server.authority_pem()).unwrap();
        let name = format!("{} under {}", device.name(), policy.name);
        let ladder = climb_at(vec![server.address()], policy, verify.then_some(authorities)).await;
        assert_eq!(ladder.smallest(), wanted, "{name}: {ladder:#?}");
        assert_eq!(ladder.baseline.works(), wanted.is_none(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_is_tried_first() {
    let options = lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() };
    let (bad, good) = (Server::start(Device::Rc4Only, options.clone()), Server::start(Device::Healthy, options));
    let (bad, good) = (bad.unwrap(), good.unwrap());
    let ladder = climb_at(vec![bad.address(), good.address()], TlsPolicy::modern(), None).await;
    assert_eq!(ladder.smallest(), Some(Change::OtherAddress(good.address())));
    assert_eq!(ladder.changes.len(), 1);
}
