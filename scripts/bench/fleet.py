"""A fleet on PostgreSQL beside one node with its embedded store, and beside Postfix: source -> nodes -> sink.

The rounds are interleaved. A round with several nodes has a source for each, at the same time. Processor time is that of the
nodes and that of the server apart: on one machine all of them share the cores, on many they do not.
"""

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import meter
import relays
import world
from common import Node, REPOSITORY, fresh_folder, machine, peer_environment, stop
from database import Database
from flow import Sink, source

POSTFIX, EMBEDDED, ONE = "Postfix", "embedded store", "1 node"
FLEETS = [(ONE, 1, False), ("1 node, with a synchronous standby", 1, True), ("2 nodes", 2, False), ("4 nodes", 4, False)]


@dataclass
class Round:
    """Per second, and per message."""

    accepted: float
    end_to_end: float
    cpu_ms: float
    server_ms: float = 0
    wal_bytes: float = 0
    transactions: float = 0


class Target:
    """What the sources send to."""

    def __init__(self, name, addresses, messages, group, stops, database=None):
        self.name, self.addresses, self.messages = name, addresses, messages
        self.group, self.stops, self.database, self.rounds = group, stops, database, []

    def run(self, sink, arguments):
        server = self.database
        before, counted = self.group.seconds(), server.counters() if server else None
        server_before = server.group.seconds() if server else 0
        rates = self.send(self.messages, sink, arguments)
        cpu_ms = 1000 * (self.group.seconds() - before) / self.messages
        round = Round(*rates, cpu_ms)
        if server:
            round.server_ms = 1000 * (server.group.seconds() - server_before) / self.messages
            wal, transactions = [(now - then) / self.messages for now, then in zip(server.counters(), counted)]
            round.wal_bytes, round.transactions = wal, transactions
        self.rounds.append(round)

    def send(self, messages, sink, arguments):
        """Messages per second: accepted by the last of the nodes, and end to end."""
        share = messages // len(self.addresses)
        expected, begin = sink.messages + share * len(self.addresses), time.monotonic()
        own = argparse.Namespace(**vars(arguments) | {"sessions": max(arguments.sessions // len(self.addresses), 1)})
        sources = [
            subprocess.Popen(list(map(str, source(address, share, None, own))), env=peer_environment())
            for address in self.addresses
        ]
        if any(process.wait() for process in sources):
            raise SystemExit("error: a source has failed")
        accepted = time.monotonic()
        end = sink.wait_for(expected, since=accepted)
        return messages / (accepted - begin), messages / (end - begin)

    def stop(self):
        for end in self.stops:
            end()


def postfix(folder, sink, arguments):
    group = meter.group("postfix")
    with group.starting():
        relay = relays.Postfix(folder, sink.port)
    return Target(POSTFIX, [f"127.0.0.1:{relay.port}"], int(arguments.messages * relay.share), group, [relay.stop, group.kill])


def gateposts(folder, label, sink, arguments, nodes=1, database=None):
    group, started = meter.group(f"gatepost-{label.replace(' ', '-').replace(',', '')}"), []
    store = f'[store]\nurl = "{database.url}"\n' if database else ""
    with group.starting():
        for number in range(nodes):
            own = folder / f"node-{number}"
            own.mkdir(parents=True)
            started.append(Node(own, sink.address, extra=store, name=f"bench-{number}"))
    stops = [lambda node=node: stop(node.process) for node in started] + [group.kill] + ([database.stop] if database else [])
    return Target(label, [f"127.0.0.1:{node.port}" for node in started], arguments.messages, group, stops, database)


def measure(arguments):
    folder = fresh_folder("fleet")
    folder.chmod(0o755)
    (folder / "postfix").mkdir()
    (folder / "postfix").chmod(0o755)
    sink = Sink()
    targets = [postfix(folder / "postfix", sink, arguments), gateposts(folder / "embedded", EMBEDDED, sink, arguments)]
    for number, (label, nodes, with_standby) in enumerate(FLEETS):
        database = Database(folder / f"database-{number}", number, with_standby)
        targets.append(gateposts(folder / f"fleet-{number}", label, sink, arguments, nodes, database))
    try:
        for target in targets:
            target.send(target.messages // 4, sink, arguments)
        for number in range(1, arguments.rounds + 1):
            for target in targets:
                target.run(sink, arguments)
                print(f"round {number}, {target.name}: {target.rounds[-1]}", file=sys.stderr, flush=True)
    finally:
        for target in targets:
            target.stop()
        stop(sink.process)
    return targets, [*machine(folder), f"- {world.description()}", "- PostgreSQL 15 with `synchronous_commit = on` and fsync"]


def column(target, name):
    return statistics.median(getattr(round, name) for round in target.rounds)


def ratio(target, targets, name):
    """Median of the rounds' ratios: the two were measured one shortly after the other."""
    base = next(other for other in targets if other.name == name)
    return statistics.median(one.end_to_end / other.end_to_end for one, other in zip(target.rounds, base.rounds))


def report(targets, facts, arguments):
    lines = [
        "# A fleet on PostgreSQL", "",
        "Source → nodes → sink, with the server, all on one machine over loopback, without TLS. Command:", "",
        f"    {arguments.command}", "",
        "| | accepted, msg/s | end to end, msg/s | lowest … highest | × Postfix | × embedded | × 1 node |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for target in targets:
        rates = [round.end_to_end for round in target.rounds]
        times = " | ".join(f"{ratio(target, targets, name):.2f}" for name in (POSTFIX, EMBEDDED, ONE))
        lines.append(f"| {target.name} | {column(target, 'accepted'):,.0f} | {column(target, 'end_to_end'):,.0f} "
                     f"| {min(rates):,.0f} … {max(rates):,.0f} | {times} |")
    lines += [
        "", "| per message | CPU time of the nodes, ms | CPU time of the server, ms | WAL, KB | transactions |",
        "|---|---:|---:|---:|---:|",
    ]
    for target in targets:
        server = [f"{column(target, 'server_ms'):.3f}", f"{column(target, 'wal_bytes') / 1000:.1f}",
                  f"{column(target, 'transactions'):.2f}"] if target.database else ["", "", ""]
        lines.append(f"| {target.name} | {column(target, 'cpu_ms'):.3f} | {' | '.join(server)} |")
    messages = ", ".join(f"{target.messages:,} for {target.name}" for target in targets[:2])
    return "\n".join([*lines, "", f"Medians of {arguments.rounds} interleaved rounds ({messages} and each fleet) of "
                      f"{arguments.size:,} bytes, {arguments.sessions} sessions, a new connection for each message.",
                      "Each fleet has a server of its own. The standby is another PostgreSQL server on the same disk; the server's CPU time includes it.",
                      "", *facts, ""])


def arguments_of_the_command_line():
    parser = argparse.ArgumentParser(prog="./bench fleet", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=10_000, help="per round; a quarter for Postfix (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50, help="at once, over all nodes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.command, arguments.reuse = " ".join(["./bench fleet", *sys.argv[1:]]), False
    return arguments


def main():
    arguments = arguments_of_the_command_line()
    world.enter()
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks/fleet.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
