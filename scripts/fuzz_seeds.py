#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: fuzz_seeds.py FOLDER SAMPLES, one folder for each target.

They come from the project's own dialogues and tests and, where SAMPLES exists, from files that others have published.
"""
import gzip
import hashlib
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOREIGN_READERS = [
    "exchange_queue", "tracking_output", "trace_detail", "enhanced_summary", "graph_trace", "connectivity_log",
    "iis_smtp_log", "mailq", "postqueue_json", "sendmail_log", "opensmtpd_log", "qmail_log", "kumomta_log",
    "stalwart_log", "haraka_log", "recognise",
]
TEXT_READERS = ["postfix_log", "exim_log", "message_trace", "protocol_log", "dsn", "tls_report", "findings", *FOREIGN_READERS]
SEED_MAX = 200_000


def main() -> None:
    seeds = Seeds(pathlib.Path(sys.argv[1]))
    samples = pathlib.Path(sys.argv[2])
    for dialogue in sorted(ROOT.glob("dialogues/*.smtp")):
        seeds.conversation(list(from_dialogue(dialogue.read_text())))
    for source in sorted(ROOT.glob("crates/*/tests/*.rs")):
        seeds.texts_of_tests(source.read_text())
    for file in sorted(ROOT.glob("crates/trace/tests/foreign/*")):
        seeds.sample(file)
    for file in sorted(path for path in samples.rglob("*") if path.is_file()):
        # Nothing here reads mail filters' samples yet.
        if "filtering" not in file.parts:
            seeds.sample(file)
    print(f"{seeds.count} seeds", file=sys.stderr)


class Seeds:
    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.count = 0

    def add(self, targets, content: bytes) -> None:
        if not content or len(content) > SEED_MAX:
            return
        name = hashlib.sha1(content).hexdigest()
        for target in targets:
            folder = self.folder / target
            folder.mkdir(parents=True, exist_ok=True)
            self.count += not (folder / name).exists()
            (folder / name).write_bytes(content)

    def sample(self, file: pathlib.Path) -> None:
        content = file.read_bytes()
        if not re.search(r"\.pcap(ng)?(\.gz)?$", file.name):
            self.text(content)
            return
        self.add(["capture", "findings"], content)
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
            self.add(["capture"], content)
        for conversation in from_pcap(content):
            self.conversation(conversation)

    def text(self, content: bytes) -> None:
        self.add(TEXT_READERS, content)
        for address in re.findall(rb"[^\s<>,;:\"']+@[^\s<>,;\"']+", content):
            self.add(["address"], address)
        for line in content.splitlines():
            if b"LED=" in line or b"LRT=" in line:
                self.add(["exchange_error"], line)

    def conversation(self, pieces) -> None:
        """Pieces of (side, bytes): 0 is the client."""
        encoded = bytearray()
        for side, said in pieces:
            for at in range(0, len(said), 127):
                part = said[at : at + 127]
                encoded += bytes([len(part) << 1 | side]) + part
        self.add(["dialogue", "handshake"], bytes(encoded))
        client, server = (b"".join(said for side, said in pieces if side == wanted) for wanted in (0, 1))
        self.add(["server_session"], client)
        self.add(["client_session", "reply_parser"], server)
        for line in client.splitlines()[:50]:
            self.add(["command_line"], line)
        for at in (match.start() for match in re.finditer(b"\x30\x82", server)):
            length = int.from_bytes(server[at + 2 : at + 4], "big") + 4
            if 300 < length < 5000:
                self.add(["certificate"], server[at : at + length])

    def texts_of_tests(self, source: str) -> None:
        """What tests quote: whole logs, notices, and filters."""
        for quoted in re.findall(r'"((?:[^"\\]|\\.)*)"', source, re.S):
            text = re.sub(r"\\\n\s*", "", quoted)
            text = text.replace("\\r", "\r").replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
            if len(text) > 60:
                self.text(text.encode())
            if re.match(r"\(?!?\s?(tcp|ip|ipv6|smtp|tls|frame|eth)\b", text):
                self.add(["filter"], text.encode())


def from_dialogue(text: str):
    """S: and C: lines of dialogues/; the support code of the protocol's tests says what they mean."""
    for line in text.splitlines():
        side, _, said = line.partition(": ")
        if side in ("C", "S"):
            said = re.sub(r"\\\*(\d+)\{(.*?)\}", lambda match: match[2] * min(int(match[1]), 5000), said)
            end = "" if said.endswith("\\") else "\r\n"
            said = said.removesuffix("\\").replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0")
            yield (int(side == "S"), (said + end).encode())


def from_pcap(content: bytes):
    """The conversations of a pcap file over Ethernet and IPv4, as their packets come."""
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(content[:4])
    if not order or len(content) < 24 or struct.unpack(order + "I", content[20:24])[0] != 1:
        return []
    conversations, at = {}, 24
    while at + 16 <= len(content):
        captured = struct.unpack(order + "I", content[at + 8 : at + 12])[0]
        frame = content[at + 16 : at + 16 + captured]
        at += 16 + captured
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        ip = frame[14 : 14 + struct.unpack(">H", frame[16:18])[0]]
        tcp = ip[(ip[0] & 15) * 4 :]
        if len(tcp) < 20:
            continue
        source, destination = ip[12:16] + tcp[:2], ip[16:20] + tcp[2:4]
        client, pieces = conversations.setdefault(frozenset((source, destination)), (source, []))
        if payload := tcp[(tcp[12] >> 4) * 4 :]:
            pieces.append((int(source != client), payload))
    return [pieces for _, pieces in conversations.values()]


if __name__ == "__main__":
    main()
