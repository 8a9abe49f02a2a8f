"""A node that speaks the JSON-RPC dialect of Electrum-NMC 4.0, on the loopback
interface, and writes down the isolation id (`streamID`) of each call."""

import base64
import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = "nmc-user"
PASSWORD = "nmc-password"
CREDENTIALS = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
HEIGHT = 800_000


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # A plugin may close its connection at any time.


class ElectrumNmc:
    """Answers each call after `delay` seconds, as a node that asks the network."""

    def __init__(self, names, delay):
        self.names = names
        self.delay = delay
        self.calls = []  # (name, isolation id), which is None if there was none
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, params):
        """The members of the answer that say how the call went."""
        if method == "getinfo":
            heights = {"blockchain_height": HEIGHT, "server_height": HEIGHT}
            return {"result": {"version": "4.0.6", **heights}}
        if method == "getconfig":
            # With a proxy and without oneserver it heeds isolation ids.
            return {"result": {"proxy": "socks5:127.0.0.1:9050"}.get(params["key"])}
        if method != "name_show":
            return _error(-32601, "Method not found")
        if isinstance(params, list):
            # Namecoin Core's dialect, in which it takes the options for an encoding.
            return _error(1, f"{params[-1]} is not a valid Encoding")
        name = bytes.fromhex(params["identifier"]).decode()
        self.calls.append((name, params["options"].get("streamID")))
        time.sleep(self.delay)
        if name not in self.names:
            return _error(-4, "Name purportedly never existed")
        value = self.names[name].encode().hex()
        return {"result": {"name": params["identifier"], "value": value, "height": HEIGHT - 100}}


def _error(code, message):
    return {"error": {"code": code, "message": message}}


def _handler(node):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("Authorization") != CREDENTIALS:
                return self.reply(403, b"Forbidden")
            answer = node.answer(request["method"], request["params"])
            answer = {"jsonrpc": "2.0", "id": request["id"], **answer}
            self.reply(200, json.dumps(answer).encode())

        def reply(self, status, body):
            reason = http.client.responses[status]
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, *_):
            pass

    return Handler
