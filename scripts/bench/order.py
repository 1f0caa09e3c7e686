"""Whether a relay has synced a message to disk when it answers 250, seen in the order of its system calls."""

import re
import signal
import subprocess
import tempfile
import time

SYNCS = ["fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "msync"]
WRITES = ["write", "writev", "sendto", "sendmsg"]
REPLY = re.compile(r'"(\d\d\d)[ -]')


def syncs_before_reply(group, send_one):
    """Sends one message with `send_one` and returns True, False, or None where nothing could be seen."""
    processes = group.processes()
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
        targets = [argument for process in processes for argument in ("-p", process)]
        command = ["strace", "-f", "-s", "32", "-e", f"trace={','.join(SYNCS + WRITES)}", "-o", trace.name, *targets]
        try:
            tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        except OSError:
            return None
        attached = 0
        while attached < len(processes) and (line := tracer.stderr.readline()):
            attached += " attached" in line
        send_one()
        time.sleep(1)
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        return _order(trace.read().splitlines())


def _order(lines):
    """strace writes a line when the call returns: which came first after 354, a sync or 250?"""
    answered, synced = False, False
    for line in lines:
        is_sync = any(f" {call}(" in line or f"<... {call} resumed" in line for call in SYNCS)
        reply = REPLY.search(line)
        if reply and reply[1] == "354":
            answered, synced = True, False
        elif answered and is_sync and line.rstrip().endswith("= 0"):
            synced = True
        elif answered and reply and reply[1] == "250":
            return synced
    return None
