"""Memory of idle inbound connections: the node's resident memory with and without them.

Two kinds of idle: a client that connected and said nothing, and one that said EHLO and was answered. Each measurement
has a node of its own, because a process seldom gives memory back.
"""

import argparse
import resource
import selectors
import socket
import statistics
import sys
import time

from common import Node, REPOSITORY, fresh_folder, machine, resident_kib, stop

# Besides the connections: files, the store, pipes.
OTHER_DESCRIPTORS = 200
TARGET_CONNECTIONS, TARGET_MIB = 1_000, 50
# Connections that are opened at a time; the kernel's queue of a listener is not long.
OPENED_AT_ONCE = 100
SILENT, GREETED = "nothing sent", "EHLO answered"


def read_replies(sockets, seconds=60):
    """Waits until each of the sockets has had one whole reply."""
    selector = selectors.DefaultSelector()
    for each in sockets:
        selector.register(each, selectors.EVENT_READ, bytearray())
    deadline = time.monotonic() + seconds
    while selector.get_map():
        ready = selector.select(1)
        if not ready and time.monotonic() > deadline:
            raise SystemExit(f"error: {len(selector.get_map())} connections were not answered")
        for key, _ in ready:
            piece = key.fileobj.recv(4096)
            if not piece:
                raise SystemExit(f"error: a connection was closed after {bytes(key.data)!r}")
            key.data.extend(piece)
            lines = key.data.split(b"\r\n")
            # The last line of a reply has a space after its code.
            if lines[-1] == b"" and lines[-2][3:4] == b" ":
                if lines[-2][:1] != b"2":
                    raise SystemExit(f"error: a connection was answered {lines[-2].decode()}")
                selector.unregister(key.fileobj)


def open_connections(port, count, kind):
    sockets = []
    while len(sockets) < count:
        some = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(min(OPENED_AT_ONCE, count - len(sockets)))]
        read_replies(some)
        if kind == GREETED:
            for each in some:
                each.sendall(b"EHLO client.test\r\n")
            read_replies(some)
        sockets += some
    return sockets


def measure_once(count, kind, arguments):
    """Resident memory in KiB: without connections, with them, and the highest ever."""
    folder = fresh_folder("idle")
    # A tenth of connections_max is kept for clients that have no connection yet.
    limits = f'connections_max = {2 * count + 100}\nconnections_per_client_max = {count + 100}\ncommand_timeout = "1h"'
    node = Node(folder, extra_inbound=limits)
    time.sleep(1)
    before = node.resident_kib()
    sockets = open_connections(node.port, count, kind)
    # Long enough for the node to notice that they are idle.
    time.sleep(arguments.settle)
    after = node.resident_kib()
    highest = resident_kib(node.process.pid, "VmHWM")
    # They are all still there and answer.
    for each in sockets:
        each.sendall(b"NOOP\r\n")
    read_replies(sockets)
    for each in sockets:
        each.close()
    stop(node.process)
    return before, after, highest


def measure(arguments):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cases, left_out = {}, []
    for count in arguments.connections:
        if count + OTHER_DESCRIPTORS > hard:
            left_out.append(f"- {count:,} connections were left out: a process may open {hard:,} files here")
        else:
            cases |= {(count, kind): [] for kind in (SILENT, GREETED)}
    for number in range(1, arguments.rounds + 1):
        for (count, kind), rows in cases.items():
            rows.append(measure_once(count, kind, arguments))
            before, after, _ = rows[-1]
            print(f"round {number}, {count:,} connections, {kind}: {before:,} -> {after:,} KiB, "
                  f"{(after - before) * 1024 / count:,.0f} bytes each", file=sys.stderr, flush=True)
    return cases, machine(fresh_folder("idle")) + left_out


def table(cases):
    lines = [
        "| idle connections | state | resident before, MiB | resident with them, MiB | highest, MiB | bytes per connection | target |",
        "|---:|---|---:|---:|---:|---:|---|",
    ]
    for (count, kind), rows in cases.items():
        before, after, highest = (statistics.median(column) for column in zip(*rows))
        each = statistics.median((row[1] - row[0]) * 1024 / count for row in rows)
        target = ""
        if count == TARGET_CONNECTIONS:
            target = f"under {TARGET_MIB} MiB: {'met' if after / 1024 < TARGET_MIB else 'MISSED'}"
        lines.append(f"| {count:,} | {kind} | {before / 1024:.1f} | {after / 1024:.1f} | {highest / 1024:.1f} "
                     f"| {each:,.0f} | {target} |")
    return lines


def report(cases, facts, arguments):
    return "\n".join([
        "# Idle inbound connections",
        "",
        "Clients connect over loopback, without TLS, and then say nothing. Command:",
        "",
        f"    {arguments.command}",
        "",
        *table(cases),
        "",
        f"Medians of {arguments.rounds} interleaved rounds, each with a new node. *Nothing sent*: the client has read the greeting.",
        f"*EHLO answered*: the client has sent EHLO and read the reply. *With them*: {arguments.settle:g} s after the last connection; at the end",
        "each client sends NOOP, and each must get an answer. *Highest*: peak (VmHWM) before that, including the making of the connections.",
        "The figures do not include the kernel's memory for the sockets.",
        "",
        *facts,
        "",
    ])


def main():
    parser = argparse.ArgumentParser(prog="./bench idle", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--connections", type=int, nargs="+", default=[1_000, 10_000], help="default: 1000 10000")
    parser.add_argument("--settle", type=float, default=5, help="seconds before the memory is read (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.command = " ".join(["./bench idle", *sys.argv[1:]])
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks/idle.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
