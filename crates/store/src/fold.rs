//! What waits, folded into one value in one pass: counts and groups of a queue of any length.

use jiff::Timestamp;
use protocol::smtp::Failure;
use uuid::Uuid;

use crate::{MessageKey, State};

/// A delivery in the queue, as far as groups need it.
#[derive(Clone, Copy, Debug)]
pub struct QueueRow<'a> {
    pub message: MessageKey,
    pub network_message_id: Uuid,
    pub connector: &'a str,
    pub state: State,
    pub received: Timestamp,
    pub due: Timestamp,
    /// The last attempt's failure.
    pub failure: Option<&'a Failure>,
}
