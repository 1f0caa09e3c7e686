//! What the tests share: a node, foreign mail servers, scripted destinations, and waiting.

#[path = "../../../../capture/tests/common/dumpcap.rs"]
pub(crate) mod dumpcap;
pub(crate) mod foreign;
pub(crate) mod node;
pub(crate) mod script;

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

pub(crate) use foreign::{Exim, Postfix, SmtpSink, python_packages, smtp_source, swaks};
pub(crate) use node::Node;

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `found` gives something; fails the test with `what` otherwise.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited 30 s for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
