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

use super::{ApiError, query::Query};

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
    let by = read_by(query.as_deref()).map_err(ApiError::bad_request)?;
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
fn read_by(query: Option<&str>) -> Result<By, String> {
    Ok(Query::read(query, &["by"])?.named("by", &BY, By::name)?.unwrap_or(By::Cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_by_one_property() {
        assert_eq!(read_by(None), Ok(By::Cause));
        assert_eq!(read_by(Some("by=age")), Ok(By::Age));
        let expected = "by: must be one of cause, connector, destination, age";
        assert_eq!(read_by(Some("by=size")).unwrap_err(), expected);
    }
}
