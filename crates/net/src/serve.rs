//! Takes mail in: listeners, connection limits, and one task for each session that drives the protocol's server over
//! its socket. Content goes to a [`Reception`] piece by piece; a session holds no more than two read buffers and one
//! piece of content.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use protocol::smtp::{
    EnhancedCode, Envelope, Reply, TlsSummary,
    server::{Policy, Session, Step},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    stream::Stream,
    tls::{self, Acceptor},
};

/// What a session has learnt about its client by the time a message begins.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// Session id; 16 hex digits when printed.
    pub id: u64,
    pub client: SocketAddr,
    pub hello: String,
    /// EHLO rather than HELO.
    pub extended: bool,
    pub tls: Option<TlsSummary>,
}

/// Takes the messages of all sessions.
pub trait Reception: Clone + Send + Sync + 'static {
    type Sink: MessageSink;

    /// A message begins. What the sink wants to stand before its content goes into `content`.
    fn open(
        &self,
        facts: &SessionFacts,
        envelope: Envelope,
        content: &mut Vec<u8>,
    ) -> impl Future<Output = Result<Self::Sink, Reply>> + Send;
}

/// Takes one message.
pub trait MessageSink: Send {
    /// More content was appended to `content`. The sink may leave it there to grow, or take it; an error is the reply
    /// for the whole message, and nothing more of it will come.
    fn write(&mut self, content: &mut Vec<u8>) -> impl Future<Output = Result<(), Reply>> + Send;

    /// The message is whole. The reply is what the client gets: 250 only if the message is durable.
    fn finish(self, content: Vec<u8>, eight_bit: bool) -> impl Future<Output = Reply> + Send;

    /// The message will not be completed.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

/// How many connections there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub connections_max: usize,
    pub connections_per_client_max: usize,
}

/// What new sessions run under; replaced as a whole when the configuration is reloaded.
#[derive(Clone)]
pub struct Settings {
    pub policy: Arc<Policy>,
    pub limits: Limits,
    /// `None`: STARTTLS is not offered.
    pub acceptor: Option<Acceptor>,
}

/// The receiving side of a node.
pub struct Server<R> {
    reception: R,
    settings: watch::Receiver<Settings>,
    /// True once the node is to stop.
    stop: watch::Receiver<bool>,
    clients: Arc<Clients>,
}

/// Counts open connections, in all and by client address.
#[derive(Default)]
struct Clients(Mutex<(usize, HashMap<IpAddr, usize>)>);

/// One counted connection.
struct Counted {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// `None` when a limit is reached.
    fn count(self: &Arc<Self>, client: IpAddr, limits: Limits) -> Option<Counted> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_client) = &mut *guard;
        let of_client = by_client.entry(client).or_default();
        if *total >= limits.connections_max || *of_client >= limits.connections_per_client_max {
            if *of_client == 0 {
                by_client.remove(&client);
            }
            return None;
        }
        *of_client += 1;
        *total += 1;
        Some(Counted { clients: Arc::clone(self), client })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut guard = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_client) = &mut *guard;
        *total -= 1;
        if let Some(of_client) = by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

/// Opens a listening socket. The backlog holds a burst of clients while the node is busy.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

impl<R: Reception> Server<R> {
    pub fn new(reception: R, settings: watch::Receiver<Settings>, stop: watch::Receiver<bool>) -> Self {
        Self { reception, settings, stop, clients: Arc::default() }
    }

    /// Serves one listener until told to stop, then waits for the sessions that have a message under way.
    pub async fn run(&self, listener: TcpListener) {
        let mut sessions = JoinSet::new();
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, client)) => self.admit(stream, client, &mut sessions),
                    Err(error) => {
                        // Out of descriptors or memory: those that are connected go on, new ones wait in the backlog.
                        tracing::warn!(%error, "failed to accept a connection; trying again in 100 ms");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
                _ = stop.changed() => {}
            }
        }
        drop(listener);
        while sessions.join_next().await.is_some() {}
    }

    fn admit(&self, stream: TcpStream, client: SocketAddr, sessions: &mut JoinSet<()>) {
        let settings = self.settings.borrow().clone();
        let _ = stream.set_nodelay(true);
        let Some(counted) = self.clients.count(client.ip(), settings.limits) else {
            tracing::info!(%client, "connection refused: too many connections");
            refuse(&stream);
            return;
        };
        let driver = Driver {
            stream: Stream::Plain(stream),
            session: Session::new(Arc::clone(&settings.policy), client.ip()),
            acceptor: settings.acceptor,
            reception: self.reception.clone(),
            stop: self.stop.clone(),
            id: next_session_id(),
            client,
            tls: None,
            input: BytesMut::new(),
            output: Vec::new(),
            content: Vec::new(),
            sink: None,
            _counted: counted,
        };
        sessions.spawn(driver.run());
    }
}

