"""Searching while mail flows: what a client that searches without pause costs a node that relays at full rate.

A node with a long history relays as in ./bench relay, alternately with and without a client that asks its HTTP API one
question after another. Rounds are short and paired, so that whatever else the machine does hits both alike.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections import defaultdict
from pathlib import Path

from common import Node, REPOSITORY, fresh_folder, free_port, machine, start, stop
from flow import Sink, run_round
from trace import fill

# Of the client; the node has its hash.
TOKEN = "gatepost_bench"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def scatter(index):
    """As in trace_bench, which fills the history."""
    product = index * 0x9E3779B97F4A7C15 % 2**64
    return (product << 29 | product >> 35) % 2**64


def questions(index, messages, days, now):
    """The searches of ./bench trace, as parameters of the API."""
    at = now - days * 86400 * (1 - index / messages)
    week = {"since": stamp(at - 84 * 3600), "until": stamp(at + 84 * 3600)}
    day = {"since": stamp(at - 12 * 3600), "until": stamp(at + 12 * 3600)}
    partner = scatter(index) % 97
    return [
        ("recipient, one week", week | {"recipient": f"user{scatter(index + 1) % 5000}@onprem.test"}),
        ("sender, one week", week | {"sender": f"sender{scatter(index) % 20000}@partner{partner}.test"}),
        ("Message-ID, one week", week | {"message_id": f"{index}@partner.test"}),
        ("network message id, one week", week | {"message": str(uuid.UUID(int=(index + 1) << 32))}),
        ("nothing, first page", {}),
        ("subject contains (nothing does), one day", day | {"subject": "invoice"}),
        ("sender's domain, one day", day | {"sender": "@partner7.test"}),
        ("client's address, one day", day | {"from_ip": "192.0.2.7"}),
        ("reply code (no such), one day", day | {"code": "451"}),
        ("cipher, one day", day | {"cipher": "RC4-SHA"}),
        ("TLS version, one day", day | {"tls_version": "1.0"}),
        ("size over 100 KB, one day", day | {"size_min": "101990"}),
    ]


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def ask_without_pause(url, messages, days, now):
    """The client: a process of its own, which prints a line for each answer."""
    while True:
        index = random.randrange(messages // 10, messages * 9 // 10)
        for name, parameters in questions(index, messages, days, now):
            begin = time.perf_counter()
            asked = f"{url}?{urllib.parse.urlencode(parameters)}"
            request = urllib.request.Request(asked, headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(request) as answer:
                size = len(answer.read())
            print(json.dumps([name, 1000 * (time.perf_counter() - begin), size]), flush=True)


class Searcher:
    """The client's process. Its own work is not what is measured: it gives way to everything else."""

    def __init__(self, url, arguments, now):
        own = [arguments.messages, arguments.days, now]
        command = ["nice", "-n", "19", sys.executable, __file__, "--ask", url, *own]
        self.process = start(command, stdout=-1, text=True)
        self.answers = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        self.answers.extend(json.loads(line) for line in self.process.stdout if line.endswith("\n"))

    def end(self):
        stop(self.process)
        self.reader.join()
        return self.answers


