//! The current status of a message, in the words of Exchange Online's message trace.

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

    /// The name in options and parameters.
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

    /// A description, if the name is not enough.
    pub const fn about(self) -> Option<&'static str> {
        match self {
            Self::Delivered | Self::Pending | Self::Failed => None,
            Self::Removed => Some("Removed by an operator"),
            Self::Expanded => Some("List or alias that was replaced by its members (only in files of other systems)"),
            Self::Quarantined | Self::FilteredAsSpam => Some("Only in files of other systems"),
            Self::GettingStatus => Some("Too new to have a status (only in files of other systems)"),
        }
    }

    /// Other spellings.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::FilteredAsSpam => &["filtered-as-spam", "filtered as spam"],
            Self::GettingStatus => &["getting-status", "getting status"],
            _ => &[],
        }
    }

    /// The states of a delivery that have this status; none if only other systems have the status.
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

    /// Upper and lower case are equal.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_called = |status: &Self| {
            status.lower_case_name().eq_ignore_ascii_case(text)
                || status.aliases().iter().any(|alias| alias.eq_ignore_ascii_case(text))
        };
        let known = || Self::ALL.map(|status| status.lower_case_name()).join(", ");
        let fault = || format!("\"{text}\" is not a status; use one of {}", known());
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

/// The name of a state in JSON.
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
