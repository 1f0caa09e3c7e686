//! One connection to a destination: connect, greet, encrypt, and send transactions over it. Each phase has its own
//! timeout (RFC 5321 section 4.5.3.2).

mod content;
mod order;
mod progress;
mod record;
mod stopwatch;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use protocol::{
    smtp::{
        Destination, Failure, FailureKind, Phase, PhaseTime, Reply, TlsSummary, Transaction,
        client::{Action, Client, Extensions, Introduction, TlsLevel},
    },
    tls::{Ending, HandshakeFacts, Side},
};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Disconnected, Line, Transcript,
    stream::Stream,
    tls::{self, HandshakeError, TlsContext, TlsError, TlsSettings},
};
pub use order::{in_order, interleave, rank};
pub use progress::{Now, Progress};
use record::Record;
use stopwatch::Stopwatch;

/// After a command that could not be written: the destination's last reply has already arrived, or never comes.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Maximum duration of each phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    pub banner: Duration,
    pub ehlo: Duration,
    pub starttls: Duration,
    pub handshake: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data: Duration,
    /// For sending each piece of the message.
    pub content: Duration,
    pub end_of_data: Duration,
    pub quit: Duration,
}

impl Timeouts {
    /// The same timeout for each phase.
    pub fn each(wait: Duration) -> Self {
        Self {
            connect: wait,
            banner: wait,
            ehlo: wait,
            starttls: wait,
            handshake: wait,
            mail: wait,
            rcpt: wait,
            data: wait,
            content: wait,
            end_of_data: wait,
            quit: wait,
        }
    }

    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Resolve | Phase::Connect => self.connect,
            Phase::Banner => self.banner,
            Phase::Ehlo => self.ehlo,
            Phase::StartTls => self.starttls,
            Phase::Handshake => self.handshake,
            Phase::Mail => self.mail,
            Phase::Rcpt => self.rcpt,
            Phase::Data => self.data,
            Phase::EndOfData => self.end_of_data,
            Phase::Quit => self.quit,
        }
    }
}

/// Settings of a connection to a destination.
#[derive(Clone, Debug)]
pub struct Options {
    pub ehlo_name: String,
    pub tls_level: TlsLevel,
    pub tls: Arc<TlsSettings>,
    /// False: each command waits for the reply to the one before, even if the destination announces PIPELINING.
    pub pipelining: bool,
    pub timeouts: Timeouts,
    /// Maximum segment size that is requested from the destination (RFC 9293 section 3.7.1). `None`: the kernel
    /// decides.
    pub maximum_segment: Option<u32>,
    /// Shows the progress of the session to other parts.
    pub progress: Arc<Progress>,
}

/// The source of a message's content, piece by piece.
pub trait Content: Send {
    /// The next piece. `None` at the end. The error says for people why this node cannot read it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;
}

/// The content of a rehearsal, which never comes to be sent.
struct NoContent;

impl Content for NoContent {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        Err("a rehearsal sends no content".to_owned())
    }
}

/// What was seen of a connection, whether it came about or not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The destination's. `None`: none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    #[serde(skip)]
    pub local: Option<SocketAddr>,
    /// What was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSummary>,
    /// `None`: it came to no handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Arc<HandshakeFacts>>,
    /// In their order.
    #[serde(skip)]
    pub phases: Vec<PhaseTime>,
    /// `None`: it came to no connection.
    #[serde(skip)]
    pub introduction: Option<Arc<Introduction>>,
}

/// What came of a connection that carries no mail. Nodes tell it to each other, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionResult {
    #[serde(flatten)]
    pub seen: Seen,
    /// What the answer to EHLO offers, where that was heard.
    #[serde(skip)]
    pub extensions: Option<Extensions>,
    /// `None`: a transaction could have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl ConnectionResult {
    /// No address was found to connect to.
    pub fn not_resolved(kind: FailureKind) -> Self {
        Self { seen: Seen::default(), extensions: None, failure: Some(Failure::new(Phase::Resolve, kind)) }
    }

    pub fn works(&self) -> bool {
        self.failure.is_none()
    }

    /// What was negotiated, or how it failed, without the name of the destination.
    pub fn in_words(&self) -> String {
        match (&self.failure, &self.seen.tls) {
            (Some(failure), _) => Failure { destination: None, ..failure.clone() }.summary(),
            (None, Some(tls)) => format!("{} {}", tls.version, tls.cipher),
            (None, None) => "plaintext".to_owned(),
        }
    }
}

