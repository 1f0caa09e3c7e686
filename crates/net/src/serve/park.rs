//! Keeps idle connections. A task with its timers and buffers needs kilobytes. A parked connection needs only a row of
//! this table and an entry in an epoll set, so that a million idle clients fit into 50 MiB.
//!
//! Only unencrypted sessions between commands are parked. Partly read commands and TLS need more state.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::event::{Timespec, epoll};
use tokio::{io::unix::AsyncFd, time::Instant};

use super::{clients::Clients, driver::Kept};

/// One idle connection. It is small, because there may be a million.
pub(super) struct Parked {
    pub(super) socket: OwnedFd,
    /// Seconds after the lot was opened.
    deadline_s: u32,
    port: u16,
    address: IpAddr,
    /// `None`: the client has sent nothing since the greeting.
    pub(super) session: Option<Box<Kept>>,
}

impl Parked {
    pub(super) fn client(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The idle connections of one listener.
pub(super) struct ParkingLot {
    epoll: AsyncFd<OwnedFd>,
    /// Indexed by descriptor number, which is small and unique.
    rows: Vec<Option<Parked>>,
    opened: Instant,
    clients: Arc<Clients>,
}

/// Maximum number of connections woken at once.
const WAKE_MAX: usize = 256;

impl ParkingLot {
    pub(super) fn open(clients: Arc<Clients>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: super::watch_readable(epoll)?, rows: Vec::new(), opened: Instant::now(), clients })
    }

    /// Adds a connection that must send something before `deadline`.
    pub(super) fn park(&mut self, socket: OwnedFd, client: SocketAddr, session: Option<Box<Kept>>, deadline: Instant) {
        let row = socket.as_raw_fd() as usize;
        let data = epoll::EventData::new_u64(row as u64);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ONESHOT;
        let deadline_s = deadline.saturating_duration_since(self.opened).as_secs() as u32;
        if let Err(error) = epoll::add(self.epoll.get_ref(), &socket, data, flags) {
            tracing::warn!(%client, %error, "failed to wait for a client; closing its connection");
            drop(self.clients.resume(client.ip()));
            return;
        }
        if row >= self.rows.len() {
            self.rows.resize_with(row + 1, || None);
        }
        self.rows[row] = Some(Parked { socket, deadline_s, port: client.port(), address: client.ip(), session });
    }

    /// Waits until parked clients send something or close, and returns their connections. Cancel-safe.
    pub(super) async fn woken(&mut self) -> io::Result<Vec<Parked>> {
        loop {
            let mut ready = self.epoll.readable().await?;
            let mut events = [MaybeUninit::uninit(); WAKE_MAX];
            let (events, _) = epoll::wait(ready.get_inner(), &mut events, Some(&Timespec::default()))?;
            if events.len() < WAKE_MAX {
                ready.clear_ready();
            }
            let rows: Vec<usize> = events.iter().map(|event| event.data.u64() as usize).collect();
            drop(ready);
            let woken: Vec<Parked> = rows.into_iter().filter_map(|row| self.take(row)).collect();
            if !woken.is_empty() {
                return Ok(woken);
            }
        }
    }

    fn take(&mut self, row: usize) -> Option<Parked> {
        let parked = self.rows.get_mut(row)?.take()?;
        let _ = epoll::delete(self.epoll.get_ref(), &parked.socket);
        Some(parked)
    }

    /// Returns the connections whose deadline has passed.
    pub(super) fn overdue(&mut self) -> Vec<Parked> {
        let now_s = self.opened.elapsed().as_secs() as u32;
        let overdue = |parked: &Option<Parked>| parked.as_ref().is_some_and(|parked| parked.deadline_s < now_s);
        let rows: Vec<usize> = (0..self.rows.len()).filter(|row| overdue(&self.rows[*row])).collect();
        rows.into_iter().filter_map(|row| self.take(row)).collect()
    }

    /// Returns all connections.
    pub(super) fn empty(&mut self) -> Vec<Parked> {
        let rows = std::mem::take(&mut self.rows);
        rows.into_iter().flatten().collect()
    }
}

/// Interval of the check for overdue connections.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_connection_is_small() {
        assert!(size_of::<Option<Parked>>() <= 40, "{} bytes", size_of::<Option<Parked>>());
    }
}
