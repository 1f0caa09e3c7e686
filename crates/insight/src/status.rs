//! A message's current status in the words of Exchange Online's message trace.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::State;
use trace::message_trace;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(clippy::enum_variant_names, reason = "GettingStatus is Exchange's own word")]
pub enum Status {
    Delivered,
    Pending,
    Failed,
    Removed,
    Expanded,
    Quarantined,
    FilteredAsSpam,
    GettingStatus,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Delivered,
        Self::Pending,
        Self::Failed,
        Self::Removed,
        Self::Expanded,
        Self::Quarantined,
        Self::FilteredAsSpam,
        Self::GettingStatus,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
            Self::Removed => "Removed",
            Self::Expanded => "Expanded",
            Self::Quarantined => "Quarantined",
            Self::FilteredAsSpam => "FilteredAsSpam",
            Self::GettingStatus => "GettingStatus",
        }
    }

    /// As options and parameters write it.
    pub const fn lower_case_name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Removed => "removed",
            Self::Expanded => "expanded",
            Self::Quarantined => "quarantined",
            Self::FilteredAsSpam => "filteredasspam",
            Self::GettingStatus => "gettingstatus",
        }
    }

    /// What its name does not say.
    pub const fn about(self) -> Option<&'static str> {
        match self {
            Self::Delivered | Self::Pending | Self::Failed => None,
            Self::Removed => Some("By an operator"),
            Self::Expanded => Some("Of a list or an alias: its members got it (in files of others)"),
            Self::Quarantined | Self::FilteredAsSpam => Some("(In files of others)"),
            Self::GettingStatus => Some("Too new for its status to be known (in files of others)"),
        }
    }

    /// Other ways of writing it.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::FilteredAsSpam => &["filtered-as-spam", "filtered as spam"],
            Self::GettingStatus => &["getting-status", "getting status"],
            _ => &[],
        }
    }

    /// All states of a delivery that have this status; none where only other systems have it.
    pub const fn states(self) -> &'static [State] {
        match self {
            Self::Pending => &[State::Queued, State::Leased, State::Suspended],
            Self::Delivered => &[State::Delivered],
            Self::Failed => &[State::Failed],
            Self::Removed => &[State::Removed],
            Self::Expanded | Self::Quarantined | Self::FilteredAsSpam | Self::GettingStatus => &[],
        }
    }
}

impl FromStr for Status {
    type Err = String;

    /// Case does not matter.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_called = |status: &Self| {
            status.lower_case_name().eq_ignore_ascii_case(text)
                || status.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(text))
        };
        let known = || Self::ALL.map(|status| status.lower_case_name()).join(", ");
        let fault = || format!("\"{text}\" is not a status; values are {}", known());
        Self::ALL.into_iter().find(is_called).ok_or_else(fault)
    }
}

impl From<State> for Status {
    fn from(state: State) -> Self {
        match state {
            State::Queued | State::Leased | State::Suspended => Self::Pending,
            State::Delivered => Self::Delivered,
            State::Failed => Self::Failed,
            State::Removed => Self::Removed,
        }
    }
}

impl From<message_trace::Status> for Status {
    fn from(status: message_trace::Status) -> Self {
        match status {
            message_trace::Status::Delivered => Self::Delivered,
            message_trace::Status::Pending => Self::Pending,
            message_trace::Status::Failed => Self::Failed,
            message_trace::Status::Quarantined => Self::Quarantined,
            message_trace::Status::FilteredAsSpam => Self::FilteredAsSpam,
            message_trace::Status::Expanded => Self::Expanded,
            message_trace::Status::GettingStatus => Self::GettingStatus,
        }
    }
}

/// The state's name, as in JSON.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Leased => "leased",
        State::Suspended => "suspended",
        State::Delivered => "delivered",
        State::Failed => "failed",
        State::Removed => "removed",
    }
}
