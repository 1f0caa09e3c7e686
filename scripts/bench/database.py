"""A PostgreSQL server with the database of a fleet, and a standby that confirms each commit, if it is wanted."""

import subprocess
import time

import meter
from common import IS_ROOT, PEERS, free_port, peer_environment, start

PROGRAMS = PEERS / "usr/lib/postgresql/15/bin"
# PostgreSQL refuses root: it runs as nobody of a user namespace.
AS_USER = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"] if IS_ROOT else []
SETTINGS = ["listen_addresses=127.0.0.1", "synchronous_commit=on", "max_wal_size=4GB", "max_connections=100"]


class Database:
    def __init__(self, folder, name, with_standby=False):
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        self.group = meter.group(f"postgres-{name}")
        _run("initdb", "--username", "gatepost", "--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "trust",
             "--no-instructions", "--pgdata", folder / "data")
        with self.group.starting():
            self.process = self._start(folder / "data", self.port)
        self.sql("CREATE DATABASE gatepost TEMPLATE template0", "postgres")
        self.url = f"postgres://gatepost@127.0.0.1:{self.port}/gatepost"
        if with_standby:
            self._add_standby()

    def _start(self, data, port):
        log = open(self.folder / f"log-{port}", "w")
        options = [word for setting in SETTINGS for word in ("-c", setting)]
        command = [*AS_USER, PROGRAMS / "postgres", "-D", data, "-k", self.folder, "-p", port, *options]
        process = start(command, stdout=log, stderr=log, env=_environment())
        deadline = time.monotonic() + 60
        while _psql("SELECT", "postgres", port).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: PostgreSQL does not start; see {log.name}")
            time.sleep(0.05)
        return process

    def _add_standby(self):
        copy = self.folder / "standby"
        _run("pg_basebackup", "--host", "127.0.0.1", "--port", self.port, "--username", "gatepost", "--pgdata", copy,
             "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast")
        with self.group.starting():
            self.standby = self._start(copy, free_port())
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1":
            time.sleep(0.05)

    def sql(self, text, database="gatepost"):
        done = _psql(text, database, self.port)
        if done.returncode:
            raise SystemExit(f"error: {done.stderr}")
        return done.stdout.strip()

    def counters(self):
        """Bytes of WAL, and transactions. The server adds transactions up once a second."""
        time.sleep(1.5)
        row = self.sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, xact_commit FROM pg_stat_database "
                       "WHERE datname = 'gatepost'")
        return [int(field) for field in row.split("|")]

    def stop(self):
        self.process.terminate()
        self.group.kill()


def _environment():
    return peer_environment() | {"LC_ALL": "C.UTF-8"}


def _psql(text, database, port):
    command = [PROGRAMS / "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--host", "127.0.0.1", "--port", port,
               "--username", "gatepost", "--dbname", database, "--command", text]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=_environment())


def _run(program, *arguments):
    command = [*AS_USER, PROGRAMS / program, *arguments]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=_environment())
