//! A session is resumed on the next connection to the same destination, and nowhere else.

mod common;

use gatepost_net::{send::Connection, tls::TlsContext};
use lab::{Device, Server};
use protocol::tls::{TlsPolicy, TlsVersion};

/// True if the handshake resumed a session. The connection is used, so that its tickets are received.
async fn resumes(server: &Server, policy: &TlsPolicy, context: &TlsContext) -> bool {
    let options = common::require(policy.clone());
    let mut connection =
        Connection::open("localhost", server.address(), &options, context, None).await.expect("opened");
    let facts = connection.take_seen().handshake.expect("a handshake was seen");
    connection.quit().await;
    facts.resumed
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_taken_up_again_where_they_were_made() {
    let first = Server::start(Device::Healthy, lab::Options::default()).expect("started");
    let second = Server::start(Device::Healthy, lab::Options::default()).expect("started");
    let tls12 = TlsPolicy { name: "tls12".to_owned(), maximum: TlsVersion::Tls12, ..TlsPolicy::modern() };
    for policy in [TlsPolicy::modern(), tls12] {
        let context = TlsContext::default();
        assert!(!resumes(&first, &policy, &context).await, "{}: the first", policy.name);
        assert!(resumes(&first, &policy, &context).await, "{}: the second", policy.name);
        assert!(!resumes(&second, &policy, &context).await, "{}: elsewhere", policy.name);
        let other = TlsPolicy { groups: "P-256".to_owned(), ..policy.clone() };
        assert!(!resumes(&first, &other, &context).await, "{}: under another policy", policy.name);
    }
}
