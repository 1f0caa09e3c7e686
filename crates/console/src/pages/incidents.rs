//! Open incidents, for pages that lead to them.

use maud::{Markup, html};
use store::{Incident, Incidents as _};

use super::{shell::Visit, words::foreign};

/// Open ones come first.
const INCIDENTS_MAX: u32 = 200;

pub(super) async fn open_incidents(visit: &Visit) -> store::Result<Vec<Incident>> {
    let mut incidents = visit.node.store.incidents(INCIDENTS_MAX).await?;
    incidents.retain(|incident| incident.closed.is_none());
    Ok(incidents)
}

pub(super) fn to_incident(incident: &Incident) -> Markup {
    html! {
        a.incident href=(format!("/incidents/{}", incident.id)) {
            "open incident of " (foreign(&incident.connector)) ": " (foreign(&incident.cause))
        }
    }
}
