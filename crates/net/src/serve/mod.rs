//! Receives mail: listeners, connection limits, and one task for each active session. Idle sessions are parked. Content
//! goes to a [`Reception`] piece by piece, so that a session needs at most two read buffers and one piece of content.
//!
//! ```text
//!   accept ──banner──> ParkingLot ──client speaks──> Driver (a task) ──idle──> ParkingLot
//!      └── from a proxy: introduce (a task) ──who its client is──> banner
//! ```

mod clients;
mod driver;
mod introduction;
mod park;
mod patience;
mod record;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use protocol::{
    smtp::{
        Reply, TlsSummary, Transaction,
        server::{Policy, Session},
    },
    tls::HandshakeFacts,
};
use rustix::{
    io::Errno,
    net::{SendFlags, SocketFlags},
};
use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyGuard},
    },
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::Instant,
};

use crate::{Transcript, stream::Stream, tls::Acceptor};
use clients::Clients;
pub use clients::Prefixes;
use driver::{Driver, Idle, Kept};
use introduction::{Introduced, introduce};
use park::{Parked, ParkingLot, SWEEP_INTERVAL};
use patience::Patience;
use record::Record;

/// Facts about the client at the start of a message.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// Session id, printed as 16 hexadecimal digits.
    pub id: u64,
    pub client: SocketAddr,
    pub ehlo_name: String,
    /// EHLO rather than HELO.
    pub extended: bool,
    pub tls: Option<TlsSummary>,
    pub handshake: Option<Arc<HandshakeFacts>>,
}

/// Receives the messages of all sessions.
pub trait Reception: Clone + Send + Sync + 'static {
    type Sink: MessageSink;

    /// False while clients must go elsewhere: new ones are refused, and others are sent away before their next message.
    fn takes_mail(&self) -> bool {
        true
    }

    /// True for a proxy: each of its connections begins with the PROXY protocol, which names the client.
    fn is_proxy(&self, _address: IpAddr) -> bool {
        false
    }

    /// The transcript of a session, if it is recorded. Called once the client has sent something.
    fn transcript(&self, id: u64, client: SocketAddr) -> Option<Box<dyn Transcript>>;

    /// Starts a message. The sink may put text before the content into `content`.
    fn open(
        &self,
        facts: &SessionFacts,
        transaction: Transaction,
        content: &mut Vec<u8>,
    ) -> impl Future<Output = Result<Self::Sink, Reply>> + Send;
}

/// Receives one message.
pub trait MessageSink: Send {
    /// More content was appended to `content`. The sink may leave it there or take it. An error is the reply for the
    /// whole message, and no more content follows.
    fn write(&mut self, content: &mut Vec<u8>) -> impl Future<Output = Result<(), Reply>> + Send;

    /// The message is complete. Returns the reply to the client: 250 only if the message is durable.
    fn finish(self, content: Vec<u8>, eight_bit: bool) -> impl Future<Output = Reply> + Send;

    /// The message will not be completed.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

/// Limits of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum number of connections. A tenth is reserved for clients that have no connection yet.
    pub connections_max: usize,
    pub connections_per_client_max: usize,
    /// After this time a session may start no message. The content of one message may also take this long.
    pub session_max: Duration,
    /// Minimum bytes of content per second. A slower client uses up the policy's `data_timeout`.
    pub data_rate_min: u64,
}

/// Settings of new sessions. A reload replaces them as a whole.
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
    /// True once the node must stop.
    stop: watch::Receiver<bool>,
    clients: Arc<Clients>,
}

/// The sessions that a [`Server`] has open.
#[derive(Clone)]
pub struct OpenSessions(Arc<Clients>);

impl OpenSessions {
    pub fn count(&self) -> usize {
        self.0.open()
    }
}

/// A listening socket.
pub struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    /// The address that it listens on. The system chooses the port if 0 was requested.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = rustix::net::getsockname(self.0.get_ref())?;
        SocketAddr::try_from(address).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// Opens a listening socket. The backlog holds a burst of clients while the node is busy.
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(Listener(watch_readable(socket.into())?))
}

/// Makes the runtime report when a descriptor becomes readable.
#[expect(
    unsafe_code,
    reason = "tokio's safe constructor is deprecated, since it takes types that may close their descriptor"
)]
fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open until it is dropped, and its descriptor never changes.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}

impl<R: Reception> Server<R> {
    pub fn new(
        reception: R,
        settings: watch::Receiver<Settings>,
        prefixes: Prefixes,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { reception, settings, stop, clients: Arc::new(Clients::new(prefixes)) }
    }

    pub fn open_sessions(&self) -> OpenSessions {
        OpenSessions(Arc::clone(&self.clients))
    }

