//! Connections of the API: plain HTTP on loopback, HTTPS elsewhere; few at a time, and none that says nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use net::tls::{self, Acceptor};
use store::Store;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{config::why_not_listening, node::Node};

const CONNECTIONS_MAX: usize = 100;
/// Longest wait for a TLS handshake, and for a request's header.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
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
pub(crate) struct Listeners(#[expect(dead_code, reason = "held for its end")] JoinSet<()>);

impl Listeners {
    /// `acceptor` is asked for where an address is not loopback.
    pub(crate) async fn start<S: Store>(
        node: &Arc<Node<S>>,
        acceptor: impl Fn() -> anyhow::Result<Acceptor>,
    ) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let listen = node.config.load().api.listen.clone();
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for address in listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| anyhow::anyhow!("{}", why_not_listening(address, "[api] listen", &error)))?;
            let address = listener.local_addr()?;
            let acceptor = if address.ip().is_loopback() { None } else { Some(acceptor()?) };
            tracing::info!(%address, tls = acceptor.is_some(), "listening for the API");
            tasks.spawn(accept(listener, super::router(Arc::clone(node)), acceptor, Arc::clone(&connections)));
        }
        Ok(Self(tasks))
    }
}

async fn accept(listener: TcpListener, router: Router, acceptor: Option<Acceptor>, connections: Arc<Semaphore>) {
    let mut tasks = JoinSet::new();
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, client)) => {
                let (router, acceptor) = (router.clone(), acceptor.clone());
                tasks.spawn(async move {
                    converse(socket, client, router, acceptor).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, client: SocketAddr, router: Router, acceptor: Option<Acceptor>) {
    let Ok(here) = socket.local_addr() else { return };
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
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
