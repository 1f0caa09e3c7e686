//! Exim with the TLS library GnuTLS, as a destination that accepts all mail: a foreign mail server for tests, and the
//! old appliance of the RC4 case.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Identity,
    peers::{Peers, with_settings},
};

const PROGRAM: &str = "usr/sbin/exim4";
const HOST_NAME: &str = "mail.onprem.test";
/// Id of Debian's user Debian-exim in [`Peers::users`].
const USER: u32 = 4203;
/// GnuTLS priority: TLS 1.0 with RC4 and nothing else, as an old appliance does.
const RC4_ONLY: &str = "NONE:+VERS-TLS1.0:+ARCFOUR-128:+SHA1:+MD5:+RSA:+COMP-NULL:+SIGN-ALL:+GROUP-ALL";

/// A running Exim; stops when it is dropped.
pub struct Exim {
    peers: Peers,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Exim {
    /// The file trees that may contain Exim: `unpacked`, or this machine's own.
    pub fn find(unpacked: &Path) -> Option<Peers> {
        let with_exim = |root: &Path| Peers::at(root).ok().filter(|peers| peers.has(PROGRAM));
        // Exim switches to its own user, and reads only a configuration that belongs to root.
        if !crate::peers::is_root_of_all() {
            return None;
        }
        with_exim(unpacked).or_else(|| with_exim(Path::new("/")).filter(has_gnutls))
    }

    /// Supports only TLS 1.0 with RC4.
    pub fn start_with_rc4_only(peers: Peers, folder: &Path) -> io::Result<Self> {
        Self::start(peers, folder, &format!("tls_require_ciphers = {RC4_ONLY}\n"))
    }

    /// `settings` are lines for the main section of its configuration. `folder` belongs to Exim, and other users may
    /// enter it.
    pub fn start(peers: Peers, folder: &Path, settings: &str) -> io::Result<Self> {
        Self::start_relaying(peers, folder, settings, &Relay::default())
    }

    /// The same, but it relays some domains to other servers.
    pub fn start_relaying(peers: Peers, folder: &Path, settings: &str, relay: &Relay) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let identity = Identity::for_host(HOST_NAME)?;
        fs::write(folder.join("certificate.pem"), identity.certificate_pem())?;
        fs::write(folder.join("key.pem"), identity.key_pem())?;
        for name in ["spool", "log", "mail"] {
            fs::create_dir(folder.join(name))?;
        }
        for name in ["spool", "log", "mail", "certificate.pem", "key.pem"] {
            peers.give(&folder.join(name), USER, USER)?;
        }
        let child = spawn(&peers, folder, port, &format!("tls_advertise_hosts = *\n{settings}"), relay)?;
        Ok(Self { peers, folder: folder.to_owned(), port, child })
    }

    /// Restarts on the same port without STARTTLS, as an administrator might do if no client can use the appliance's
    /// TLS.
    pub fn restart_without_tls(&mut self) -> io::Result<()> {
        stop(&mut self.child);
        self.child = spawn(&self.peers, &self.folder, self.port, "tls_advertise_hosts =\n", &Relay::default())?;
        Ok(())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The Maildir with the mail that it accepted.
    pub fn mail(&self) -> PathBuf {
        self.folder.join("mail")
    }

    /// The log of Exim.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log/mainlog")).unwrap_or_default()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// On systems other than Debian, Exim may use OpenSSL.
fn has_gnutls(peers: &Peers) -> bool {
    let output = peers.command(PROGRAM).arg("-bV").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("GnuTLS"))
}

/// Stops Exim and the processes of its open connections, as in a restart of the machine.
fn stop(child: &mut Child) {
    let group = format!("-{}", child.id());
    let signal = |name: &str| Command::new("kill").args([name, "--", &group]).stderr(Stdio::null()).status();
    let _ = signal("-TERM");
    let _ = child.wait();
    // A remaining process would keep the port in use.
    let deadline = Instant::now() + Duration::from_secs(2);
    while signal("-0").is_ok_and(|status| status.success()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let _ = signal("-KILL");
}

fn spawn(peers: &Peers, folder: &Path, port: u16, settings: &str, relay: &Relay) -> io::Result<Child> {
    let file = folder.join("exim.conf");
    fs::write(&file, configuration(peers, folder, port, settings, relay))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let stderr = folder.join("stderr");
    let mut child = peers
        .command(PROGRAM)
        .arg("-C")
        .arg(&file)
        .arg("-bdf")
        .process_group(0)
        .envs(peers.users(folder)?)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&stderr)?)
        .spawn()?;
    let listening = wait_until_listening(port, &mut child, &stderr);
    if listening.is_err() {
        // A process that changes its user does not get the signal at its parent's death.
        stop(&mut child);
    }
    listening.map(|()| child)
}

/// Domains that Exim relays to other servers.
#[derive(Default)]
pub struct Relay {
    /// Domain and port on this host.
    pub routes: Vec<(String, u16)>,
    /// Lines for the transport, smtp.
    pub transport: String,
}

impl Relay {
    fn router(&self) -> String {
        if self.routes.is_empty() {
            return String::new();
        }
        let routes: Vec<String> =
            self.routes.iter().map(|(domain, port)| format!("{domain} localhost::{port} byname")).collect();
        let routes = routes.join("; ");
        format!("relay:\n driver = manualroute\n transport = smtp\n self = send\n route_list = {routes}\n no_more\n")
    }
}

fn configuration(peers: &Peers, folder: &Path, port: u16, settings: &str, relay: &Relay) -> String {
    let main = format!(
        "primary_hostname = {HOST_NAME}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log/%slog\n\
         local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\npid_file_path = {folder}/spool/pid\n\
         exim_path = {program}\n\
         tls_certificate = {folder}/certificate.pem\ntls_privatekey = {folder}/key.pem\n\
         log_selector = +tls_cipher\nacl_smtp_rcpt = take\nacl_smtp_data = take\nmessage_size_limit = 60M\n\
         daemon_startup_retries = 60\ndaemon_startup_sleep = 1s\n\
         smtp_accept_max = 0\nsmtp_accept_queue_per_connection = 0\n\
         smtputf8_advertise_hosts = *\naccept_8bitmime = true\ndsn_advertise_hosts = *\n\
         host_lookup =\nrfc1413_hosts =\nkeep_environment = LD_LIBRARY_PATH:LD_PRELOAD:NSS_WRAPPER_PASSWD:NSS_WRAPPER_GROUP\n",
        folder = folder.display(),
        program = peers.root().join(PROGRAM).display(),
    );
    let main = with_settings(&main, settings);
    format!(
        "{main}begin acl\ntake:\n accept\n\
         begin routers\n{router}all:\n driver = accept\n transport = maildir\n\
         begin transports\nmaildir:\n driver = appendfile\n directory = {folder}/mail\n maildir_format\n\
         user = Debian-exim\n group = Debian-exim\n\
         smtp:\n driver = smtp\n port = 25\n{transport}begin retry\n* * F,2h,10m\n",
        folder = folder.display(),
        router = relay.router(),
        transport = relay.transport,
    )
}

/// Waits until a mail server answers 220 there, or has ended.
pub fn wait_until_listening(port: u16, child: &mut Child, log: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(log).unwrap_or_default();
            return Err(io::Error::other(format!("the mail server ended with {status}: {log}")));
        }
        if greets(port).unwrap_or(false) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the mail server did not answer within 30 seconds"))
}

fn greets(port: u16) -> io::Result<bool> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut banner = String::new();
    BufReader::new(&stream).read_line(&mut banner)?;
    Ok(banner.starts_with("220"))
}