/// The socket buffer of a new connection always has room for one line.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(b"421 4.7.0 Too many connections, try again later\r\n");
}

/// Ascending from the node's start in 100 ns ticks, so that ids of restarts do not meet.
pub fn next_session_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let start = *START.get_or_init(|| {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        // .NET ticks count from year 1, as in Exchange's session ids.
        0x089F_7FF5_F7B5_8000 + (since_epoch.as_nanos() / 100) as u64
    });
    start + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Drives one session.
struct Driver<R: Reception> {
    stream: Stream,
    session: Session,
    acceptor: Option<Acceptor>,
    reception: R,
    stop: watch::Receiver<bool>,
    id: u64,
    client: SocketAddr,
    tls: Option<TlsSummary>,
    input: BytesMut,
    output: Vec<u8>,
    content: Vec<u8>,
    sink: Option<R::Sink>,
    _counted: Counted,
}

/// Bytes read at once: a common message with its commands, yet little for a thousand sessions.
const READ_BYTES: usize = 16 * 1024;
/// Replies are held back while commands are pipelined, up to this many bytes.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// Why a session ends before QUIT.
enum Ended {
    ByMachine,
    ByClient,
    Stopped,
}

impl<R: Reception> Driver<R> {
    async fn run(mut self) {
        self.session.greet(&mut self.output);
        let _ = self.converse().await;
        if let Some(sink) = self.sink.take() {
            sink.discard().await;
        }
        let _ = timeout(Duration::from_secs(5), self.stream.shutdown()).await;
    }

    async fn converse(&mut self) -> Result<(), Ended> {
        loop {
            match self.session.handle(&mut self.input, &mut self.output, &mut self.content) {
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
        match timeout(self.session.timeout(), tls::accept(acceptor, plain)).await {
            Ok(Ok(stream)) => {
                self.tls = Some(tls::summary(stream.ssl()));
                self.stream = Stream::Tls(Box::new(stream));
                self.session.tls_started();
                Ok(())
            }
            Ok(Err(detail)) => {
                tracing::info!(client = %self.client, session = %format_args!("{:016X}", self.id), detail,
                    "TLS handshake with a client failed");
                Err(Ended::ByClient)
            }
            Err(_) => Err(Ended::ByClient),
        }
    }

    /// Reads more input, within what is left of the present command's time.
    async fn read(&mut self) -> Result<(), Ended> {
        let deadline = Instant::now() + self.session.timeout();
        if self.input.is_empty() && !self.session.in_message() {
            // An idle session keeps no buffers.
            self.input = BytesMut::new();
            self.output = Vec::new();
            return self.read_when_idle(deadline).await;
        }
        self.read_until(deadline).await
    }

    async fn read_when_idle(&mut self, deadline: Instant) -> Result<(), Ended> {
        let mut first = [0; 1024];
        let mut stop = self.stop.clone();
        let read = tokio::select! {
            read = timeout_at(deadline, self.stream.read(&mut first)) => Some(read),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        match read {
            Some(Ok(Ok(0) | Err(_))) => Err(Ended::ByClient),
            Some(Ok(Ok(count))) => {
                self.input.reserve(READ_BYTES);
                self.input.extend_from_slice(&first[..count]);
                Ok(())
            }
            Some(Err(_)) => self.time_out().await,
            None => {
                self.session.shut_down(&mut self.output);
                self.flush().await?;
                Err(Ended::Stopped)
            }
        }
    }

    async fn read_until(&mut self, deadline: Instant) -> Result<(), Ended> {
        self.input.reserve(READ_BYTES);
        match timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0) | Err(_)) => Err(Ended::ByClient),
            Ok(Ok(_)) => Ok(()),
            Err(_) => self.time_out().await,
        }
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
        let result = timeout(self.session.timeout(), self.stream.write_all(&self.output)).await;
        self.output.clear();
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::ByClient),
        }
    }
}
