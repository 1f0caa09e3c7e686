"""The report of ./bench relay as Markdown."""

import statistics

CEILING, POSTFIX = "no relay", "Postfix"


def report(hops, facts, flushes_are, arguments):
    connections = "one connection for many messages" if arguments.reuse else "a new connection for each message"
    on_both = "with TLS on both hops, no session resumed" if arguments.tls else "without TLS"
    lines = [
        ("# Cost of the protocol logs" if arguments.protocol_log else "# Relay throughput") + (" with TLS" if arguments.tls else ""),
        "",
        f"Source → relay → sink, all on one machine over loopback {on_both}. Command:",
        "",
        f"    {arguments.command}",
        "",
    ]
    for hop in hops:
        lines += [f"## TLS {hop.version}", ""] if hop.version else []
        lines += [*throughput(hop.targets), "", *costs(hop.targets), ""]
    if arguments.protocol_log:
        lines += [cost_of_logs(hops[0].targets), ""]
    lines += method(hops, connections, flushes_are, arguments)
    return "\n".join([*lines, "", *facts, ""])


def median(values):
    return statistics.median(values)


def ratio_to(targets, name, target):
    """Median of the rounds' ratios: the two were measured one shortly after the other."""
    other = next((target for target in targets if target.name == name), None)
    if other is None:
        return None
    return median(one.end_to_end / base.end_to_end for one, base in zip(target.rounds, other.rounds))


def throughput(targets):
    lines = [
        "| | accepted, msg/s | end to end, msg/s | lowest … highest | × Postfix | of the ceiling |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for target in targets:
        rates = [one.end_to_end for one in target.rounds]
        times, share = ratio_to(targets, POSTFIX, target), ratio_to(targets, CEILING, target)
        lines.append(
            f"| {target.name} | {median(one.accepted for one in target.rounds):,.0f} | {median(rates):,.0f} "
            f"| {min(rates):,.0f} … {max(rates):,.0f} | {f'{times:.1f}' if times else ''} | {100 * share:.0f}% |")
    return lines


def costs(targets):
    heads = ["", "CPU time per message, ms", "disk flushes per message", "peak memory, MiB", "99th percentile of the 250, ms", "at msg/s"]
    # Under TLS the system calls do not show which reply is written.
    shows_order = any(target.syncs_first is not None for target in targets)
    heads += ["synced before 250"] if shows_order else []
    load = median(one.cpu_ms for one in targets[0].rounds)
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1), ["source and sink alone", f"{load:.3f}"] + [""] * (len(heads) - 2)]
    for target in targets[1:]:
        column = lambda name: [getattr(one, name) for one in target.rounds]
        high = f"{median(paced[2] for paced in target.paced):.1f}" if target.paced else ""
        rate = f"{target.paced[0][0]:,.0f}" if target.paced else ""
        row = [target.name, f"{median(column('cpu_ms')):.3f}", f"{median(column('flushes')):.2f}",
               f"{max(column('memory_mib')):.0f}", high, rate]
        rows.append(row + ([{True: "yes", False: "**no**", None: ""}[target.syncs_first]] if shows_order else []))
    return ["| " + " | ".join(row) + " |" for row in rows]


def method(hops, connections, flushes_are, arguments):
    messages = ", ".join(f"{target.messages:,} for {target.name}" for target in hops[0].targets)
    unkept = [
        f"At half speed{f', TLS {hop.version}' if hop.version else ''}, {sum(paced[3] for paced in target.paced)} messages of "
        f"{target.name} failed, and {sum(paced[4] for paced in target.paced)} began more than 20 ms late."
        for hop in hops for target in hop.targets if any(paced[3] or paced[4] for paced in target.paced)
    ]
    return [
        f"Medians of {arguments.rounds} interleaved rounds ({messages}) of {arguments.size:,} bytes, "
        f"{arguments.sessions} sessions,",
        f"{connections}. Ratios are medians of the rounds' ratios.",
        "",
        "- *Accepted*: until the source received its last 250. *End to end*: until the sink had counted the last message.",
        "- *The ceiling*: the same without a relay. Source, relay and sink share the machine's cores.",
        "- *CPU time*: user and system time of all processes of the relay, including those that have ended, without source and "
        "sink.",
        f"- *Disk flushes*: {flushes_are}.",
        "- *Peak memory*: the proportional set size (PSS) of all its processes, sampled twice a second.",
        f"- *99th percentile*: from the final dot to the reply, at a fixed rate of half of the relay's own median, whether it keeps "
        f"up or not; median of {arguments.paced_rounds} runs of {arguments.paced_seconds:.0f} s.",
        "- *Synced before 250*: whether a call of fsync returned between 354 and 250, in the system calls of one message.",
        "",
        "Rates vary with the other work of the machine, by up to 40% between runs. CPU time per message and flushes vary by a "
        "few percent.",
        *unkept,
    ]


def cost_of_logs(targets):
    """Rounds are paired: each has the two measured one after the other."""
    with_logs, without = (target.rounds for target in targets[1:3])
    losses = [100 * (1 - one.end_to_end / other.end_to_end) for one, other in zip(with_logs, without)]
    extra = median(one.cpu_ms - other.cpu_ms for one, other in zip(with_logs, without))
    return (f"With the logs of both sides on, throughput is {median(losses):.1f}% lower (median of the rounds, "
            f"{min(losses):.1f} … {max(losses):.1f}%), and a message takes {extra:.3f} ms more CPU time.")
