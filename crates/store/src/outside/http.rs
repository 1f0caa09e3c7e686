//! HTTP beneath `object_store`: a few connections to one server, over TLS by OpenSSL. An exchange is bounded in time and in
//! memory; who calls repeats what failed.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
    },
};
use openssl::ssl::SslConnector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_openssl::SslStream;

use super::{BodiesError, settings::Origin};

/// A server that does not take a connection in this time counts as down.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// For one request and its answer.
const EXCHANGE_MAX: Duration = Duration::from_secs(5);
/// Connections that are kept while nobody uses them.
const IDLE_MAX: usize = 16;
/// Pieces are smaller, and a list of a thousand objects is, too.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

type Sender = SendRequest<HttpRequestBody>;

/// One server, and connections to it.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

struct Inner {
    origin: Origin,
    /// `None`: plain HTTP.
    tls: Option<SslConnector>,
    idle: Mutex<Vec<Sender>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Http").field(&self.0.origin).finish()
    }
}

impl Http {
    /// `authorities`: certificates to trust instead of the system's, PEM.
    pub(super) fn new(origin: Origin, authorities: Option<&std::path::Path>) -> Result<Self, BodiesError> {
        let tls = if origin.is_tls { Some(connector(authorities)?) } else { None };
        Ok(Self(Arc::new(Inner { origin, tls, idle: Mutex::default() })))
    }

    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.address(&mut request)?;
        while let Some(mut sender) = self.take_idle() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return self.collect(sender, response).await,
                // It was closed before anything was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(interrupted(error.into_error())),
                },
            }
        }
        let mut sender = timeout(CONNECT_MAX, self.connect())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not take connections"))
            .and_then(|connected| connected)
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        let response = sender.send_request(request).await.map_err(interrupted)?;
        self.collect(sender, response).await
    }

    /// As HTTP/1.1 has it: the host in a header of its own.
    fn address(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let invalid = |error: hyper::http::Error| HttpError::new(HttpErrorKind::Unknown, error);
        *request.uri_mut() = Uri::builder().path_and_query(path).build().map_err(invalid)?;
        if let Some(authority) = authority {
            let host = HeaderValue::from_str(&authority).map_err(|error| invalid(error.into()))?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(())
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|sender| !sender.is_closed())
    }

    /// Once the whole answer is here, the next exchange may use the connection.
    async fn collect(&self, sender: Sender, response: hyper::Response<Incoming>) -> Result<HttpResponse, HttpError> {
        let (parts, body) = response.into_parts();
        let body: Bytes = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?
            .to_bytes();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }

    async fn connect(&self) -> io::Result<Sender> {
        let Origin { host, port, .. } = &self.0.origin;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        match &self.0.tls {
            Some(tls) => handshake(encrypt(tls, host, stream).await?).await,
            None => handshake(stream).await,
        }
    }
}

fn interrupted(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}

async fn encrypt(tls: &SslConnector, host: &str, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let ssl = tls.configure().and_then(|configuration| configuration.into_ssl(host));
    let mut stream = ssl.and_then(|ssl| SslStream::new(ssl, stream)).map_err(io::Error::other)?;
    match Pin::new(&mut stream).connect().await {
        Ok(()) => Ok(stream),
        Err(error) => {
            let verified = stream.ssl().verify_result();
            let is_verified = verified == openssl::x509::X509VerifyResult::OK;
            let because = if is_verified { error.to_string() } else { verified.to_string() };
            Err(io::Error::other(format!("no verified TLS connection: {because}")))
        }
    }
}

/// The connection ends with its sender.
async fn handshake<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: T) -> io::Result<Sender> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

fn connector(authorities: Option<&std::path::Path>) -> Result<SslConnector, BodiesError> {
    let file = || authorities.map_or_else(|| "of the system".to_owned(), |file| file.display().to_string());
    let refused = |detail| BodiesError::CaFile { file: file(), detail };
    Ok(crate::tls::connector(authorities).map_err(refused)?.build())
}

impl HttpService for Http {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let late = |_| HttpError::new(HttpErrorKind::Timeout, io::Error::new(io::ErrorKind::TimedOut, "no answer"));
        Box::pin(async move { timeout(EXCHANGE_MAX, self.exchange(request)).await.map_err(late)? })
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
