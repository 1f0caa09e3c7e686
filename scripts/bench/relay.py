"""Relay throughput: smtp-source -> relay -> smtp-sink, for Gatepost, for Postfix, and with no relay between.

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
    IS_ROOT, Node, REPOSITORY, PEERS, fresh_folder, free_port, library, machine, peer, peer_environment, start, stop,
    wait_until_listening,
)

CEILING, POSTFIX, GATEPOST = "no relay", "Postfix", "Gatepost"


class Sink:
    """smtp-sink. It counts on its standard output: `sess=1 quit=1 mesg=1\\r`."""

    def __init__(self):
        self.port = free_port()
        self.messages = 0
        user = ["-u", "nobody"] if IS_ROOT else []
        self.process = start(
            [peer("smtp-sink"), "-c", *user, f"127.0.0.1:{self.port}", "1024"],
            stdout=subprocess.PIPE, env=peer_environment(),
        )
        threading.Thread(target=self._count, daemon=True).start()
        wait_until_listening(self.port, self.process, "smtp-sink")

    def _count(self):
        rest = b""
        # Looking 200 times a second is exact to 5 ms and costs the sink nothing.
        while piece := os.read(self.process.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + piece).split(b"\r")
            if whole:
                self.messages = int(whole[-1].rsplit(b"=", 1)[1])
            time.sleep(0.005)


class Postfix:
    """Postfix as unpacked, with its defaults, relaying all mail to one host. Its queue is durable by design."""

    def __init__(self, folder, relay_host):
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
    def _environment(folder):
        """Gives it its users; and, without root, lets it believe that it became them."""
        for name, users in [("passwd", "postfix:x:4201:4201::/:/bin/false\n"), ("group", "postfix:x:4201:\npostdrop:x:4202:\n")]:
            with open(f"/etc/{name}") as system:
                (folder / name).write_text(system.read() + users)
        environment = peer_environment() | {
            "LD_PRELOAD": library("libnss_wrapper.so"),
            "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(folder / "group"),
        }
        if not IS_ROOT:
            environment["LD_PRELOAD"] += ":" + library("libuid_wrapper.so")
            environment |= {"UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1"}
        return environment


def source(port, messages, arguments):
    """The command line of smtp-source."""
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


def run_round(port, messages, sink, folder, arguments):
    """Messages per second accepted, and end to end, and disk flushes."""
    expected = sink.messages + messages
    flushes_before = flushes(folder)
    begin = time.monotonic()
    subprocess.run(list(map(str, source(port, messages, arguments))), env=peer_environment(), check=True)
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


def measure(arguments):
    folder = fresh_folder("relay")
    folder.chmod(0o755)
    sink = Sink()
    targets = {CEILING: (sink.port, arguments.messages)}
    processes = [sink.process]
    if "postfix" in arguments.relays:
        (folder / "postfix").mkdir()
        postfix = Postfix(folder / "postfix", sink.port)
        targets[POSTFIX] = (postfix.port, arguments.postfix_messages)
        processes.append(postfix.process)
    if "gatepost" in arguments.relays:
        (folder / "gatepost").mkdir()
        node = Node(folder / "gatepost", f"127.0.0.1:{sink.port}")
        targets[GATEPOST] = (node.port, arguments.messages)
        processes.append(node.process)
    results = {name: [] for name in targets}
    for number in range(1, arguments.rounds + 1):
        for name, (port, messages) in targets.items():
            accepted, end_to_end, flushed = run_round(port, messages, sink, folder, arguments)
            results[name].append((accepted, end_to_end, flushed / messages))
            print(f"round {number}, {name}: {accepted:,.0f} msg/s accepted, {end_to_end:,.0f} msg/s end to end, "
                  f"{flushed:,} disk flushes", file=sys.stderr, flush=True)
    for process in reversed(processes):
        stop(process)
    return results, machine(folder)


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
    postfix = (PEERS / "../stamp").read_text().split("postfix\t")[1].split()[0]
    connections = "one connection for many messages (-d)" if arguments.reuse else "a new connection for each message"
    return "\n".join([
        "# Relay throughput",
        "",
        "smtp-source → relay → smtp-sink, all on one machine over loopback without TLS; both relays write each message",
        "to disk (fsync) before they answer 250. Written by the command:",
        "",
        f"    {arguments.command}",
        "",
        *table(results),
        "",
        f"Medians of {arguments.rounds} interleaved rounds of {arguments.messages:,} messages ({arguments.postfix_messages:,} for "
        f"Postfix) of {arguments.size:,} bytes,",
        f"{arguments.sessions} sessions, {connections}. *Accepted*: until smtp-source had its last 250. *End to",
        "end*: until smtp-sink had counted the last message. *The ceiling*: the same with no relay between.",
        "",
        *facts,
        f"- Postfix {postfix} with its defaults, relayhost = smtp-sink",
        "",
    ])


def main():
    parser = argparse.ArgumentParser(prog="./bench relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000, help="per round (default: %(default)s)")
    parser.add_argument("--postfix-messages", type=int, default=5_000, help="per round of Postfix (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="several messages per inbound connection (smtp-source -d)")
    parser.add_argument("--relays", default="postfix,gatepost", help="default: %(default)s")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.command = " ".join(["./bench relay", *sys.argv[1:]])
    text = report(*measure(arguments), arguments)
    print(text)
    if not arguments.no_report:
        path = REPOSITORY / "docs/benchmarks" / ("relay-reuse.md" if arguments.reuse else "relay.md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
