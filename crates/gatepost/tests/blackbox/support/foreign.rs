//! Foreign programs, as unpacked under target/peers: they run on loopback, in folders of their own, as nobody's service.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use lab::{
    exim,
    peers::{Peers, group_number, is_root, number, with_settings},
};
use tempfile::TempDir;

use super::{free_port, wait_for};

pub(crate) fn peers() -> &'static Peers {
    static PEERS: OnceLock<Peers> = OnceLock::new();
    PEERS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/root");
        Peers::at(&root).unwrap_or_else(|_| panic!("{} is missing; run ./test, which unpacks it", root.display()))
    })
}

fn root() -> &'static Path {
    peers().root()
}

fn foreign(program: &str) -> Command {
    peers().command(program)
}

fn users(folder: &Path) -> Vec<(&'static str, String)> {
    peers().users(folder).unwrap()
}

fn give(path: &Path, user: u32, group: u32) {
    peers().give(path, user, group).unwrap();
}

/// A folder that other users may enter.
pub(crate) fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A certificate for a server, valid from now on.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    net::tls::ensure_self_signed(&certificate, &key, "mail.onprem.test").unwrap();
    (certificate, key)
}

fn wait_until_listening(port: u16, child: &mut Child, log: &Path) {
    exim::wait_until_listening(port, child, log).unwrap();
}

