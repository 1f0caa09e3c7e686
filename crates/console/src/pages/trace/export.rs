//! `/trace.csv`: the rows of a search, exactly as `gatepost trace --format csv` writes them. They go out while they are read.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use insight::{Pages, export::write_summaries};
use jiff::Timestamp;
use store::{Store, TraceQuery};
use tokio::sync::mpsc::Sender;
use trace::message_trace::{Encoding, SummaryWriter};

use super::{Given, whole_id};
use crate::pages::{
    Refusal,
    asked::Asked,
    pieces::{Piece, pieces},
    shell::Visit,
};

pub(in crate::pages) async fn download(visit: Visit, asked: Asked) -> Result<Response, Refusal> {
    let store = visit.node.store.clone();
    let search = Given::new(&asked).search().map_err(Refusal::bad_request)?;
    let search = whole_id(search, &store).await?.map_err(Refusal::bad_request)?;
    let query = search.query(Timestamp::now()).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let (sender, body) = pieces();
    tokio::spawn(async move {
        if let Err(error) = write(&store, query, &sender).await {
            tracing::error!(%error, "failed to read the history for an export of the console");
            drop(sender.send(Err(error.to_string().into())).await);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"trace.csv\""),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Until there is no more, or nobody reads any more.
async fn write<S: Store>(store: &S, query: TraceQuery, sender: &Sender<Piece>) -> anyhow::Result<()> {
    let written = Written::default();
    let mut writer = SummaryWriter::new(written.clone(), Encoding::Utf8)?;
    let mut pages = Pages::new(query);
    loop {
        let records = pages.read(store).await?;
        if let Some(records) = &records {
            write_summaries(records, &mut writer)?;
        }
        writer.flush()?;
        if sender.send(Ok(written.take())).await.is_err() || records.is_none() {
            return Ok(());
        }
    }
}

/// What a writer has written and nobody has taken.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Bytes {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
