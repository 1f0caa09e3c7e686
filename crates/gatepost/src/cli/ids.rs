//! Finds the ids in the store that the user means.

use store::Store;
use uuid::Uuid;

use insight::Id;
pub(crate) use insight::message;

/// The message that the user means, if any.
pub(crate) async fn named<S: Store>(id: Option<Id>, store: &S) -> anyhow::Result<Option<Uuid>> {
    match id {
        Some(id) => message(id, store).await.map(Some),
        None => Ok(None),
    }
}
