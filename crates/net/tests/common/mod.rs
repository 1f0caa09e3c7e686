//! Helpers of the connection tests.

#![allow(dead_code, reason = "each test uses some of it")]

use std::{sync::Arc, time::Duration};

use gatepost_net::{
    send::{Options, Timeouts},
    tls::TlsSettings,
};
use protocol::{smtp::client::TlsLevel, tls::TlsPolicy};

/// TLS under a policy, without checking certificates.
pub(crate) fn require(policy: TlsPolicy) -> Options {
    let settings = TlsSettings { policy, verify: false, authorities: None, identity: None };
    Options {
        ehlo_name: "edge.test".to_owned(),
        tls_level: TlsLevel::Require,
        tls: Arc::new(settings),
        timeouts: Timeouts::each(Duration::from_secs(5)),
        pipelining: true,
        maximum_segment: None,
        progress: Arc::default(),
    }
}
