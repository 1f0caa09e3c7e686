//! A relay between a store and its server that can cut a connection at a chosen moment.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What becomes of a connection whose client sends the awaited bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The server never sees them.
    Before,
    /// The server sees them, and its answer never arrives.
    After,
    /// The same, but the connection stays open.
    Silent,
}

type Awaited = Arc<Mutex<Option<(&'static [u8], Cut)>>>;

pub(crate) struct Relay {
    port: u16,
    awaited: Awaited,
}

impl Relay {
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, awaited) = (listener.local_addr().unwrap().port(), Awaited::default());
        let shared = Arc::clone(&awaited);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect((Ipv4Addr::LOCALHOST, server)));
                if let Ok(server) = server {
                    pass(client, server, &shared);
                }
            }
        });
        Self { port, awaited }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next connection whose client sends these bytes is cut.
    pub(crate) fn cut(&self, at: &'static [u8], how: Cut) {
        *self.awaited.lock().unwrap() = Some((at, how));
    }

    /// True once that has happened.
    pub(crate) fn has_cut(&self) -> bool {
        self.awaited.lock().unwrap().is_none()
    }
}

fn pass(client: TcpStream, server: TcpStream, awaited: &Awaited) {
    let is_silent = Arc::new(Mutex::new(false));
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    let (awaited, silent) = (Arc::clone(awaited), Arc::clone(&is_silent));
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = from_client.read(&mut buffer).unwrap_or(0);
            let sent = &buffer[..read];
            match take(&awaited, sent) {
                _ if read == 0 => break,
                None => {
                    if to_server.write_all(sent).is_err() {
                        break;
                    }
                }
                Some(Cut::Before) => break,
                // The lock keeps the answer from passing before the connection is cut.
                Some(how) => {
                    *silent.lock().unwrap() = true;
                    let _ = to_server.write_all(sent);
                    if how == Cut::After {
                        break;
                    }
                }
            }
        }
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = from_server.read(&mut buffer).unwrap_or(0);
            let is_silent = *is_silent.lock().unwrap();
            if read == 0 || (!is_silent && to_client.write_all(&buffer[..read]).is_err()) {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

fn take(awaited: &Awaited, sent: &[u8]) -> Option<Cut> {
    let mut awaited = awaited.lock().unwrap();
    let (bytes, how) = (*awaited)?;
    sent.windows(bytes.len()).any(|window| window == bytes).then(|| {
        *awaited = None;
        how
    })
}
