"""The console while mail flows: how long each page takes, with a long history and mail at half of the rate that the node can
reach, and what people who only look cost mail.
"""

import argparse
import html.parser
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

from common import GATEPOST, Node, REPOSITORY, free_port, machine, start, stop, wait_until_listening
from flow import Sink, run_paced, run_round
from search import history, scatter, stamp

# Milliseconds at the 95th percentile that each kind of page may take.
TARGETS = {"page": 100, "indexed": 150, "search": 500}


class Forms(html.parser.HTMLParser):
    """The first form's address and fields, and all links of a page."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.links = None, {}, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "a":
            self.links.append(attributes.get("href") or "")
        if tag == "form" and self.action is None:
            self.action = attributes.get("action") or ""
        if tag == "input" and "name" in attributes:
            self.fields.setdefault(attributes["name"], attributes.get("value") or "")


class Browser:
    """A person who has logged in. It follows no page's links by itself, and keeps the cookie."""

    def __init__(self, base):
        self.base = base
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def get(self, path):
        with self.opener.open(self.base + path, timeout=60) as answer:
            return answer.read()

    def accept(self, link):
        """Accepts an invitation: chooses a password, which logs in."""
        path = urllib.parse.urlsplit(link).path
        form = Forms(self.get(path).decode())
        secret = str(uuid.uuid4())
        fields = {name: value or secret for name, value in form.fields.items()}
        request = urllib.request.Request(
            urllib.parse.urljoin(self.base + path, form.action or path),
            urllib.parse.urlencode(fields).encode(),
            {"Origin": self.base, "Sec-Fetch-Site": "same-origin"},
        )
        self.opener.open(request, timeout=60).read()


def log_in(node, base):
    command = [GATEPOST, "--config", node.configuration, "user", "invite", "bench", "--role", "administrator"]
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    browser = Browser(base)
    browser.accept(re.search(r"https?://\S+/invite/\S+", printed).group())
    return browser


def pages(browser, arguments, now):
    """Kind, name and path of each page that is measured."""
    index = arguments.messages // 2
    at = now - arguments.days * 86400 * (1 - index / arguments.messages)
    week = {"since": stamp(at - 84 * 3600), "until": stamp(at + 84 * 3600)}
    day = {"since": stamp(at - 12 * 3600), "until": stamp(at + 12 * 3600)}
    trace = lambda **conditions: "/trace?" + urllib.parse.urlencode(conditions)
    incidents = [link for link in Forms(browser.get("/incidents").decode()).links if re.fullmatch(r"/incidents/[0-9a-f-]{36}", link)]
    if not incidents:
        raise SystemExit("error: no incident has opened, so its page cannot be measured")
    return [
        ("page", "Overview", "/"),
        ("page", "Incident", incidents[0]),
        ("page", "Queue", "/queue"),
        ("page", "Message", f"/messages/{uuid.UUID(int=(index + 1) << 32)}"),
        ("page", "Rollout", "/rollout"),
        ("indexed", "trace by recipient, one week", trace(**week, recipient=f"user{scatter(index + 1) % 5000}@onprem.test")),
        ("indexed", "trace by sender, one week",
         trace(**week, sender=f"sender{scatter(index) % 20000}@partner{scatter(index) % 97}.test")),
        ("indexed", "trace by Message-ID, one week", trace(**week, message_id=f"{index}@partner.test")),
        ("search", "trace by subject (nothing has it), one day", trace(**day, subject="invoice")),
        ("search", "trace by size over 100 KB, one day", trace(**day, size_min="101990")),
    ]


def stuck_mail(node, arguments):
    """Messages that wait for a destination with which no TLS is possible, so that an incident opens."""
    for number in range(60):
        send = [GATEPOST, "case", "send", f"user{number}@stuck.test", "--to", f"127.0.0.1:{node.port}"]
        subprocess.run(list(map(str, send)), check=True, capture_output=True)


