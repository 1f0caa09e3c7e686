//! Changes in words, for people. Nothing reads them back.

use std::fmt;

use jiff::{Timestamp, tz::Offset};
use serde_json::Value;

use super::{
    AppliedConfiguration, ChangeKind, ChosenBy, DestinationChange, Difference, IncidentChange, QueueAction,
    QueueCommand, QueueSelection, Reload, RolloutStep, SettingChange, Settings, StartTlsOffer,
};

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version } => write!(f, "node started, Gatepost {version}"),
            Self::Stopped { unfinished: false } => f.write_str("node stopped"),
            Self::Stopped { unfinished: true } => f.write_str("node stopped with deliveries in progress"),
            Self::Reloaded(reload) => reload.fmt(f),
            Self::RolloutSet(step) => step.fmt(f),
            Self::QueueCommand(command) => command.fmt(f),
            Self::NodeDrained => f.write_str("node drained"),
            Self::NodeResumed => f.write_str("node resumed"),
            Self::StoreRestored { held, state_of } => {
                let deliveries = counted(*held, "delivery", "deliveries");
                write!(f, "store restored from a backup: {deliveries} held until an operator answers")?;
                state_of.map_or(Ok(()), |at| write!(f, "; the backup is of about {at}"))
            }
            Self::RestoreAnswered { deliver_since: None } => f.write_str("restored mail stays suspended"),
            Self::RestoreAnswered { deliver_since: Some(since) } => {
                write!(f, "restored mail that was received since {since} is delivered")
            }
            Self::ConfigurationApplied(applied) => applied.fmt(f),
            Self::IncidentOpened(incident) => write!(f, "incident opened: {incident}"),
            Self::IncidentClosed { incident, because } => write!(f, "incident closed ({because}): {incident}"),
            Self::DestinationChanged(change) => change.fmt(f),
            Self::Unknown { name, .. } => write!(f, "{name} (a newer version of Gatepost wrote this)"),
            Self::Access(change) => change.fmt(f),
        }
    }
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.configuration {
            Some(version) => write!(f, "node follows version {version} of the fleet's configuration: ")?,
            None => f.write_str("configuration reloaded: ")?,
        }
        self.settings.fmt(f)?;
        match self.restart_needed.as_slice() {
            [] => Ok(()),
            keys => write!(f, "; only after a restart: {}", keys.join(", ")),
        }
    }
}

impl fmt::Display for AppliedConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, repeats, comment, settings } = self;
        write!(f, "version {version} of the fleet's configuration applied")?;
        if let Some(repeats) = repeats {
            write!(f, ", a rollback to version {repeats}")?;
        }
        if let Some(comment) = comment {
            write!(f, " ({comment})")?;
        }
        write!(f, ": {settings}")
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.settings.is_empty() {
            return f.write_str("no setting differs");
        }
        for (index, setting) in self.settings.iter().enumerate() {
            write!(f, "{}{setting}", if index == 0 { "" } else { "; " })?;
        }
        match self.settings_omitted {
            0 => Ok(()),
            omitted => write!(f, "; {} more", counted(omitted, "setting", "settings")),
        }
    }
}

impl fmt::Display for SettingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, old, new, withheld } = self;
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "unset".to_owned(), Value::to_string);
        match (old, new) {
            _ if *withheld => write!(f, "{setting} (values withheld)"),
            (None, Some(Value::Object(_))) => write!(f, "{setting} added"),
            (Some(Value::Object(_)), None) => write!(f, "{setting} removed"),
            (old, new) => write!(f, "{setting} {} → {}", text(old), text(new)),
        }
    }
}

impl fmt::Display for RolloutStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, percent, nodes, halted, .. } = self;
        write!(f, "rollout from {from} to {to}: ")?;
        if let Some(reason) = halted {
            write!(f, "halted ({reason}), ")?;
        }
        if let Some(percent) = percent {
            write!(f, "{percent}%, ")?;
        }
        if nodes.is_empty() { f.write_str("no node moved") } else { write!(f, "moved: {}", nodes.join(", ")) }
    }
}

impl fmt::Display for QueueCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, selection, deliveries, leased } = self;
        let name = match command {
            QueueAction::Retry => "retry",
            QueueAction::Suspend => "suspend",
            QueueAction::Resume => "resume",
            QueueAction::Remove => "remove",
        };
        write!(f, "queue {name} ({selection}): {}", counted(*deliveries, "delivery", "deliveries"))?;
        match leased {
            0 => Ok(()),
            _ => write!(f, ", {leased} not changed because a node was sending them"),
        }
    }
}

impl fmt::Display for QueueSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, connector, recipient, sender, state, chosen } = self;
        let ChosenBy { cause, destination, older_than, younger_than, rows } = chosen;
        let message = message.map(|id| id.to_string());
        let rows = (*rows > 0).then(|| rows.to_string());
        let conditions = [
            ("message", &message),
            ("connector", connector),
            ("recipient", recipient),
            ("sender", sender),
            ("state", state),
            ("cause", cause),
            ("destination", destination),
            ("older than", older_than),
            ("younger than", younger_than),
            ("chosen rows:", &rows),
        ];
        let mut separator = "";
        for (name, value) in conditions {
            if let Some(value) = value {
                write!(f, "{separator}{name} {value}")?;
                separator = ", ";
            }
        }
        if separator.is_empty() { f.write_str("all") } else { Ok(()) }
    }
}

impl fmt::Display for IncidentChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connector, destination, cause, .. } = self;
        if destination == connector {
            write!(f, "{cause}, connector {connector}")
        } else {
            write!(f, "{cause}, {destination} (connector {connector})")
        }
    }
}

impl fmt::Display for DestinationChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, differences } = self;
        write!(f, "{host}:{} [{}]: ", address.port(), address.ip())?;
        for (index, difference) in differences.iter().enumerate() {
            write!(f, "{}{difference}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |size: &Option<u64>| match size {
            Some(bytes) => format!("{bytes} bytes"),
            None => "no size limit".to_owned(),
        };
        match self {
            Self::StartTls { new: StartTlsOffer::Offered, .. } => f.write_str("STARTTLS offered now"),
            Self::StartTls { new: StartTlsOffer::NotOffered, .. } => f.write_str("STARTTLS no longer offered"),
            Self::StartTls { new: StartTlsOffer::Masked, .. } => f.write_str("STARTTLS overwritten by a firewall"),
            Self::Certificate { old, new } => {
                let (old, until) = (&old.subject, date(new.not_after));
                write!(f, "certificate of {old} replaced by that of {}, valid until {until}", new.subject)
            }
            Self::Greeting { old, new } => write!(f, "greeting \"{new}\", before \"{old}\""),
            Self::Size { old, new: None } => write!(f, "no size limit, before {}", size(old)),
            Self::Size { old, new } => write!(f, "size limit {}, before {}", size(new), size(old)),
            Self::Extensions { gone, came } if gone.is_empty() => write!(f, "EHLO offers {}", came.join(", ")),
            Self::Extensions { gone, came } if came.is_empty() => {
                write!(f, "EHLO no longer offers {}", gone.join(", "))
            }
            Self::Extensions { gone, came } => {
                write!(f, "EHLO offers {}, no longer {}", came.join(", "), gone.join(", "))
            }
        }
    }
}

fn date(at: Timestamp) -> jiff::civil::Date {
    Offset::UTC.to_datetime(at).date()
}
