//! Runs one session over its socket.

use std::{io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::BytesMut;
use protocol::{
    smtp::{
        EnhancedCode, Reply, TlsSummary, Transaction,
        server::{Session, Step},
    },
    tls::{HandshakeFacts, Side},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    Limits, MessageSink, Reception, SessionFacts,
    clients::Counted,
    patience::{CONTENT_GRACE, Lapse, Patience},
    record::Record,
};
use crate::{
    Disconnected, Line,
    stream::Stream,
    tls::{self, Acceptor, HandshakeError},
};

pub(super) struct Driver<R: Reception> {
    pub(super) stream: Stream,
    pub(super) session: Session,
    pub(super) acceptor: Option<Acceptor>,
    pub(super) reception: R,
    pub(super) patience: Patience,
    pub(super) limits: Limits,
    pub(super) id: u64,
    pub(super) client: SocketAddr,
    pub(super) record: Record,
    pub(super) tls: Option<TlsSummary>,
    pub(super) handshake: Option<Arc<HandshakeFacts>>,
    pub(super) input: BytesMut,
    pub(super) output: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) sink: Option<R::Sink>,
    /// When the current command must be complete, or more content must have arrived.
    pub(super) deadline: Instant,
    /// When the session may start no further message.
    pub(super) end: Instant,
    /// When the current content must be complete.
    pub(super) content_end: Option<Instant>,
    pub(super) counted: Counted,
}

/// A session that may be parked: its socket, its state, and its deadline.
pub(super) struct Idle {
    pub(super) socket: OwnedFd,
    pub(super) client: SocketAddr,
    pub(super) session: Box<Kept>,
    pub(super) deadline: Instant,
}

/// The state of a parked session.
pub(super) struct Kept {
    pub(super) session: Session,
    pub(super) id: u64,
    pub(super) record: Record,
    pub(super) end: Instant,
}

/// Bytes read at once: enough for a common message with its commands, and still little memory for a thousand sessions.
const READ_BYTES: usize = 16 * 1024;
/// A session that is idle for this long is parked.
const PARK_AFTER: Duration = Duration::from_secs(3);

/// Maximum wait until a client accepts the last reply, or the end of TLS.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a session stops.
enum Ended {
    Closed,
    Idle,
}

impl<R: Reception> Driver<R> {
    /// Runs until the session ends, or is idle and can be parked.
    pub(super) async fn run(mut self) -> Option<Idle> {
        let ended = self.converse().await;
        if let Err(Ended::Idle) = ended {
            return self.into_idle();
        }
        self.discard().await;
        let _ = timeout(LAST_WORDS_TIMEOUT, self.stream.shutdown()).await;
        None
    }

    fn into_idle(mut self) -> Option<Idle> {
        let socket = self.stream.take_plain().ok()?.into_std().ok()?;
        self.counted.park();
        Some(Idle {
            socket: socket.into(),
            client: self.client,
            session: Box::new(Kept { session: self.session, id: self.id, record: self.record, end: self.end }),
            deadline: self.deadline.min(self.end),
        })
    }

    async fn converse(&mut self) -> Result<(), Ended> {
        loop {
            let step = self.session.handle(&mut self.input, &mut self.output, &mut self.content);
            self.record.heard(&mut self.session, &self.output);
            match step {
                Step::Read => {
                    self.flush().await?;
                    self.read().await?;
                }
                Step::Write => self.flush().await?,
                Step::Begin(transaction) => self.begin(transaction).await?,
                Step::Content => self.store_content().await,
                Step::End => self.finish().await,
                Step::Abort => self.discard().await,
                Step::StartTls => self.start_tls().await?,
                Step::Close => {
                    self.stream.cork();
                    self.flush().await?;
                    return Err(Ended::Closed);
                }
            }
        }
    }

