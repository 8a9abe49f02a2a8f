"""A Namecoin node that answers name_show from a function, for the scripts here.

It speaks enough of Namecoin Core's JSON-RPC over HTTP for ncprop279, listens on
the loopback interface only, and counts what it is asked.
"""

import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 makes a burst of connections wait for a retransmission.
    request_queue_size = 1024


class Node:
    """Answers `value_of(name)` after `delay` seconds; None means no such name.

    `fault` is called for each request; what it returns goes wrong: one of
    `FAULTS`, or None.
    """

    # Closes the connection; HTTP errors; no JSON; a reply that is cut off; a
    # node that is starting; silence.
    FAULTS = ("close", "500", "junk", "cut", "loading", "silent")

    def __init__(self, value_of, delay=0.0, port=0, fault=lambda: None):
        self.value_of = value_of
        self.fault = fault
        self.delay = delay
        self.requests = 0
        self.connections = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                node.connections.append(self.connection)

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                request = json.loads(self.rfile.read(length))
                node.requests += 1
                name = bytes.fromhex(request["params"][0]).decode()
                if node.delay:
                    time.sleep(node.delay)
                fault = node.fault()
                if fault in ("close", "silent"):
                    time.sleep(3.0 if fault == "silent" else 0.0)
                    self.close_connection = True
                    return
                value = node.value_of(name)
                if fault == "loading":
                    error = {"code": -28, "message": "Loading block index..."}
                    reply = {"result": None, "error": error, "id": 1}
                elif value is None:
                    error = {"code": -4, "message": "name never existed"}
                    reply = {"result": None, "error": error, "id": 1}
                else:
                    result = {"name": request["params"][0], "value": value.encode().hex()}
                    reply = {"result": result, "error": None, "id": 1}
                body = json.dumps(reply).encode()
                status = "500 Internal Server Error" if fault == "500" else "200 OK"
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                if fault in ("500", "junk"):
                    body = b"x" * len(body)
                if fault == "cut":
                    body = body[: len(body) // 2]
                    self.close_connection = True
                try:
                    self.wfile.write(head.encode() + body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = _Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        """Ends as a killed node does: its connections are reset too."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
