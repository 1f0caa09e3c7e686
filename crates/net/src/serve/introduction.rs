//! Who a proxy's client is: the proxy says it first, before anybody is greeted.

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use protocol::proxy::{HEAD_BYTES, Head, NotProxied};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

/// A proxy says it at once.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A connection and its client.
pub(super) type Introduced = (OwnedFd, SocketAddr);

/// Reads the proxy's header, and nothing of what follows it. A connection without one is closed.
pub(super) async fn introduce(socket: OwnedFd, proxy: SocketAddr) -> Option<Introduced> {
    match timeout(WAIT_MAX, read(socket, proxy)).await {
        Ok(Ok(introduced)) => return Some(introduced),
        Ok(Err(error)) => tracing::warn!(%proxy, %error, "closed a connection from [inbound] proxy_from"),
        Err(_) => tracing::warn!(%proxy, "closed a connection from [inbound] proxy_from that did not name its client"),
    }
    None
}

async fn read(socket: OwnedFd, proxy: SocketAddr) -> io::Result<Introduced> {
    let mut stream = TcpStream::from_std(socket.into())?;
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let head = Head::read(&head).map_err(|fault: NotProxied| io::Error::other(fault))?;
    let mut rest = vec![0; head.rest_bytes()];
    stream.read_exact(&mut rest).await?;
    Ok((stream.into_std()?.into(), head.client(&rest).unwrap_or(proxy)))
}