    async fn begin(&mut self, transaction: Transaction) -> Result<(), Ended> {
        let now = Instant::now();
        if self.patience.is_stopping() {
            return Err(self.dismiss(Session::shut_down).await);
        }
        if !self.reception.takes_mail() {
            return Err(self.dismiss(Session::send_away).await);
        }
        if now >= self.end {
            return Err(self.dismiss(Session::expire).await);
        }
        let facts = SessionFacts {
            id: self.id,
            client: self.client,
            ehlo_name: self.session.ehlo_name().to_owned(),
            extended: self.session.extended(),
            tls: self.tls.clone(),
            handshake: self.handshake.clone(),
        };
        self.content.clear();
        let verdict = match self.reception.open(&facts, transaction, &mut self.content).await {
            Ok(sink) => {
                self.sink = Some(sink);
                Ok(())
            }
            Err(reply) => Err(reply),
        };
        self.session.begin(verdict, &mut self.output);
        self.deadline = now + self.session.timeout();
        self.content_end = Some(now + self.limits.session_max);
        Ok(())
    }

    async fn store_content(&mut self) {
        let Some(sink) = &mut self.sink else {
            self.content.clear();
            return;
        };
        let began = Instant::now();
        let written = sink.write(&mut self.content).await;
        // The time that the store needs does not count against the client.
        self.deadline += began.elapsed();
        if let Err(reply) = written {
            self.session.fail_content(reply);
            self.discard().await;
        }
    }

    /// Drops the current message and its memory.
    async fn discard(&mut self) {
        self.content = Vec::new();
        if let Some(sink) = self.sink.take() {
            sink.discard().await;
        }
    }

    async fn finish(&mut self) {
        let content = std::mem::take(&mut self.content);
        let reply = match self.sink.take() {
            Some(sink) => sink.finish(content, self.session.saw_eight_bit()).await,
            None => Reply::new(451, Some(EnhancedCode::new(4, 3, 0)), "The message could not be stored"),
        };
        self.session.finish(reply, &mut self.output);
    }

    async fn start_tls(&mut self) -> Result<(), Ended> {
        self.flush().await?;
        self.input.clear();
        let (Some(acceptor), Ok(plain)) = (&self.acceptor, self.stream.take_plain()) else {
            return Err(Ended::Closed);
        };
        // The handshake has its own timeout, so that it can report what it observed.
        let handshake = tls::accept(acceptor, plain, self.session.timeout());
        let Ok(handshake) = self.patience.hear(self.end + self.session.timeout(), Duration::ZERO, handshake).await
        else {
            return Err(Ended::Closed);
        };
        match handshake.result {
            Ok((stream, summary)) => {
                self.record.write(Line::TlsStarted(&handshake.facts));
                self.tls = Some(summary);
                self.handshake = Some(Arc::new(handshake.facts));
                self.stream = Stream::Tls(Box::new(stream));
                self.session.tls_started();
                Ok(())
            }
            Err(error) => {
                self.handshake_failed(&handshake.facts, &error);
                Err(Ended::Closed)
            }
        }
    }

    fn handshake_failed(&mut self, facts: &HandshakeFacts, error: &HandshakeError) {
        let reason = match error {
            HandshakeError::TimedOut => "the client went silent",
            HandshakeError::Failed(reason) => reason,
        };
        tracing::info!(client = %self.client, session = %format_args!("{:016X}", self.id), reason, %facts,
            "TLS handshake with a client failed");
        self.record.write(Line::TlsFailed { facts, reason });
        self.record.ended = Disconnected::within(facts, Side::Client).unwrap_or(Disconnected::Local);
    }

    /// Reads more input. A command has one fixed deadline. The deadline of content moves as bytes arrive.
    async fn read(&mut self) -> Result<(), Ended> {
        if self.session.in_message() {
            return self.read_content().await;
        }
        let now = Instant::now();
        let after_content = self.content_end.take().is_some();
        let within_command = !self.input.is_empty() || self.session.is_within_long_line();
        if after_content || !within_command {
            self.deadline = now + self.session.timeout();
        }
        if now >= self.end {
            return Err(self.dismiss(Session::expire).await);
        }
        if within_command {
            return self.read_more(self.deadline, Duration::ZERO).await.map(|_| ());
        }
        // Free the buffers between commands.
        self.input = BytesMut::new();
        self.output = Vec::new();
        self.read_when_idle().await
    }

