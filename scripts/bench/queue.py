"""A long queue: how soon a node starts with it, what memory it needs, and what a claim costs.

The queues are filled through the store's own interface (crates/store/examples/fill_queue.rs): messages of 2 KiB, each
deferred once. Some of the largest queue's are due, so that the node has work from its first moment; its destination
defers all of them again.
"""

import argparse
import os
import shutil
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from common import GATEPOST, Node, REPOSITORY, fresh_folder, machine, resident_kib, stop

FILL_QUEUE = GATEPOST.parent / "examples/fill_queue"
TARGET_SECONDS, TARGET_MIB = 2, 300
CLAIM_LIMIT = 200


class Deferring(socketserver.StreamRequestHandler):
    """A destination that refuses every recipient for now."""

    disable_nagle_algorithm = True
    replies = {b"EHLO": b"250-destination.test\r\n250 8BITMIME", b"RCPT": b"450 4.2.1 Try again later", b"QUIT": b"221 Bye"}

    def handle(self):
        try:
            self.converse()
        except ConnectionError:
            pass  # The node was killed.

    def converse(self):
        self.wfile.write(b"220 destination.test ESMTP\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"RCPT":
                self.server.refused += 1
            self.wfile.write(self.replies.get(verb, b"250 2.0.0 OK") + b"\r\n")
            if verb == b"QUIT":
                break


class Destination(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Deferring)
        self.refused = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


def say(text):
    print(text, file=sys.stderr, flush=True)


def fill(folder, count, due):
    begin = time.monotonic()
    subprocess.run([FILL_QUEUE, "fill", folder, str(count), str(due)], check=True)
    say(f"{count:,} messages, {due:,} of them due: filled in {time.monotonic() - begin:.0f} s")


def forget_cached(folder):
    """Takes the queue's files out of the page cache, so that the next start reads them from the disk."""
    for path in filter(Path.is_file, folder.rglob("*")):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_node(folder, arguments):
    """Starts the node several times with the long queue, and then lets it work."""
    destination = Destination()
    address = f"127.0.0.1:{destination.server_address[1]}"
    database = folder / "data"
    size_mib = sum(path.stat().st_size for path in database.iterdir()) / 2**20
    kinds = {"stopped in order": stop, "killed at work": lambda process: (process.kill(), process.wait())}
    starts = {kind: [] for kind in kinds}
    resident = []
    for number in range(1, arguments.rounds + 1):
        # Each kind tells how the node ended before the start that is measured.
        for kind, end in kinds.items():
            node = Node(folder, address)
            time.sleep(2)
            end(node.process)
            forget_cached(database)
            node = Node(folder, address)
            starts[kind].append(node.start_seconds)
            resident.append(node.resident_kib())
            say(f"round {number}, {kind}: started in {node.start_seconds:.2f} s, {resident[-1] / 1024:.0f} MiB; "
                f"{destination.refused:,} attempts so far")
            stop(node.process)
    refused_before = destination.refused
    node = Node(folder, address)
    begin = time.monotonic()
    samples, checked = [], time.monotonic()
    while time.monotonic() - begin < arguments.work:
        time.sleep(0.5)
        samples.append(node.resident_kib())
        if time.monotonic() - checked > 10:
            checked = time.monotonic()
            say(f"at work for {checked - begin:.0f} s: {destination.refused - refused_before:,} attempts, {samples[-1] / 1024:.0f} MiB")
    attempts = destination.refused - refused_before
    if attempts == 0:
        raise SystemExit("error: the node made no attempts; see node.log")
    highest = resident_kib(node.process.pid, "VmHWM")
    stop(node.process)
    destination.shutdown()
    return {"size_mib": size_mib, "starts": starts, "resident": resident, "samples": samples, "highest": highest,
            "attempts": attempts}


def measure_claims(folders, arguments):
    """(median, 90th percentile, settling) in microseconds per delivery, for each size."""
    say(f"claims of {CLAIM_LIMIT}: {arguments.claims} in each queue")
    command = [FILL_QUEUE, "claims", str(arguments.claims), *folders.values()]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {size: tuple(map(float, line.split())) for size, line in zip(folders, lines, strict=True)}


def measure(arguments):
    folder = fresh_folder("queue")
    folders = {}
    for size in arguments.sizes:
        (folder / str(size)).mkdir()
        folders[size] = folder / str(size) / "data"
        fill(folders[size], size, min(arguments.due, size) if size == max(arguments.sizes) else 0)
    node = measure_node(folders[max(arguments.sizes)].parent, arguments)
    claims = measure_claims(folders, arguments)
    facts = machine(folder)
    # Gigabytes that nobody needs any more.
    shutil.rmtree(folder)
    return node, claims, facts


def verdict(is_met):
    return "met" if is_met else "MISSED"


def node_table(node):
    lines = ["| | measured | target |", "|---|---:|---|"]
    for kind, seconds in node["starts"].items():
        middle = statistics.median(seconds)
        lines.append(f"| start after it was {kind}, s | {middle:.2f} ({min(seconds):.2f} … {max(seconds):.2f}) "
                     f"| under {TARGET_SECONDS}: {verdict(middle < TARGET_SECONDS)} |")
    memory = {
        "resident after the start, MiB": statistics.median(node["resident"]),
        "resident at work, median, MiB": statistics.median(node["samples"]),
        "resident at work, highest (VmHWM), MiB": node["highest"],
    }
    for name, kib in memory.items():
        lines.append(f"| {name} | {kib / 1024:.1f} | under {TARGET_MIB}: {verdict(kib / 1024 < TARGET_MIB)} |")
    return lines


def claims_table(claims):
    lines = [
        "| queue | claim, µs per delivery | 90th percentile | × the smallest queue | settling, µs per delivery |",
        "|---:|---:|---:|---:|---:|",
    ]
    smallest = claims[min(claims)][0]
    for size, (middle, ninety, settling) in claims.items():
        lines.append(f"| {size:,} | {middle:.1f} | {ninety:.1f} | {middle / smallest:.2f} | {settling:.1f} |")
    return lines


def report(node, claims, facts, arguments):
    size = max(arguments.sizes)
    return "\n".join([
        "# A long queue",
        "",
        f"{size:,} deferred messages of 2 KiB in the queue, {min(arguments.due, size):,} of them due; {node['size_mib']:,.0f} MiB on disk.",
        "Command:",
        "",
        f"    {arguments.command}",
        "",
        "## Start and memory",
        "",
        *node_table(node),
        "",
        f"Starts: medians of {arguments.rounds} rounds (lowest … highest), from the start of the process until the SMTP greeting",
        "arrives, with none of the queue's files in the page cache. *Killed at work*: by SIGKILL, two seconds into a",
        f"run. At work: {arguments.work:g} s from another start, with a destination that answers 450 to every recipient;",
        f"{node['attempts']:,} attempts were made, each claimed, sent, deferred and settled; memory read twice a second.",
        "",
        "## Cost of a claim",
        "",
        "Target: × 1 at every length. A claim reads one range of an index, whatever the length. It slows down because the rows",
        "of a long queue are on pages that nothing has used lately, so SQLite reads them from the file instead of the cache.",
        "",
        *claims_table(claims),
        "",
        f"Medians of {arguments.claims} claims of {CLAIM_LIMIT} deliveries, one queue after the other in each round. Everything in",
        "the queue is due, in an order unrelated to that of acceptance. Claimed deliveries are deferred to the end",
        "of the queue, so none is claimed twice before all have been. Each of the two times includes one commit.",
        "",
        *facts,
        "",
    ])


def main():
    parser = argparse.ArgumentParser(prog="./bench queue", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000],
                        help="messages in the queues; the node is started with the largest (default: 1000 10000 100000 1000000)")
    parser.add_argument("--due", type=int, default=500_000, help="messages of the largest queue that are due (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind (default: %(default)s)")
    parser.add_argument("--work", type=float, default=180, help="seconds at work (default: %(default)s)")
    parser.add_argument("--claims", type=int, default=300, help="claims in each queue (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    if min(arguments.sizes) < CLAIM_LIMIT:
        parser.error(f"a claim takes {CLAIM_LIMIT}: no queue may be smaller")
    arguments.command = " ".join(["./bench queue", *sys.argv[1:]])
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks/queue.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
