//! Arguments of `gatepost user`.

use clap::{Subcommand, ValueEnum};
use store::{Right, UserName};

use super::Output;

pub(super) const USER_HELP: &str = "\
Examples:
  gatepost user invite ana --role administrator
  gatepost user list
  gatepost user role ana operator
  gatepost user remove ana

An invitation is a link, valid for one hour and once: its holder chooses a
password. To let a user choose a new password, invite the user again.

The roles, each with the rights of those before it:
  viewer         sees incidents, charts, destinations, nodes; no addresses
  tracer         searches for messages, sees addresses and subjects
  operator       retries, suspends and resumes mail, moves rollouts, probes
  administrator  removes mail, reads content, manages users and tokens";

#[derive(Subcommand, Clone, PartialEq, Debug)]
pub(crate) enum UserCommand {
    /// Print a link with which a person becomes a user, or chooses a new password
    #[command(after_help = "\
The link begins with [console] url, or else with the first address of [console]
listen. It is shown only once, and it is in no log.

JSON: {\"user\", \"right\", \"url\", \"expires\"}.")]
    Invite {
        /// Name of the user: letters, digits and . _ - @ +
        name: UserName,
        /// What the user may do
        #[arg(long, value_name = "ROLE")]
        role: Role,
        #[command(flatten)]
        output: Output,
    },
    /// List users and open invitations
    #[command(after_help = "\
JSON: {\"users\": [{\"user\", \"right\", \"has_password\", \"created\", \"last_log_in\"}],
\"invitations\": [{\"user\", \"right\", \"invited_by\", \"expires\"}]}.
has_password is false if another system vouches for the user.")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Change what a user may do; the user must log in again
    Role {
        /// Name of the user
        name: UserName,
        /// What the user may do from now on
        role: Role,
    },
    /// Remove a user, with all sessions and invitations
    Remove {
        /// Name of the user
        name: UserName,
    },
}

/// What a user may do; each role has the rights of those before it.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Viewer,
    Tracer,
    Operator,
    Administrator,
}

impl From<Role> for Right {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Tracer => Self::Tracer,
            Role::Operator => Self::Operator,
            Role::Administrator => Self::Administrator,
        }
    }
}
