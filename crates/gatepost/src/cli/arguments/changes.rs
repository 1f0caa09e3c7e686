//! Arguments of `gatepost changes`.

use clap::{Args, builder::PossibleValuesParser};
use insight::{ChangeSearch, Moment, read_change_cursor};
use store::ChangeCursor;

use super::Output;

pub(super) const CHANGES_HELP: &str = "\
Examples:
  gatepost changes --since 2h                  what changed before the failure?
  gatepost changes --kind destination-changed
  gatepost changes --node mx1 --since 7d
  gatepost changes --since 30d --format json

Changes are kept for 400 days. They have no secrets, and no local parts of
addresses.

JSON: {\"changes\": [{\"id\", \"at\", \"node\", \"who\", \"from\", \"change\": the kind,
\"what\": the same in words, \"facts\": {…}}], \"next\": for --after, or null}. node
is null if the change is about the fleet. who is the operator, or \"node NAME\" if
a node acted without one. from is the operator's address, null for a command.
The keys of facts depend on the kind:
  started                version
  stopped                unfinished
  reloaded               settings: [{setting, old, new, withheld}],
                         settings_omitted, restart_needed, configuration
  rollout-set            version, from, to, percent, nodes, halted
  queue-command          command, selection, deliveries, leased
  store-restored         held, state_of
  restore-answered       deliver_since
  configuration-applied  version, repeats, comment, settings
  incident-opened        incident, connector, destination, cause
  incident-closed        the same, because
  destination-changed    host, address, differences: [{fact, old, new}]
A key that does not apply is absent.";

/// Arguments of `gatepost changes`.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ChangesArguments {
    /// At or after this time: a date and time, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Show only changes of this kind; separate several with commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = PossibleValuesParser::new(ChangeSearch::KINDS.into_iter().chain(ChangeSearch::AUDIT_KINDS)))]
    pub kind: Vec<String>,
    /// Show only changes that are about this node, or that it saw
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Also show who has logged in, looked at messages and changed users
    #[arg(long)]
    pub audit: bool,
    /// Maximum number of changes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Start of this page, as the previous page gives it
    #[arg(long, value_name = "PLACE", value_parser = read_change_cursor)]
    pub after: Option<ChangeCursor>,
    #[command(flatten)]
    pub output: Output,
}

impl ChangesArguments {
    pub(crate) fn search(&self) -> ChangeSearch {
        let Self { since, until, kind, node, audit, limit, after, output: _ } = self.clone();
        ChangeSearch { since, until, kinds: kind, node, who: None, audit, limit, after }
    }
}
