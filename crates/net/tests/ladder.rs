//! The smallest change that works, at devices whose trouble is known.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{net::SocketAddr, time::Duration};

use gatepost_net::{
    probe::{Change, Ladder, OldSuite, ProbeOptions, Trial, climb},
    tls::TlsSettings,
};
use lab::{Device, Server};
use protocol::{
    smtp::{Address, Envelope, Phase, Recipient, ReversePath, Transaction, client::TlsLevel},
    tls::TlsPolicy,
};

async fn climb_at(addresses: Vec<SocketAddr>, policy: TlsPolicy, authorities: Option<std::path::PathBuf>) -> Ladder {
    let verify = authorities.is_some();
    let trial = Trial {
        host: "localhost".to_owned(),
        addresses,
        level: if verify { TlsLevel::Verify } else { TlsLevel::Require },
        tls: TlsSettings { policy, verify, authorities, identity: None },
        envelope: None,
    };
    let options =
        ProbeOptions { timeout: Duration::from_millis(1000), pause: Duration::ZERO, ..ProbeOptions::default() };
    climb(&trial, &options, |_| ()).await
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
        assert_eq!(ladder.baseline().unwrap().works(), wanted.is_none(), "{name}");
    }
}

/// Mail goes to the next address after any failure, and so does a probe.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_tried_as_mail_tries_them() {
    let options = lab::Options { host_name: "localhost".to_owned(), ..lab::Options::default() };
    let (bad, good) = (Server::start(Device::Rc4Only, options.clone()), Server::start(Device::Healthy, options));
    let (bad, good) = (bad.unwrap(), good.unwrap());
    let ladder = climb_at(vec![bad.address(), good.address()], TlsPolicy::modern(), None).await;
    assert!(
        ladder.as_mail.len() == 2 && ladder.baseline().unwrap().works() && ladder.changes.is_empty(),
        "{ladder:#?}"
    );

    // Nothing listens at the first address: what fails at the second is what mail fails by.
    let dead = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, bad.port()));
    let ladder = climb_at(vec![dead, bad.address()], TlsPolicy::intermediate(), None).await;
    assert_eq!(ladder.baseline().unwrap().seen.address, Some(bad.address()), "{ladder:#?}");
    assert_eq!(ladder.smallest(), Some(Change::With(OldSuite::Rc4)), "{ladder:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_goes_as_far_as_rcpt_and_is_taken_back() {
    let table = [
        (Device::Healthy, None),
        (Device::RecipientUnknown, Some(Phase::Rcpt)),
        (Device::Greylisting, Some(Phase::Rcpt)),
        (Device::DropAfterData, None),
    ];
    for (device, phase) in table {
        let server = Server::start(device, lab::Options::default()).unwrap();
        let recipient = Recipient { address: Address::parse("user@onprem.test").unwrap(), notify: None, orcpt: None };
        let trial = Trial {
            host: "localhost".to_owned(),
            addresses: vec![server.address()],
            level: TlsLevel::Opportunistic,
            tls: ProbeOptions::default().as_mail,
            envelope: Some(Transaction {
                envelope: Envelope::from(ReversePath::Address(Address::parse("sender@partner.test").unwrap())),
                size_bytes: Some(2000),
                recipients: vec![recipient],
            }),
        };
        let ladder = climb(&trial, &ProbeOptions::default(), |_| ()).await;
        let result = ladder.baseline().unwrap();
        assert_eq!(result.failure.as_ref().map(|failure| failure.phase), phase, "{}: {ladder:#?}", device.name());
        // What a destination says about an envelope does not depend on how the connection is made.
        assert!(ladder.changes.is_empty() && server.messages_taken() == 0, "{}", device.name());
    }
}
