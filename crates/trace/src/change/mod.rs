//! Changes: what was done to the fleet, and what has changed about destinations. They are marked on time axes, and they
//! are the audit. A change observes; nothing is ever decided by one.
//!
//! No change has a secret or a local part of an address: changes are kept longer than the history of mail.

mod access;
mod csv;
mod destination;
mod words;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use access::AccessChange;
pub use csv::write_csv;
pub use destination::{CertificateFacts, DestinationChange, DestinationFacts, Difference, StartTlsOffer};

/// One change.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub id: Uuid,
    /// By the store's clock.
    pub at: Timestamp,
    /// The node that it is about, or that saw it. `None`: it is about the fleet.
    pub node: Option<String>,
    /// The operator, or `node NAME` where a node acted without one.
    pub who: String,
    /// The operator's address, if it came over HTTP.
    pub from: Option<IpAddr>,
    pub kind: ChangeKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ChangeKind {
    Started {
        /// Of Gatepost.
        version: String,
    },
    Stopped {
        /// Deliveries were in progress when it stopped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unfinished: bool,
    },
    Reloaded(Reload),
    RolloutSet(RolloutStep),
    QueueCommand(QueueCommand),
    NodeDrained,
    NodeResumed,
    StoreRestored {
        /// Deliveries that wait for an operator's answer since.
        held: u64,
        /// About when the backup was made; `None`: it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state_of: Option<Timestamp>,
    },
    RestoreAnswered {
        /// What was received since then is delivered; `None`: all of it stays suspended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deliver_since: Option<Timestamp>,
    },
    ConfigurationApplied(AppliedConfiguration),
    IncidentOpened(IncidentChange),
    IncidentClosed {
        #[serde(flatten)]
        incident: IncidentChange,
        /// `mail-flows`, `nothing-pending` or `cause-changed`.
        because: String,
    },
    DestinationChanged(DestinationChange),
    /// A change that this version cannot read, because a newer one wrote it: see [`ChangeKind::read`].
    #[serde(skip_deserializing)]
    Unknown {
        /// What the newer version calls it.
        name: String,
        #[serde(flatten)]
        fields: serde_json::Map<String, Value>,
    },
    /// For the audit alone.
    #[serde(untagged)]
    Access(AccessChange),
}

/// A node has read its configuration again.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    #[serde(flatten)]
    pub settings: Settings,
    /// Settings of these that take effect only after a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_needed: Vec<String>,
    /// The version of the fleet's configuration that the node has followed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<u64>,
}

/// A version of the fleet's configuration came into force.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AppliedConfiguration {
    pub version: u64,
    /// The version that this one is again, after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(flatten)]
    pub settings: Settings,
}

/// The settings that differ.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingChange>,
    /// Number of further settings that differ.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settings_omitted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Settings {
    const MAX: usize = 100;

    /// The first hundred are kept: a list of domains may have thousands.
    pub fn new(mut settings: Vec<SettingChange>) -> Self {
        let settings_omitted = settings.len().saturating_sub(Self::MAX) as u64;
        settings.truncate(Self::MAX);
        Self { settings, settings_omitted }
    }
}

/// A setting that differs. `None`: it is not set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SettingChange {
    /// Such as `[retry] expire` or `connector "onprem" hosts`.
    pub setting: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// It may contain a secret: its values are not recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

/// A plan that came into force.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutStep {
    /// Of the plan.
    pub version: u64,
    pub from: String,
    pub to: String,
    /// `None`: the nodes were chosen by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The nodes that use the new policy.
    pub nodes: Vec<String>,
    /// Why it is halted; `None`: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
}

/// An operator's command on the queue, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QueueCommand {
    pub command: QueueAction,
    pub selection: QueueSelection,
    /// Deliveries that were changed.
    pub deliveries: u64,
    /// Deliveries that a node was sending at that moment, and that were left alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leased: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueAction {
    Retry,
    Suspend,
    Resume,
    Remove,
}

/// The conditions of a command; without any, it was for the whole queue.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueSelection {
    /// Network message id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Addresses and patterns, with `withheld` in the place of their local parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(flatten)]
    pub chosen: ChosenBy,
}

/// Conditions of a command that were checked before it, or rows that were chosen one by one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChosenBy {
    /// Id of a cause of waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Host and port of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Ages, such as `4h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than: Option<String>,
    /// Number of rows that were chosen one by one.
    #[serde(skip_serializing_if = "is_zero")]
    pub rows: u64,
}

/// The incident that was opened or closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IncidentChange {
    pub incident: Uuid,
    pub connector: String,
    /// Host and port, or the connector where it holds for several of its hosts.
    pub destination: String,
    /// Id in the cause catalogue.
    pub cause: String,
}

impl ChangeKind {
    /// The names of all kinds that this version knows, as in JSON, without those of [`AccessChange`].
    pub const NAMES: [&str; 13] = [
        "started",
        "stopped",
        "reloaded",
        "rollout-set",
        "queue-command",
        "node-drained",
        "node-resumed",
        "store-restored",
        "restore-answered",
        "configuration-applied",
        "incident-opened",
        "incident-closed",
        "destination-changed",
    ];

