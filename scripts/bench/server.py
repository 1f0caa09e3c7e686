"""What a long queue and a long history cost on a PostgreSQL server: claims among a million due deliveries, an open
transaction beside them, minutes of deferring, and traces.

Nodes are played by the store's own interface (crates/store/examples): they claim, and defer what they have claimed.
"""

import argparse
import statistics
import subprocess
import sys
import time

import world
from common import GATEPOST, REPOSITORY, fresh_folder, machine, peer_environment
from database import PROGRAMS, Database

EXAMPLES = GATEPOST.parent / "examples"
MIB = 1024 * 1024
TABLES = "'queue_delivery', 'queue_message', 'body', 'queue_delivery_due', 'queue_delivery_review', 'queue_delivery_pkey', 'queue_delivery_leased'"
# What is deferred is due again at once, and comes last: the queue stays as long as it is.
AT_ONCE = 0


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(example, *arguments):
    done = subprocess.run([EXAMPLES / example, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def fill(database, count, due):
    begin = time.monotonic()
    run("fill_queue", "fill", database.url, count, due)
    database.sql("VACUUM (ANALYZE) queue_delivery, queue_message, body")
    say(f"{count:,} messages, {due:,} of them due: filled in {time.monotonic() - begin:.0f} s")


class Work:
    """Nodes that claim and defer: deliveries per second, microseconds per delivery, and the server's processor time."""

    def __init__(self, database, nodes, seconds, wait):
        before, begin = database.group.seconds(), time.monotonic()
        deliveries, claim, settle = run("fill_queue", "nodes", database.url, nodes, seconds, wait).split()
        self.deliveries, self.claim_us, self.settle_us = int(deliveries), float(claim), float(settle)
        self.rate = self.deliveries / (time.monotonic() - begin)
        self.server_us = 1e6 * (database.group.seconds() - before) / max(self.deliveries, 1)

    def row(self, name):
        return f"| {name} | {self.rate:,.0f} | {self.claim_us:.0f} | {self.settle_us:.0f} | {self.server_us:.0f} |"


class Snapshot:
    """A transaction that is left open, as a backup's or a forgotten session's."""

    def __init__(self, database):
        command = [PROGRAMS / "psql", "--quiet", "--host", "127.0.0.1", "--port", database.port, "--username", "gatepost", "gatepost"]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=peer_environment() | {"LC_ALL": "C.UTF-8"})
        self.process.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM member;\n")
        self.process.stdin.flush()
        time.sleep(0.5)

    def end(self):
        self.process.communicate("COMMIT;\n")


def measure_claims(folder, arguments):
    database = Database(folder / "claims", "claims")
    fill(database, arguments.messages, arguments.messages)
    rows = []
    for nodes in (1, 4):
        works = [Work(database, nodes, arguments.seconds, AT_ONCE) for _ in range(arguments.rounds)]
        work = sorted(works, key=lambda work: work.rate)[len(works) // 2]
        rows.append(work.row(f"{nodes} node{'s' * (nodes > 1)}"))
        say(rows[-1])
    # Interleaved, so that whatever else the machine does hits both.
    without, beside = [], []
    for _ in range(arguments.rounds):
        without.append(Work(database, 1, arguments.snapshot, AT_ONCE))
        snapshot = Snapshot(database)
        beside.append(Work(database, 1, arguments.snapshot, AT_ONCE))
        snapshot.end()
        database.sql("VACUUM queue_delivery")
    middle = lambda works: sorted(works, key=lambda work: work.server_us)[len(works) // 2]
    for name, works in (("1 node, no open transaction", without), ("1 node, beside an open transaction", beside)):
        rows.append(middle(works).row(name))
        say(rows[-1])
    ratio = statistics.median(work.server_us for work in beside) / statistics.median(work.server_us for work in without)
    database.stop()
    return rows, ratio


def sizes(database):
    rows = database.sql(f"SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname IN ({TABLES})")
    return {name: int(size) for name, size in (row.split("|") for row in rows.splitlines())}


def measure_deferring(folder, arguments):
    database = Database(folder / "deferring", "deferring")
    fill(database, arguments.deferred, arguments.deferred)
    before = sizes(database)
    work = Work(database, 4, arguments.deferring, 30)
    after = sizes(database)
    database.stop()
    say(f"{work.deliveries:,} deferrals in {arguments.deferring} s")
    return work, before, after


def measure_traces(folder, arguments):
    database = Database(folder / "traces", "traces")
    begin = time.monotonic()
    run("trace_bench", "fill", database.url, arguments.history, arguments.days)
    database.sql("VACUUM (ANALYZE)")
    say(f"{arguments.history:,} messages of history: filled in {time.monotonic() - begin:.0f} s")
    lines = run("trace_bench", "search", database.url, arguments.history, arguments.days).splitlines()
    database.stop()
    return [line.split("\t") for line in lines]


def report(arguments, claims, deferring, traces):
    lines = ["# A PostgreSQL server with a long queue and a long history", "",
             "Nodes that claim 200 deliveries at a time and defer them, through the store's own interface. Command:", "",
             "    " + " ".join(["./bench server", *sys.argv[1:]]), ""]
    if claims:
        rows, ratio = claims
        lines += [f"A queue of {arguments.messages:,} due deliveries; medians of {arguments.rounds} rounds. Time per delivery in microseconds:", "",
                  "| | deliveries/s | claim | settle | CPU time of the server |", "|---|---:|---:|---:|---:|", *rows, "",
                  f"Beside an open transaction, the server needs {ratio:.2f} × the CPU time "
                  f"({arguments.snapshot} s each, {arguments.rounds} times in turn).", ""]
    if deferring:
        work, before, after = deferring
        lines += [f"{arguments.deferred:,} deliveries in the queue, deferred again and again by four nodes for "
                  f"{arguments.deferring // 60} minutes: {work.deliveries:,} times. Size in MiB:", "",
                  "| | at the start | at the end | ratio |", "|---|---:|---:|---:|"]
        lines += [f"| `{name}` | {before[name] / MIB:.1f} | {after[name] / MIB:.1f} | {after[name] / max(before[name], 1):.1f} |"
                  for name in sorted(before, key=before.get, reverse=True)]
        lines += [""]
    if traces:
        lines += [f"A history of {arguments.history:,} messages over {arguments.days} days, with five events each. Milliseconds:", "",
                  "| search | median | slowest of 41 | rows |", "|---|---:|---:|---:|"]
        lines += [f"| {name} | {median} | {slowest} | {int(rows):,} |" for name, median, slowest, rows in traces]
        lines += [""]
    return "\n".join([*lines, *machine(fresh_folder("server-machine")), "- PostgreSQL 15 with `synchronous_commit = on` and fsync", ""])


def arguments_of_the_command_line():
    parser = argparse.ArgumentParser(prog="./bench server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="due deliveries for the claims (%(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of each round of claims (%(default)s)")
    parser.add_argument("--snapshot", type=int, default=60, help="seconds beside an open transaction (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--deferred", type=int, default=100_000, help="deliveries that are deferred again and again (%(default)s)")
    parser.add_argument("--deferring", type=int, default=600, help="for how many seconds (%(default)s)")
    parser.add_argument("--history", type=int, default=3_000_000, help="messages of history for the traces (%(default)s)")
    parser.add_argument("--days", type=int, default=6, help="over which the history is spread (%(default)s)")
    parser.add_argument("--only", choices=["claims", "deferring", "traces"], help="one part")
    parser.add_argument("--no-report", action="store_true", help="leave docs/benchmarks alone")
    return parser.parse_args()


def main():
    arguments = arguments_of_the_command_line()
    world.enter()
    folder = fresh_folder("server")
    parts = {"claims": measure_claims, "deferring": measure_deferring, "traces": measure_traces}
    wanted = [arguments.only] if arguments.only else list(parts)
    results = {name: parts[name](folder, arguments) for name in wanted}
    text = report(arguments, results.get("claims"), results.get("deferring"), results.get("traces"))
    print(text)
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/server.md").write_text(text)


if __name__ == "__main__":
    main()
