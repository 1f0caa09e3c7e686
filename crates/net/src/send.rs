//! One connection to a destination: connect, greet, encrypt, and pass transactions over it, each phase with its own
//! time-out (RFC 5321 section 4.5.3.2).

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use openssl::ssl::SslConnector;
use protocol::{
    smtp::{
        Destination, Failure, FailureKind, Phase, Reply, TlsSummary,
        client::{Action, Client, Extensions, TlsLevel, Transaction},
    },
    tls::TlsPolicy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{stream::Stream, tls};

/// How long each phase may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    pub banner: Duration,
    pub ehlo: Duration,
    pub starttls: Duration,
    pub handshake: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    pub data: Duration,
    /// For each piece of the message to be taken by the network.
    pub content: Duration,
    pub end_of_data: Duration,
    pub quit: Duration,
}

impl Timeouts {
    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Resolve | Phase::Connect => self.connect,
            Phase::Banner => self.banner,
            Phase::Ehlo => self.ehlo,
            Phase::StartTls => self.starttls,
            Phase::Handshake => self.handshake,
            Phase::Mail => self.mail,
            Phase::Rcpt => self.rcpt,
            Phase::Data => self.data,
            Phase::EndOfData => self.end_of_data,
            Phase::Quit => self.quit,
        }
    }
}

/// How to talk to a destination.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name for EHLO.
    pub hello: String,
    pub tls_level: TlsLevel,
    /// Name of one of the policies that the [`TlsContext`] was made for.
    pub tls_policy: &'static str,
    pub timeouts: Timeouts,
}

/// Where a message's content comes from, piece by piece.
pub trait Content: Send {
    /// The next piece; `None` at the end. The error tells people why this node cannot read it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, String>> + Send;
}

