//! One device: a listening socket, a thread for each connection, and the messages that it accepted.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Device, Identity, Message, Options,
    certificate::Authority,
    random::Random,
    session,
    shared::{Role, Shared, lock},
    tls,
};

/// A device at work; stops when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(device: Device, options: Options) -> io::Result<Self> {
        let random = Random::new(options.seed);
        let mut authority = Authority::new(random)?;
        let tls = tls::context(device, &options.host_name, &mut authority)?;
        let listener = TcpListener::bind(options.listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            options,
            role: Mutex::new(Role { device, tls, random }),
            authority: Mutex::new(authority),
            stopping: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            open: Mutex::default(),
            messages: Mutex::default(),
            log: Mutex::default(),
            greylist: Mutex::default(),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { shared, address, accepting: Some(accepting) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn device(&self) -> Device {
        lock(&self.shared.role).device
    }

    /// Makes the server another device for new connections.
    pub fn become_device(&self, device: Device) -> io::Result<()> {
        let tls = tls::context(device, &self.shared.options.host_name, &mut lock(&self.shared.authority))?;
        let mut role = lock(&self.shared.role);
        role.device = device;
        role.tls = tls;
        Ok(())
    }

    /// Number of connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Messages accepted so far, in order.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.shared.messages).clone()
    }

    pub fn messages_taken(&self) -> usize {
        lock(&self.shared.messages).len()
    }

    /// The device's log, with a line for each event.
    pub fn log(&self) -> Vec<String> {
        lock(&self.shared.log).clone()
    }

    /// The authority that signs its certificate, in PEM.
    pub fn authority_pem(&self) -> Vec<u8> {
        lock(&self.shared.authority).certificate().to_pem().unwrap_or_default()
    }

    /// The same, but it has expired.
    pub fn expired_client_identity(&self, name: &str) -> io::Result<Identity> {
        Ok(lock(&self.shared.authority).identity_of(Device::CertificateExpired, name)?)
    }

    /// A certificate for a client, from the same authority.
    pub fn client_identity(&self, name: &str) -> io::Result<Identity> {
        Ok(lock(&self.shared.authority).identity_of(Device::Healthy, name)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let wake = match self.address.ip() {
            address if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            address => address,
        };
        let _ = TcpStream::connect_timeout(&(wake, self.address.port()).into(), Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads: HashMap<u64, JoinHandle<()>> = HashMap::new();
    while let Ok((stream, client)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        if let Ok(clone) = stream.try_clone() {
            lock(&shared.open).insert(number, clone);
        }
        let connection = Arc::clone(shared);
        threads.insert(
            number,
            thread::spawn(move || {
                if let Err(error) = session::run(stream, number, &connection) {
                    connection.note(format!("{client}: {error}"));
                }
                connection.forget(number);
            }),
        );
        threads.retain(|_, thread| !thread.is_finished());
    }
    for stream in lock(&shared.open).values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads.into_values() {
        let _ = thread.join();
    }
}
