//! Texts and colours for tables: why a delivery waits, and its status.

use insight::Status;
use jiff::Timestamp;
use trace::Waiting;

use super::screen::{Colour, Screen};

/// The reason for the wait in a few words.
pub(crate) fn short(waiting: &Waiting, screen: &Screen) -> String {
    match waiting {
        Waiting::Timer { until } => match screen.until(*until).as_str() {
            "now" => "due now".to_owned(),
            then => format!("next attempt {then}"),
        },
        Waiting::ConnectorLimit { .. } => "connector at its limit".to_owned(),
        Waiting::ConnectorBackedOff { until } => {
            format!("connector paused, next attempt {}", screen.until(*until))
        }
        Waiting::Suspended { by } => format!("suspended by {by}"),
        Waiting::Restored => "held since restore".to_owned(),
        Waiting::Leased { doing: Some(doing), .. } => format!("{}: {}", screen.age(doing.since), doing),
        Waiting::Leased { node, .. } => format!("being delivered by {node}"),
        Waiting::NoRoute { connector } => format!("no connector \"{connector}\""),
        Waiting::PolicyForbids { policy } => format!("TLS policy \"{policy}\" forbids it"),
        Waiting::NoNode { .. } => "no node running".to_owned(),
    }
}

/// The time in the texts about the wait, if there is one.
pub(crate) fn time_named(waiting: &Waiting) -> Option<Timestamp> {
    match waiting {
        Waiting::Leased { doing: Some(doing), .. } => Some(doing.since),
        Waiting::Timer { until } | Waiting::ConnectorBackedOff { until } | Waiting::Leased { until, .. } => {
            Some(*until)
        }
        Waiting::NoNode { last_seen } => *last_seen,
        Waiting::ConnectorLimit { .. }
        | Waiting::Suspended { .. }
        | Waiting::Restored
        | Waiting::NoRoute { .. }
        | Waiting::PolicyForbids { .. } => None,
    }
}

pub(crate) fn colour(status: Status) -> Colour {
    match status {
        Status::Delivered | Status::Expanded => Colour::Green,
        Status::Pending | Status::GettingStatus => Colour::Yellow,
        Status::Failed | Status::Removed | Status::Quarantined | Status::FilteredAsSpam => Colour::Red,
    }
}
