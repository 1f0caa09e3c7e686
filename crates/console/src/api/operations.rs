//! All operations. The router, OpenAPI and the tests are made from this list.

use super::{
    configuration, destinations, events, findings, fleet, incident_files, incidents, jobs, operation::Operation,
    over_time, people, queue, rollout, store, tokens, traces,
};

/// In the order of the document.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    [
        traces::OPERATIONS,
        queue::OPERATIONS,
        findings::OPERATIONS,
        incidents::OPERATIONS,
        incident_files::OPERATIONS,
        destinations::OPERATIONS,
        rollout::OPERATIONS,
        jobs::OPERATIONS,
        fleet::OPERATIONS,
        over_time::OPERATIONS,
        events::OPERATIONS,
        configuration::OPERATIONS,
        store::OPERATIONS,
        tokens::OPERATIONS,
        people::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}
