//! `/api/v1/tallies`, `/api/v1/changes`: what charts are drawn from, and what is marked in them; the same JSON as `gatepost
//! tallies` and `gatepost changes`.

use insight::{
    ChangeSearch, change_cursor_text, changes, read_change_cursor,
    views::{FleetChangeView, TallyView},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::{ChangeQuery, Right, Tallies as _, TallyBy, TallyQuery, TallyStep};

use super::{
    cursor::{self, AFTER},
    form::Form,
    listing::{limit, limit_of},
    operation::{Asked, Operation},
    problem::{Fault, Kind, Problem},
    query::{Parameter, Query},
    reply::Reply,
    time::{SINCE, UNTIL, time},
};

const OF_TALLIES: [Parameter; 4] = [
    SINCE,
    UNTIL,
    Parameter::new(
        "by",
        "Count separately by these; outcome by default",
        Form::Names(|| TallyBy::ALL.map(TallyBy::name).to_vec()),
    ),
    Parameter::new(
        "step",
        "Length of the time that one row covers; hour by default. Counts that are older than two days come by the hour",
        Form::Name(|| TallyStep::ALL.map(TallyStep::name).to_vec()),
    ),
];

const OF_CHANGES: [Parameter; 6] = [
    SINCE,
    UNTIL,
    Parameter::new("kind", "Only changes of these kinds", Form::Names(|| ChangeSearch::KINDS.to_vec())),
    Parameter::new("node", "Only changes that are about this node, or that it saw", Form::Text(255)),
    limit_of("Maximum number of rows; 100 by default"),
    AFTER,
];

const CHANGES_PATH: &str = "/api/v1/changes";

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get(
        "/api/v1/tallies",
        "listTallies",
        "Count deliveries by the hour or minute: accepted, delivered, deferred, bounced",
        |asked| Box::pin(tallies(asked)),
    )
    .needs(Right::Viewer)
    .query(&OF_TALLIES)
    .gives::<Tallies>()
    .commands(&["tallies"]),
    Operation::get(
        CHANGES_PATH,
        "listChanges",
        "List what changed, newest first: starts, reloads, rollouts, commands, incidents, destinations",
        |asked| Box::pin(list_changes(asked)),
    )
    .needs(Right::Viewer)
    .query(&OF_CHANGES)
    .gives::<Changes>()
    .fails(&[Kind::NotFound])
    .commands(&["changes"]),
];

#[derive(Serialize, JsonSchema)]
struct Tallies {
    /// In order of time.
    tallies: Vec<TallyView>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changes {
    /// The newest first.
    changes: Vec<FleetChangeView>,
    /// Value of `after` for the next page; null on the last page.
    next: Option<String>,
}

/// Changes of a page without `limit`.
const CHANGES: u32 = 100;
/// Time range of a request without a time.
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(24);
/// Rows of an answer: charts are drawn from fewer, and these are a few megabytes.
const TALLIES_MAX: u32 = 20_000;

async fn tallies(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let query = read_tallies(&query, Timestamp::now())?;
    let tallies = node.store.tallies(query).await?;
    if tallies.len() > TALLIES_MAX as usize {
        let detail = format!(
            "there are more than {TALLIES_MAX} rows; ask for a shorter range with since and until, for step=hour, or for fewer \
             names in by"
        );
        return Err(Problem::bad_request(detail));
    }
    Reply::json(&Tallies { tallies: tallies.into_iter().map(TallyView::from).collect() })
}

async fn list_changes(Asked { node, query, .. }: Asked) -> Result<Reply, Problem> {
    let page = read_changes(&query, Timestamp::now())?;
    let (changes, next) = changes(&node.store, page).await?;
    let changes = changes.iter().map(FleetChangeView::from).collect();
    let next = next.map(|next| cursor::write(&change_cursor_text(next), CHANGES_PATH, &query));
    Reply::json(&Changes { changes, next })
}

fn read_tallies(query: &Query, now: Timestamp) -> Result<TallyQuery, Fault> {
    let until = time(query, "until", now)?;
    let default = || until.unwrap_or(now).checked_sub(DEFAULT_RANGE).unwrap_or(Timestamp::MIN);
    Ok(TallyQuery {
        since: time(query, "since", now)?.unwrap_or_else(default),
        // The clock of the store may be ahead.
        until: until.unwrap_or(Timestamp::MAX),
        step: query.named_value("step", &TallyStep::ALL, TallyStep::name).unwrap_or(TallyStep::Hour),
        by: query.named_values("by", &TallyBy::ALL, TallyBy::name).unwrap_or_else(|| vec![TallyBy::Outcome]),
        limit: Some(TALLIES_MAX + 1),
    })
}

/// A range that ends before it begins has no changes.
fn read_changes(query: &Query, now: Timestamp) -> Result<ChangeQuery, Problem> {
    let kinds = query.named_values("kind", &ChangeSearch::KINDS, |kind| kind).unwrap_or_default();
    Ok(ChangeQuery {
        since: time(query, "since", now)?,
        until: time(query, "until", now)?,
        kinds: kinds.into_iter().map(str::to_owned).collect(),
        node: query.owned("node"),
        who: None,
        audit: false,
        limit: limit(query, CHANGES)?,
        after: cursor::read(CHANGES_PATH, query, |text| read_change_cursor(text).ok())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn tallies_are_of_a_bounded_number() {
        let read = |query| read_tallies(&Query::read(Some(query), &OF_TALLIES).unwrap(), now()).unwrap();
        let day = read("");
        assert_eq!((day.since, day.step, day.by), (now() - DEFAULT_RANGE, TallyStep::Hour, vec![TallyBy::Outcome]));
        assert_eq!(day.limit, Some(TALLIES_MAX + 1));
        let asked = read("since=2h&until=1h&step=minute&by=cause,tls_policy");
        assert_eq!((asked.until, asked.step), (now() - SignedDuration::from_hours(1), TallyStep::Minute));
        assert_eq!(asked.by, [TallyBy::Cause, TallyBy::TlsPolicy]);
        for (query, expected) in [
            ("by=colour", "by: must be one of outcome, connector, node, tls_policy, tls, cause"),
            ("step=day", "step: must be one of minute, hour"),
            ("since=soon", "since: \"soon\" is not a time"),
        ] {
            let faults = Query::read(Some(query), &OF_TALLIES).unwrap_err();
            assert!(faults[0].to_string().starts_with(expected), "{query}: {faults:?}");
        }
    }

    #[test]
    fn changes_are_searched_as_on_the_command_line() {
        let query = Query::read(Some("kind=started,rollout-set&node=mx1&limit=5&since=2h"), &OF_CHANGES).unwrap();
        let asked = read_changes(&query, now()).unwrap();
        assert_eq!(asked.kinds, ["started", "rollout-set"]);
        assert_eq!((asked.node.as_deref(), asked.limit), (Some("mx1"), 5));
        let faults = Query::read(Some("kind=fire"), &OF_CHANGES).unwrap_err();
        assert!(faults[0].to_string().starts_with("kind: must be one of started, "), "{faults:?}");
    }
}
