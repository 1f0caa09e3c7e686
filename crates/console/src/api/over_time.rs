//! `/api/v1/tallies`, `/api/v1/changes`: what charts are drawn from, and what is marked in them; the same JSON as `gatepost
//! tallies` and `gatepost changes`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use insight::{
    ChangeSearch, Moment, change_cursor_text, changes, read_change_cursor,
    views::{FleetChangeView, TallyView},
};
use jiff::{SignedDuration, Timestamp};
use node::Node;
use schemars::JsonSchema;
use serde::Serialize;
use store::{ChangeQuery, Tallies as _, TallyBy, TallyQuery, TallyStep};

use super::{ApiError, query::Query};

#[derive(Serialize, JsonSchema)]
pub(super) struct Tallies {
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
pub(super) const CHANGES: u32 = 100;

/// Time range of a request without a time.
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(24);
/// The longest range by the minute, and by the hour: more would be an answer of many megabytes.
const MINUTES_MAX: SignedDuration = SignedDuration::from_hours(48);
const HOURS_MAX: SignedDuration = SignedDuration::from_hours(100 * 24);

pub(super) async fn tallies(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Tallies>, ApiError> {
    let query = read_tallies(query.as_deref(), Timestamp::now()).map_err(ApiError::bad_request)?;
    let tallies = node.store.tallies(query).await?;
    Ok(Json(Tallies { tallies: tallies.into_iter().map(TallyView::from).collect() }))
}

pub(super) async fn list_changes(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Changes>, ApiError> {
    let query = read_changes(query.as_deref(), Timestamp::now()).map_err(ApiError::bad_request)?;
    let (changes, next) = changes(&node.store, query).await?;
    let changes = changes.iter().map(FleetChangeView::from).collect();
    Ok(Json(Changes { changes, next: next.map(change_cursor_text) }))
}

fn read_tallies(query: Option<&str>, now: Timestamp) -> Result<TallyQuery, String> {
    let query = Query::read(query, &["since", "until", "by", "step"])?;
    let time = |name| Ok::<_, String>(query.parsed::<Moment>(name)?.map(|moment| moment.timestamp(now)));
    let until = time("until")?;
    let since =
        time("since")?.unwrap_or_else(|| until.unwrap_or(now).checked_sub(DEFAULT_RANGE).unwrap_or(Timestamp::MIN));
    let step = query.named("step", &TallyStep::ALL, TallyStep::name)?.unwrap_or(TallyStep::Hour);
    // The clock of the store may be ahead.
    let (end, until) = (until.unwrap_or(now), until.unwrap_or(Timestamp::MAX));
    let range = end.duration_since(since);
    if until <= since {
        return Err("until: must be later than since".to_owned());
    }
    match step {
        TallyStep::Minute if range > MINUTES_MAX => {
            Err("since: at most two days by the minute; ask for a shorter range, or for step=hour".to_owned())
        }
        TallyStep::Hour if range > HOURS_MAX => Err("since: at most 100 days; ask for a shorter range".to_owned()),
        TallyStep::Minute | TallyStep::Hour => {
            let by = query.all_named("by", &TallyBy::ALL, TallyBy::name)?.unwrap_or_else(|| vec![TallyBy::Outcome]);
            Ok(TallyQuery { since, until, step, by })
        }
    }
}

fn read_changes(query: Option<&str>, now: Timestamp) -> Result<ChangeQuery, String> {
    let query = Query::read(query, &["since", "until", "kind", "node", "limit", "after"])?;
    let search = ChangeSearch {
        since: query.parsed("since")?,
        until: query.parsed("until")?,
        kinds: query
            .all_named("kind", &ChangeSearch::KINDS, |kind| kind)?
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        node: query.text("node").map(str::to_owned),
        who: None,
        audit: false,
        limit: query.limit(CHANGES)?,
        after: query.text("after").map(read_change_cursor).transpose().map_err(|error| format!("after: {error}"))?,
    };
    search.query(now).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_of_a_bounded_range() {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let day = read_tallies(None, now).unwrap();
        assert_eq!((day.since, day.step, day.by), (now - DEFAULT_RANGE, TallyStep::Hour, vec![TallyBy::Outcome]));
        let asked = read_tallies(Some("since=2h&until=1h&step=minute&by=cause,tls_policy"), now).unwrap();
        assert_eq!((asked.until, asked.step), (now - SignedDuration::from_hours(1), TallyStep::Minute));
        assert_eq!(asked.by, [TallyBy::Cause, TallyBy::TlsPolicy]);
        for (query, expected) in [
            ("since=3d&step=minute", "since: at most two days by the minute"),
            ("since=0001-01-01T00:00:00Z", "since: at most 100 days"),
            ("since=1h&until=2h", "until: must be later than since"),
            ("by=colour", "by: must be one of outcome, connector, node, tls_policy, tls, cause"),
            ("step=day", "step: must be one of minute, hour"),
            ("since=soon", "since: \"soon\" is not a time"),
        ] {
            let error = read_tallies(Some(query), now).unwrap_err();
            assert!(error.starts_with(expected), "{query}: {error}");
        }
    }

    #[test]
    fn changes_are_searched_as_on_the_command_line() {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let asked = read_changes(Some("kind=started,rollout-set&node=mx1&limit=5&since=2h"), now).unwrap();
        assert_eq!(asked.kinds, ["started", "rollout-set"]);
        assert_eq!((asked.node.as_deref(), asked.limit), (Some("mx1"), 5));
        for (query, expected) in [
            ("kind=fire", "kind: must be one of started, "),
            ("since=1h&until=2h", "the time range is reversed"),
            ("after=1", "after: \"1\" is not the start of a page"),
        ] {
            let error = read_changes(Some(query), now).unwrap_err();
            assert!(error.starts_with(expected), "{query}: {error}");
        }
    }
}
