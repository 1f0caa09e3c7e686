//! All operations. The router, OpenAPI and the tests are made from this list.

use super::{
    configuration, events, fleet, incidents, operation::Operation, over_time, people, queue, store, tokens, traces,
};

/// In the order of the document.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    [
        traces::OPERATIONS,
        queue::OPERATIONS,
        incidents::OPERATIONS,
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
