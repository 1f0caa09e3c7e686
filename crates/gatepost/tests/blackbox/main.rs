//! The program as its users meet it: a process of its own, real senders before it and real mail servers behind it.
//! Foreign programs are those that `./test` unpacked under target/peers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helper fails the test")]

mod api;
mod api_limits;
mod backup;
mod bodies;
mod capture;
mod cases;
mod changes;
mod config_check;
mod connectors;
mod crash;
mod destinations;
mod device_causes;
mod devices;
mod disk;
mod dns;
mod firewall;
mod fleet;
mod fleet_config;
mod fleet_database;
mod fleet_failures;
mod fleet_limits;
mod fleet_patroni;
mod foreign_causes;
mod foreign_files;
mod foreign_senders;
mod impact;
mod inbound;
mod interoperability;
mod lifecycle;
mod metrics;
mod migrate;
mod newcomers;
mod next_steps;
mod notices;
mod outbound;
mod own_faults;
mod peers;
mod plaintext;
mod probe;
mod protocol_log;
mod report;
mod restored;
mod rollout;
mod senders;
mod strangers;
mod support;
mod tls;
mod trace;
mod watch;
mod why;
mod wire;
