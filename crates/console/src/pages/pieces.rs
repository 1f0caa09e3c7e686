//! The body of an answer that is made while it is read: a reader that is slow or gone holds back what makes it.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that wait to be read.
const WAITING_MAX: usize = 2;

/// A piece, or why the rest is missing: the connection then breaks, so that nobody takes a part for the whole.
pub(super) type Piece = Result<Bytes, Box<dyn Error + Send + Sync>>;

pub(super) struct Pieces(Receiver<Piece>);

pub(super) fn pieces() -> (Sender<Piece>, Pieces) {
    let (sender, receiver) = channel(WAITING_MAX);
    (sender, Pieces(receiver))
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
