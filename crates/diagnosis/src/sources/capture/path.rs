//! Reports of devices on the path about packets that are too large for it (RFC 1191, RFC 8201).

use capture::Session;

use crate::evidence::{Failed, Sign};

/// Adds the report to a failure in which no answer came: the sender's packets were too large, and it sent no smaller ones.
pub(super) fn with_report(failed: Failed<'static>, session: &Session) -> Failed<'static> {
    let report = session.icmp_errors.iter().find(|error| error.mtu().is_some());
    let Some(error) = report.filter(|_| failed.signs.has(Sign::TimedOut)) else { return failed };
    let text = format!("{}; a device on the path reported: {error}", failed.text).into();
    Failed { signs: failed.signs.and(Sign::PacketTooBig), text, ..failed }
}
