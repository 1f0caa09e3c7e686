//! The last attempt of a delivery in a few facts, by which a trace is searched.

use std::net::IpAddr;

use protocol::smtp::Reply;
use trace::Event;

use crate::{NewEvent, Outcome, stored::tls_text, tally::alert};

/// The last attempt of a delivery in a few facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastAttempt {
    pub node: String,
    pub tls_policy: String,
    /// Version and cipher; `None`: in plaintext, or no connection came about.
    pub tls: Option<(String, String)>,
    pub to_ip: Option<IpAddr>,
}

/// The same as an engine keeps it beside the delivery.
pub(crate) struct Note<'a> {
    pub(crate) node: &'a str,
    pub(crate) tls_policy: &'a str,
    /// Such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty in plaintext.
    pub(crate) tls: String,
    pub(crate) to_ip: Option<IpAddr>,
    /// Such as ` 451 4.7.1 `: each code has a space on both sides.
    pub(crate) codes: Option<String>,
    /// The fatal TLS alert that was seen last; only tallies have it.
    pub(crate) alert: Option<u8>,
}

impl<'a> Note<'a> {
    /// `None` where no attempt was made.
    pub(crate) fn of(outcome: &Outcome, events: &'a [NewEvent]) -> Option<Self> {
        let events = events.iter().rev().map(|new| &new.event);
        let (event, attempt) = events.filter_map(|event| attempt_of(event)).next()?;
        let address = attempt.destination.as_ref().and_then(|destination| destination.address);
        Some(Self {
            node: &event.node,
            tls_policy: &attempt.tls_policy,
            tls: tls_text(attempt.tls.as_ref()),
            to_ip: address.map(|address| address.ip()),
            codes: outcome.reply().map(codes),
            alert: attempt.handshake.as_deref().and_then(alert),
        })
    }
}

fn attempt_of(event: &Event) -> Option<(&Event, &trace::Attempt)> {
    event.kind.attempt().map(|attempt| (event, attempt))
}

fn codes(reply: &Reply) -> String {
    let enhanced = reply.enhanced.map(|code| format!("{code} ")).unwrap_or_default();
    format!(" {} {enhanced}", reply.code)
}

impl LastAttempt {
    /// From what [`Note`] has written.
    pub(crate) fn read(node: String, tls_policy: Option<String>, tls: Option<String>, to_ip: Option<IpAddr>) -> Self {
        let pair = |tls: String| tls.split_once(' ').map(|(version, cipher)| (version.to_owned(), cipher.to_owned()));
        Self { node, tls_policy: tls_policy.unwrap_or_default(), tls: tls.and_then(pair), to_ip }
    }
}
