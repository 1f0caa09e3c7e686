//! From ids as people give them to those in the store.

use anyhow::{Context as _, bail};
use store::Store;
use uuid::Uuid;

use insight::Id;

/// The message that is meant. A whole id is taken as it is, whether there is such a message or not.
pub(crate) async fn message<S: Store>(id: Id, store: &S) -> anyhow::Result<Uuid> {
    if let Some(id) = id.whole() {
        return Ok(id);
    }
    let ids = store.ids_between(id.first, id.last, 2).await.context("failed to look the message up")?;
    match ids.as_slice() {
        [] => bail!("there is no message whose id begins with {id}"),
        [id] => Ok(*id),
        _ => bail!("several messages have ids that begin with {id}; give more of the id"),
    }
}

/// The same where a message may be named.
pub(crate) async fn named<S: Store>(id: Option<Id>, store: &S) -> anyhow::Result<Option<Uuid>> {
    match id {
        Some(id) => message(id, store).await.map(Some),
        None => Ok(None),
    }
}
