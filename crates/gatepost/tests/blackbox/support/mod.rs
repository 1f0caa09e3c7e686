//! What the tests share: a node, foreign mail servers, scripted destinations, and waiting.

pub(crate) mod browser;
pub(crate) mod cable;
pub(crate) mod database;
#[path = "../../../../capture/tests/common/dumpcap.rs"]
pub(crate) mod dumpcap;
pub(crate) mod foreign;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod patroni;
pub(crate) mod script;
pub(crate) mod sink;

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::Path,
    process,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

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

/// A connection from an address of this machine's loopback network.
pub(crate) fn connect_from(address: [u8; 4], port: u16) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(address.into(), 0)).unwrap();
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Status and body of a request to a port of this machine. The header field Host is there.
pub(crate) fn http(port: u16, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let (status, _, body) = request(port, "GET", path, headers, "");
    (status, body)
}

/// The same with another method and a body; the second of the answers is the head, in lower case.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let mut request = format!("{method} {path} HTTP/1.0\r\n");
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let host = [("Host", "localhost")];
    let is_named = headers.iter().any(|(name, _)| *name == "Host");
    for (name, value) in headers.iter().chain(host.iter().filter(|_| !is_named)) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// The command with a clock that is wrong by this much, such as `+10m`.
pub(crate) fn faketime(mut command: process::Command, offset: &str) -> process::Command {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root/usr/lib");
    let of_machine = fs::read_dir(libraries).unwrap().map(|entry| entry.unwrap().path());
    let library = of_machine.map(|path| path.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    let library = library.expect("libfaketime is not unpacked in target/peers: run ./test once");
    // Only what is asked for the date: timeouts pass as they do.
    command.env("LD_PRELOAD", library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
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
