"""A node that answers name_show as a case says, on the loopback interface.

It logs the isolation ids that it is asked under. `tests/support/node.rs` is its
counterpart in `cargo test`.
"""

import base64
import http.client
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = "nmc-user"
PASSWORD = "nmc-password"
CREDENTIALS = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CUT_VALUE = '{"ip":"6.6.6.6"}'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 makes a burst of connections wait for a retransmission.
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # A plugin may close its connection at any time.


class Node:
    def __init__(self, case):
        self.dialect = case.node
        self.heights = case.heights
        self.script = {name: list(replies) for name, replies in case.names.items()}
        self.held = set(case.held)
        self.log = []  # (name, isolation id) of each call that was understood
        self.stopped = False
        self.changed = threading.Condition()
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.05,), daemon=True).start()

    def set(self, names):
        with self.changed:
            self.script |= {name: list(replies) for name, replies in names.items()}

    def release(self, name=None):
        """Releases a name, or all of them."""
        with self.changed:
            self.held -= {name} if name else self.held
            self.changed.notify_all()

    def count(self, name=None, id=None):
        with self.changed:
            return self._count(name, id)

    def _count(self, name, id):
        return sum(name in (None, n) and id in (None, i) for n, i in self.log)

    def wait_for(self, patience, name=None, id=None, count=1):
        with self.changed:
            return self.changed.wait_for(lambda: self._count(name, id) >= count, patience)

    def stop(self):
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def show(self, name, isolation):
        """Logs a call, and gives the reply when it may be given; None: never."""
        with self.changed:
            self.log.append((name, isolation))
            self.changed.notify_all()
            missing = {"error": self.never_existed(), "code": -4}
            replies = self.script.get(name, [missing])
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            self.changed.wait_for(lambda: self.stopped or name not in self.held)
            if reply.get("silent"):
                self.changed.wait_for(lambda: self.stopped)
            elif "delay" in reply:
                self.changed.wait_for(lambda: self.stopped, reply["delay"])
            return None if self.stopped else reply

    def never_existed(self):
        if self.dialect == "electrum":
            return "Name purportedly never existed"
        return "name never existed"


def _handler(node):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            given = self.headers.get("Authorization")
            if given != CREDENTIALS:
                return self.say(403 if given and node.dialect == "electrum" else 401)
            try:
                call = Call(json.loads(body), node.dialect)
            except (ValueError, TypeError, KeyError):
                return self.say(500, b"Invalid Request")
            if call.refusal:
                return self.fail(call, *call.refusal)
            if call.method == "getinfo":
                blockchain, server = node.heights
                heights = {"blockchain_height": blockchain, "server_height": server}
                return self.result(call, heights | {"version": "4.0.6"})
            reply = node.show(call.name, call.isolation)
            if reply is None or reply.get("close"):
                return self.end()
            self.reply(call, reply)

        def reply(self, call, reply):
            if "http" in reply:
                self.say(reply["http"], reply.get("body", "").encode())
            elif "error" in reply:
                self.fail(call, reply["code"], reply["error"])
            else:
                text = reply.get("value", reply.get("expired_value", CUT_VALUE))
                value = bytes.fromhex(reply["value_hex"]) if "value_hex" in reply else text.encode()
                expired = "expired_value" in reply
                self.result(call, call.found(value, expired), cut=reply.get("cut", False))

        def result(self, call, result, cut=False):
            body = {"jsonrpc": "2.0", "result": result, "id": call.id}
            if not call.is_version_2:
                body = {"result": result, "error": None, "id": call.id}
            self.say(200, json.dumps(body).encode(), cut)

        def fail(self, call, code, message):
            error = {"code": code, "message": message}
            body = {"jsonrpc": "2.0", "error": error, "id": call.id}
            if not call.is_version_2 and node.dialect == "core":
                body = {"result": None, "error": error, "id": call.id}
                status = 404 if code == -32601 else 500
            else:
                status = 200
            self.say(status, json.dumps(body).encode())

        def say(self, status, body=b"", cut=False):
            reason = http.client.responses.get(status, "Unheard Of")
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + (body[:-30] if cut else body))
            if cut:
                self.end()

        def end(self):
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    return Handler


class Call:
    """A JSON-RPC call, and what a server of a dialect makes of it."""

    def __init__(self, body, dialect):
        self.id = body.get("id")
        self.is_version_2 = body.get("jsonrpc") == "2.0"
        self.method = body["method"]
        self.refusal = None
        params = body.get("params") or []
        if self.method != "name_show":
            if self.method != "getinfo" or dialect != "electrum":
                self.refusal = (-32601, "Method not found")
            return
        key = "identifier" if dialect == "electrum" else "name"
        if isinstance(params, list):
            self.sent, options = params[0], (params[1] if len(params) > 1 else {})
            if options and dialect == "electrum":
                self.refusal = (1, f"{options} is not a valid Encoding")
        else:
            self.sent, options = params.get(key), params.get("options") or {}
            if self.sent is None:
                wrong = next(iter(params), "")
                self.refusal = (1, f"name_show() got an unexpected keyword argument '{wrong}'")
                if dialect == "core":
                    self.refusal = (-8, f"Unknown named parameter {wrong}")
                return
        self.is_name_hex = options.get("nameEncoding") == "hex"
        self.is_value_hex = options.get("valueEncoding") == "hex"
        name = bytes.fromhex(self.sent).decode() if self.is_name_hex else self.sent
        self.name = name
        self.isolation = options.get("streamID", "")

    def found(self, value, expired):
        result = {
            "name": self.sent,
            "name_encoding": "hex" if self.is_name_hex else "ascii",
            "txid": "ab" * 32,
            "vout": 0,
            "height": 240,
            "expires_in": -47 if expired else 35990,
            "expired": expired,
        }
        if self.is_value_hex:
            return result | {"value": value.hex(), "value_encoding": "hex"}
        if value.isascii():
            return result | {"value": value.decode(), "value_encoding": "ascii"}
        return result | {"value_error": "invalid data for ascii"}
