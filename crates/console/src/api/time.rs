//! Time ranges of several lists.

use insight::Moment;
use jiff::Timestamp;

use super::{
    form::Form,
    problem::Fault,
    query::{Parameter, Query},
};

pub(super) const SINCE: Parameter =
    Parameter::new("since", "From this time on: a date and time, or how long ago, such as 2h or 3d", Form::Moment);
pub(super) const UNTIL: Parameter = Parameter::new("until", "Before this time", Form::Moment);

pub(super) fn time(query: &Query, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    Ok(query.parsed::<Moment>(name)?.map(|moment| moment.timestamp(now)))
}
