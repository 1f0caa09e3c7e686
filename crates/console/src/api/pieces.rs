//! A body that is sent while it is made.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Pieces that wait for a client to read them.
const WAITING_MAX: usize = 4;

/// What is sent into the first goes out in the second. An error cuts the answer off, so that the client sees that it is not
/// whole.
pub(super) fn channel() -> (Sender<io::Result<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (sender, Body::new(Pieces(receiver)))
}

struct Pieces(Receiver<io::Result<Bytes>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_and_an_error_cuts_them_off() {
        for (last, expected) in [(None, Some("ab")), (Some(io::Error::other("gone")), None)] {
            let (sender, body) = channel();
            let send = async move {
                for piece in ["a", "b"] {
                    sender.send(Ok(Bytes::from_static(piece.as_bytes()))).await.unwrap();
                }
                if let Some(error) = last {
                    sender.send(Err(error)).await.unwrap();
                }
            };
            let (_, read) = tokio::join!(send, to_bytes(body, 100));
            assert_eq!(read.ok().as_deref(), expected.map(str::as_bytes));
        }
    }
}