/// A greeted connection, ready for transactions.
pub struct Connection {
    stream: Stream,
    client: Client,
    input: BytesMut,
    output: Vec<u8>,
    destination: Destination,
    seen: Seen,
    stopwatch: Stopwatch,
    record: Record,
    timeouts: Timeouts,
    progress: Arc<Progress>,
}

/// Approximate size of the pieces in which a message is sent.
const OUTPUT_BYTES: usize = 32 * 1024;

impl Connection {
    /// Connects to one address of a host, greets it, and encrypts as the options ask. The transcript gets everything
    /// but content. Where it is not ready for mail: why, and what was seen of it.
    pub async fn open(
        host: &str,
        address: SocketAddr,
        options: &Options,
        context: &TlsContext,
        transcript: Option<Box<dyn Transcript>>,
    ) -> Result<Self, Box<(Failure, Seen)>> {
        let destination = Destination { host: host.to_owned(), port: address.port(), address: Some(address) };
        let mut record = Record::new(transcript);
        let mut stopwatch = Stopwatch::start(Phase::Connect);
        record.write(Line::Connecting);
        options.progress.connecting_to(&destination);
        let stream = match connect(address, options.timeouts.connect, options.maximum_segment).await {
            Ok(stream) => stream,
            Err(kind) => {
                record.write(Line::ConnectFailed(&kind.to_string()));
                record.not_connected();
                let phases = stopwatch.stop().into_iter().collect();
                let seen = Seen { address: Some(address), phases, ..Seen::default() };
                return Err(Box::new((Failure::new(Phase::Connect, kind).at(&destination), seen)));
            }
        };
        // Commands are small and answered at once; waiting to fill packets only adds delay.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok();
        let client = Client::new(options.ehlo_name.as_str(), options.tls_level);
        let client = if options.pipelining { client } else { client.without_pipelining() };
        if let Some(local) = local {
            record.write(Line::Connected { local });
        }
        let mut connection = Self {
            stream: Stream::Plain(stream),
            client,
            input: BytesMut::new(),
            output: Vec::new(),
            destination,
            seen: Seen { address: Some(address), local, ..Seen::default() },
            stopwatch,
            record,
            timeouts: options.timeouts,
            progress: Arc::clone(&options.progress),
        };
        let greeted = connection.greet(context, &options.tls).await;
        connection.seen.introduction = Some(Arc::new(connection.client.take_introduction()));
        match greeted {
            Ok(()) => {
                connection.finish_phase();
                Ok(connection)
            }
            Err(failure) => {
                connection.finish_phase();
                connection.leave_after(&failure).await;
                let failure = failure.at(&connection.destination);
                Err(Box::new((failure, std::mem::take(&mut connection.seen))))
            }
        }
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What was seen of it so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The facts observed since the last call. Earlier phases are not repeated.
    pub fn take_seen(&mut self) -> Seen {
        Seen { phases: std::mem::take(&mut self.seen.phases), ..self.seen.clone() }
    }

    pub fn extensions(&self) -> &Extensions {
        self.client.extensions()
    }

    /// True if another transaction may follow.
    pub fn is_reusable(&self) -> bool {
        self.client.is_reusable()
    }

    async fn greet(&mut self, context: &TlsContext, settings: &TlsSettings) -> Result<(), Failure> {
        loop {
            match self.next_action().await {
                Action::StartTls => self.start_tls(context, settings).await?,
                Action::Ready => return Ok(()),
                Action::Failed(failure) => return Err(failure),
                Action::Closed | Action::Read | Action::Content | Action::Done(_) => {
                    return Err(Failure::new(self.client.phase(), FailureKind::ConnectionClosed));
                }
            }
        }
    }

    async fn start_tls(&mut self, context: &TlsContext, settings: &TlsSettings) -> Result<(), Failure> {
        // Bytes that arrived before the handshake are not protected by it (CVE-2011-0411).
        self.input.clear();
        self.record.heard.clear();
        let failed = |kind| Failure::new(Phase::Handshake, kind);
        let local = |error: TlsError| failed(FailureKind::Local { detail: error.to_string() });
        let connector = context.connector(settings).map_err(local)?;
        let plain = self.stream.take_plain().map_err(|error| failed(io_failure(&error)))?;
        let Some(address) = self.destination.address else {
            return Err(failed(FailureKind::Local { detail: "the destination has no address".to_owned() }));
        };
        let limit = self.timeouts.handshake;
        self.progress.enter(Phase::Handshake);
        let handshake = tls::connect(&connector, &self.destination.host, address, plain, limit).await;
        self.stopwatch.sent(handshake.facts.client_bytes);
        self.stopwatch.received(handshake.facts.server_bytes);
        match handshake.result {
            Ok((stream, summary)) => {
                self.record.write(Line::TlsStarted(&handshake.facts));
                self.seen.handshake = Some(Arc::new(handshake.facts));
                self.seen.tls = Some(summary);
                self.stream = Stream::Tls(Box::new(stream));
                self.client.tls_started(&mut self.output);
                Ok(())
            }
            Err(error) => Err(failed(self.handshake_failed(handshake.facts, error))),
        }
    }

    fn handshake_failed(&mut self, facts: HandshakeFacts, error: HandshakeError) -> FailureKind {
        let by_server = facts.ended.filter(|ended| ended.by == Side::Server).map(|ended| ended.how);
        let explained = !facts.alerts.is_empty() || facts.certificate_fault.is_some() || facts.malformed.is_some();
        let kind = match (error, by_server) {
            (HandshakeError::TimedOut, _) => timed_out(self.timeouts.handshake),
            (HandshakeError::Failed(_), Some(Ending::Reset)) if !explained => FailureKind::ConnectionReset,
            (HandshakeError::Failed(_), Some(Ending::Fin)) if !explained => FailureKind::ConnectionClosed,
            (HandshakeError::Failed(detail), _) => FailureKind::HandshakeFailed { detail },
        };
        self.record.write(Line::TlsFailed { facts: &facts, reason: &kind.to_string() });
        self.record.ended = Disconnected::within(&facts, Side::Server);
        self.seen.handshake = Some(Arc::new(facts));
        kind
    }

    fn finish_phase(&mut self) {
        self.seen.phases.extend(self.stopwatch.stop());
    }

    /// Sends one message over the connection. Returns one result for each recipient, in order.
    pub async fn send(&mut self, transaction: &Transaction, content: &mut impl Content) -> Vec<Result<Reply, Failure>> {
        self.stopwatch = Stopwatch::start(Phase::Mail);
        self.progress.sending_to(&self.destination);
        let results = match self.client.begin(transaction, &mut self.output) {
            Ok(()) => self.converse(transaction.recipients.len(), content).await,
            Err(failure) => {
                self.record.write(Line::GivenUp(&failure.kind.to_string()));
                vec![Err(failure); transaction.recipients.len()]
            }
        };
        self.finish_phase();
        results.into_iter().map(|result| result.map_err(|failure| failure.at(&self.destination))).collect()
    }

    /// Goes as far as RCPT with a transaction, then takes it back with RSET: no content is sent, so nothing is delivered.
    /// Returns one result for each recipient, in order.
    pub async fn rehearse(&mut self, transaction: &Transaction) -> Vec<Result<Reply, Failure>> {
        self.stopwatch = Stopwatch::start(Phase::Mail);
        let results = match self.client.rehearse(transaction, &mut self.output) {
            Ok(()) => self.converse(transaction.recipients.len(), &mut NoContent).await,
            Err(failure) => vec![Err(failure); transaction.recipients.len()],
        };
        self.finish_phase();
        results.into_iter().map(|result| result.map_err(|failure| failure.at(&self.destination))).collect()
    }

    /// Writes the output, and reads until the state machine needs something else. The timeout is for each reply as a
    /// whole, so a reply that arrives byte by byte does not extend it.
    async fn next_action(&mut self) -> Action {
        let mut replies = None;
        let mut deadline = Instant::now();
        loop {
            let action = self.client.handle(&mut self.input, &mut self.output);
            let phase = self.client.phase();
            if matches!(action, Action::Read | Action::StartTls | Action::Content) {
                self.enter(phase);
            }
            let limit = self.timeouts.of(phase);
            if replies.replace(self.client.replies_handled()) != Some(self.client.replies_handled()) {
                deadline = Instant::now() + limit;
            }
            if let Err(kind) = self.flush(limit).await {
                // The state machine's decision is final, even if later output could not be written.
                if !matches!(action, Action::Read | Action::StartTls | Action::Content | Action::Ready) {
                    return action;
                }
                match self.read(LAST_WORDS, Instant::now() + LAST_WORDS).await {
                    Ok(()) => continue,
                    Err(why @ FailureKind::HandshakeFailed { .. }) => return self.client.abandon(why),
                    Err(_) => return self.client.abandon(kind),
                }
            }
            if action != Action::Read {
                return action;
            }
            if let Err(kind) = self.read(limit, deadline).await {
                return self.client.abandon(kind);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(before) = self.stopwatch.enter(phase) {
            self.seen.phases.push(before);
        }
        self.progress.enter(phase);
    }

    /// Reads more until `deadline`, which is `limit` after the wait began.
    async fn read(&mut self, limit: Duration, deadline: Instant) -> Result<(), FailureKind> {
        self.input.reserve(4096);
        let known = self.input.len();
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => {
                self.record.ended = Some(Disconnected::Remote);
                Err(FailureKind::ConnectionClosed)
            }
            Ok(Ok(count)) => {
                self.stopwatch.received(count as u64);
                self.record.received(&self.input[known..]);
                Ok(())
            }
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(timed_out(limit)),
        }
    }

    fn broken(&mut self, error: &io::Error) -> FailureKind {
        if let Some(facts) = &mut self.seen.handshake
            && self.client.phase() == Phase::Ehlo
            && let Some(detail) = tls::late_alert(Arc::make_mut(facts), error)
        {
            self.seen.tls = None;
            self.record.write(Line::TlsFailed { facts, reason: &detail });
            return FailureKind::HandshakeFailed { detail };
        }
        let kind = io_failure(error);
        if kind == FailureKind::ConnectionReset {
            self.record.ended = Some(Disconnected::RemoteReset);
        }
        kind
    }

    async fn flush(&mut self, limit: Duration) -> Result<(), FailureKind> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.record.sent(&self.output);
        self.stopwatch.sent(self.output.len() as u64);
        let result = timeout(limit, self.stream.write_all(&self.output)).await;
        self.output.clear();
        // Later commands need less memory than a message.
        self.output.shrink_to(OUTPUT_BYTES * 2);
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(timed_out(limit)),
        }
    }

