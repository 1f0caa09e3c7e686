//! `/messages/{id}/message.eml`: the content of a message, for administrators. Pieces go out as the store has them, so that a large
//! message needs little memory.

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::header,
    response::{IntoResponse as _, Response},
};
use store::{Bodies as _, History as _};

use super::{looked_at, message_id, no_message};
use crate::pages::{
    Refusal,
    pieces::{Pieces, pieces},
    shell::Visit,
};

pub(in crate::pages) async fn download(visit: Visit, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = message_id(&id)?;
    let store = visit.node.store.clone();
    let record = store.message(id).await?.ok_or_else(no_message)?;
    let key = record.message.key;
    let gone = || Refusal::not_found("The content of this message is deleted, because no delivery needs it any more.");
    if !record.body_present {
        return Err(gone());
    }
    let first: Bytes = store.read_body(key, 0).await?.ok_or_else(gone)?;
    looked_at(&visit, id).await?;
    let (sender, body): (_, Pieces) = pieces();
    tokio::spawn(async move {
        let mut next = Some((first, 1));
        while let Some((piece, sequence)) = next.take() {
            if sender.send(Ok(piece)).await.is_err() {
                // Nobody reads any more.
                return;
            }
            match store.read_body(key, sequence).await {
                Ok(piece) => next = piece.map(|piece| (piece, sequence + 1)),
                Err(error) => drop(sender.send(Err(error.to_string().into())).await),
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.eml\"")),
    ];
    Ok((headers, Body::new(body)).into_response())
}
