#!/usr/bin/env python3
"""Records the files under samples/ again, from real servers and clients: those that ./test unpacks under target/peers.

As root:  unshare --net python3 scripts/samples.py [captures|dsn]

The network namespace makes port 25 and the documentation addresses (RFC 5737) free to use.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("PEERS", REPOSITORY / "target/peers/root"))
SAMPLES = REPOSITORY / "samples"
SERVER, CLIENT = "192.0.2.25", "192.0.2.10"
EXIM_USER = 4203
LIBRARIES = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/postfix"]
PERL = ["usr/share/perl5", "usr/lib/x86_64-linux-gnu/perl5/5.36"]
RC4_ONLY = "NONE:+VERS-TLS1.0:+ARCFOUR-128:+SHA1:+MD5:+RSA:+COMP-NULL:+SIGN-ALL:+GROUP-ALL"
TLS12 = "NORMAL:-VERS-TLS1.3"


def unpacked(paths):
    return ":".join(str(PEERS / path) for path in paths)


ENVIRONMENT = os.environ | {"LD_LIBRARY_PATH": unpacked(LIBRARIES), "PERL5LIB": unpacked(PERL)}


def peer(program, *arguments, **options):
    return subprocess.run([PEERS / program, *arguments], env=ENVIRONMENT, **options)


def ip(arguments):
    peer("bin/ip", *arguments.split(), check=True)


class Exim:
    """Accepts all mail, but rejects refused@…. It relays mail for nobody@… to itself, rejects it there, and sends a bounce."""

    def __init__(self, settings=""):
        self.folder = Path(tempfile.mkdtemp())
        self.folder.chmod(0o755)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail.onprem.test",
             "-addext", "subjectAltName=DNS:mail.onprem.test", "-keyout", self.folder / "key.pem", "-out", self.folder / "certificate.pem"],
            check=True, stderr=subprocess.DEVNULL)
        for name in ["spool", "log", "mail"]:
            (self.folder / name).mkdir()
        for path in self.folder.iterdir():
            os.chown(path, EXIM_USER, EXIM_USER)
        for name, ours in [("passwd", f"Debian-exim:x:{EXIM_USER}:{EXIM_USER}::/:/bin/false\n"), ("group", f"Debian-exim:x:{EXIM_USER}:\n")]:
            system = Path("/etc", name).read_text().splitlines(keepends=True)
            (self.folder / name).write_text(ours + "".join(line for line in system if not line.startswith("Debian-exim:")))
        configuration = self.folder / "exim.conf"
        configuration.write_text(self.configuration(settings))
        wrapper = PEERS / "usr/lib/x86_64-linux-gnu/libnss_wrapper.so"
        environment = ENVIRONMENT | {
            "LD_PRELOAD": str(wrapper), "NSS_WRAPPER_PASSWD": str(self.folder / "passwd"), "NSS_WRAPPER_GROUP": str(self.folder / "group")}
        self.process = subprocess.Popen([PEERS / "usr/sbin/exim4", "-C", configuration, "-bdf"], env=environment, process_group=0)
        wait_for(greeting)

    def configuration(self, settings):
        settings = settings.replace("FOLDER", str(self.folder))
        return f"""primary_hostname = mail.onprem.test
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/log/%slog
pid_file_path = {self.folder}/spool/pid
exim_path = {PEERS}/usr/sbin/exim4
local_interfaces = {SERVER}
daemon_smtp_ports = 25
tls_advertise_hosts = *
tls_certificate = {self.folder}/certificate.pem
tls_privatekey = {self.folder}/key.pem
acl_smtp_rcpt = recipient
acl_smtp_data = content
host_lookup =
rfc1413_hosts =
keep_environment = LD_LIBRARY_PATH:LD_PRELOAD:NSS_WRAPPER_PASSWD:NSS_WRAPPER_GROUP
{settings}
begin acl
recipient:
 deny local_parts = refused
  message = 5.1.1 there is no such user here
 deny local_parts = nobody
  hosts = {SERVER}
  message = 5.1.1 there is no such user here
 accept
content:
 accept
begin routers
relayed:
 driver = manualroute
 local_parts = nobody
 route_list = * {SERVER} byname
 self = send
 transport = smtp
all:
 driver = accept
 transport = maildir
begin transports
smtp:
 driver = smtp
 interface = {SERVER}
maildir:
 driver = appendfile
 directory = {self.folder}/mail
 maildir_format
 user = Debian-exim
 group = Debian-exim
