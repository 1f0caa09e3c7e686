//! A PostgreSQL server in a folder of its own: a foreign server for tests of the fleet's store.
//!
//! PostgreSQL refuses root. As root, it runs as nobody of a user namespace, who is root outside and owns the folder.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::peers::{Peers, is_root};

const PROGRAMS: &str = "usr/lib/postgresql/15/bin";
const USER: &str = "gatepost";
pub const PASSWORD: &str = "secret";

/// A running server; stops when it is dropped, or when the thread that started it ends.
pub struct Cluster {
    peers: Peers,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Cluster {
    /// The file tree that has PostgreSQL 15.
    pub fn find(unpacked: &Path) -> Option<Peers> {
        Peers::at(unpacked).ok().filter(|peers| peers.has(&format!("{PROGRAMS}/postgres")))
    }

    /// Makes a server in an empty folder, and starts it. `settings` are such as `max_connections=20`.
    pub fn start(peers: Peers, folder: &Path, settings: &[&str]) -> io::Result<Self> {
        let password = folder.join("password");
        fs::write(&password, PASSWORD)?;
        let data = folder.join("data");
        let mut initdb = command(&peers, "initdb", "KILL");
        initdb.args(["--username", USER, "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "scram-sha-256"]);
        initdb.args(["--no-sync", "--no-instructions"]);
        succeed(initdb.arg("--pwfile").arg(password).arg("--pgdata").arg(data).output()?)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = spawn(&peers, folder, port, settings)?;
        let mut cluster = Self { peers, folder: folder.to_owned(), port, child };
        cluster.wait()?;
        Ok(cluster)
    }

    /// Ends the server at once, as if its machine had died, and starts it again with these settings.
    pub fn restart(&mut self, settings: &[&str]) -> io::Result<()> {
        self.stop();
        self.child = spawn(&self.peers, &self.folder, self.port, settings)?;
        self.wait()
    }

    /// A second server with all that this one has, which was promoted: both take writes, like a primary that was cut off
    /// and the standby that took over. This server is restarted.
    pub fn promoted_copy(&mut self, folder: &Path) -> io::Result<Self> {
        self.stop();
        succeed(Command::new("cp").arg("-a").arg(self.folder.join("data")).arg(folder).output()?)?;
        self.restart(&[])?;
        fs::write(folder.join("data/standby.signal"), "")?;
        let peers = Peers::at(self.peers.root())?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = spawn(&peers, folder, port, &[])?;
        let mut copy = Self { peers, folder: folder.to_owned(), port, child };
        copy.wait()?;
        copy.sql("postgres", "SELECT pg_promote()")?;
        Ok(copy)
    }

    /// Copies the running server into an empty folder, as a backup of all its files.
    pub fn base_backup(&self, folder: &Path) -> io::Result<()> {
        self.copy(folder, &[])
    }

    /// Ends the server at once, and starts it with a base backup in the place of all that it had. Its timeline is a new one
    /// where it is `recovered`, as from an archive, and else the old one.
    pub fn put_back(&mut self, backup: &Path, recovered: bool) -> io::Result<()> {
        self.stop();
        let data = self.folder.join("data");
        fs::remove_dir_all(&data)?;
        succeed(Command::new("cp").arg("-a").arg(backup.join("data")).arg(&data).output()?)?;
        if recovered {
            fs::write(data.join("recovery.signal"), "")?;
        }
        self.restart(if recovered { &["restore_command=false"] } else { &[] })?;
        while self.sql("postgres", "SELECT pg_is_in_recovery()")? == "t" {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A standby in an empty folder, which follows this server. From then on, this server waits for it with each commit.
    pub fn standby(&self, folder: &Path) -> io::Result<Self> {
        self.copy(folder, &["--write-recovery-conf"])?;
        let peers = Peers::at(self.peers.root())?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = spawn(&peers, folder, port, &[])?;
        let mut standby = Self { peers, folder: folder.to_owned(), port, child };
        standby.wait()?;
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        while self.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")? != "1" {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(standby)
    }

    /// Makes a standby a primary, which waits for no other one.
    pub fn promote(&self) -> io::Result<()> {
        self.sql("postgres", "SELECT pg_promote()").map(drop)
    }

    fn copy(&self, folder: &Path, more: &[&str]) -> io::Result<()> {
        let mut copy = command(&self.peers, "pg_basebackup", "KILL");
        copy.args([
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.to_string(),
            "--username",
            USER,
            "--checkpoint",
            "fast",
        ]);
        copy.args(["--wal-method", "stream", "--no-sync"]).args(more).arg("--pgdata").arg(folder.join("data"));
        succeed(copy.env("PGPASSWORD", PASSWORD).output()?).map(drop)
    }

    /// Puts a dump of one database into a new one.
    pub fn dump_into(&self, database: &str, new: &str) -> io::Result<()> {
        let file = self.folder.join("dump.sql");
        let mut dump = command(&self.peers, "pg_dump", "KILL");
        dump.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER])
            .arg("--file")
            .arg(&file);
        succeed(dump.env("PGPASSWORD", PASSWORD).arg(database).output()?)?;
        self.database(new)?;
        let mut psql = self.psql(new);
        succeed(psql.arg("--file").arg(file).output()?).map(drop)
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        // On SIGQUIT it ends its processes without a checkpoint.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("PostgreSQL ended with {status}: {}", self.log())));
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() && self.sql("postgres", "SELECT").is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL did not answer within 60 seconds"))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Makes an empty database, and returns its URL without a password.
    pub fn database(&self, name: &str) -> io::Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(self.url(name))
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL as the superuser, and returns what psql prints: rows without headings.
    pub fn sql(&self, database: &str, sql: &str) -> io::Result<String> {
        let output = succeed(self.psql(database).args(["--command", sql]).output()?)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = command(&self.peers, "psql", "KILL");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER, "--dbname", database]);
        psql.env("PGPASSWORD", PASSWORD);
        psql
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(peers: &Peers, folder: &Path, port: u16, settings: &[&str]) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("log"))?;
    // SIGQUIT ends the server's other processes, too.
    let mut server = command(peers, "postgres", "QUIT");
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-p", &port.to_string()]);
    // What it has written is there when only its processes die.
    for setting in ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=32MB", "jit=off"].iter().chain(settings)
    {
        server.args(["-c", setting]);
    }
    server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// One of PostgreSQL's programs, which gets that signal when this thread ends.
fn command(peers: &Peers, program: &str, at_the_end: &str) -> Command {
    let mut command = Command::new(if is_root() { "unshare" } else { "env" });
    if is_root() {
        command.args(["--user", "--map-user=65534", "--map-group=65534", "--"]);
    }
    let inner = peers.command(&format!("{PROGRAMS}/{program}"));
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let program = peers.root().join(PROGRAMS).join(program);
    command.args(["setpriv", "--pdeathsig", at_the_end, "--"]).arg(program).env("LC_ALL", "C.UTF-8");
    command
}

fn succeed(output: Output) -> io::Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
