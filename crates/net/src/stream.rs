//! A TCP connection, encrypted or not.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_openssl::SslStream;

use crate::tls::Tap;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<SslStream<Tap>>),
    /// Only while a handshake owns the connection.
    Taken,
}

impl Stream {
    /// The connection without encryption, leaving [`Stream::Taken`].
    pub(crate) fn take_plain(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(self, Self::Taken) {
            Self::Plain(stream) => Ok(stream),
            Self::Tls(_) | Self::Taken => Err(io::Error::other("the connection is encrypted already")),
        }
    }

    /// Sends everything that is written from now on together, at the latest with
    /// [`shutdown`](tokio::io::AsyncWriteExt::shutdown): the last reply, the end of TLS and the end of the connection
    /// in one packet instead of three.
    pub(crate) fn cork(&self) {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().socket(),
            Self::Taken => return,
        };
        // An error does not matter on a broken connection.
        let _ = rustix::net::sockopt::set_tcp_cork(socket, true);
    }
}

fn taken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Self::Taken => taken(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::Taken => taken(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Taken => taken(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Taken => taken(),
        }
    }
}