def configuration(console, device):
    return f"""
[console]
listen = ["127.0.0.1:{console}"]
[[accepted_domain]]
name = "stuck.test"
connector = "stuck"
[[connector]]
name = "stuck"
hosts = ["127.0.0.1:{device}"]
tls = "encrypt"
[watch]
messages = 20
interval = "1s"
"""


def measure(arguments):
    folder, now = history(arguments, "console")
    load = os.getloadavg()[0]
    device, console = free_port(), free_port()
    stuck = start([GATEPOST, "case", "device", "rc4-only", "--listen", f"127.0.0.1:{device}"], stdout=subprocess.DEVNULL)
    wait_until_listening(device, stuck, "the faulty server")
    sink = Sink()
    node = Node(folder, sink.address, extra=configuration(console, device))
    browser = log_in(node, f"http://127.0.0.1:{console}")
    stuck_mail(node, arguments)
    full = statistics.median(run_round(f"127.0.0.1:{node.port}", arguments.relayed, sink, None, arguments)[1] for _ in range(3))
    rate = full / 2
    print(f"full rate: {full:,.0f} msg/s; measuring at {rate:,.0f}", file=sys.stderr, flush=True)
    seconds = arguments.visits * len(TARGETS) * 2
    mail = []
    sender = threading.Thread(
        target=lambda: mail.append(run_paced(f"127.0.0.1:{node.port}", rate, seconds, sink, None, arguments)), daemon=True)
    measured = pages(browser, arguments, now)
    times, sizes = {name: [] for _, name, _ in measured}, {}
    sender.start()
    rounds = 0
    while rounds < arguments.visits and sender.is_alive():
        rounds += 1
        for _, name, path in measured:
            begin = time.perf_counter()
            sizes[name] = len(browser.get(path))
            times[name].append(1000 * (time.perf_counter() - begin))
            time.sleep(0.05)
    beside = rounds == arguments.visits
    sender.join()
    for process in (node.process, sink.process, stuck):
        stop(process)
    facts = [*machine(folder), f"- load average before the first round: {load:.1f}"]
    return measured, times, sizes, rate, mail[0], beside, facts


def report(arguments):
    measured, times, sizes, rate, (median, high, failed, _), beside, facts = measure(arguments)
    percentile = lambda of: sorted(of)[min(len(of) - 1, int(0.95 * len(of)))]
    lines = [
        "# The console while mail flows",
        "",
        f"A node with {arguments.messages:,} messages of history relays {rate:,.0f} messages of {arguments.size:,} bytes a second, half of what",
        "it can, and a person opens one page after another. An answer is complete with its last byte. Command:",
        "",
        f"    {arguments.command}",
        "",
        "| page | median, ms | p95, ms | asked, ms | KB | visits |",
        "|---|---:|---:|---:|---:|---:|",
        *[f"| {name} | {statistics.median(times[name]):.0f} | {percentile(times[name]):.0f} | {TARGETS[kind]} | "
          f"{sizes[name] / 1000:.1f} | {len(times[name])} |" for kind, name, _ in measured],
        "",
        f"Beside that, mail was answered 250 after {median:.1f} ms (median; 99th percentile {high:.0f} ms), and {failed} messages failed.",
        *([] if beside else ["Mail ended before all visits were made."]),
        "",
        *facts,
        "",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="./bench console", description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000, help="of history (default: %(default)s)")
    parser.add_argument("--days", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--visits", type=int, default=40, help="to each page (default: %(default)s)")
    parser.add_argument("--relayed", type=int, default=10_000, help="messages of a round that shows the full rate (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=10 * 1024, help="bytes of a message's body (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="with the history of the run before, and what came in since")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.reuse = True
    arguments.command = " ".join(["./bench console", *sys.argv[1:]])
    text = report(arguments)
    print(text)
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/console.md").write_text(text)


if __name__ == "__main__":
    main()
