//! In TLS 1.3 a server refuses a client's certificate after the client has finished. The refusal must be reported as
//! such, however the bytes and the close after them arrive.

mod common;

use gatepost_net::{send::Connection, tls::TlsContext};
use lab::{Device, Server};
use protocol::{
    smtp::{FailureKind, Phase},
    tls::TlsPolicy,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_certificate_is_always_told_as_such() {
    let server = Server::start(Device::ClientCertificateRequired, lab::Options::default()).unwrap();
    let options = common::require(TlsPolicy::modern());
    let context = TlsContext::default();
    for round in 0..300 {
        let opened = Connection::open("localhost", server.address(), &options, &context, None).await;
        let (failure, seen) = *opened.err().expect("refused");
        let facts = seen.handshake.expect("a handshake was seen");
        assert_eq!(failure.phase, Phase::Handshake, "round {round}: {failure:?}, {facts}");
        assert!(matches!(failure.kind, FailureKind::HandshakeFailed { .. }), "round {round}: {failure:?}, {facts}");
        assert!(facts.alerts.iter().any(|alert| alert.description == Some(116)), "round {round}: {facts}");
    }
}
