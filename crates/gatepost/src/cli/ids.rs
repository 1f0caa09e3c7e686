//! Finds the ids in the store that the user means.

use anyhow::{Context as _, bail};
use store::Store;
use uuid::Uuid;

use insight::Id;

/// The message that the user means. A whole id is returned as it is, even if there is no such message.
pub(crate) async fn message<S: Store>(id: Id, store: &S) -> anyhow::Result<Uuid> {
    if let Some(id) = id.whole() {
        return Ok(id);
    }
    let ids = store.ids_between(id.first, id.last, 2).await.context("failed to find the message")?;
    match ids.as_slice() {
        [] => bail!("there is no message whose id begins with {id}"),
        [id] => Ok(*id),
        _ => bail!("several messages have ids that begin with {id}; give more digits of the id"),
    }
}

/// The same for an optional id.
pub(crate) async fn named<S: Store>(id: Option<Id>, store: &S) -> anyhow::Result<Option<Uuid>> {
    match id {
        Some(id) => message(id, store).await.map(Some),
        None => Ok(None),
    }
}
