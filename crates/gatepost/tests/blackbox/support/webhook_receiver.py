"""Receives a webhook, and checks its signature as the Standard Webhooks specification tells receivers to.

usage: webhook_receiver.py PORT SECRET_FILE STATUS… [--tls CERTIFICATE KEY]

Answers the first calls with these statuses, and all later ones with the last. Prints a line of JSON for each call.
"""

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import sys
import time

arguments = sys.argv[1:]
tls = arguments[arguments.index("--tls") + 1 :] if "--tls" in arguments else None
port, secret_file, *statuses = arguments[: arguments.index("--tls")] if tls else arguments
secret = open(secret_file).read().strip()
key = base64.b64decode(secret.removeprefix("whsec_"))
statuses = [int(status) for status in statuses]


def is_signed(headers, body):
    stamp = headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > 300:
        return False
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split(" "))


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        call = {
            "path": self.path,
            "signed": is_signed(self.headers, body),
            "type": self.headers["content-type"],
            "webhook_id": self.headers["webhook-id"],
            "status": status,
            "body": json.loads(body),
        }
        print(json.dumps(call), flush=True)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", f"http://127.0.0.1:{port}/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
