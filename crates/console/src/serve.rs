//! Connections of the API: plain HTTP on loopback, HTTPS elsewhere. No client can keep others out, whatever it leaves
//! undone: each part of a conversation has its time, and so has the whole.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use net::{
    serve::Prefixes,
    tls::{self, Acceptor},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::places::Places;
use node::{Console, MakeAcceptor, Node, config::why_not_listening};

/// Longest wait for a TLS handshake, and for a request's header, the next one on the same connection included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The system gives a connection up whose client takes nothing of an answer for so long.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a connection takes no further request.
const AGE_MAX: Duration = Duration::from_secs(60);
/// For the last answer of such a connection.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's header.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What a listener rests where it cannot accept, as when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Over what a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub client: SocketAddr,
    /// This node's end.
    pub here: SocketAddr,
    pub is_tls: bool,
}

/// The API's listening sockets; dropped, they close with all their connections.
pub struct Listeners {
    _tasks: JoinSet<()>,
    /// `None`: all addresses are loopback.
    acceptor: Option<watch::Sender<Acceptor>>,
}

impl Listeners {
    /// `acceptor` is asked for where an address is not loopback.
    pub async fn start(node: &Arc<Node>, prefixes: Prefixes, acceptor: &MakeAcceptor<'_>) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let listen = node.config.load().api.listen.clone();
        let is_tls = |address: &SocketAddr| !address.ip().is_loopback();
        let acceptor = listen.iter().any(is_tls).then(acceptor).transpose()?.map(watch::Sender::new);
        let places = Arc::new(Mutex::new(Places::new(prefixes)));
        for address in listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| anyhow::anyhow!("{}", why_not_listening(address, "[api] listen", &error)))?;
            let address = listener.local_addr()?;
            let acceptor = acceptor.as_ref().filter(|_| is_tls(&address)).map(watch::Sender::subscribe);
            tracing::info!(%address, tls = acceptor.is_some(), "listening for the API");
            tasks.spawn(accept(listener, super::router(Arc::clone(node)), acceptor, Arc::clone(&places)));
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
                let connection = tasks.spawn(converse(socket, client, router.clone(), acceptor));
                places.lock().unwrap_or_else(PoisonError::into_inner).take(client.ip(), connection);
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the API");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, client: SocketAddr, router: Router, acceptor: Option<Acceptor>) {
    let Ok(here) = socket.local_addr() else { return };
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&socket, STALL_TIMEOUT.as_millis() as u32) {
        tracing::debug!(%client, %error, "no limit for a client of the API that does not read");
    }
    let router = router.layer(Extension(Connection { client, here, is_tls: acceptor.is_some() }));
    match acceptor {
        None => answer(socket, router).await,
        Some(acceptor) => match tls::accept_unobserved(&acceptor, socket, REQUEST_TIMEOUT).await {
            Ok(stream) => answer(stream, router).await,
            Err(error) => tracing::debug!(%client, error, "no TLS with a client of the API"),
        },
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = sleep(AGE_MAX) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER_TIMEOUT, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the API broke"),
        Err(_) => tracing::debug!("a client of the API did not take its answer in time"),
    }
}