/// What TLS needs on the sending side, by policy; one for all connections.
pub struct TlsContext(Vec<(&'static str, SslConnector)>);

impl TlsContext {
    pub fn new(policies: &[TlsPolicy]) -> Result<Self, tls::TlsError> {
        tls::load_providers()?;
        let made = policies.iter().map(|policy| Ok((policy.name, tls::connector(policy)?)));
        Ok(Self(made.collect::<Result<_, tls::TlsError>>()?))
    }

    fn under(&self, policy: &str) -> Option<&SslConnector> {
        self.0.iter().find(|(name, _)| *name == policy).map(|(_, connector)| connector)
    }
}

/// A greeted connection, ready for transactions.
pub struct Connection {
    stream: Stream,
    client: Client,
    input: BytesMut,
    output: Vec<u8>,
    destination: Destination,
    local: Option<SocketAddr>,
    tls: Option<TlsSummary>,
    timeouts: Timeouts,
}

/// Output is written in pieces of about this size while a message is sent.
const OUTPUT_BYTES: usize = 32 * 1024;

impl Connection {
    /// Connects to one address of a host, greets it, and encrypts as the options ask.
    pub async fn open(
        host: &str,
        address: SocketAddr,
        options: &Options,
        context: &TlsContext,
    ) -> Result<Self, Failure> {
        let destination = Destination { host: host.to_owned(), port: address.port(), address: Some(address) };
        let connect = timeout(options.timeouts.connect, TcpStream::connect(address)).await;
        let stream = match connect {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::new(Phase::Connect, io_failure(&error)).at(&destination)),
            Err(_) => return Err(Failure::new(Phase::Connect, timed_out(options.timeouts.connect)).at(&destination)),
        };
        // Commands are small and answered at once; waiting to fill packets only adds delay.
        let _ = stream.set_nodelay(true);
        let mut connection = Self {
            local: stream.local_addr().ok(),
            stream: Stream::Plain(stream),
            client: Client::new(options.hello.as_str(), options.tls_level),
            input: BytesMut::new(),
            output: Vec::new(),
            destination,
            tls: None,
            timeouts: options.timeouts,
        };
        match connection.greet(context, options.tls_policy).await {
            Ok(()) => Ok(connection),
            Err(failure) => {
                connection.leave_after(&failure).await;
                Err(failure.at(&connection.destination))
            }
        }
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    pub fn tls(&self) -> Option<&TlsSummary> {
        self.tls.as_ref()
    }

    pub fn extensions(&self) -> &Extensions {
        self.client.extensions()
    }

    /// True if another transaction may follow.
    pub fn is_reusable(&self) -> bool {
        self.client.is_reusable()
    }

    async fn greet(&mut self, context: &TlsContext, policy: &str) -> Result<(), Failure> {
        loop {
            match self.next_action().await {
                Action::StartTls => self.start_tls(context, policy).await?,
                Action::Ready => return Ok(()),
                Action::Failed(failure) => return Err(failure),
                Action::Closed | Action::Read | Action::Content | Action::Done(_) => {
                    return Err(Failure::new(self.client.phase(), FailureKind::ConnectionClosed));
                }
            }
        }
    }

    async fn start_tls(&mut self, context: &TlsContext, policy: &str) -> Result<(), Failure> {
        // Bytes that came before the handshake were not protected by it (CVE-2011-0411).
        self.input.clear();
        let failed = |kind| Failure::new(Phase::Handshake, kind);
        let unknown = || failed(FailureKind::Local { detail: format!("there is no TLS policy \"{policy}\"") });
        let connector = context.under(policy).ok_or_else(unknown)?;
        let plain = self.stream.take_plain().map_err(|error| failed(io_failure(&error)))?;
        let handshake = tls::connect(connector, &self.destination.host, plain);
        let stream = match timeout(self.timeouts.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(detail)) => return Err(failed(FailureKind::HandshakeFailed { detail })),
            Err(_) => return Err(failed(timed_out(self.timeouts.handshake))),
        };
        self.tls = Some(tls::summary(stream.ssl()));
        self.stream = Stream::Tls(Box::new(stream));
        self.client.tls_started(&mut self.output);
        Ok(())
    }

    /// Passes one message over the connection: one result for each recipient, in order.
    pub async fn send(&mut self, transaction: &Transaction, content: &mut impl Content) -> Vec<Result<Reply, Failure>> {
        let results = match self.client.begin(transaction, &mut self.output) {
            Ok(()) => self.converse(content).await,
            Err(failure) => vec![Err(failure); transaction.recipients.len()],
        };
        results.into_iter().map(|result| result.map_err(|failure| failure.at(&self.destination))).collect()
    }

    async fn converse(&mut self, content: &mut impl Content) -> Vec<Result<Reply, Failure>> {
        loop {
            let action = match self.next_action().await {
                Action::Content => match self.send_content(content).await {
                    Ok(()) => continue,
                    Err(kind) => self.client.abandon(kind),
                },
                action => action,
            };
            match action {
                Action::Done(results) => return results,
                // The machine answers a begun transaction with nothing but its results.
                other => debug_assert!(matches!(other, Action::Read), "{other:?} within a transaction"),
            }
        }
    }

    /// Sends the message up to and including the final dot.
    async fn send_content(&mut self, content: &mut impl Content) -> Result<(), FailureKind> {
        loop {
            match content.next().await {
                Ok(Some(piece)) => {
                    for part in piece.chunks(OUTPUT_BYTES) {
                        self.client.content(part, &mut self.output);
                        if self.output.len() >= OUTPUT_BYTES {
                            self.flush(self.timeouts.content).await?;
                        }
                    }
                }
                Ok(None) => break,
                // Without the final dot nothing is delivered; the connection is closed.
                Err(detail) => return Err(FailureKind::Local { detail }),
            }
        }
        self.client.end_content(&mut self.output);
        Ok(())
    }

    /// Writes what there is to write and reads until the machine wants something else than reading.
    async fn next_action(&mut self) -> Action {
        loop {
            let action = self.client.handle(&mut self.input, &mut self.output);
            let limit = self.timeouts.of(self.client.phase());
            if let Err(kind) = self.flush(limit).await {
                return self.client.abandon(kind);
            }
            if action != Action::Read {
                return action;
            }
            if let Err(kind) = self.read(limit).await {
                return self.client.abandon(kind);
            }
        }
    }

    async fn read(&mut self, limit: Duration) -> Result<(), FailureKind> {
        self.input.reserve(4096);
        match timeout(limit, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(FailureKind::ConnectionClosed),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(io_failure(&error)),
            Err(_) => Err(timed_out(limit)),
        }
    }

    async fn flush(&mut self, limit: Duration) -> Result<(), FailureKind> {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = timeout(limit, self.stream.write_all(&self.output)).await;
        self.output.clear();
        // A message's worth of room is not kept for the commands that follow.
        self.output.shrink_to(OUTPUT_BYTES * 2);
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(io_failure(&error)),
            Err(_) => Err(timed_out(limit)),
        }
    }

    /// Says QUIT where the destination still listens, so that its log shows an orderly end.
    async fn leave_after(&mut self, failure: &Failure) {
        let answered = failure.reply.is_some() || failure.kind == FailureKind::StartTlsNotOffered;
        if answered && !matches!(self.stream, Stream::Taken) {
            self.say_quit().await;
        }
    }

    /// Ends the conversation in an orderly way.
    pub async fn quit(mut self) {
        if self.client.is_reusable() {
            self.say_quit().await;
        }
    }

    async fn say_quit(&mut self) {
        let limit = self.timeouts.quit;
        self.client.quit(&mut self.output);
        if self.flush(limit).await.is_ok() {
            let _ = self.read(limit).await;
        }
        let _ = timeout(limit, self.stream.shutdown()).await;
    }
}

/// Where to connect first when a host has several addresses: IPv6 and IPv4 in turn, so that a broken path of one
/// family costs one attempt (RFC 8305 section 4, without the race).
pub fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut four = four.into_iter();
    let mut ordered = Vec::with_capacity(six.len() + four.len());
    for address in six {
        ordered.push(address);
        ordered.extend(four.next());
    }
    ordered.extend(four);
    ordered
}

fn timed_out(limit: Duration) -> FailureKind {
    FailureKind::TimedOut { after_s: limit.as_secs() }
}

fn io_failure(error: &io::Error) -> FailureKind {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => FailureKind::ConnectionRefused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            FailureKind::ConnectionReset
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
            FailureKind::NetworkUnreachable
        }
        ErrorKind::UnexpectedEof => FailureKind::ConnectionClosed,
        // The kernel's own limit for connecting, about two minutes.
        ErrorKind::TimedOut => FailureKind::TimedOut { after_s: 127 },
        _ => FailureKind::Local { detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
        let table = [
            (vec!["192.0.2.1", "192.0.2.2", "2001:db8::1"], vec!["2001:db8::1", "192.0.2.1", "192.0.2.2"]),
            (vec!["2001:db8::1", "2001:db8::2", "192.0.2.1"], vec!["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
            (vec![], vec![]),
        ];
        for (addresses, expected) in table {
            assert_eq!(interleave(parse(&addresses)), parse(&expected));
        }
    }
}
