//! Arguments of `gatepost tallies`.

use clap::{Args, ValueEnum};
use insight::Moment;
use store::{TallyBy, TallyStep};

use super::Output;

pub(crate) const TALLIES_HELP: &str = "\
Examples:
  gatepost tallies
  gatepost tallies --since 2h --step minute --by outcome,node
  gatepost tallies --since 7d --by outcome,cause --format json

A delivery is one message for one recipient. Outcomes:
  accepted    put into the queue
  delivered   accepted by the destination
  deferred    an attempt failed, and Gatepost tries again
  failed      bounced: rejected for good, or expired
  removed     removed by an operator

Minutes are kept for two days. Older counts come by the hour. The node of a
removed delivery, and TLS policy, TLS and cause that do not apply, are empty.

JSON: {\"tallies\": [{\"at\", \"outcome\", \"connector\", \"node\", \"tls_policy\",
\"tls\", \"cause\", \"deliveries\", \"bytes\"}]}. Only keys of --by are present.
at is the start of the minute or hour.";

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct TalliesArguments {
    /// Count from this time on: a date and time, or how long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub since: Moment,
    /// Count up to this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Count separately by these; separate several with commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "outcome")]
    pub by: Vec<By>,
    /// Length of the time that one row covers
    #[arg(long, value_enum, default_value_t)]
    pub step: Step,
    #[command(flatten)]
    pub output: Output,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Outcome,
    Connector,
    Node,
    TlsPolicy,
    /// TLS version and cipher suite
    Tls,
    /// Phase and kind of the failure, then reply code or TLS alert
    Cause,
}

impl From<By> for TallyBy {
    fn from(by: By) -> Self {
        match by {
            By::Outcome => Self::Outcome,
            By::Connector => Self::Connector,
            By::Node => Self::Node,
            By::TlsPolicy => Self::TlsPolicy,
            By::Tls => Self::Tls,
            By::Cause => Self::Cause,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Step {
    Minute,
    #[default]
    Hour,
}

impl From<Step> for TallyStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Minute => Self::Minute,
            Step::Hour => Self::Hour,
        }
    }
}
