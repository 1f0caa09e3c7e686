//! The body of one stream. It is polled only when the client has room, so that a slow reader blocks nobody.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::time::{Instant, sleep_until};

use super::board::Seat;
use crate::places::Streaming;

/// A stream ends after this time, before its connection must (`AGE_MAX` in serve.rs).
const LENGTH: Duration = Duration::from_secs(55);
/// Without a change, the client hears this often that the stream is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

const BEAT: &str = "event: beat\ndata:\n\n";
const END: &str = "event: end\ndata:\n\n";

pub(super) struct Events {
    /// `None`: the stream has ended.
    next: Option<Next>,
}

type Next = Pin<Box<dyn Future<Output = (Stream, Bytes)> + Send>>;

struct Stream {
    seat: Seat,
    ends: Instant,
    has_ended: bool,
    _streaming: Streaming,
}

impl Events {
    /// `version` is that of the console's style and script.
    pub(super) fn start(seat: Seat, streaming: Streaming, version: &str) -> Self {
        let mut stream = Stream { seat, ends: Instant::now() + LENGTH, has_ended: false, _streaming: streaming };
        let mut first = format!("event: hello\ndata: {version}\n\n").into_bytes();
        first.extend(stream.seat.news());
        Self { next: Some(Box::pin(async { (stream, first.into()) })) }
    }
}

impl Stream {
    async fn next(mut self) -> (Self, Bytes) {
        let beat = Instant::now() + HEARTBEAT;
        let event = loop {
            tokio::select! {
                () = sleep_until(beat.min(self.ends)) => match Instant::now() < self.ends {
                    true => break BEAT.into(),
                    false => {
                        self.has_ended = true;
                        break END.into();
                    }
                },
                has_changed = self.seat.changed() => {
                    if !has_changed {
                        // Without the word that it has ended, so that the browser does not come back at once.
                        self.has_ended = true;
                        break Bytes::new();
                    }
                    let news = self.seat.news();
                    if !news.is_empty() {
                        break news.into();
                    }
                }
            }
        };
        (self, event)
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let (stream, event) = ready!(next.as_mut().poll(context));
        self.next = (!stream.has_ended).then(|| -> Next { Box::pin(stream.next()) });
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
