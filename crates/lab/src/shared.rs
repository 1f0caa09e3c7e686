//! What the connections of one device share: how it is set up, what it is just now, and what came of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use openssl::ssl::SslContext;

use crate::{Device, certificate::Authority, random::Random};

/// Whom greylisting knows: client, sender, recipient.
pub(crate) type Triple = (IpAddr, String, String);

/// How a device is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Two devices of a kind with the same seed behave the same.
    pub seed: u64,
    /// Port 0: a free one.
    pub listen: SocketAddr,
    /// What the banner and the certificate say.
    pub host_name: String,
    /// How long the slow banner takes, and how long greylisting defers.
    pub delay: Duration,
    /// Above this many connections at once, the one that limits them answers 421.
    pub connections_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host_name: "mail.onprem.test".to_owned(),
            delay: Duration::from_secs(30),
            connections_max: 2,
        }
    }
}

/// A message that a device took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub sender: String,
    pub recipients: Vec<String>,
    /// As it came, with dots unstuffed.
    pub content: Vec<u8>,
    /// TLS version and cipher in OpenSSL's words; `None`: in plaintext.
    pub tls: Option<(String, String)>,
}

/// What all connections of a device share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) role: Mutex<Role>,
    pub(crate) authority: Mutex<Authority>,
    pub(crate) stopping: AtomicBool,
    pub(crate) accepted: AtomicU64,
    /// Open connections, to be closed at the end.
    pub(crate) open: Mutex<HashMap<u64, TcpStream>>,
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) log: Mutex<Vec<String>>,
    /// When greylisting first saw whom.
    pub(crate) greylist: Mutex<HashMap<Triple, Instant>>,
}

/// What it is just now.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) device: Device,
    pub(crate) tls: SslContext,
    pub(crate) random: Random,
}

impl Shared {
    pub(crate) fn role(&self) -> Role {
        lock(&self.role).clone()
    }

    pub(crate) fn note(&self, line: String) {
        lock(&self.log).push(line);
    }

    pub(crate) fn take(&self, message: Message) {
        lock(&self.messages).push(message);
    }

    /// The connection is closed, or about to be.
    pub(crate) fn forget(&self, number: u64) {
        lock(&self.open).remove(&number);
    }

    /// Connections open now, this one included.
    pub(crate) fn open_now(&self) -> usize {
        lock(&self.open).len()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
