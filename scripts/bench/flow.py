"""Mail from a source through a relay to a sink: smtp-source and smtp-sink, or the lab's own, which support STARTTLS."""

import os
import resource
import subprocess
import threading
import time
from pathlib import Path

import world
from common import GATEPOST, IS_ROOT, free_port, peer, peer_environment, start, wait_until_listening

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
LOAD = GATEPOST.parent / "examples/load"


class Sink:
    """It counts on its standard output: smtp-sink prints `sess=1 quit=1 mesg=1\\r`, the lab's sink `1\\n`."""

    def __init__(self, version=None, identity=None):
        self.port, self.host = free_port(), world.destination()
        self.messages = 0
        user = ["-u", "nobody"] if IS_ROOT else []
        command = [peer("smtp-sink"), "-c", *user, f"{self.host}:{self.port}", "1024"]
        if version:
            command = [LOAD, "sink", f"{self.host}:{self.port}", version, *identity]
        self.process = start(command, stdout=subprocess.PIPE, env=peer_environment())
        threading.Thread(target=self._count, daemon=True).start()
        wait_until_listening(self.port, self.process, "the sink", host=self.host)

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def _count(self):
        rest = b""
        # Looking 200 times a second is exact to 5 ms and costs the sink nothing.
        while piece := os.read(self.process.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + piece).replace(b"\n", b"\r").split(b"\r")
            if whole:
                self.messages = int(whole[-1].rsplit(b"=", 1)[-1])
            time.sleep(0.005)

    def seconds(self):
        """Processor time so far of the sink, and of all sources that have ended."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        sources = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS + sources.ru_utime + sources.ru_stime

    def wait_for(self, expected, since):
        """Waits until so many messages have arrived; returns when the last one did."""
        last, last_at = self.messages, since
        while self.messages < expected:
            time.sleep(0.005)
            if self.messages != last:
                last, last_at = self.messages, time.monotonic()
            if time.monotonic() - last_at > 60:
                raise SystemExit(f"error: {expected - last} messages have not arrived after a minute of silence")
        return time.monotonic()


def source(address, messages, version, arguments):
    """The command line of smtp-source, or of the lab's."""
    if version:
        per_connection = messages if arguments.reuse else 1
        return [LOAD, "source", address, version, arguments.sessions, messages, arguments.size, per_connection]
    reuse = ["-d"] if arguments.reuse else []
    return [
        peer("smtp-source"), *reuse, "-s", arguments.sessions, "-l", arguments.size, "-m", messages,
        "-f", "sender@partner.test", "-t", "user@onprem.test", address,
    ]


def run_round(address, messages, sink, version, arguments):
    """Messages per second: accepted, and end to end."""
    expected = sink.messages + messages
    begin = time.monotonic()
    subprocess.run(list(map(str, source(address, messages, version, arguments))), env=peer_environment(), check=True)
    accepted = time.monotonic()
    end = sink.wait_for(expected, since=accepted)
    return messages / (accepted - begin), messages / (end - begin)


def run_paced(address, rate, seconds, sink, version, arguments):
    """At a fixed rate, whether the relay keeps up or not: the replies to the final dot in milliseconds (median and 99th
    percentile), and how many messages failed or began late."""
    messages = max(int(rate * seconds), 1)
    per_connection = messages if arguments.reuse else 1
    # More sessions than the relay needs at half its speed, so that a slow reply holds nothing up.
    sessions = arguments.sessions if arguments.reuse else 4 * arguments.sessions
    command = [LOAD, "paced", address, version or "none", sessions, messages, arguments.size, per_connection, rate]
    expected = sink.messages + messages
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    median, high, _, failed, late = map(float, printed.split())
    sink.wait_for(expected - int(failed), since=time.monotonic())
    return median, high, int(failed), int(late)
