//! The commands that Gatepost suggests as the next step. All of them are made here and nowhere else, so that a test can
//! paste each into a shell.
//!
//! In running text a command stands in backticks; alone on a line it stands bare.

use std::{fmt, sync::OnceLock};

use uuid::Uuid;

use crate::foreign::{FORMATS, ForeignFormat};

/// The configuration file that the operator named on the command line: the next command needs it as well.
static CONFIGURATION: OnceLock<String> = OnceLock::new();

/// From now on, commands that read the configuration name this file. The first call counts.
pub fn name_configuration(file: &str) {
    let _ = CONFIGURATION.set(file.to_owned());
}

/// A command to paste into a shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NextStep {
    Serve,
    /// Lists what waits under these conditions: names of options with their values.
    QueueList(Vec<(&'static str, String)>),
    /// Groups what waits by `cause`, `connector`, `destination` or `age`.
    QueueListBy(&'static str),
    QueueShow(Uuid),
    RetryMessage(Uuid),
    RetryConnector(String),
    ResumeMessage(Uuid),
    /// The attempts of stuck mail, since a day or since an earlier time.
    TraceFailures {
        connector: Option<String>,
    },
    /// What happened to mail for a recipient.
    TraceRecipient(String),
    /// The newest few messages with all their events.
    TraceNewest(u32),
    /// Mail in a log of another system, with one of these statuses.
    TraceFile {
        format: &'static ForeignFormat,
        file: String,
        status: &'static str,
    },
    /// Findings in a file of another system; the option that reads it, such as `--dsn`.
    WhyFile {
        option: &'static str,
        file: String,
    },
    /// Findings in a file of whatever kind.
    WhyRecognised {
        file: String,
    },
    Capture {
        file: String,
    },
    /// A host with a port, or a connector.
    Probe(String),
    ProbeConnector(String),
    IncidentList,
    IncidentShow(Uuid),
    PolicyList,
    PolicyLedger,
    RolloutStatus,
    RolloutResume,
    /// All nodes return to the old policy.
    RolloutBack {
        from: String,
        to: String,
    },
    NodeList,
    NodeResume(String),
    /// Leaves what is held since a restore suspended.
    StoreRestored,
    ConfigCheck,
    /// What the last change of the fleet's configuration was.
    ConfigDiff,
    ConfigHistory,
    /// Writes a first configuration to a file.
    ConfigExample {
        file: String,
    },
    ApiToken,
    /// The first user of the console.
    UserInvite,
    /// A token in the store, with this scope.
    TokenCreate(&'static str),
    /// Moves an embedded store to a PostgreSQL server.
    Migrate {
        folder: String,
        server: String,
    },
    /// The folder has its mail again.
    MigrateBack {
        folder: String,
        server: String,
    },
}

impl NextStep {
    /// Messages received since then are looked at. A day is what an operator looks at first.
    pub fn trace_failures(connector: Option<&str>) -> Self {
        Self::TraceFailures { connector: connector.map(str::to_owned) }
    }

    /// The words after the program's name.
    pub fn words(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Serve => words(&["serve"]),
            Self::QueueList(conditions) => {
                let options = conditions.iter().flat_map(|(option, value)| [(*option).to_owned(), value.clone()]);
                words(&["queue", "list"]).into_iter().chain(options).collect()
            }
            Self::QueueListBy(dimension) => words(&["queue", "list", "--by", dimension]),
            Self::QueueShow(id) => words(&["queue", "show", &id.to_string()]),
            Self::RetryMessage(id) => words(&["queue", "retry", "--message", &id.to_string()]),
            Self::RetryConnector(connector) => words(&["queue", "retry", "--connector", connector]),
            Self::ResumeMessage(id) => words(&["queue", "resume", "--message", &id.to_string()]),
            Self::TraceFailures { connector } => {
                let mut all = words(&["trace", "--since", "1d", "--status", "pending,failed", "--detail"]);
                all.extend(connector.iter().flat_map(|connector| ["--connector".to_owned(), connector.clone()]));
                all
            }
            Self::TraceRecipient(recipient) => words(&["trace", "--recipient", recipient]),
            Self::TraceNewest(count) => words(&["trace", "--detail", "--limit", &count.to_string()]),
            Self::TraceFile { format, file, status } => {
                let option = format!("--from-{}", format.name);
                words(&["trace", &option, file, "--status", status, "--detail"])
            }
            Self::WhyFile { option, file } => words(&["why", option, file]),
            Self::WhyRecognised { file } => words(&["why", &as_path(file)]),
            Self::Capture { file } => words(&["capture", file]),
            Self::Probe(what) | Self::ProbeConnector(what) => words(&["probe", what]),
            Self::IncidentList => words(&["incident", "list"]),
            Self::IncidentShow(id) => words(&["incident", "show", &id.to_string()]),
            Self::PolicyList => words(&["policy", "list"]),
            Self::PolicyLedger => words(&["policy", "ledger"]),
            Self::RolloutStatus => words(&["rollout", "status"]),
            Self::RolloutResume => words(&["rollout", "resume"]),
            Self::RolloutBack { from, to } => words(&["rollout", "set", "--from", from, "--to", to, "--percent", "0"]),
            Self::NodeList => words(&["node", "list"]),
            Self::NodeResume(node) => words(&["node", "resume", node]),
            Self::StoreRestored => words(&["store", "restored", "--hold"]),
            Self::ConfigCheck => words(&["config", "check"]),
            Self::ConfigDiff => words(&["config", "diff"]),
            Self::ConfigHistory => words(&["config", "history"]),
            Self::ConfigExample { .. } => words(&["config", "example"]),
            Self::ApiToken => words(&["api", "token", "monitoring"]),
            Self::UserInvite => words(&["user", "invite", "admin", "--role", "administrator"]),
            Self::TokenCreate(scope) => words(&["token", "create", "NAME", "--scope", scope]),
            Self::Migrate { folder, server } => words(&["store", "migrate", "--from", folder, "--to", server]),
            Self::MigrateBack { folder, server } => {
                words(&["store", "migrate", "--undo", "--from", folder, "--to", server])
            }
        }
    }

    /// Statuses of mail that is stuck, and of mail that is not.
    pub const STUCK: &str = "pending,failed";
    pub const DELIVERED: &str = "delivered";

    fn reads_configuration(&self) -> bool {
        match self {
            Self::Serve
            | Self::QueueList(_)
            | Self::QueueListBy(_)
            | Self::QueueShow(_)
            | Self::RetryMessage(_)
            | Self::RetryConnector(_)
            | Self::ResumeMessage(_)
            | Self::TraceFailures { .. }
            | Self::TraceRecipient(_)
            | Self::TraceNewest(_)
            | Self::ProbeConnector(_)
            | Self::IncidentList
            | Self::IncidentShow(_)
            | Self::PolicyList
            | Self::PolicyLedger
            | Self::RolloutStatus
            | Self::RolloutResume
            | Self::RolloutBack { .. }
            | Self::NodeList
            | Self::NodeResume(_)
            | Self::StoreRestored
            | Self::ConfigCheck
            | Self::ConfigDiff
            | Self::ConfigHistory
            | Self::UserInvite
            | Self::TokenCreate(_)
            | Self::Migrate { .. }
            | Self::MigrateBack { .. } => true,
            Self::TraceFile { .. }
            | Self::WhyFile { .. }
            | Self::WhyRecognised { .. }
            | Self::Capture { .. }
            | Self::Probe(_)
            | Self::ConfigExample { .. }
            | Self::ApiToken => false,
        }
    }

    /// One of each kind, for the test that each can be run.
    #[doc(hidden)]
    pub fn examples(id: Uuid, file: &str) -> Vec<Self> {
        let (connector, file) = ("onprem".to_owned(), file.to_owned());
        let mut steps = vec![
            Self::Serve,
            Self::TraceRecipient("someone@onprem.test".to_owned()),
            Self::QueueList(vec![("--connector", connector.clone()), ("--state", "suspended".to_owned())]),
            Self::QueueList(vec![("--cause", "connection-refused".to_owned())]),
            Self::QueueList(vec![("--destination", "mail.onprem.test:25".to_owned())]),
            Self::QueueList(vec![("--older-than", "1h".to_owned()), ("--younger-than", "4h".to_owned())]),
            Self::QueueListBy("cause"),
            Self::QueueShow(id),
            Self::RetryMessage(id),
            Self::RetryConnector("on prem's".to_owned()),
            Self::ResumeMessage(id),
            Self::TraceFailures { connector: Some(connector.clone()) },
            Self::TraceFailures { connector: None },
            Self::TraceNewest(5),
            Self::WhyFile { option: "--protocol-log", file: file.clone() },
            Self::WhyFile { option: "--dsn", file: file.clone() },
            Self::WhyFile { option: "--tls-report", file: file.clone() },
            Self::WhyRecognised { file: file.clone() },
            Self::Capture { file: file.clone() },
            Self::Probe("mail.onprem.test:25".to_owned()),
            Self::Probe("[::1]:25".to_owned()),
            Self::ProbeConnector(connector),
            Self::IncidentList,
            Self::IncidentShow(id),
            Self::PolicyList,
            Self::PolicyLedger,
            Self::RolloutStatus,
            Self::RolloutResume,
            Self::RolloutBack { from: "legacy".to_owned(), to: "modern".to_owned() },
            Self::NodeList,
            Self::NodeResume("edge-1".to_owned()),
            Self::StoreRestored,
            Self::ConfigCheck,
            Self::ConfigDiff,
            Self::ConfigHistory,
            Self::ConfigExample { file: file.clone() },
            Self::ApiToken,
            Self::UserInvite,
            Self::TokenCreate("trace"),
            Self::Migrate { folder: file.clone(), server: "postgres://gatepost@db/gatepost".to_owned() },
            Self::MigrateBack { folder: file.clone(), server: "postgres://gatepost@db/gatepost".to_owned() },
        ];
        for status in [Self::STUCK, Self::DELIVERED] {
            steps.extend(FORMATS.into_iter().map(|format| Self::TraceFile { format, file: file.clone(), status }));
        }
        steps
    }
}

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gatepost")?;
        for word in self.words() {
            write!(f, " {}", quoted(&word))?;
        }
        if let Some(file) = CONFIGURATION.get().filter(|_| self.reads_configuration()) {
            write!(f, " --config {}", quoted(file))?;
        }
        match self {
            Self::ConfigExample { file } => write!(f, " > {}", quoted(file)),
            _ => Ok(()),
        }
    }
}

/// A file that no option names: one with a slash is never taken for a host.
fn as_path(file: &str) -> String {
    if file.contains('/') { file.to_owned() } else { format!("./{file}") }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("mail.onprem.test:25", "mail.onprem.test:25"),
            ("[::1]:25", "'[::1]:25'"),
            ("", "''"),
            ("it's $HOME; rm", r"'it'\''s $HOME; rm'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
        let list = NextStep::QueueList(vec![("--connector", "on prem".to_owned())]);
        assert_eq!(list.to_string(), "gatepost queue list --connector 'on prem'");
        let example = NextStep::ConfigExample { file: "/etc/gate post.toml".to_owned() };
        assert_eq!(example.to_string(), "gatepost config example > '/etc/gate post.toml'");
    }
}
