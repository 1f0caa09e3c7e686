"""Searching a long history: look-ups and filters over millions of messages, and the speed of an export."""

import argparse
import os
import subprocess
import sys
import time

from common import GATEPOST, REPOSITORY, fresh_folder, machine

BENCH = GATEPOST.parent / "examples/trace_bench"
EXPORTS = [("csv", ["--format", "csv"]), ("csv, a row for each event", ["--detail", "--format", "csv"])]


def fill(folder, arguments):
    begin = time.monotonic()
    print(f"filling {folder} with {arguments.messages:,} messages", file=sys.stderr, flush=True)
    command = [BENCH, "fill", folder / "data", arguments.messages, arguments.days]
    subprocess.run(list(map(str, command)), check=True)
    return time.monotonic() - begin


def search(folder, arguments):
    command = [BENCH, "search", folder / "data", arguments.messages, arguments.days]
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in output.splitlines()]


def export(folder, options, rows):
    """Rows per second, and the process's memory at its highest."""
    configuration = folder / "gatepost.toml"
    configuration.write_text('[node]\nname = "bench"\ndata = "data"\n')
    command = [GATEPOST, "--config", configuration, "trace", "--limit", str(rows), *options]
    begin = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    lines = sum(piece.count(b"\n") for piece in iter(lambda: process.stdout.read(1 << 20), b""))
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"error: the export ended with {status}")
    return (lines - 1) / (time.monotonic() - begin), usage.ru_maxrss / 1024


def report(arguments):
    folder = fresh_folder("trace")
    seconds = fill(folder, arguments)
    searches = search(folder, arguments)
    exports = [(name, *export(folder, options, arguments.export_rows)) for name, options in EXPORTS]
    size = sum(path.stat().st_size for path in (folder / "data").iterdir()) / 2**30
    lines = [
        "# Searching the history",
        "",
        f"{arguments.messages:,} messages with five events each, over {arguments.days} days: {size:.1f} GiB in the embedded store,",
        f"filled in {seconds:.0f} s. Command:",
        "",
        f"    {arguments.command}",
        "",
        "| search | median, ms | slowest, ms | rows |",
        "|---|---:|---:|---:|",
        *[f"| {name} | {median} | {slowest} | {rows} |" for name, median, slowest, rows in searches],
        "",
        "Medians of 41 searches, each for a different message from the middle, with the file in the system's cache.",
        "",
        "| export | rows/s | memory, MiB |",
        "|---|---:|---:|",
        *[f"| {name} | {rate:,.0f} | {memory:.0f} |" for name, rate, memory in exports],
        "",
        f"`gatepost trace --limit {arguments.export_rows}` to its end, including the start of the program.",
        "",
        *machine(folder),
        "",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="./bench trace", description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000, help="default: %(default)s")
    parser.add_argument("--days", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--export-rows", type=int, default=500_000, help="messages to export (default: %(default)s)")
    parser.add_argument("--no-report", action="store_true", help="print only; leave docs/benchmarks alone")
    arguments = parser.parse_args()
    arguments.command = " ".join(["./bench trace", *sys.argv[1:]])
    text = report(arguments)
    print(text)
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/trace.md").write_text(text)


if __name__ == "__main__":
    main()
