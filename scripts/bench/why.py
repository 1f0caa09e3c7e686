"""Naming causes: a million attempts, from evidence to findings."""

import argparse
import json
import statistics
import subprocess
import sys

from common import REPOSITORY, fresh_folder, machine


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-report", action="store_true")
    arguments = parser.parse_args()
    program = REPOSITORY / "target/release/examples/why_speed"
    results = []
    for number in range(arguments.rounds):
        output = subprocess.run([program, str(arguments.attempts)], check=True, stdout=subprocess.PIPE).stdout
        results.append(json.loads(output))
        print(f"round {number + 1}: {results[-1]['total_s']:.2f} s", file=sys.stderr)
    total = [result["total_s"] for result in results]
    gather = statistics.median(result["gather_s"] for result in results)
    report = f"""# Naming causes

{arguments.attempts:,} attempts to 50 destinations from 16 nodes under two policies; ten destinations fail from half of the nodes.
Command: ./bench why {" ".join(sys.argv[1:])}

| | |
|---|---:|
| from attempts to findings, median of {arguments.rounds} | {statistics.median(total):.2f} s |
| fastest, slowest | {min(total):.2f}, {max(total):.2f} s |
| of that, gathering | {gather:.2f} s |
| peak memory | {max(result["peak_mib"] for result in results)} MiB |
| findings | {results[0]["findings"]} |

{chr(10).join(machine(fresh_folder("why")))}
"""
    if not arguments.no_report:
        (REPOSITORY / "docs/benchmarks/why.md").write_text(report)
    print(report)


main()