"""

    def mail(self):
        return sorted((self.folder / "mail/new").glob("*"))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def greeting():
    """Ends politely, so that nothing of it is left for a capture that begins afterwards."""
    with socket.create_connection((SERVER, 25)) as stream:
        stream.sendall(b"QUIT\r\n")
        while stream.recv(1000):
            pass


def wait_for(attempt, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def record(name, act, settings=""):
    """Captures what happens between a client and Exim."""
    exim = Exim(settings)
    file = SAMPLES / "captures" / name
    dumpcap = subprocess.Popen([PEERS / "usr/bin/dumpcap", "-q", "-P", "-i", "lo", "-f", "tcp", "-w", file], env=ENVIRONMENT)
    wait_for(lambda: file.stat().st_size or sys.exit("dumpcap writes nothing"))
    time.sleep(1)
    act()
    time.sleep(2)
    dumpcap.send_signal(2)
    dumpcap.wait()
    exim.stop()
    file.chmod(0o644)
    return file


def swaks(*arguments):
    peer("usr/bin/swaks", "--server", SERVER, "--local-interface", CLIENT, "--helo", "edge.test", "--from", "alice@partner.test",
         "--to", "bob@onprem.test", *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def gnutls_cli():
    peer("usr/bin/gnutls-cli", "--starttls-proto=smtp", "--insecure", "--priority", RC4_ONLY, "-p", "25", SERVER,
         input=b"QUIT\r\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def plain():
    """Two messages, commands sent ahead, a recipient that is refused."""
    with socket.create_connection((SERVER, 25), source_address=(CLIENT, 0)) as stream:
        replies = stream.makefile("r", newline="\r\n")

        def say(text, count=1):
            stream.sendall(text.encode())
            for _ in range(count):
                while replies.readline()[3:4] == "-":
                    pass

        say("")
        say("EHLO edge.test\r\n")
        envelope = "MAIL FROM:<alice@partner.test>\r\nRCPT TO:<bob@onprem.test>\r\nRCPT TO:<refused@onprem.test>\r\nDATA\r\n"
        content = "From: alice@partner.test\r\nSubject: Test\r\n\r\n" + "A line of text.\r\n" * 200 + ".\r\n"
        say(envelope, 4)
        say(content)
        for line in ["MAIL FROM:<alice@partner.test>", "RCPT TO:<refused@onprem.test>", "RSET", "NOOP"]:
            say(line + "\r\n")
        say(envelope, 4)
        say(content)
        say("QUIT\r\n")


def repeat_a_segment(source, target):
    """The same conversation, in which the client repeats a segment and the server repeats an acknowledgement."""
    data = source.read_bytes()
    frames, at = [], 24
    while at < len(data):
        seconds, micros, length, _ = struct.unpack_from("<IIII", data, at)
        frames.append([seconds * 1_000_000 + micros, data[at + 16:at + 16 + length]])
        at += 16 + length

    def payload(frame):
        ip_header, total = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
        return total - ip_header - (frame[14 + ip_header + 12] >> 4) * 4

    def by_client(frame):
        return frame[26:30] == socket.inet_aton(CLIENT)

    lost = next(index for index, (_, frame) in enumerate(frames) if by_client(frame) and payload(frame) > 1000)
    late = [[time + 250_000, frame] for time, frame in frames[lost + 1:]]
    again = [frames[lost][0] + 200_000, frames[lost][1]]
    acknowledged = next(index for index, (_, frame) in enumerate(late) if not by_client(frame) and payload(frame) == 0)
    doubled = [late[acknowledged][0] + 20, late[acknowledged][1]]
    frames = frames[:lost + 1] + [again] + late[:acknowledged + 1] + [doubled] + late[acknowledged + 1:]
    packets = (struct.pack("<IIII", time // 1_000_000, time % 1_000_000, len(frame), len(frame)) + frame for time, frame in frames)
    target.write_bytes(data[:24] + b"".join(packets))


def bounce():
    exim = Exim()
    swaks("--to", "nobody@onprem.test", "--header", "Subject: Test")

    def of_the_bounce():
        for file in exim.mail():
            if b"report-type=delivery-status" in file.read_bytes():
                return file.read_bytes()
        raise FileNotFoundError("no bounce yet")

    (SAMPLES / "dsn/exim.eml").write_bytes(wait_for(of_the_bounce))
    exim.stop()


def captures():
    file = record("plain.pcap", plain)
    repeat_a_segment(file, SAMPLES / "captures/plain-repeated.pcap")
    record("starttls-tls12.pcap", lambda: swaks("--tls"), f"tls_require_ciphers = {TLS12}")
    record("starttls-tls13.pcap", lambda: swaks("--tls"))
    record("starttls-rc4.pcap", gnutls_cli, f"tls_require_ciphers = {RC4_ONLY}")
    record("no-shared-cipher.pcap", lambda: swaks("--tls"), f"tls_require_ciphers = {RC4_ONLY}")
    asks = f"tls_require_ciphers = {TLS12}\ntls_try_verify_hosts = *\ntls_verify_certificates = FOLDER/certificate.pem"
    record("client-certificate.pcap", lambda: swaks("--tls"), asks)


def main():
    for folder in ["captures", "dsn"]:
        (SAMPLES / folder).mkdir(parents=True, exist_ok=True)
    ip("link set lo mtu 1500 up")
    for address in [SERVER, CLIENT]:
        ip(f"address add {address}/32 dev lo")
    # Clients that cannot be told their address take this one.
    ip(f"route change local {SERVER} dev lo table local src {CLIENT}")
    wanted = sys.argv[1:] or ["captures", "dsn"]
    if "captures" in wanted:
        captures()
    if "dsn" in wanted:
        bounce()


main()
