"""What the benchmarks share: the peers' programs, a node, and facts about the machine."""

import atexit
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PEERS = REPOSITORY / "target/peers/root"
GATEPOST = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/gatepost"
IS_ROOT = os.geteuid() == 0


def library(name):
    return str(next((PEERS / "usr/lib").glob(f"**/{name}")))


def peer_environment():
    """Variables with which the unpacked programs find their libraries."""
    libraries = [Path(library("libuid_wrapper.so")).parent, PEERS / "usr/lib/postfix"]
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": ":".join(map(str, libraries))}


def peer(name):
    return str(PEERS / "usr/sbin" / name)


def start(command, **options):
    """Starts a process that is killed with this one, even by SIGKILL."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], **options)
    # The signal at its parent's death is lost to a process that changes its user.
    atexit.register(lambda: process.poll() is None and process.terminate())
    return process


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_listening(port, process, what, seconds=30, host="127.0.0.1"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), 1) as connection:
                connection.recv(64)
                connection.sendall(b"QUIT\r\n")
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    raise SystemExit(f"error: {what} does not answer on {host}:{port} (exit status {process.poll()})")


def stop(process, seconds=30):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def fresh_folder(name):
    folder = REPOSITORY / "target/bench" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Node:
    """A Gatepost node; `extra` is more of its configuration."""

    def __init__(self, folder, connector="127.0.0.1:9", extra_inbound="", extra="", tls="none", name="bench"):
        self.port = free_port()
        self.configuration = folder / "gatepost.toml"
        self.configuration.write_text(f"""
[node]
name = "{name}"
data = "data"
[inbound]
listen = ["127.0.0.1:{self.port}"]
{extra_inbound}
[[accepted_domain]]
name = "onprem.test"
connector = "onprem"
[[connector]]
name = "onprem"
hosts = ["{connector}"]
tls = "{tls}"
{extra}
""")
        self.log = open(folder / "node.log", "w")
        self.started = time.monotonic()
        self.process = start([GATEPOST, "--config", self.configuration, "serve"], stderr=self.log, stdout=self.log)
        wait_until_listening(self.port, self.process, f"the node (see {folder}/node.log)", seconds=120)
        self.start_seconds = time.monotonic() - self.started

    def resident_kib(self):
        return resident_kib(self.process.pid)


def resident_kib(pid, field="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise SystemExit("error: the node is gone")


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def fsync_ms(folder, count=200):
    """Median time of an fsync after an append of 4 KiB."""
    times = []
    path = folder / "fsync"
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            before = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - before)
    path.unlink()
    return sorted(times)[count // 2] * 1000


def machine(folder):
    """Facts about the machine as lines of a Markdown list."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    file_system = output("findmnt", "--noheadings", "--output", "FSTYPE,OPTIONS", "--target", str(folder))
    return [
        f"- {time.strftime('%Y-%m-%d', time.gmtime())}, {cpu}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}",
        f"- file system: {' '.join(file_system.split())}; fsync after 4 KiB: {fsync_ms(folder):.2f} ms (median)",
        f"- {output(str(GATEPOST), '--version')}, commit {output('git', '-C', str(REPOSITORY), 'rev-parse', '--short', 'HEAD')}",
    ]