def processor_seconds(pid):
    """Of each of a process's kinds of threads."""
    seconds = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, rest = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        fields = rest.split()
        seconds[name] += (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return seconds


def history(arguments, name="search"):
    """The node's folder, and the time before which its history lies."""
    if arguments.again:
        folder = REPOSITORY / "target/bench" / name
        return folder, float((folder / "filled").read_text())
    folder, now = fresh_folder(name), time.time()
    folder.chmod(0o755)
    fill(folder, arguments)
    (folder / "filled").write_text(str(now))
    return folder, now


def measure(arguments):
    folder, now = history(arguments)
    load = os.getloadavg()[0]
    sink, port = Sink(), free_port()
    token = f'[[api_token]]\nname = "bench"\nsha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"\n'
    node = Node(folder, f"127.0.0.1:{sink.port}", extra=f'[api]\nlisten = ["127.0.0.1:{port}"]\n{token}')
    url = f"http://127.0.0.1:{port}/api/v1/message-traces"
    relay = lambda: run_round(f"127.0.0.1:{node.port}", arguments.relayed, sink, None, arguments)[1]
    relay()
    pairs, answers, shares = [], [], defaultdict(list)

    def searched():
        searcher = Searcher(url, arguments, now)
        time.sleep(0.5)
        before, begin = processor_seconds(node.process.pid), time.monotonic()
        rate = relay()
        passed = time.monotonic() - begin
        for name, seconds in processor_seconds(node.process.pid).items():
            shares[name].append((seconds - before.get(name, 0)) / passed)
        answers.extend(searcher.end())
        time.sleep(0.5)
        return rate

    for number in range(1, arguments.pairs + 1):
        if number % 2:
            plain, beside = relay(), searched()
        else:
            beside, plain = searched(), relay()
        pairs.append((plain, beside))
        print(f"pair {number}: {plain:,.0f} msg/s alone, {beside:,.0f} msg/s beside searches "
              f"({100 * beside / plain - 100:+.1f}%), log {wal_mebibytes(folder):.0f} MiB", file=sys.stderr, flush=True)
    wal = wal_mebibytes(folder)
    stop(node.process)
    stop(sink.process)
    facts = [*machine(folder), f"- load average before the first round: {load:.1f}"]
    return pairs, answers, shares, wal, facts


def wal_mebibytes(folder):
    return (folder / "data/gatepost.db-wal").stat().st_size / 2**20


def report(arguments):
    pairs, answers, shares, wal, facts = measure(arguments)
    changes = [100 * beside / plain - 100 for plain, beside in pairs]
    plain, beside = (statistics.median(column) for column in zip(*pairs))
    times = defaultdict(list)
    for name, milliseconds, _ in answers:
        times[name].append(milliseconds)
    lines = [
        "# Searching while mail flows",
        "",
        f"A node with {arguments.messages:,} messages of history relays {arguments.relayed:,} messages of {arguments.size:,} bytes in each round",
        "(smtp-source → node → smtp-sink, all on one machine), with and without a client that asks its HTTP API one",
        "question after another. Command:",
        "",
        f"    {arguments.command}",
        "",
        "| | end to end, msg/s | lowest … highest |",
        "|---|---:|---:|",
        f"| mail alone | {plain:,.0f} | {min(p for p, _ in pairs):,.0f} … {max(p for p, _ in pairs):,.0f} |",
        f"| beside searches | {beside:,.0f} | {min(b for _, b in pairs):,.0f} … {max(b for _, b in pairs):,.0f} |",
        "",
        f"Beside searches, mail changes by **{statistics.median(changes):+.1f}%** (median of {len(pairs)} pairs of rounds, one right after",
        f"the other; quartiles {' … '.join(f'{q:+.1f}' for q in statistics.quantiles(changes, n=4)[::2])}%). "
        f"The write-ahead log was {wal:.0f} MiB long at the end.",
        "",
        "| search, beside mail | median, ms | slowest, ms | count |",
        "|---|---:|---:|---:|",
        *[f"| {name} | {statistics.median(of):.1f} | {max(of):.1f} | {len(of)} |" for name, of in times.items()],
        "",
        "| threads of the node | share of one core, beside searches |",
        "|---|---:|",
        *[f"| {name} | {100 * statistics.median(of):.0f}% |" for name, of in sorted(shares.items())
          if statistics.median(of) > 0.005],
        "",
        "Searches run on two threads of their own at niceness 15. Their cost to mail is limited by the share of the",
        "processor that the scheduler gives them. While a search reads, the write-ahead log cannot restart. It therefore grows",
        "by everything that arrives during the longest search.",
        "",
        *facts,
        "",
    ]
    return "\n".join(lines)


def main():
    if sys.argv[1:2] == ["--ask"]:
        url, messages, days, now = sys.argv[2:]
        ask_without_pause(url, int(messages), int(days), float(now))
    parser = argparse.ArgumentParser(prog="./bench search", description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000, help="of history (default: %(default)s)")
    parser.add_argument("--days", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--pairs", type=int, default=21, help="of rounds (default: %(default)s)")
    parser.add_argument("--relayed", type=int, default=10_000, help="messages per round (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="with the history of the run before, and what came in since")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.reuse = False
    arguments.command = " ".join(["./bench search", *sys.argv[1:]])
    text = report(arguments)
    print(text)
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/search.md").write_text(text)


if __name__ == "__main__":
    main()
