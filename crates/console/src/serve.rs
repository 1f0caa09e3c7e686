//! Connections over HTTP: plain HTTP on loopback, HTTPS elsewhere. Each step of a connection and the whole connection have
//! timeouts, so that no client can block others.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Extension, Router};
use hyper::{
    Request,
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use net::{
    serve::Prefixes,
    tls::{self, Acceptor},
};
use node::{Console, MakeAcceptor, Node, config::why_not_listening};
use store::Access as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use trace::NextStep;

use super::{
    access::Door,
    connection::Connection,
    places::{Places, Work},
};

/// Timeout for a TLS handshake and for the header of each request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The system closes a connection if the client reads nothing of an answer for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a connection accepts no further request.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Timeout for the last answer of such a connection.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum size of the header of a request.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Pause of a listener that cannot accept a connection, for example because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type MakeRouter = fn(Arc<Node>) -> Router;

/// The listening sockets of the console, of the API and of metrics. Dropping them closes them and all their connections.
pub struct Listeners {
    _tasks: JoinSet<()>,
    /// `None`: all addresses are loopback.
    acceptor: Option<watch::Sender<Acceptor>>,
}

impl Listeners {
    /// Calls `acceptor` only if an address is not loopback.
    pub async fn start(node: &Arc<Node>, prefixes: Prefixes, acceptor: &MakeAcceptor<'_>) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let config = node.config.load_full();
        let of_console = config.console.listen.iter();
        let of_console = of_console.map(|address| (*address, "[console] listen", crate::pages::router as MakeRouter));
        let of_api =
            config.api.listen.iter().map(|address| (*address, "[api] listen", crate::api::router as MakeRouter));
        let of_metrics = config.metrics.listen.iter();
        let of_metrics = of_metrics.map(|address| (*address, "[metrics] listen", crate::metrics_router as MakeRouter));
        let all: Vec<_> = of_console.chain(of_api).chain(of_metrics).collect();
        let is_tls = |address: &SocketAddr| !address.ip().is_loopback();
        let any_tls = all.iter().any(|(address, ..)| is_tls(address));
        let acceptor = any_tls.then(acceptor).transpose()?.map(watch::Sender::new);
        let places = Arc::new(Mutex::new(Places::new(prefixes)));
        let door = Arc::new(Door::new(prefixes));
        let live = crate::pages::live(node);
        tasks.spawn(Arc::clone(&live).run());
        for (address, setting, router) in all {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| anyhow::anyhow!("{}", why_not_listening(address, setting, &error)))?;
            let address = listener.local_addr()?;
            let acceptor = acceptor.as_ref().filter(|_| is_tls(&address)).map(watch::Sender::subscribe);
            tracing::info!(%address, setting, tls = acceptor.is_some(), "listening for HTTP");
            let router =
                router(Arc::clone(node)).layer(Extension(Arc::clone(&door))).layer(Extension(Arc::clone(&live)));
            tasks.spawn(accept(listener, router, acceptor, Arc::clone(&places)));
        }
        if !config.console.listen.is_empty() && !node.store.has_users().await? {
            tracing::info!(next_step = %NextStep::UserInvite, "the console has no users; create the first one");
        }
        Ok(Self { _tasks: tasks, acceptor })
    }
}

impl Console for Listeners {
    fn is_tls(&self) -> bool {
        self.acceptor.is_some()
    }

    fn renew(&self, certificate: Acceptor) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.send_replace(certificate);
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    acceptor: Option<watch::Receiver<Acceptor>>,
    places: Arc<Mutex<Places>>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok((socket, client)) => {
                let acceptor = acceptor.as_ref().map(|acceptor| acceptor.borrow().clone());
                let work = Work::default();
                let connection = tasks.spawn(converse(socket, client, router.clone(), acceptor, work.clone()));
                places.lock().unwrap_or_else(PoisonError::into_inner).take(client.ip(), connection, work);
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept an API connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, client: SocketAddr, router: Router, acceptor: Option<Acceptor>, work: Work) {
    let Ok(here) = socket.local_addr() else { return };
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&socket, STALL_TIMEOUT.as_millis() as u32) {
        tracing::debug!(%client, %error, "failed to set a timeout for an API client that does not read; continuing without it");
    }
    let connection = Connection { client, here, is_tls: acceptor.is_some() };
    match acceptor {
        None => answer(socket, connection, router, work).await,
        Some(acceptor) => match tls::accept_unobserved(&acceptor, socket, REQUEST_TIMEOUT).await {
            Ok(stream) => answer(stream, connection, router, work).await,
            Err(error) => {
                tracing::debug!(%client, error, "TLS handshake with an API client failed; closed the connection")
            }
        },
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    of: Connection,
    router: Router,
    work: Work,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(of);
        request.extensions_mut().insert(work.clone());
        let (working, answer) = (work.begin(), router.call(request));
        async move {
            let _working = working;
            // A client that sends many requests at once must not keep this thread from others.
            yield_now().await;
            answer.await
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = sleep(AGE_MAX) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER_TIMEOUT, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "API connection failed"),
        Err(_) => tracing::debug!("API client did not read its answer in time; closed the connection"),
    }
}
