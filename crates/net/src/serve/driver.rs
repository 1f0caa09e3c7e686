//! Drives one session over its socket.

use std::{io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::BytesMut;
use protocol::{
    smtp::{
        EnhancedCode, Envelope, Reply, TlsSummary,
        server::{Session, Step},
    },
    tls::{HandshakeFacts, Side},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{MessageSink, Reception, SessionFacts, clients::Counted, record::Record};
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
    pub(super) stop: watch::Receiver<bool>,
    pub(super) id: u64,
    pub(super) client: SocketAddr,
    pub(super) record: Record,
    pub(super) tls: Option<TlsSummary>,
    pub(super) handshake: Option<Arc<HandshakeFacts>>,
    pub(super) input: BytesMut,
    pub(super) output: Vec<u8>,
    pub(super) content: Vec<u8>,
    pub(super) sink: Option<R::Sink>,
    /// When the command that is being read must be whole.
    pub(super) deadline: Instant,
    pub(super) counted: Counted,
}

/// A session that may be parked: its socket, itself, and when it must go on.
pub(super) struct Idle {
    pub(super) socket: OwnedFd,
    pub(super) client: SocketAddr,
    pub(super) session: Box<Kept>,
    pub(super) deadline: Instant,
}

/// What is kept of a parked session.
pub(super) struct Kept {
    pub(super) session: Session,
    pub(super) id: u64,
    pub(super) record: Record,
}

/// Bytes read at once: a common message with its commands, yet little for a thousand sessions.
const READ_BYTES: usize = 16 * 1024;
/// Replies are held back while commands are pipelined, up to this many bytes.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// A session that says nothing for so long is parked.
const PARK_AFTER: Duration = Duration::from_secs(3);

/// Why a session is not driven any further.
enum Ended {
    ByMachine,
    ByClient,
    Stopped,
    Idle,
}

impl<R: Reception> Driver<R> {
    /// Runs until the session ends, or is idle and could be parked.
    pub(super) async fn run(mut self) -> Option<Idle> {
        let ended = self.converse().await;
        if let Err(Ended::Idle) = ended {
            return self.into_idle();
        }
        if let Some(sink) = self.sink.take() {
            sink.discard().await;
        }
        let _ = timeout(Duration::from_secs(5), self.stream.shutdown()).await;
        None
    }

    fn into_idle(mut self) -> Option<Idle> {
        let socket = self.stream.take_plain().ok()?.into_std().ok()?;
        self.counted.park();
        Some(Idle {
            socket: socket.into(),
            client: self.client,
            session: Box::new(Kept { session: self.session, id: self.id, record: self.record }),
            deadline: self.deadline,
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
                Step::Begin(envelope) => self.begin(envelope).await,
                Step::Content => self.store_content().await,
                Step::End => self.finish().await,
                Step::Abort => {
                    self.content.clear();
                    if let Some(sink) = self.sink.take() {
                        sink.discard().await;
                    }
                }
                Step::StartTls => self.start_tls().await?,
                Step::Close => {
                    self.stream.cork();
                    self.flush().await?;
                    return Err(Ended::ByMachine);
                }
            }
            if self.output.len() >= OUTPUT_BYTES_MAX {
                self.flush().await?;
            }
        }
    }

    async fn begin(&mut self, envelope: Envelope) {
        let facts = SessionFacts {
            id: self.id,
            client: self.client,
            hello: self.session.hello().to_owned(),
            extended: self.session.extended(),
            tls: self.tls.clone(),
            handshake: self.handshake.clone(),
        };
        self.content.clear();
        let verdict = match self.reception.open(&facts, envelope, &mut self.content).await {
            Ok(sink) => {
                self.sink = Some(sink);
                Ok(())
            }
            Err(reply) => Err(reply),
        };
        self.session.begin(verdict, &mut self.output);
    }

    async fn store_content(&mut self) {
        let Some(sink) = &mut self.sink else {
            self.content.clear();
            return;
        };
        if let Err(reply) = sink.write(&mut self.content).await {
            self.content.clear();
            self.session.fail_content(reply);
            if let Some(sink) = self.sink.take() {
                sink.discard().await;
            }
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
            return Err(Ended::ByMachine);
        };
        let handshake = tls::accept(acceptor, plain, self.session.timeout()).await;
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
                Err(Ended::ByClient)
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

    /// Reads more input. Content has time for each read, a command only once: a client that sends it byte by byte does
    /// not hold the connection.
    async fn read(&mut self) -> Result<(), Ended> {
        let within_command = !self.input.is_empty() || self.session.is_within_long_line();
        if !within_command || self.session.in_message() {
            self.deadline = Instant::now() + self.session.timeout();
        }
        if within_command || self.session.in_message() {
            return self.read_until_deadline().await;
        }
        // Between commands no buffers are kept.
        self.input = BytesMut::new();
        self.output = Vec::new();
        self.read_when_idle().await
    }

    async fn read_when_idle(&mut self) -> Result<(), Ended> {
        let may_park = self.session.is_idle() && self.tls.is_none();
        let patience = if may_park { self.deadline.min(Instant::now() + PARK_AFTER) } else { self.deadline };
        let mut first = [0; 1024];
        let mut stop = self.stop.clone();
        let read = tokio::select! {
            read = timeout_at(patience, self.stream.read(&mut first)) => Some(read),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        match read {
            Some(Ok(Ok(0))) => Err(self.hung_up(None)),
            Some(Ok(Err(error))) => Err(self.hung_up(Some(&error))),
            Some(Ok(Ok(count))) => {
                if count == first.len() {
                    self.input.reserve(READ_BYTES);
                }
                self.input.extend_from_slice(&first[..count]);
                Ok(())
            }
            Some(Err(_)) if patience < self.deadline => Err(Ended::Idle),
            Some(Err(_)) => self.time_out().await,
            None => {
                self.session.shut_down(&mut self.output);
                self.flush().await?;
                Err(Ended::Stopped)
            }
        }
    }

    async fn read_until_deadline(&mut self) -> Result<(), Ended> {
        self.input.reserve(READ_BYTES);
        match timeout_at(self.deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(self.hung_up(None)),
            Ok(Err(error)) => Err(self.hung_up(Some(&error))),
            Ok(Ok(_)) => Ok(()),
            Err(_) => self.time_out().await,
        }
    }

    fn hung_up(&mut self, error: Option<&io::Error>) -> Ended {
        let reset = error.is_some_and(|error| {
            let kind = tls::socket_error(error).map_or_else(|| error.kind(), |inner| inner.kind());
            kind == io::ErrorKind::ConnectionReset
        });
        self.record.ended = if reset { Disconnected::RemoteReset } else { Disconnected::Remote };
        Ended::ByClient
    }

    async fn time_out(&mut self) -> Result<(), Ended> {
        self.session.timed_out(&mut self.output);
        self.flush().await?;
        Err(Ended::ByMachine)
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.record.said(&mut self.session, &self.output);
        let result = timeout(self.session.timeout(), self.stream.write_all(&self.output)).await;
        self.output.clear();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.hung_up(Some(&error))),
            Err(_) => Err(Ended::ByClient),
        }
    }
}
