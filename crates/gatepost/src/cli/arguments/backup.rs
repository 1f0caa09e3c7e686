//! Arguments of `gatepost backup` and `gatepost restore`.

use std::path::PathBuf;

use clap::Args;

use super::Format;

pub(super) const BACKUP_HELP: &str = "\
The backup has the queue with all content, the history, incidents and rollout plans, as they are at
one moment. Copy the configuration, certificates and keys yourself. A backup that is already in the
folder is replaced once the new one is complete and checked.

Example:
  gatepost backup /var/backups/gatepost

JSON: {\"file\": \"…/gatepost-backup.db\", \"bytes\": 123}.";

pub(super) const RESTORE_HELP: &str = "\
The data folder of the configuration must have no store, and no node may run on it. All deliveries in
the restored queue are suspended: Gatepost would deliver a second time what it has delivered since
the backup. Look through the queue, remove what has arrived, and resume the rest.

Example:
  gatepost restore /var/backups/gatepost
  gatepost queue list
  gatepost queue resume --all

JSON: {\"suspended\": 12}.";

/// A backup's folder.
#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct BackupArguments {
    /// Folder of the backup
    pub folder: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
