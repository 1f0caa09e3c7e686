//! Why deliveries wait just now: the queue's word, the nodes' reports and the configuration, taken together.

use jiff::Timestamp;
use store::{DeliveryRecord, NodeReport, State, Store};
use trace::Waiting;

use super::{arguments::Status, screen::Screen};
use crate::config::Config;

/// What all nodes last said, and what is configured.
pub(crate) struct Standing<'a> {
    reports: Vec<NodeReport>,
    config: &'a Config,
    now: Timestamp,
}

impl<'a> Standing<'a> {
    pub(crate) async fn read<S: Store>(store: &S, config: &'a Config, now: Timestamp) -> store::Result<Self> {
        Ok(Self { reports: store.reports().await?, config, now })
    }
}
