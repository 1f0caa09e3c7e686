//! What the tests share: a node, foreign mail servers, scripted destinations, and waiting.

#[path = "../../../../capture/tests/common/dumpcap.rs"]
pub(crate) mod dumpcap;
pub(crate) mod foreign;
pub(crate) mod node;
pub(crate) mod script;

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::Path,
    process,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

pub(crate) use foreign::{Exim, Postfix, SmtpSink, python_packages, smtp_source, swaks};
pub(crate) use node::Node;

/// Below the range from which the kernel assigns ports by itself.
const OWN_PORTS: Range<u16> = 10_000..30_000;

/// A port of 127.0.0.1 that no other test is given until this process ends: a destination that must be down stays
/// down, whatever other tests start meanwhile.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let user = fs::metadata("/proc/self").unwrap().uid();
    let folder = env::temp_dir().join(format!("gatepost-test-ports-{user}"));
    fs::create_dir_all(&folder).unwrap();
    // Each process begins elsewhere.
    let first = process::id() as usize * 64 % OWN_PORTS.len();
    let mut ports = OWN_PORTS.cycle().skip(first).take(OWN_PORTS.len());
    let (port, file) = ports.find_map(|port| Some((port, reserved(&folder, port)?))).expect("no port is free");
    TAKEN.lock().unwrap().push(file);
    port
}

/// The locked file that reserves the port, unless somebody has either.
fn reserved(folder: &Path, port: u16) -> Option<File> {
    let file = File::create(folder.join(port.to_string())).unwrap();
    file.try_lock().ok()?;
    let address = (Ipv4Addr::LOCALHOST, port);
    (TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()).then_some(file)
}

/// Waits until `found` gives something; fails the test with `what` otherwise.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited 30 s for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