    /// Sends QUIT if the destination still listens, so that its log shows an orderly end.
    async fn leave_after(&mut self, failure: &Failure) {
        let given_up = matches!(failure.kind, FailureKind::StartTlsNotOffered | FailureKind::StartTlsMasked);
        if given_up {
            self.record.write(Line::GivenUp(&failure.kind.to_string()));
        }
        if (given_up || failure.reply.is_some()) && !matches!(self.stream, Stream::Taken) {
            self.say_quit().await;
        }
    }

    /// Ends the session in an orderly way.
    pub async fn quit(mut self) {
        if self.client.is_reusable() {
            self.say_quit().await;
        }
    }

    async fn say_quit(&mut self) {
        let limit = self.timeouts.quit;
        self.client.quit(&mut self.output);
        if self.flush(limit).await.is_ok() {
            let _ = self.read(limit, Instant::now() + limit).await;
        }
        let _ = timeout(limit, self.stream.shutdown()).await;
    }
}

pub(crate) async fn connect(
    address: SocketAddr,
    limit: Duration,
    maximum_segment: Option<u32>,
) -> Result<TcpStream, FailureKind> {
    let connecting = async {
        let Some(bytes) = maximum_segment else { return TcpStream::connect(address).await };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        SockRef::from(&socket).set_tcp_mss(bytes)?;
        socket.connect(address).await
    };
    match timeout(limit, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(io_failure(&error)),
        Err(_) => Err(timed_out(limit)),
    }
}

fn timed_out(limit: Duration) -> FailureKind {
    FailureKind::TimedOut { after_s: limit.as_secs() }
}

fn io_failure(error: &io::Error) -> FailureKind {
    use io::ErrorKind;
    if let Some(inner) = tls::socket_error(error) {
        return io_failure(&inner);
    }
    if let Some(detail) = tls::broken(error) {
        return FailureKind::TlsBroken { detail };
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => FailureKind::ConnectionRefused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            FailureKind::ConnectionReset
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
            FailureKind::NetworkUnreachable
        }
        ErrorKind::UnexpectedEof => FailureKind::ConnectionClosed,
        // The kernel's own timeout for connections, about two minutes.
        ErrorKind::TimedOut => FailureKind::TimedOut { after_s: 127 },
        _ => FailureKind::Local { detail: error.to_string() },
    }
}
