//! `/api/v1/queue`: what waits, in groups and in numbers, as `gatepost queue list --by` shows it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use insight::{By, Conditions, GroupView, Summary, WaitReasons, Wanted, views::CountView};
use jiff::Timestamp;
use node::Node;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Queue as _, Selection};

use super::ApiError;

#[derive(Serialize, JsonSchema)]
pub(super) struct Groups {
    /// The largest first; ages from the oldest on.
    groups: Vec<GroupView>,
    /// The property that the deliveries of a group share.
    by: &'static str,
    /// Deliveries in all groups.
    deliveries: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Counts {
    counts: Vec<CountView>,
}

pub(super) const BY: [By; 4] = [By::Cause, By::Connector, By::Destination, By::Age];

pub(super) async fn groups(State(node): State<Arc<Node>>, RawQuery(query): RawQuery) -> Result<Json<Groups>, ApiError> {
    let by = read_by(query.as_deref().unwrap_or_default()).map_err(ApiError::bad_request)?;
    let (now, config) = (Timestamp::now(), node.config.load());
    let reasons = WaitReasons::read(&node.store, &**config, now).await?;
    let wanted = Wanted::new(&Conditions::default(), &reasons, now);
    let summary = Summary::read(&node.store, Selection::default(), wanted, Some(by), now).await?;
    let groups = summary.views(&[]);
    let deliveries = groups.iter().map(|group| group.deliveries).sum();
    Ok(Json(Groups { groups, by: by.name(), deliveries }))
}

pub(super) async fn counts(State(node): State<Arc<Node>>) -> Result<Json<Counts>, ApiError> {
    let counts = node.store.counts().await?;
    Ok(Json(Counts { counts: counts.iter().map(CountView::from).collect() }))
}

/// By cause unless told otherwise.
fn read_by(query: &str) -> Result<By, String> {
    let mut by = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = BY.into_iter().find(|by| by.name() == value);
        match (&*name, known, &by) {
            ("by", Some(known), None) => by = Some(known),
            ("by", _, Some(_)) => return Err("by: the parameter is there twice; give it once".to_owned()),
            ("by", None, None) => {
                return Err(format!("by: must be one of {}", BY.map(By::name).join(", ")));
            }
            _ => return Err(format!("unknown parameter \"{name}\"; the parameter is by")),
        }
    }
    Ok(by.unwrap_or(By::Cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_by_one_property() {
        assert_eq!(read_by(""), Ok(By::Cause));
        assert_eq!(read_by("by=age"), Ok(By::Age));
        for (query, expected) in [
            ("by=size", "by: must be one of cause, connector, destination, age"),
            ("by=age&by=cause", "by: the parameter is there twice; give it once"),
            ("order=age", "unknown parameter \"order\"; the parameter is by"),
        ] {
            assert_eq!(read_by(query).unwrap_err(), expected);
        }
    }
}
