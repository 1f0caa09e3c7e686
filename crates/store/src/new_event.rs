//! Events on their way into the history.

use trace::Event;
use uuid::Uuid;

/// An event on its way into the history. Its id makes writing it a second time harmless.
#[derive(Clone, PartialEq, Debug)]
pub struct NewEvent {
    pub id: Uuid,
    pub event: Event,
}

impl From<Event> for NewEvent {
    fn from(event: Event) -> Self {
        Self { id: Uuid::now_v7(), event }
    }
}
