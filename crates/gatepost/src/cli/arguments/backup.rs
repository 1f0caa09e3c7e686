//! Arguments of `gatepost backup` and `gatepost restore`.

use std::path::PathBuf;

use clap::Args;

use super::Format;

pub(super) const BACKUP_HELP: &str = "\
The backup contains the queue with all content, the history, the incidents and
the rollout plans, all of the same moment. Copy the configuration,
certificates and keys yourself. Gatepost replaces a backup that is already in
the folder when the new one is complete and checked.

Example:
  gatepost backup /var/backups/gatepost

JSON: {\"file\": \"…/gatepost-backup.db\", \"bytes\": 123}.";

pub(super) const RESTORE_HELP: &str = "\
The data folder of the configuration must not contain a store, and no node may
run on it. All deliveries in the restored queue are suspended, because
Gatepost may have delivered some of them after the backup. Look through the
queue, remove the messages that have arrived, and resume the rest.

Examples:
  gatepost restore /var/backups/gatepost
  gatepost queue list
  gatepost queue resume --all

JSON: {\"suspended\": 12}.";

/// Arguments of both commands.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct BackupArguments {
    /// Folder of the backup
    pub folder: PathBuf,
    /// Set the output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
