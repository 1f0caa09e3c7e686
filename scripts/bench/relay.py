"""Relay throughput and its cost: source -> relay -> sink, for Gatepost, other mail servers, and with no relay between.

Source and sink are smtp-source and smtp-sink; with --tls those of the lab, which support STARTTLS. With --protocol-log,
Gatepost with its protocol logs is measured beside Gatepost without.

All relays stay up for all rounds, and the rounds are interleaved, so that whatever else the machine does affects all of
them alike. A relay's round ends when the sink has counted its last message. Afterwards each relay gets mail at half of
its own median rate, for the time that its replies to the final dot take.

As root, the servers run in private mount and network namespaces with real users.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass

import meter
import relays
import world
from common import Node, REPOSITORY, fresh_folder, machine, stop
from flow import Sink, run_paced, run_round
from order import syncs_before_reply
from relay_report import report

CEILING = "no relay"
# What --relays calls them: label, and what more their configuration says.
GATEPOSTS = {
    "gatepost": ("Gatepost", ""),
    "gatepost-silent": ("Gatepost without protocol logs", "protocol_log = false\n[protocol_log]\nreceive = false"),
    "gatepost-withholding": ("Gatepost withholding addresses", "[history]\naddresses = false"),
}


@dataclass
class Round:
    """One round of one relay; per message where nothing else is said."""

    accepted: float
    end_to_end: float
    cpu_ms: float
    flushes: float
    memory_mib: float


class Target:
    """What the source sends to: a relay with all of its processes in one group, or the sink itself."""

    def __init__(self, name, address, messages, process=None, group=None):
        self.name, self.address, self.messages = name, address, messages
        self.process, self.group = process, group
        self.rounds, self.paced, self.syncs_first = [], [], None

    def stop(self):
        if self.process:
            stop(self.process, seconds=10)
            self.group.kill()


class Hop:
    """A sink with the relays before it, all under one TLS version or none."""

    def __init__(self, version, folder, identity, arguments):
        self.version, self.arguments = version, arguments
        folder.mkdir()
        self.sink = Sink(version, identity)
        self.targets = [Target(CEILING, self.sink.address, arguments.messages)]
        for name in arguments.relays:
            own = folder / name
            own.mkdir()
            # The servers' users must be able to enter.
            own.chmod(0o755)
            self.targets.append(self._relay(name, own, version and identity))

    def _relay(self, name, folder, identity):
        group = meter.group(f"{name}-{self.version or 'plain'}")
        messages = self.arguments.messages
        with group.starting():
            if name in GATEPOSTS:
                label, extra = GATEPOSTS[name]
                inbound = 'tls_certificate = "{}"\ntls_key = "{}"'.format(*identity) if identity else ""
                tls = "require" if identity else "none"
                relay = Node(folder, self.sink.address, extra_inbound=inbound, extra=extra, tls=tls)
            else:
                relay = relays.FOREIGN[name](folder, self.sink.port, identity)
                label, messages = relay.name, max(int(messages * relay.share), 100)
        return Target(label, f"127.0.0.1:{relay.port}", messages, relay.process, group)

    def run(self, number, flushes):
        for target in self.targets:
            target.rounds.append(self._round(target, flushes))
            self._tell(f"round {number}", target, "{0.accepted:,.0f} msg/s accepted, {0.end_to_end:,.0f} end to end, "
                       "{0.cpu_ms:.3f} ms CPU, {0.flushes:.2f} flushes".format(target.rounds[-1]))

    def _round(self, target, flushes):
        if not target.group:
            before = self.sink.seconds()
            rates = self._send(target, target.messages)
            return Round(*rates, 1000 * (self.sink.seconds() - before) / target.messages, 0, 0)
        flushes.begin(target.group)
        before = target.group.seconds()
        with meter.PeakMemory(target.group) as memory:
            rates = self._send(target, target.messages)
        used = target.group.seconds() - before
        return Round(*rates, 1000 * used / target.messages, flushes.count() / target.messages, memory.mebibytes)

    def pace(self, number):
        for target in self.targets[1:]:
            rate = statistics.median(round.end_to_end for round in target.rounds) / 2
            paced = run_paced(target.address, rate, self.arguments.paced_seconds, self.sink, self.version, self.arguments)
            target.paced.append((rate, *paced))
            self._tell(f"paced {number}", target, "{:,.0f} msg/s: median {:.1f} ms, 99th percentile {:.1f} ms, {} failed, "
                       "{} late".format(*target.paced[-1]))

    def warm_up(self):
        """Not counted: servers start processes, and JavaScript is compiled."""
        for target in self.targets:
            self._send(target, target.messages // 4)

    def look_at_order(self):
        for target in self.targets[1:]:
            target.syncs_first = syncs_before_reply(target.group, lambda: self._send(target, 1))

    def _send(self, target, messages):
        return run_round(target.address, messages, self.sink, self.version, self.arguments)

    def _tell(self, what, target, text):
        tls = f", TLS {self.version}" if self.version else ""
        print(f"{what}{tls}, {target.name}: {text}", file=sys.stderr, flush=True)

    def stop(self):
        for target in reversed(self.targets):
            target.stop()
        stop(self.sink.process)


def measure(arguments):
    folder = fresh_folder("relay")
    folder.chmod(0o755)
    identity = make_identity(folder) if arguments.tls else None
    versions = ["1.3", "1.2"] if arguments.tls else [None]
    hops = [Hop(version, folder / (version or "plain"), identity, arguments) for version in versions]
    flushes = meter.flush_counter(folder)
    try:
        for hop in hops:
            hop.warm_up()
        if not arguments.tls:
            hops[0].look_at_order()
        for number in range(1, arguments.rounds + 1):
            for hop in hops:
                hop.run(number, flushes)
        for number in range(1, arguments.paced_rounds + 1):
            for hop in hops:
                hop.pace(number)
    finally:
        flushes.close()
        for hop in hops:
            hop.stop()
    facts = [*machine(folder), f"- {world.description()}", *relays.versions(arguments.relays), *arguments.left_out]
    return hops, facts, flushes.what


def make_identity(folder):
    """The certificate that a new node makes for itself (P-256): the relays and the sink show the same."""
    (folder / "identity").mkdir()
    stop(Node(folder / "identity").process)
    made = folder / "identity/data"
    return [made / "self-signed.pem", made / "self-signed.key"]


def report_name(arguments):
    if arguments.protocol_log:
        return "protocol-log.md"
    return f"relay{'-tls' if arguments.tls else ''}{'-reuse' if arguments.reuse else ''}.md"


def arguments_of_the_command_line():
    parser = argparse.ArgumentParser(prog="./bench relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each relay (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=20_000,
                        help="per round of Gatepost; slower relays get a fixed share of it (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50, help="at once (default: %(default)s)")
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="several messages per inbound connection")
    parser.add_argument("--tls", action="store_true", help="TLS 1.3 and 1.2, on both hops")
    parser.add_argument("--protocol-log", action="store_true", help="Gatepost with its protocol logs beside Gatepost without")
    names = [*relays.FOREIGN, *GATEPOSTS]
    parser.add_argument("--relays", default="postfix,exim,haraka,gatepost", help=f"of {', '.join(names)} (default: %(default)s)")
    parser.add_argument("--paced-rounds", type=int, default=3, help="at half speed, of each relay (default: %(default)s)")
    parser.add_argument("--paced-seconds", type=float, default=8, help="of each of these (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    if arguments.protocol_log:
        arguments.relays = "gatepost,gatepost-silent"
    arguments.relays = arguments.relays.split(",")
    if unknown := set(arguments.relays) - set(names):
        parser.error(f"unknown relay {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    arguments.command = " ".join(["./bench relay", *sys.argv[1:]])
    return arguments


def main():
    arguments = arguments_of_the_command_line()
    world.enter()
    reasons = {name: relays.missing(name) for name in arguments.relays}
    arguments.relays = [name for name in arguments.relays if not reasons[name]]
    arguments.left_out = [f"- {reason}" for reason in reasons.values() if reason]
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks" / report_name(arguments)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
