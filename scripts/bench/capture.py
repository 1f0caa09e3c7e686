"""Reading captures: gatepost capture beside tshark, the same file, the same filter, one core each."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import REPOSITORY, fresh_folder, machine

FILTER = "tcp.port == 25 and not tcp.analysis.retransmission and not tcp.analysis.duplicate_ack"
PEERS = REPOSITORY / "target/peers/root"


def timed(command, env=None):
    """Seconds, peak memory in MiB, and what it printed."""
    began = time.monotonic()
    process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return time.monotonic() - began, usage.ru_maxrss / 1024, output


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-report", action="store_true")
    arguments = parser.parse_args()
    folder = fresh_folder("capture")
    file = folder / "capture.pcap"
    subprocess.run([REPOSITORY / "target/release/examples/capture_make", file, str(arguments.megabytes)], check=True)
    size = file.stat().st_size / 1e6
    libraries = [PEERS / "usr/lib/x86_64-linux-gnu", PEERS / "lib/x86_64-linux-gnu"]
    env = os.environ | {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "WIRESHARK_DATA_DIR": str(PEERS / "usr/share/wireshark"),
    }
    gatepost = [REPOSITORY / "target/release/gatepost", "capture", file, "--keep-duplicates", "--filter", FILTER]
    tshark = [PEERS / "usr/bin/tshark", "-n", "-r", file, "-Y", FILTER, "-T", "fields", "-e", "frame.number"]
    ours, theirs, memory, their_memory = [], [], [], []
    for number in range(arguments.rounds):
        seconds, mib, output = timed([*gatepost, "--count"])
        passed = int(output.split()[0])
        ours.append(seconds)
        memory.append(mib)
        seconds, mib, output = timed(tshark, env)
        theirs.append(seconds)
        their_memory.append(mib)
        if passed != output.count("\n"):
            sys.exit(f"gatepost lets {passed} packets pass, tshark {output.count(chr(10))}")
        print(f"round {number + 1}: gatepost {ours[-1]:.2f} s, tshark {theirs[-1]:.2f} s, {theirs[-1] / ours[-1]:.1f} times", file=sys.stderr)
    sessions, sessions_mib, _ = timed(gatepost)
    ratio = statistics.median(their / our for our, their in zip(ours, theirs))
    report = f"""# Reading captures

A capture of {size:,.0f} MB (SMTP in plaintext and with STARTTLS, some segments sent twice) with the filter of the story, on one core:

    {FILTER}

Command: ./bench capture {" ".join(sys.argv[1:])}

| | seconds | MB/s | peak memory, MiB |
|---|---:|---:|---:|
| gatepost, packets that pass | {statistics.median(ours):.2f} | {size / statistics.median(ours):,.0f} | {max(memory):.0f} |
| gatepost, and all sessions | {sessions:.2f} | {size / sessions:,.0f} | {sessions_mib:.0f} |
| tshark | {statistics.median(theirs):.2f} | {size / statistics.median(theirs):,.0f} | {max(their_memory):,.0f} |

The same number of packets passes in both. Gatepost is **{ratio:.1f} times** as fast (median of {arguments.rounds} paired rounds).

{chr(10).join(machine(folder))}
"""
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/capture.md").write_text(report)
    print(report)


main()
