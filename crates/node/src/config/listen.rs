//! Addresses to listen on: why listening on one fails, and what to do.

use std::{fs, io, net::SocketAddr, net::TcpListener, path::Path};

/// Why listening on `address` failed and what to do, for people.
pub fn why_not(address: SocketAddr, setting: &str, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => no_right(address.port()),
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            format!(
                "another program uses this port; stop it (ss -ltnp 'sport = :{port}' names it) or choose another port"
            )
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have this address; choose one of its own".to_owned(),
        _ => error.to_string(),
    };
    format!("failed to listen on {address} ({setting}): {reason}")
}

/// Linux reserves the low ports.
fn no_right(port: u16) -> String {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    let program = std::env::current_exe().map_or_else(|_| "gatepost".to_owned(), |path| path.display().to_string());
    format!(
        "{} is not allowed to use port {port}, because it is below {first}; let systemd give the service the right \
         (AmbientCapabilities=CAP_NET_BIND_SERVICE), or the program: sudo setcap cap_net_bind_service=+ep {program}",
        user()
    )
}

/// The user of this process, such as `user mail`.
pub(super) fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    format!("user {}", name.unwrap_or_else(|| id.to_string()))
}

/// Listens on the address for a moment. `None`: port 0 needs no check.
pub(super) fn try_listen(address: SocketAddr) -> Option<io::Result<TcpListener>> {
    (address.port() != 0).then(|| TcpListener::bind(address))
}

/// True if a node runs on this data folder now: it holds the lock, and probably the ports as well.
pub(super) fn is_node_running(data: &Path) -> bool {
    let lock = fs::File::open(data.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_names_its_way_out() {
        let address: SocketAddr = "0.0.0.0:25".parse().unwrap();
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            (io::ErrorKind::AddrInUse, "another program uses this port"),
            (io::ErrorKind::AddrNotAvailable, "does not have this address"),
        ] {
            let text = why_not(address, "[inbound] listen", &kind.into());
            assert!(text.starts_with("failed to listen on 0.0.0.0:25 ([inbound] listen): "), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        let denied = why_not(address, "[inbound] listen", &io::ErrorKind::PermissionDenied.into());
        assert!(!denied.contains("another"), "{denied}");
    }
}
