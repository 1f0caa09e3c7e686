//! The envelope of a waiting message, for a probe that goes as far as RCPT.

use protocol::smtp::{Recipient, Transaction};
use store::Store;

use super::OfMessage;

/// The transaction that carries this delivery. `None`: the message is no longer in the store, or not for that recipient.
pub async fn transaction<S: Store>(store: &S, wanted: &OfMessage) -> store::Result<Option<Transaction>> {
    let Some(record) = store.message(wanted.message).await? else { return Ok(None) };
    let mut deliveries = record.deliveries.into_iter().map(|record| record.delivery);
    let Some(delivery) = deliveries.find(|delivery| delivery.recipient == wanted.recipient) else { return Ok(None) };
    let recipient = Recipient { address: delivery.recipient, notify: delivery.notify, orcpt: delivery.orcpt };
    Ok(Some(Transaction {
        envelope: record.message.envelope,
        size_bytes: Some(record.message.size_bytes),
        recipients: vec![recipient],
    }))
}
