"""Relay throughput: source -> relay -> sink, for Gatepost, for Postfix, and with no relay between.

Source and sink are smtp-source and smtp-sink; with --tls those of the lab, which speak STARTTLS. With --protocol-log,
Gatepost with its protocol logs is measured beside Gatepost without.

The rounds are interleaved, so that whatever else the machine does hits all alike. Both relays stay up for all rounds.
A relay's round ends when smtp-sink has counted its last message.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time

from common import (
    GATEPOST as GATEPOST_PROGRAM, IS_ROOT, Node, REPOSITORY, PEERS, fresh_folder, free_port, library, machine, peer, peer_environment, start, stop,
    wait_until_listening,
)

CEILING, POSTFIX, GATEPOST, SILENT = "no relay", "Postfix", "Gatepost", "Gatepost without protocol logs"
# What --relays calls them: label, and what more their configuration says.
GATEPOSTS = {
    "gatepost": (GATEPOST, ""),
    "gatepost-silent": (SILENT, "protocol_log = false\n[protocol_log]\nreceive = false"),
    "gatepost-withholding": ("Gatepost withholding addresses", "[history]\naddresses = false"),
}
TLS_LOAD = GATEPOST_PROGRAM.parent / "examples/tls_load"


class Sink:
    """smtp-sink, or the lab's. It counts on its standard output: `sess=1 quit=1 mesg=1\\r`, or `1\\n`."""

    def __init__(self, version=None, identity=None):
        self.port = free_port()
        self.messages = 0
        user = ["-u", "nobody"] if IS_ROOT else []
        command = [peer("smtp-sink"), "-c", *user, f"127.0.0.1:{self.port}", "1024"]
        if version:
            command = [TLS_LOAD, "sink", f"127.0.0.1:{self.port}", version, *identity]
        self.process = start(command, stdout=subprocess.PIPE, env=peer_environment())
        threading.Thread(target=self._count, daemon=True).start()
        wait_until_listening(self.port, self.process, "the sink")

    def _count(self):
        rest = b""
        # Looking 200 times a second is exact to 5 ms and costs the sink nothing.
        while piece := os.read(self.process.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + piece).replace(b"\n", b"\r").split(b"\r")
            if whole:
                self.messages = int(whole[-1].rsplit(b"=", 1)[-1])
            time.sleep(0.005)