    /// Moves the deadline by the time that the received bytes may take at the minimum rate, up to the full timeout.
    async fn read_content(&mut self) -> Result<(), Ended> {
        let limit = self.content_end.map_or(self.deadline, |end| end.min(self.deadline));
        let count = self.read_more(limit, CONTENT_GRACE).await?;
        let allowed = Duration::from_secs_f64(count as f64 / self.limits.data_rate_min.max(1) as f64);
        self.deadline = (self.deadline + allowed).min(Instant::now() + self.session.timeout());
        Ok(())
    }

    async fn read_more(&mut self, limit: Instant, grace: Duration) -> Result<usize, Ended> {
        self.input.reserve(READ_BYTES);
        let read = self.patience.hear(limit, grace, self.stream.read_buf(&mut self.input)).await;
        match read {
            Ok(Ok(0)) => Err(self.hung_up(None)),
            Ok(Ok(count)) => Ok(count),
            Ok(Err(error)) => Err(self.hung_up(Some(&error))),
            Err(lapse) => Err(self.lapsed(lapse).await),
        }
    }

    async fn read_when_idle(&mut self) -> Result<(), Ended> {
        let may_park = self.session.is_idle() && self.tls.is_none();
        let until = self.deadline.min(self.end);
        let patience = if may_park { until.min(Instant::now() + PARK_AFTER) } else { until };
        let mut first = [0; 1024];
        match self.patience.hear(patience, Duration::ZERO, self.stream.read(&mut first)).await {
            Ok(Ok(0)) => Err(self.hung_up(None)),
            Ok(Ok(count)) => {
                if count == first.len() {
                    self.input.reserve(READ_BYTES);
                }
                self.input.extend_from_slice(&first[..count]);
                Ok(())
            }
            Ok(Err(error)) => Err(self.hung_up(Some(&error))),
            Err(Lapse::TimedOut) if patience < until => Err(Ended::Idle),
            Err(lapse) => Err(self.lapsed(lapse).await),
        }
    }

    fn hung_up(&mut self, error: Option<&io::Error>) -> Ended {
        let reset = error.is_some_and(|error| {
            let kind = tls::socket_error(error).map_or_else(|| error.kind(), |inner| inner.kind());
            kind == io::ErrorKind::ConnectionReset
        });
        self.record.ended = if reset { Disconnected::RemoteReset } else { Disconnected::Remote };
        Ended::Closed
    }

    async fn lapsed(&mut self, lapse: Lapse) -> Ended {
        let is_over = !self.session.in_message() && Instant::now() >= self.end;
        match lapse {
            Lapse::TimedOut if is_over => self.dismiss(Session::expire).await,
            Lapse::TimedOut => self.dismiss(Session::timed_out).await,
            Lapse::Stopped => self.dismiss(Session::shut_down).await,
        }
    }

    /// Sends a last reply, if the client accepts it.
    async fn dismiss(&mut self, last_word: fn(&mut Session, &mut Vec<u8>)) -> Ended {
        last_word(&mut self.session, &mut self.output);
        let _ = self.write_output(LAST_WORDS_TIMEOUT).await;
        Ended::Closed
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.write_output(self.session.timeout()).await
    }

    async fn write_output(&mut self, limit: Duration) -> Result<(), Ended> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.record.said(&mut self.session, &self.output);
        let result = self.patience.say(Instant::now() + limit, self.stream.write_all(&self.output)).await;
        self.output.clear();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.hung_up(Some(&error))),
            Err(_) => Err(Ended::Closed),
        }
    }
}
