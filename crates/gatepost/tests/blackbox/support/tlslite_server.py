"""A mail server on tlslite-ng: takes messages and forgets them.

usage: tlslite_server.py PORT CERTIFICATE KEY SETTINGS
SETTINGS are assignments such as "maxVersion = (3, 2); cipherNames = ['3des']" to tlslite's HandshakeSettings.
"""

import socketserver
import sys

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey

PORT, CERTIFICATE, KEY, SETTINGS = sys.argv[1:5]


def settings():
    values = {}
    exec(SETTINGS, {}, values)
    result = HandshakeSettings()
    for name, value in values.items():
        setattr(result, name, value)
    return result


CHAIN = X509CertChain()
CHAIN.parsePemList(open(CERTIFICATE).read())
PRIVATE_KEY = parsePEMKey(open(KEY).read(), private=True)


class Session(socketserver.BaseRequestHandler):
    def handle(self):
        self.channel = self.request
        self.buffer = b""
        self.say("220 mail.onprem.test ESMTP")
        while line := self.line():
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say("250-mail.onprem.test\r\n250 STARTTLS")
            elif verb == b"STAR":
                self.say("220 go ahead")
                self.channel = TLSConnection(self.request)
                self.channel.handshakeServer(certChain=CHAIN, privateKey=PRIVATE_KEY, settings=settings())
            elif verb == b"DATA":
                self.say("354 go on")
                while self.line() not in (b".", None):
                    pass
                self.say("250 taken")
            elif verb == b"QUIT":
                return self.say("221 bye")
            else:
                self.say("250 ok")

    def say(self, text):
        self.channel.sendall(text.encode() + b"\r\n")

    def line(self):
        while b"\r\n" not in self.buffer:
            received = self.channel.recv(4096)
            if not received:
                return None
            self.buffer += received
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        print(client_address, sys.exc_info()[1], file=sys.stderr)


Server(("127.0.0.1", int(PORT)), Session).serve_forever()