class Postfix:
    """Postfix as unpacked, with its defaults, relaying all mail to one host. Its queue is durable by design."""

    def __init__(self, folder, relay_host, identity=None):
        self.port = free_port()
        configuration, queue = folder / "etc", folder / "queue"
        for path in [configuration, queue, folder / "data"]:
            path.mkdir()
        names = "active bounce corrupt defer deferred flush hold incoming private public saved trace maildrop pid"
        for name in names.split():
            (queue / name).mkdir()
        environment = self._environment(folder)
        (configuration / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {folder}/data
daemon_directory = {PEERS}/usr/lib/postfix/sbin
command_directory = {PEERS}/usr/sbin
shlib_directory = {PEERS}/usr/lib/postfix
meta_directory = {configuration}
import_environment = MAIL_CONFIG {" ".join(name for name in environment if name != "PATH")}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
relayhost = [127.0.0.1]:{relay_host}
{self._tls(*identity) if identity else ""}
""")
        (configuration / "master.cf").write_text(f"""
{self.port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
retry unix - - n - - error
error unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
""")
        if IS_ROOT:
            for path in [folder / "data", *queue.iterdir()]:
                os.chown(path, 4201, 4202)
            os.chown(queue / "pid", 0, 0)
        self.process = start([PEERS / "usr/lib/postfix/sbin/master", "-c", configuration, "-d"], env=environment)
        wait_until_listening(self.port, self.process, "Postfix")

    @staticmethod
    def _tls(certificate, key):
        return f"""
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtp_tls_security_level = encrypt
"""

    @staticmethod
    def _environment(folder):
        """Gives it its users; and, without root, lets it believe that it became them."""
        for name, users in [("passwd", "postfix:x:4201:4201::/:/bin/false\n"), ("group", "postfix:x:4201:\npostdrop:x:4202:\n")]:
            with open(f"/etc/{name}") as system:
                # The first line counts: the machine may have a user postfix of its own.
                (folder / name).write_text(users + system.read())
        environment = peer_environment() | {
            "LD_PRELOAD": library("libnss_wrapper.so"),
            "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(folder / "group"),
        }
        if not IS_ROOT:
            environment["LD_PRELOAD"] += ":" + library("libuid_wrapper.so")
            environment |= {"UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1"}
        return environment


def source(port, messages, version, arguments):
    """The command line of smtp-source, or of the lab's."""
    if version:
        per_connection = messages if arguments.reuse else 1
        return [TLS_LOAD, "source", f"127.0.0.1:{port}", version, arguments.sessions, messages, arguments.size, per_connection]
    reuse = ["-d"] if arguments.reuse else []
    return [
        peer("smtp-source"), *reuse, "-s", arguments.sessions, "-l", arguments.size, "-m", messages,
        "-f", "sender@partner.test", "-t", "user@onprem.test", f"127.0.0.1:{port}",
    ]


def flushes(folder):
    """Cache flushes that the folder's disk has done so far; 0 where the kernel does not tell."""
    device = os.stat(folder).st_dev
    try:
        with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") as file:
            return int(file.read().split()[15])
    except (OSError, IndexError):
        return 0


def run_round(port, messages, sink, version, folder, arguments):
    """Messages per second accepted, and end to end, and disk flushes."""
    expected = sink.messages + messages
    flushes_before = flushes(folder)
    begin = time.monotonic()
    subprocess.run(list(map(str, source(port, messages, version, arguments))), env=peer_environment(), check=True)
    accepted = time.monotonic()
    last, last_at = sink.messages, accepted
    while sink.messages < expected:
        time.sleep(0.005)
        if sink.messages != last:
            last, last_at = sink.messages, time.monotonic()
        if time.monotonic() - last_at > 60:
            raise SystemExit(f"error: {expected - last} of {messages} messages have not arrived after a minute of silence")
    end = time.monotonic()
    return messages / (accepted - begin), messages / (end - begin), flushes(folder) - flushes_before


class Hop:
    """A sink with the relays before it, all under one TLS version or none."""

    def __init__(self, version, folder, identity, arguments):
        self.version = version
        folder.mkdir()
        self.sink = Sink(version, identity)
        self.targets = {CEILING: (self.sink.port, arguments.messages)}
        self.processes = [self.sink.process]
        tls = "require" if version else "none"
        inbound = 'tls_certificate = "{}"\ntls_key = "{}"'.format(*identity) if version else ""
        for name in arguments.relays.split(","):
            own = folder / name
            own.mkdir()
            if name == "postfix":
                relay, label, messages = Postfix(own, self.sink.port, version and identity), POSTFIX, arguments.postfix_messages
            else:
                label, extra = GATEPOSTS[name]
                relay = Node(own, f"127.0.0.1:{self.sink.port}", extra_inbound=inbound, extra=extra, tls=tls)
                messages = arguments.messages
            self.targets[label] = (relay.port, messages)
            self.processes.append(relay.process)
        self.results = {name: [] for name in self.targets}

    def run(self, number, folder, arguments):
        for name, (port, messages) in self.targets.items():
            accepted, end_to_end, flushed = run_round(port, messages, self.sink, self.version, folder, arguments)
            self.results[name].append((accepted, end_to_end, flushed / messages))
            tls = f", TLS {self.version}" if self.version else ""
            print(f"round {number}{tls}, {name}: {accepted:,.0f} msg/s accepted, {end_to_end:,.0f} msg/s end to end, "
                  f"{flushed:,} disk flushes", file=sys.stderr, flush=True)

    def stop(self):
        for process in reversed(self.processes):
            stop(process)


def measure(arguments):
    folder = fresh_folder("relay")
    folder.chmod(0o755)
    identity = make_identity(folder) if arguments.tls else None
    versions = ["1.3", "1.2"] if arguments.tls else [None]
    hops = [Hop(version, folder / (version or "plain"), identity, arguments) for version in versions]
    for number in range(1, arguments.rounds + 1):
        for hop in hops:
            hop.run(number, folder, arguments)
    for hop in hops:
        hop.stop()
    return {hop.version: hop.results for hop in hops}, machine(folder)


def make_identity(folder):
    """The certificate that a new node makes for itself (P-256): the relays and the sink show the same."""
    (folder / "identity").mkdir()
    stop(Node(folder / "identity").process)
    made = folder / "identity/data"
    return [made / "self-signed.pem", made / "self-signed.key"]


def table(results):
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
    lines = [
        "| | accepted, msg/s | end to end, msg/s | lowest … highest | × Postfix | of the ceiling | disk flushes per message |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (accepted, end_to_end, flushed) in medians.items():
        rates = [row[1] for row in results[name]]
        times = f"{end_to_end / medians[POSTFIX][1]:.1f}" if POSTFIX in medians else ""
        share = f"{100 * end_to_end / medians[CEILING][1]:.0f} %"
        lines.append(f"| {name} | {accepted:,.0f} | {end_to_end:,.0f} | {min(rates):,.0f} … {max(rates):,.0f} | {times} "
                     f"| {share} | {flushed:.3f} |")
    return lines


def report(results, facts, arguments):
    stamp = (PEERS / "../stamp").read_text()
    postfix = stamp.split("postfix\t")[1].split()[0]
    connections = "one connection for many messages" if arguments.reuse else "a new connection for each message"
    on_both = "with TLS on both hops, no session resumed" if arguments.tls else "without TLS"
    title = "# Cost of the protocol logs" if arguments.protocol_log else "# Relay throughput"
    lines = [
        title + (" with TLS" if arguments.tls else ""),
        "",
        f"Source → relay → sink, all on one machine over loopback {on_both}; relays write each message",
        "to disk (fsync) before they answer 250. Written by the command:",
        "",
        f"    {arguments.command}",
        "",
    ]
    for version, rounds in results.items():
        if version:
            lines += [f"## TLS {version}", ""]
        lines += [*table(rounds), ""]
    if arguments.protocol_log:
        lines += [cost(results[None]), ""]
    lines += [
        f"Medians of {arguments.rounds} interleaved rounds of {arguments.messages:,} messages ({arguments.postfix_messages:,} for "
        f"Postfix) of {arguments.size:,} bytes,",
        f"{arguments.sessions} sessions, {connections}. *Accepted*: until the source had its last 250. *End to",
        "end*: until the sink had counted the last message. *The ceiling*: the same with no relay between.",
        "",
        *facts,
        f"- Postfix {postfix} with its defaults, relayhost = the sink",
        "",
    ]
    return "\n".join(lines)


def cost(results):
    """Rounds are paired: each has the two measured one after the other."""
    pairs = zip(results[GATEPOST], results[SILENT])
    costs = [100 * (1 - with_logs[1] / without[1]) for with_logs, without in pairs]
    return (f"With the logs of both sides on, throughput is {statistics.median(costs):.1f} % lower (median of the rounds, "
            f"{min(costs):.1f} … {max(costs):.1f} %).")


def report_name(arguments):
    if arguments.protocol_log:
        return "protocol-log.md"
    return f"relay{'-tls' if arguments.tls else ''}{'-reuse' if arguments.reuse else ''}.md"


def main():
    parser = argparse.ArgumentParser(prog="./bench relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000, help="per round (default: %(default)s)")
    parser.add_argument("--postfix-messages", type=int, default=5_000, help="per round of Postfix (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="several messages per inbound connection")
    parser.add_argument("--tls", action="store_true", help="TLS 1.3 and 1.2, on both hops")
    parser.add_argument("--protocol-log", action="store_true", help="Gatepost with its protocol logs beside Gatepost without")
    parser.add_argument("--relays", default="postfix,gatepost", help=f"of postfix, {', '.join(GATEPOSTS)} (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    if arguments.protocol_log:
        arguments.relays = "gatepost,gatepost-silent"
    arguments.command = " ".join(["./bench relay", *sys.argv[1:]])
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks" / report_name(arguments)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
