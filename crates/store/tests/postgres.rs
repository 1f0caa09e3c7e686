//! What holds for the fleet's store beyond the contract: what it refuses, and what it knows after a connection was lost.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod server;

use gatepost_store::{Backend, Clock, PostgresStore, conformance};
use server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let server = Server::start();
    let make = async || {
        let (settings, clock) = (server.database(), Clock::system());
        let one = PostgresStore::open_by(&settings, clock.clone()).await.unwrap();
        let other = PostgresStore::attach_by(&settings, clock.clone()).await.unwrap();
        conformance::Stores::new(Backend::Postgres(one), Backend::Postgres(other), clock)
    };
    conformance::run(make).await;
}

/// Each is also kept if one node does everything.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract_through_one_store() {
    let server = Server::start();
    let make = async || {
        let (settings, clock) = (server.database(), Clock::system());
        let store = PostgresStore::open_by(&settings, clock.clone()).await.unwrap();
        conformance::Stores::new(store.clone(), store, clock)
    };
    conformance::run(make).await;
}
