//! A connection to a server that can be cut: what is sent meanwhile waits, as in a network that drops packets.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

pub(crate) struct Cable {
    pub port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Cable {
    /// To this port of 127.0.0.1.
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, is_cut) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
        let is_cut_there = Arc::clone(&is_cut);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, is_cut) = (client.unwrap(), Arc::clone(&is_cut_there));
                thread::spawn(move || {
                    wait(&is_cut);
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                    let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    let is_cut_too = Arc::clone(&is_cut);
                    thread::spawn(move || pass(&server_too, &client_too, &is_cut_too));
                    pass(&client, &server, &is_cut);
                });
            }
        });
        Self { port, is_cut }
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn restore(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

fn wait(is_cut: &AtomicBool) {
    while is_cut.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(10));
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, is_cut: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        wait(is_cut);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
