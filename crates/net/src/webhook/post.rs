//! One POST over its own connection, in limited time.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use openssl::ssl::SslConnector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_openssl::SslStream;

use super::{CallError, Url};
use crate::resolve::Resolver;

/// Maximum wait for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for the whole call. The specification recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn post(
    url: &Url,
    tls: Option<&SslConnector>,
    resolver: &Resolver,
    request: Request<String>,
) -> Result<StatusCode, CallError> {
    let request = request.map(|body| Full::new(Bytes::from(body)));
    let all = async {
        let stream = connect(url, resolver).await?;
        match tls {
            Some(tls) => exchange(encrypt(url, tls, stream).await?, request).await,
            None => exchange(stream, request).await,
        }
    };
    timeout(TIMEOUT, all).await.unwrap_or(Err(CallError::TimedOut))
}

async fn connect(url: &Url, resolver: &Resolver) -> Result<TcpStream, CallError> {
    let mut last = CallError::NoAddress(url.host.clone());
    for address in addresses(url, resolver).await? {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((address, url.port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = CallError::Connect(url.authority.clone(), error.to_string()),
            Err(_) => last = CallError::Connect(url.authority.clone(), "timed out".to_owned()),
        }
    }
    Err(last)
}

/// Plain HTTP stays on this machine, whatever a name server answers.
async fn addresses(url: &Url, resolver: &Resolver) -> Result<Vec<IpAddr>, CallError> {
    if url.host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    resolver.addresses(&url.host).await.map_err(|_| CallError::NoAddress(url.host.clone()))
}

async fn encrypt(url: &Url, tls: &SslConnector, stream: TcpStream) -> Result<SslStream<TcpStream>, CallError> {
    let ssl = tls.configure().and_then(|configuration| configuration.into_ssl(&url.host));
    let opened = ssl.and_then(|ssl| SslStream::new(ssl, stream));
    let mut stream = opened.map_err(|error| CallError::Tls(error.to_string()))?;
    match Pin::new(&mut stream).connect().await {
        Ok(()) => Ok(stream),
        Err(error) => {
            let verified = stream.ssl().verify_result();
            let is_verified = verified == openssl::x509::X509VerifyResult::OK;
            let because = if is_verified { error.to_string() } else { verified.to_string() };
            Err(CallError::Tls(because))
        }
    }
}

/// The body of the answer is not needed and not read.
async fn exchange<T>(stream: T, request: Request<Full<Bytes>>) -> Result<StatusCode, CallError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| CallError::Post(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The task ends with this call.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(response.status())
}