    /// Reads a kind as it is recorded. It fails only if that is not a change of any version.
    pub fn read(json: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Recorded {
            change: String,
            #[serde(flatten)]
            fields: serde_json::Map<String, Value>,
        }
        serde_json::from_str(json).or_else(|_| {
            let Recorded { change: name, fields } = serde_json::from_str(json)?;
            Ok(Self::Unknown { name, fields })
        })
    }

    /// The stable name, as in JSON; of a newer version's, what that calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped { .. } => "stopped",
            Self::Reloaded(_) => "reloaded",
            Self::RolloutSet(_) => "rollout-set",
            Self::QueueCommand(_) => "queue-command",
            Self::NodeDrained => "node-drained",
            Self::NodeResumed => "node-resumed",
            Self::StoreRestored { .. } => "store-restored",
            Self::RestoreAnswered { .. } => "restore-answered",
            Self::ConfigurationApplied(_) => "configuration-applied",
            Self::IncidentOpened(_) => "incident-opened",
            Self::IncidentClosed { .. } => "incident-closed",
            Self::DestinationChanged(_) => "destination-changed",
            Self::Unknown { name, .. } => name,
            Self::Access(change) => change.name(),
        }
    }
}

/// An address or a pattern without its local part.
pub fn withheld(address: &str) -> String {
    match address.rsplit_once('@') {
        Some(("", domain)) => format!("@{domain}"),
        Some((_, domain)) => format!("withheld@{domain}"),
        None if address == "<>" => address.to_owned(),
        None => "withheld".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> IncidentChange {
        let (connector, destination) = ("onprem".to_owned(), "mail.onprem.test:25".to_owned());
        IncidentChange { incident: Uuid::nil(), connector, destination, cause: "no-shared-cipher".to_owned() }
    }

    /// One of each kind.
    fn all() -> Vec<ChangeKind> {
        let settings = Settings::new(vec![
            SettingChange {
                setting: "[retry] expire".to_owned(),
                old: Some("24h".into()),
                new: Some("1h".into()),
                withheld: false,
            },
            SettingChange { setting: "[watch] webhook".to_owned(), withheld: true, ..Default::default() },
        ]);
        vec![
            ChangeKind::Started { version: "1.2.3".to_owned() },
            ChangeKind::Stopped { unfinished: false },
            ChangeKind::Reloaded(Reload { settings: settings.clone(), restart_needed: vec![], configuration: Some(7) }),
            ChangeKind::RolloutSet(RolloutStep {
                version: 2,
                from: "legacy".to_owned(),
                to: "modern".to_owned(),
                percent: Some(50),
                nodes: vec!["mx1".to_owned(), "mx2".to_owned()],
                halted: None,
            }),
            ChangeKind::QueueCommand(QueueCommand {
                command: QueueAction::Retry,
                selection: QueueSelection {
                    connector: Some("onprem".to_owned()),
                    chosen: ChosenBy { cause: Some("rcpt-451".to_owned()), rows: 3, ..Default::default() },
                    ..Default::default()
                },
                deliveries: 61,
                leased: 2,
            }),
            ChangeKind::NodeDrained,
            ChangeKind::NodeResumed,
            ChangeKind::StoreRestored { held: 3, state_of: None },
            ChangeKind::RestoreAnswered { deliver_since: Some(Timestamp::UNIX_EPOCH) },
            ChangeKind::ConfigurationApplied(AppliedConfiguration { version: 7, settings, ..Default::default() }),
            ChangeKind::IncidentOpened(incident()),
            ChangeKind::IncidentClosed { incident: incident(), because: "mail-flows".to_owned() },
            ChangeKind::DestinationChanged(DestinationChange {
                host: "mail.onprem.test".to_owned(),
                address: "192.0.2.1:25".parse().unwrap(),
                differences: vec![Difference::Size { old: None, new: Some(1000) }],
            }),
        ]
    }

    #[test]
    fn each_kind_reads_back_under_its_name() {
        let kinds = all();
        let names: Vec<&str> = kinds.iter().map(ChangeKind::name).collect();
        assert_eq!(names, ChangeKind::NAMES);
        for kind in kinds {
            let json = serde_json::to_value(&kind).unwrap();
            assert_eq!(json["change"], kind.name());
            assert_eq!(ChangeKind::read(&json.to_string()).unwrap(), kind);
            assert!(!kind.to_string().is_empty());
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        for json in [
            r#"{"change":"moon-phase","phase":"full"}"#,
            r#"{"change":"queue-command","command":"teleport","selection":{},"deliveries":1}"#,
        ] {
            let read = ChangeKind::read(json).unwrap();
            assert!(matches!(read, ChangeKind::Unknown { .. }), "{read:?}");
            assert!(json.contains(read.name()));
        }
        for json in ["", "[]", "{\"event\":\"delivered\"}"] {
            assert!(ChangeKind::read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn no_local_part_is_kept() {
        for (address, expected) in [
            ("ana@onprem.test", "withheld@onprem.test"),
            ("*ana*@onprem.test", "withheld@onprem.test"),
            ("@onprem.test", "@onprem.test"),
            ("<>", "<>"),
            ("*ana*", "withheld"),
        ] {
            assert_eq!(withheld(address), expected);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let one = SettingChange { setting: "accepted_domain \"a\"".to_owned(), ..Default::default() };
        let settings = Settings::new(vec![one; 1234]);
        assert_eq!((settings.settings.len(), settings.settings_omitted), (100, 1134));
    }
}