/// All files of a Maildir, as they stand there: LF line ends and a few fields on top.
fn maildir(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder.join("new")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

enum Process {
    Child(Child),
    /// Ends when it is dropped.
    Exim(#[expect(dead_code, reason = "kept alive")] exim::Exim),
}

/// A mail server that keeps what it takes.
pub(crate) struct MailServer {
    folder: TempDir,
    pub port: u16,
    process: Process,
    mail: PathBuf,
    log: PathBuf,
}

impl MailServer {
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        maildir(&self.mail)
    }

    pub(crate) fn wait_for_messages(&self, count: usize) -> Vec<Vec<u8>> {
        wait_for(&format!("{count} messages"), || Some(self.messages()).filter(|messages| messages.len() >= count))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        if let Process::Child(child) = &mut self.process {
            // Postfix's master ends its children at SIGTERM.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("log of the mail server in {}:\n{}", self.folder.path().display(), self.log());
        }
    }
}

pub(crate) struct Postfix;

impl Postfix {
    /// Postfix that takes mail for onprem.test and partner.test, with STARTTLS.
    pub(crate) fn start() -> MailServer {
        Self::start_with("")
    }

    /// With more lines for main.cf.
    pub(crate) fn start_with(settings: &str) -> MailServer {
        let (folder, port) = (open_folder(), free_port());
        let path = folder.path().to_path_buf();
        let (certificate, key) = certificate(&path);
        for name in ["etc", "data", "mail", "queue"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        give(&path.join("data"), 4201, 4202);
        give(&path.join("mail"), 4201, 4201);
        for name in
            "active bounce corrupt defer deferred flush hold incoming private public saved trace maildrop".split(' ')
        {
            fs::create_dir(path.join("queue").join(name)).unwrap();
            give(&path.join("queue").join(name), 4201, 4202);
        }
        fs::create_dir(path.join("queue/pid")).unwrap();
        let environment = users(&path);
        let names: Vec<_> = environment.iter().map(|(name, _)| *name).chain(["LD_LIBRARY_PATH"]).collect();
        let (folder_name, root, names) = (path.display(), root().display(), names.join(" "));
        let (user, group) = (number(4201), group_number(4201));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {folder_name}/queue\ndata_directory = {folder_name}/data\n\
             daemon_directory = {root}/usr/lib/postfix/sbin\ncommand_directory = {root}/usr/sbin\n\
             shlib_directory = {root}/usr/lib/postfix\nmeta_directory = {folder_name}/etc\n\
             import_environment = MAIL_CONFIG {names}\nmaillog_file = {folder_name}/log\nmaillog_file_prefixes = {folder_name}\nsmtpd_peername_lookup = no\nsmtpd_tls_received_header = yes\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.onprem.test\nmydestination =\n\
             mynetworks =\nalias_maps =\nvirtual_mailbox_domains = onprem.test, partner.test\nvirtual_mailbox_base = {folder_name}/mail\n\
             virtual_mailbox_maps = static:all/\nvirtual_uid_maps = static:{user}\nvirtual_gid_maps = static:{group}\n\
             message_size_limit = 60000000\nvirtual_mailbox_limit = 0\nsmtputf8_enable = yes\n\
             smtpd_tls_security_level = may\nsmtpd_tls_loglevel = 1\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
            certificate.display(),
            key.display()
        );
        fs::write(path.join("etc/main.cf"), with_settings(&main, settings)).unwrap();
        fs::write(path.join("etc/master.cf"), master(port)).unwrap();
        let mut child = foreign("usr/lib/postfix/sbin/master")
            .args(["-c", path.join("etc").to_str().unwrap(), "-d"])
            // With SIGTERM, master ends its process group.
            .process_group(0)
            .envs(environment)
            .stdout(Stdio::null())
            .stderr(fs::File::create(path.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let log = path.join("log");
        wait_until_listening(port, &mut child, &log);
        MailServer { folder, port, process: Process::Child(child), mail: path.join("mail/all"), log }
    }
}

fn master(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (service, limit, program) in [
        ("cleanup", "0", "cleanup"),
        ("tlsmgr", "1", "tlsmgr"),
        ("rewrite", "-", "trivial-rewrite"),
        ("bounce", "0", "bounce"),
        ("defer", "0", "bounce"),
        ("trace", "0", "bounce"),
        ("proxymap", "-", "proxymap"),
        ("virtual", "-", "virtual"),
        ("smtp", "-", "smtp"),
        ("retry", "-", "error"),
        ("error", "-", "error"),
        ("anvil", "1", "anvil"),
    ] {
        // smtpd looks for it among the public services.
        let private = if service == "cleanup" { "n" } else { "-" };
        // virtual(8) becomes the owner of each mailbox.
        let unprivileged = if service == "virtual" { "n" } else { "-" };
        text.push_str(&format!("{service} unix {private} {unprivileged} n - {limit} {program}\n"));
    }
    text + "qmgr unix n - n 300 1 qmgr\n"
}

/// Exim that takes all mail.
pub(crate) struct Exim;

impl Exim {
    pub(crate) fn start() -> MailServer {
        Self::start_with("")
    }

    /// With more lines for the main section of its configuration.
    pub(crate) fn start_with(settings: &str) -> MailServer {
        Self::started(|peers, folder| exim::Exim::start(peers, folder, settings))
    }

    pub(crate) fn start_with_rc4_only() -> MailServer {
        Self::started(exim::Exim::start_with_rc4_only)
    }

    pub(crate) fn start_relaying(settings: &str, relay: &exim::Relay) -> MailServer {
        Self::started(|peers, folder| exim::Exim::start_relaying(peers, folder, settings, relay))
    }

    fn started(start: impl Fn(Peers, &Path) -> std::io::Result<exim::Exim>) -> MailServer {
        let folder = open_folder();
        let exim = start(peers().clone(), folder.path()).unwrap();
        MailServer {
            port: exim.port(),
            mail: exim.mail(),
            log: folder.path().join("log/mainlog"),
            process: Process::Exim(exim),
            folder,
        }
    }
}

/// A TLS server without SMTP, behind a few lines that speak SMTP as far as STARTTLS.
pub(crate) struct GnuTlsServ {
    _folder: TempDir,
    pub port: u16,
    child: Child,
}

impl GnuTlsServ {
    /// `priority` is GnuTLS's word for what is allowed.
    pub(crate) fn start(priority: &str) -> Self {
        let (folder, tls_port) = (open_folder(), free_port());
        let (certificate, key) = identity(folder.path());
        let mut child = foreign("usr/bin/gnutls-serv")
            .args(["--quiet", "--port", &tls_port.to_string(), "--priority", priority])
            .arg("--x509certfile")
            .arg(certificate)
            .arg("--x509keyfile")
            .arg(key)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        wait_for("gnutls-serv", || {
            let log = || fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{}", log());
            TcpStream::connect(("127.0.0.1", tls_port)).ok()
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming() {
                thread::spawn(move || starttls(client?, tls_port));
            }
        });
        Self { _folder: folder, port, child }
    }
}

impl Drop for GnuTlsServ {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Speaks SMTP up to STARTTLS, then hands everything on to `tls_port`.
fn starttls(mut client: TcpStream, tls_port: u16) -> std::io::Result<()> {
    client.write_all(b"220 mail.onprem.test ESMTP\r\n")?;
    let mut lines = BufReader::new(client.try_clone()?).lines();
    for reply in [&b"250-mail.onprem.test\r\n250 STARTTLS\r\n"[..], b"220 go ahead\r\n"] {
        lines.next().transpose()?;
        client.write_all(reply)?;
    }
    let mut server = TcpStream::connect(("127.0.0.1", tls_port))?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}

/// What pip unpacked beside the other peers.
pub(crate) fn python_packages() -> PathBuf {
    root().parent().unwrap().join("python")
}

/// tlslite-ng, in Python, which speaks SMTP as far as a message.
pub(crate) struct TlsLite {
    _folder: TempDir,
    pub port: u16,
    child: Child,
}

impl TlsLite {
    /// `settings` are assignments to its HandshakeSettings, in Python.
    pub(crate) fn start(settings: &str) -> Self {
        let (folder, port) = (open_folder(), free_port());
        let (certificate, key) = identity(folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support/tlslite_server.py");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "python3"])
            .arg(script)
            .args([&port.to_string(), certificate.to_str().unwrap(), key.to_str().unwrap(), settings])
            .env("PYTHONPATH", python_packages())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        wait_until_listening(port, &mut child, &folder.path().join("log"));
        Self { _folder: folder, port, child }
    }
}

impl Drop for TlsLite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files with an RSA certificate and its key.
fn identity(folder: &Path) -> (PathBuf, PathBuf) {
    let identity = lab::Identity::for_host("mail.onprem.test").unwrap();
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, identity.certificate_pem()).unwrap();
    fs::write(&key, identity.key_pem()).unwrap();
    (certificate, key)
}

/// A drain that counts.
pub(crate) struct SmtpSink {
    pub port: u16,
    child: Child,
    messages: Arc<AtomicU64>,
}

impl SmtpSink {
    pub(crate) fn start(options: &[&str]) -> Self {
        let port = free_port();
        let user: &[&str] = if is_root() { &["-u", "nobody"] } else { &[] };
        let mut child = foreign("usr/sbin/smtp-sink")
            .args(user)
            .arg("-c")
            .args(options)
            .args([&format!("127.0.0.1:{port}"), "100"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let messages: Arc<AtomicU64> = Arc::default();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let counted = Arc::clone(&messages);
        // It writes `sess=1 quit=1 mesg=1` and a carriage return after each message.
        thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\r', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                if let Some(count) = text.rsplit('=').next().and_then(|count| count.trim().parse().ok()) {
                    counted.store(count, Ordering::Relaxed);
                }
                line.clear();
            }
        });
        wait_until_listening(port, &mut child, Path::new(""));
        Self { port, child, messages }
    }

    pub(crate) fn wait_for_messages(&self, count: u64) {
        wait_for(&format!("{count} messages"), || (self.messages.load(Ordering::Relaxed) >= count).then_some(()));
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends with swaks; fails the test where swaks fails.
pub(crate) fn swaks(port: u16, arguments: &[&str]) -> String {
    let output = try_swaks(port, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

pub(crate) fn try_swaks(port: u16, arguments: &[&str]) -> Output {
    let modules = ["usr/share/perl5", "usr/lib/x86_64-linux-gnu/perl5/5.36"].map(|path| root().join(path));
    let modules = modules.map(|path| path.display().to_string()).join(":");
    let mut command = foreign("usr/bin/swaks");
    command.env("PERL5LIB", modules).args(["--server", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--helo", "client.test", "--from", "alice@partner.test"]).args(arguments).output().unwrap()
}

/// Sends with smtp-source.
pub(crate) fn smtp_source(port: u16, arguments: &[&str]) {
    let mut command = foreign("usr/sbin/smtp-source");
    command.args(["-f", "sender@partner.test", "-t", "user@onprem.test"]).args(arguments);
    let output = command.arg(format!("127.0.0.1:{port}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// NSD, authoritative for one zone.
pub(crate) struct NameServer {
    _folder: TempDir,
    pub port: u16,
    child: Child,
}

impl NameServer {
    /// `records` are lines of a zone file, beside SOA and NS.
    pub(crate) fn start(zone: &str, records: &str) -> Self {
        let (folder, port) = (open_folder(), free_port());
        let path = folder.path().display();
        let soa = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n";
        fs::write(folder.path().join("zone"), format!("$ORIGIN {zone}.\n{soa}{records}\n")).unwrap();
        let configuration = format!(
            "server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{path}\"\n\
             \n  database: \"\"\n  pidfile: \"\"\n  logfile: \"{path}/log\"\n  xfrdfile: \"{path}/xfrd\"\n  xfrdir: \"{path}\"\n\
             \n  zonelistfile: \"{path}/zones\"\n  verbosity: 1\nremote-control:\n  control-enable: no\n\
             zone:\n  name: {zone}\n  zonefile: zone\n"
        );
        let file = folder.path().join("nsd.conf");
        fs::write(&file, configuration).unwrap();
        let mut child = foreign("usr/sbin/nsd").arg("-d").arg("-c").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        let log = folder.path().join("log");
        wait_for("the name server", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap_or_default());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { _folder: folder, port, child }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
