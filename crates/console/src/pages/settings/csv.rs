//! `/settings/audit.csv`: all entries of a filter. They go out while they are read.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use store::{ChangeQuery, Store};
use tokio::sync::mpsc::Sender;
use trace::change::write_csv;

use super::{audit::Given, pieces::Piece, pieces::pieces};
use crate::pages::{Refusal, asked::Asked, shell::Visit};

/// Entries that are read at once.
const ROWS: u32 = 500;

pub(in crate::pages) async fn download(visit: Visit, asked: Asked) -> Result<Response, Refusal> {
    let search = Given::new(&asked).search().map_err(Refusal::bad_request)?.at_most(ROWS);
    let (sender, body) = pieces();
    tokio::spawn(async move {
        if let Err(error) = write(&visit.node.store, search.query(), &sender).await {
            tracing::error!(%error, "failed to read the audit for an export of the console");
            drop(sender.send(Err(error.to_string().into())).await);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\""),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Until there is no more, or nobody reads any more.
async fn write<S: Store>(store: &S, mut query: ChangeQuery, sender: &Sender<Piece>) -> anyhow::Result<()> {
    let mut is_first = true;
    loop {
        let (changes, next) = insight::changes(store, query.clone()).await?;
        let mut rows = Vec::new();
        write_csv(&changes, is_first, &mut rows)?;
        if sender.send(Ok(rows.into())).await.is_err() || next.is_none() {
            return Ok(());
        }
        (is_first, query.after) = (false, next);
    }
}
