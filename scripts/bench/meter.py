"""What a relay uses: processor time, memory and disk flushes of all its processes."""

import atexit
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ControlGroup:
    """A control group for one relay. It counts processes that have ended as well."""

    def __init__(self, name):
        self.parent, self.home = _cgroups()
        self.folder = self.parent / f"gatepost-bench-{os.getpid()}-{name}"
        self.folder.mkdir()
        atexit.register(self.kill)

    @contextmanager
    def starting(self):
        """What is started within this belongs to the group."""
        _move(self.folder)
        try:
            yield
        finally:
            _move(self.home)

    def processes(self):
        return (self.folder / "cgroup.procs").read_text().split()

    def threads(self):
        name = "cgroup.threads" if (self.folder / "cgroup.threads").exists() else "tasks"
        return (self.folder / name).read_text().split()

    def seconds(self):
        usage = self.folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6

    def kill(self):
        """Ends what is left, and the group."""
        for _ in range(100 if self.folder.exists() else 0):
            for process in self.processes():
                _try(os.kill, int(process), 9)
            if _try(self.folder.rmdir):
                return
            time.sleep(0.05)


class ProcessTree:
    """Without control groups: a process and its descendants, with those that were waited for."""

    def __init__(self, _name):
        self.root = None
        self.before = set()

    @contextmanager
    def starting(self):
        before = set(_children().get(os.getpid(), []))
        yield
        started = set(_children().get(os.getpid(), [])) - before
        self.root = max(started) if started else None

    def processes(self):
        found, children = [self.root] if self.root else [], _children()
        for process in found:
            found.extend(children.get(process, []))
        return [str(process) for process in found]

    threads = processes

    def seconds(self):
        """Fields 14 to 17: its own time and that of waited-for children, each in user and system mode."""
        ticks = 0
        for process in self.processes():
            fields = _stat(process)
            ticks += sum(map(int, fields[11:15])) if fields else 0
        return ticks / CLOCK_TICKS

    def kill(self):
        for process in self.processes():
            _try(os.kill, int(process), 9)


def group(name):
    """The best counter that this machine allows."""
    try:
        return ControlGroup(name)
    except OSError:
        return ProcessTree(name)


def _cgroups():
    """Where groups can be made, and where this process is: version 2, which always counts processor time, or cpuacct."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for mount in mounts:
        if mount[2] == "cgroup2" and Path(mount[1], "cpu.stat").exists():
            return Path(mount[1]), Path(mount[1] + own[""])
    for mount in mounts:
        if mount[2] == "cgroup" and "cpuacct" in mount[3].split(","):
            controllers = next(name for name in own if "cpuacct" in name.split(","))
            return Path(mount[1]), Path(mount[1] + own[controllers])
    raise FileNotFoundError("no control groups")


def _move(folder):
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _try(work, *arguments):
    try:
        work(*arguments)
        return True
    except OSError:
        return False


def _stat(process):
    """The fields of /proc/PID/stat after the name."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _children():
    children = {}
    for path in Path("/proc").glob("[0-9]*"):
        if fields := _stat(path.name):
            children.setdefault(int(fields[1]), []).append(int(path.name))
    return children


class PeakMemory:
    """Looks twice a second at the proportional set size (PSS) of a relay's processes, and keeps the highest sum."""

    def __init__(self, group):
        self.group, self.mebibytes = group, 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _watch(self):
        while True:
            self.mebibytes = max(self.mebibytes, sum(map(_pss_kib, self.group.processes())) / 1024)
            if self.ended.wait(0.5):
                return


def _pss_kib(process):
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class KernelFlushes:
    """Counts a relay's calls of fsync and its kin with the kernel's own tracing, which costs the relay next to nothing."""

    CALLS = ["fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "msync"]
    what = "calls of fsync, fdatasync and the like, counted by the kernel's tracing"

    def __init__(self):
        tracing = Path("/sys/kernel/tracing")
        if not (tracing / "instances").is_dir():
            os.system(f"mount -t tracefs none {tracing} 2>/dev/null")
        self.folder = tracing / "instances" / f"gatepost-bench-{os.getpid()}"
        self.folder.mkdir()
        self._set("buffer_size_kb", 8192)
        self._set("options/event-fork", 1)
        for call in self.CALLS:
            self._set(f"events/syscalls/sys_enter_{call}/enable", 1)

    def _set(self, name, value):
        (self.folder / name).write_text(f"{value}\n")

    def begin(self, group):
        self._set("set_event_pid", " ".join(group.threads()))
        self._set("trace", "")

    def count(self):
        with open(self.folder / "trace") as lines:
            return sum(not line.startswith("#") for line in lines)

    def close(self):
        _try(self.folder.rmdir)


class DeviceFlushes:
    """Without the right to trace: the disk's own counter, which has the flushes of all programs."""

    what = "flushes of the disk by all programs, since only root may trace"

    def __init__(self, folder):
        device = os.stat(folder).st_dev
        self.path = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
        self.before = 0

    def begin(self, _group):
        self.before = self._now()

    def count(self):
        return self._now() - self.before

    def _now(self):
        try:
            return int(self.path.read_text().split()[15])
        except (OSError, IndexError):
            return 0

    def close(self):
        pass


def flush_counter(folder):
    try:
        return KernelFlushes()
    except OSError:
        return DeviceFlushes(folder)
