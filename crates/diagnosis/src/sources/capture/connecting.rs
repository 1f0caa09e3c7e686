//! Connections that were never made.

use std::{borrow::Cow, time::Duration};

use capture::{IcmpError, Session};
use protocol::{
    smtp::Phase,
    tls::{Ending, Side},
};

use super::ending::{has_patience_ended, silence};
use crate::evidence::{Failed, Sign, Signs};

/// A system sends a SYN again after one second (RFC 6298 section 2). If the capture has only one, it must go on for longer.
const SYN_AGAIN: Duration = Duration::from_secs(3);

/// True if the capture has the beginning of an attempt to connect, and no more.
pub(super) fn is_unconnected(session: &Session) -> bool {
    session.has_begin && session.bytes == [0, 0] && session.phases.is_empty()
}

/// What became of the SYN. `None`: its answer was still to come, or the client left.
pub(super) fn failure(session: &Session, is_end_known: bool) -> Option<Failed<'static>> {
    let is_reset = session.ended.is_some_and(|ended| ended.by == Side::Server && ended.how == Ending::Reset);
    if is_reset {
        return failed(Sign::ConnectionRefused, "connection refused");
    }
    if let Some((sign, error)) = session.icmp_errors.iter().find_map(|error| Some((sign(*error)?, error))) {
        // The client's system has its own words for it: no service listens.
        let refused = sign == Sign::ConnectionRefused;
        return if refused { failed(sign, "connection refused") } else { failed(sign, error.to_string()) };
    }
    // The server's SYN is there, so the rest of the handshake is missing from the capture.
    let is_unanswered = session.packets[1] == 0 && session.ended.is_none();
    let has_gone_on = is_end_known && silence(session) >= SYN_AGAIN;
    let is_repeated = session.packets[0] > 1 || has_gone_on;
    if is_unanswered && is_repeated && has_patience_ended(session) {
        return failed(Sign::TimedOut, "timed out");
    }
    None
}

fn failed(sign: Sign, text: impl Into<Cow<'static, str>>) -> Option<Failed<'static>> {
    let signs = Signs::default().and(sign);
    Some(Failed { phase: Some(Phase::Connect), signs, code: None, enhanced: None, text: text.into() })
}

/// What an ICMP error means for a connection that is not made yet. `None`: systems try on.
fn sign(error: IcmpError) -> Option<Sign> {
    match error {
        IcmpError::PortUnreachable => Some(Sign::ConnectionRefused),
        IcmpError::NetworkUnreachable
        | IcmpError::HostUnreachable
        | IcmpError::Prohibited
        | IcmpError::Unreachable(_)
        | IcmpError::TimeExceeded
        | IcmpError::HopLimitExceeded => Some(Sign::Unreachable),
        IcmpError::FragmentationNeeded { .. }
        | IcmpError::PacketTooBig { .. }
        | IcmpError::SourceQuench
        | IcmpError::Redirect
        | IcmpError::ParameterProblem => None,
    }
}