    /// Serves one listener until told to stop, then waits for messages in progress as [`patience`] says.
    pub async fn run(&self, listener: Listener) -> io::Result<()> {
        let mut sessions: JoinSet<Option<Idle>> = JoinSet::new();
        let mut introductions: JoinSet<Option<Introduced>> = JoinSet::new();
        let mut lot = ParkingLot::open(Arc::clone(&self.clients))?;
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            tokio::select! {
                ready = listener.0.readable() => self.accept(&mut ready?, &mut lot, &mut introductions).await,
                Some(ended) = introductions.join_next(), if !introductions.is_empty() => {
                    if let Ok(Some((socket, client))) = ended {
                        self.admit(socket, client, &mut lot);
                    }
                }
                woken = lot.woken() => woken?.into_iter().for_each(|parked| self.unpark(parked, &mut sessions)),
                Some(ended) = sessions.join_next(), if !sessions.is_empty() => {
                    if let Ok(Some(Idle { socket, client, session, deadline })) = ended {
                        lot.park(socket, client, Some(session), deadline);
                    }
                }
                _ = sweep.tick() => {
                    lot.overdue().into_iter().for_each(|parked| self.dismiss(parked, Session::timed_out));
                }
                _ = stop.changed() => {}
            }
        }
        drop((listener, introductions));
        lot.empty().into_iter().for_each(|parked| self.dismiss(parked, Session::shut_down));
        while sessions.join_next().await.is_some() {}
        Ok(())
    }

    /// Accepts the connections in the backlog, greets them, and parks them until they send something.
    async fn accept(
        &self,
        ready: &mut AsyncFdReadyGuard<'_, OwnedFd>,
        lot: &mut ParkingLot,
        introductions: &mut JoinSet<Option<Introduced>>,
    ) {
        for _ in 0..ACCEPT_MAX {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::acceptfrom_with(ready.get_inner(), flags) {
                Ok((socket, Some(address))) => match SocketAddr::try_from(address) {
                    Ok(proxy) if self.reception.is_proxy(proxy.ip()) => {
                        // More are refused without a word, as the backlog does.
                        if introductions.len() < self.settings.borrow().limits.connections_max {
                            introductions.spawn(introduce(socket, proxy));
                        }
                    }
                    Ok(client) => self.admit(socket, client, lot),
                    Err(error) => tracing::debug!(%error, "ignoring a connection without an IP address"),
                },
                Ok((_, None)) | Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(Errno::AGAIN) => return ready.clear_ready(),
                Err(error) => {
                    // Out of descriptors or memory: open connections continue, and new ones wait in the backlog.
                    tracing::warn!(%error, "failed to accept a connection; trying again in 100 ms");
                    return tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(&self, socket: OwnedFd, client: SocketAddr, lot: &mut ParkingLot) {
        if !self.reception.takes_mail() {
            return write_once(&socket, b"421 4.3.2 This server takes no mail at present, try again later\r\n");
        }
        let settings = self.settings.borrow();
        let Some(counted) = self.clients.count(client.ip(), settings.limits) else {
            if let Some(refused) = self.clients.complain() {
                tracing::info!(%client, refused, "refused connections because too many are open");
            }
            return write_once(&socket, b"421 4.7.0 Too many connections, try again later\r\n");
        };
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        write_once(&socket, settings.policy.banner().as_bytes());
        counted.park();
        lot.park(socket, client, None, Instant::now() + settings.policy.command_timeout);
    }

    /// Starts a task for an active connection.
    fn unpark(&self, parked: Parked, sessions: &mut JoinSet<Option<Idle>>) {
        let settings = self.settings.borrow().clone();
        let client = parked.client();
        let counted = self.clients.resume(client.ip());
        let stream = match TcpStream::from_std(parked.socket.into()) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%client, %error, "failed to continue a connection; closing it"),
        };
        let limits = settings.limits;
        let Kept { session, id, record, end } = match parked.session {
            Some(session) => *session,
            None => {
                let (mut session, id) = (Session::new(Arc::clone(&settings.policy), client.ip()), next_session_id());
                let local = stream.local_addr().ok();
                let transcript = self.reception.transcript(id, client);
                let record = Record::open(transcript, local, &mut session, &settings.policy.banner());
                Kept { session, id, record, end: Instant::now() + limits.session_max }
            }
        };
        let driver = Driver {
            stream: Stream::Plain(stream),
            session,
            acceptor: settings.acceptor,
            reception: self.reception.clone(),
            patience: Patience::new(self.stop.clone()),
            limits,
            id,
            client,
            record,
            tls: None,
            handshake: None,
            input: BytesMut::new(),
            output: Vec::new(),
            content: Vec::new(),
            sink: None,
            deadline: Instant::now(),
            end,
            content_end: None,
            counted,
        };
        sessions.spawn(driver.run());
    }

    /// Sends a last reply to a parked client and closes the connection.
    fn dismiss(&self, parked: Parked, last_word: impl Fn(&mut Session, &mut Vec<u8>)) {
        let client = parked.client();
        drop(self.clients.resume(client.ip()));
        let (mut session, mut record) = match parked.session {
            Some(kept) => (kept.session, kept.record),
            None => (Session::new(Arc::clone(&self.settings.borrow().policy), client.ip()), Record::default()),
        };
        let mut output = Vec::new();
        last_word(&mut session, &mut output);
        record.said(&mut session, &output);
        write_once(&parked.socket, &output);
    }
}

/// Maximum number of connections accepted before other tasks run.
const ACCEPT_MAX: usize = 64;

/// An idle socket's buffer has room for a line. If it has not, the client is not reading.
fn write_once(socket: &OwnedFd, bytes: &[u8]) {
    let _ = rustix::net::send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Ids count up from the node's start time in ticks of 100 ns, so that ids are unique across restarts.
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
