//! Sends a message's content, and listens at the same time. A destination may refuse the message before its end, and
//! this reply must not be lost in the reset that follows.

use std::{io, pin::Pin, task::Poll};

use protocol::smtp::{Failure, FailureKind, Reply, client::Action};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout_at},
};

use super::{Connection, Content, LAST_WORDS, OUTPUT_BYTES, timed_out};
use crate::Disconnected;

/// Why sending the content ended early.
enum Cut {
    /// The destination has already replied.
    Answered(Action),
    Broken(FailureKind),
}

/// What happened first.
enum Event {
    Written(io::Result<usize>),
    /// Number of bytes read. 0 at the end.
    Read(io::Result<usize>),
}

impl Connection {
    /// One result for each recipient.
    pub(super) async fn converse(
        &mut self,
        recipients: usize,
        content: &mut impl Content,
    ) -> Vec<Result<Reply, Failure>> {
        loop {
            let action = match self.next_action().await {
                Action::Content => match self.send_content(content).await {
                    Ok(()) => continue,
                    Err(Cut::Answered(action)) => action,
                    Err(Cut::Broken(kind)) => self.client.abandon(kind),
                },
                action => action,
            };
            return match action {
                Action::Done(results) => results,
                Action::Failed(failure) => vec![Err(failure); recipients],
                // The state machine ends a transaction only with its results. Without results, nothing was delivered.
                Action::Read | Action::StartTls | Action::Ready | Action::Content | Action::Closed => {
                    vec![Err(Failure::new(self.client.phase(), FailureKind::ConnectionClosed)); recipients]
                }
            };
        }
    }

    /// Sends the message up to and including the final dot.
    async fn send_content(&mut self, content: &mut impl Content) -> Result<(), Cut> {
        loop {
            match content.next().await {
                Ok(Some(piece)) => {
                    for part in piece.chunks(OUTPUT_BYTES) {
                        self.client.content(part, &mut self.output);
                        self.record.skip(&self.output);
                        if self.output.len() >= OUTPUT_BYTES {
                            self.write_content().await?;
                        }
                    }
                }
                Ok(None) => break,
                // Without the final dot nothing is delivered. The connection is closed.
                Err(detail) => return Err(Cut::Broken(FailureKind::Local { detail })),
            }
        }
        self.client.end_content(&mut self.output);
        self.record.skip(&self.output);
        Ok(())
    }

    /// Writes the content that is available, and accepts a reply that arrives meanwhile.
    async fn write_content(&mut self) -> Result<(), Cut> {
        self.record.sent(&self.output);
        self.stopwatch.sent(self.output.len() as u64);
        let limit = self.timeouts.content;
        let deadline = Instant::now() + limit;
        let mut written = 0;
        while written < self.output.len() {
            match timeout_at(deadline, self.write_or_read(written)).await {
                Ok(Event::Written(Ok(0))) => return Err(Cut::Broken(FailureKind::ConnectionClosed)),
                Ok(Event::Written(Ok(count))) => written += count,
                Ok(Event::Written(Err(error))) => {
                    let kind = self.broken(&error);
                    return Err(self.last_words(kind).await);
                }
                Ok(Event::Read(Ok(0))) => return Err(Cut::Broken(FailureKind::ConnectionClosed)),
                Ok(Event::Read(Ok(_))) => {
                    if let Some(action) = self.client.reply_within_content(&mut self.input) {
                        return Err(Cut::Answered(action));
                    }
                }
                Ok(Event::Read(Err(error))) => return Err(Cut::Broken(self.broken(&error))),
                Err(_) => return Err(Cut::Broken(timed_out(limit))),
            }
        }
        self.output.clear();
        Ok(())
    }

    /// After a failed write: the destination's last reply has already arrived, or never comes.
    async fn last_words(&mut self, kind: FailureKind) -> Cut {
        let deadline = Instant::now() + LAST_WORDS;
        while self.read(LAST_WORDS, deadline).await.is_ok() {
            if let Some(action) = self.client.reply_within_content(&mut self.input) {
                return Cut::Answered(action);
            }
        }
        Cut::Broken(kind)
    }

    async fn write_or_read(&mut self, written: usize) -> Event {
        let event = std::future::poll_fn(|context| {
            if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write(context, &self.output[written..]) {
                return Poll::Ready((Event::Written(result), 0));
            }
            let mut bytes = [0; 1024];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(result) => {
                    let heard = buffer.filled();
                    let known = self.input.len();
                    self.input.extend_from_slice(heard);
                    Poll::Ready((Event::Read(result.map(|()| heard.len())), known))
                }
            }
        });
        let (event, known) = event.await;
        if matches!(event, Event::Read(Ok(0))) {
            self.record.ended = Some(Disconnected::Remote);
        }
        if matches!(event, Event::Read(Ok(_))) {
            self.stopwatch.received((self.input.len() - known) as u64);
            self.record.received(&self.input[known..]);
        }
        event
    }
}
