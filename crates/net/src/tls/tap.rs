//! A tap between TLS and the socket. All bytes of the handshake also go to the [`Observer`], so that the facts come
//! from the bytes and not from the TLS library.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use protocol::tls::{Ending, HandshakeFacts, Observer, Side};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// A socket whose handshake is observed until [`Tap::take_facts`].
pub(crate) struct Tap {
    socket: TcpStream,
    watch: Option<Box<Watch>>,
}

struct Watch {
    observer: Observer,
    here: Side,
    began: Instant,
}

impl Tap {
    pub(crate) fn new(socket: TcpStream, here: Side) -> Self {
        let watch = Watch { observer: Observer::default(), here, began: Instant::now() };
        Self { socket, watch: Some(Box::new(watch)) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ends the observation.
    pub(crate) fn take_facts(&mut self) -> HandshakeFacts {
        self.watch.take().map(|watch| watch.observer.into_facts()).unwrap_or_default()
    }

    /// The remote host did not answer in time.
    pub(crate) fn silent(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.end(watch.here.other(), Ending::Silence);
        }
    }

    /// Gatepost closes the connection.
    pub(crate) fn closing(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.end(watch.here, Ending::Fin);
        }
    }
}

impl Watch {
    fn saw(&mut self, side: Side, bytes: &[u8]) {
        self.observer.observe(side, bytes, self.began.elapsed());
    }

    fn end(&mut self, side: Side, how: Ending) {
        self.observer.end(side, how, self.began.elapsed());
    }

    fn failed(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
            self.end(self.here.other(), Ending::Reset);
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer));
        if let Some(watch) = &mut this.watch {
            let other = watch.here.other();
            match &result {
                Ok(()) if buffer.filled().len() == before => watch.end(other, Ending::Fin),
                Ok(()) => watch.saw(other, &buffer.filled()[before..]),
                Err(error) => watch.failed(error),
            }
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes));
        if let Some(watch) = &mut this.watch {
            match &result {
                Ok(count) => watch.saw(watch.here, &bytes[..*count]),
                Err(error) => watch.failed(error),
            }
        }
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
