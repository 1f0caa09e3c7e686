"""A world of their own for foreign servers, where the caller is root: users, folders and a network that this machine
keeps none of. Without root, libraries that are loaded before all others make the servers see their users, at a price.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import IS_ROOT, PEERS, REPOSITORY, library, peer_environment

INSIDE = "GATEPOST_BENCH_WORLD"
# Servers insist on their users; each has a group of its own, with the same number.
USERS = {"postfix": 4201, "Debian-exim": 4203, "haraka": 4205}
GROUPS = USERS | {"postdrop": 4202}
# Some relays refuse to deliver to loopback addresses.
DESTINATION = "192.0.2.1"


def enter():
    """Runs this program once more, in mount and network namespaces of its own, where this is possible."""
    unshare = ["unshare", "--mount", "--net", "--"]
    if IS_ROOT and INSIDE not in os.environ and subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ[INSIDE] = "1"
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    if is_private():
        _furnish()


def is_private():
    return INSIDE in os.environ


def destination():
    """The address that relays deliver to."""
    return DESTINATION if is_private() else "127.0.0.1"


def _furnish():
    folder = REPOSITORY / "target/bench/world"
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", folder)
    for name, numbers in [("passwd", USERS), ("group", GROUPS)]:
        (folder / name).write_text(_with_users(name, numbers))
        (folder / name).chmod(0o644)
        _run("mount", "--bind", folder / name, Path("/etc") / name)
    # Whatever a server leaves there is gone with the namespace.
    for path in ["/var/spool", "/var/lib"]:
        _run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", path)
    _run(_ip(), "link", "set", "lo", "up")
    _run(_ip(), "address", "add", f"{DESTINATION}/32", "dev", "lo")


def _with_users(file, numbers):
    """The machine's own users, without those that carry a server's name, and the servers'."""
    lines = Path("/etc", file).read_text().splitlines()
    kept = [line for line in lines if line.split(":", 1)[0] not in numbers]
    row = "{0}:x:{1}:{1}::/:/bin/false" if file == "passwd" else "{0}:x:{1}:"
    return "\n".join(kept + [row.format(name, number) for name, number in numbers.items()]) + "\n"


def _ip():
    return shutil.which("ip") or str(PEERS / "bin/ip")


def _run(*command):
    environment = os.environ | {"LD_LIBRARY_PATH": peer_environment()["LD_LIBRARY_PATH"]}
    subprocess.run(list(map(str, command)), check=True, env=environment)


def give(user, *paths):
    """Hands files to the user that a server becomes."""
    if IS_ROOT:
        for path in paths:
            os.chown(path, USERS[user], GROUPS[user])


def users_environment(folder):
    """Variables with which a server finds its users: none in a world of its own."""
    if is_private():
        return peer_environment()
    for name, numbers in [("passwd", USERS), ("group", GROUPS)]:
        (folder / name).write_text(_with_users(name, numbers))
    environment = peer_environment() | {
        "LD_PRELOAD": library("libnss_wrapper.so"),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }
    if not IS_ROOT:
        environment["LD_PRELOAD"] += ":" + library("libuid_wrapper.so")
        environment |= {"UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1"}
    return environment


def description():
    """How the servers got their users, for the report."""
    if is_private():
        return "servers have real users and their own network, in private namespaces"
    return ("**not root**: servers run under nss_wrapper and uid_wrapper (LD_PRELOAD), which costs Postfix about a fifth of its "
            "throughput; as root they have real users")
