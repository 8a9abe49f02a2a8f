"""Scripted servers that answer as ElectrumX 1.16.0 does, on the loopback
interface."""

import collections
import contextlib
import dataclasses
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from .chain import HEADER

SOFTWARE, LEAST, MOST = "ElectrumX 1.16.0", "1.4", "1.4.2"
MOST_HEADERS = 2016

# What a server that connects and gives no headers does when it is asked for
# them: nothing, or what a server does whose limits are reached.
SILENT, REFUSING = "silent", "refusing"


class Refusal(Exception):
    """An error reply."""


@dataclasses.dataclass
class Connection:
    """One connection, as the server saw it."""

    # The client's port, which is the proxy's, and when it came.
    port: int
    at: float
    methods: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    octets: int = 0
    closed: bool = False

    def is_for_headers(self):
        return "server.features" in self.methods


class Server:
    """Serves a chain; `fault` is SILENT or REFUSING, `certificate` a file for
    TLS, `peers` what it answers about others."""

    def __init__(self, chain, certificate=None, fault=None, peers=()):
        self.chain, self.fault, self.peers = chain, fault, list(peers)
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, (_, port) = self.listener.accept()
            except OSError:
                return
            connection = Connection(port, time.monotonic())
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(client, connection), daemon=True).start()

    def _serve(self, client, connection):
        # Either side may go away at any time; ssl's errors are of this kind.
        with client, contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            with client, client.makefile("rb") as lines:
                for line in lines:
                    reply = self._reply(json.loads(line), connection)
                    if reply is not None:
                        octets = json.dumps(reply).encode() + b"\n"
                        connection.octets += len(octets)
                        client.sendall(octets)
        connection.closed = True

    def _reply(self, request, connection):
        method, parameters = request["method"], request.get("params", [])
        connection.methods[method] += 1
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        if self.fault and method == "blockchain.block.headers":
            if self.fault == SILENT:
                return None
            return reply | {"error": {"code": -101, "message": "excessive resource usage"}}
        answer = ANSWERS.get(method)
        if answer is None:
            return reply | {"error": {"code": -32601, "message": f'unknown method "{method}"'}}
        try:
            return reply | {"result": answer(self, *parameters)}
        except Refusal as refusal:
            return reply | {"error": {"code": 1, "message": str(refusal)}}

    def _features(self):
        return {
            "hosts": {},
            "pruning": None,
            "server_version": SOFTWARE,
            "protocol_min": LEAST,
            "protocol_max": MOST,
            "genesis_hash": self.chain.genesis(),
            "hash_function": "sha256",
            "services": [],
        }

    def _tip(self):
        return {"height": self.chain.tip, "hex": self.chain.headers[-1].hex()}

    def _proof(self, below):
        """The size of what comes with headers below a checkpoint; nobody looks
        at it, as no root is authenticated by anything."""
        return {"branch": ["0" * 64] * below.bit_length(), "root": "0" * 64} if below else {}

    def _header(self, height, below=0):
        if height > self.chain.tip:
            raise Refusal(f"height {height:,d} out of range")
        header = self.chain.headers[height]
        if below:
            return {"header": header[:HEADER].hex()} | self._proof(below)
        return header.hex()

    def _headers(self, start, count, below=0):
        headers = self.chain.headers[start : start + min(count, MOST_HEADERS)]
        if below:
            headers = [header[:HEADER] for header in headers]
        text = b"".join(headers).hex()
        return {"hex": text, "count": len(headers), "max": MOST_HEADERS} | self._proof(below)

    def _history(self, script_hash):
        operation = self.chain.names.get(script_hash)
        if operation is None:
            return []
        return [{"tx_hash": operation.txid()[::-1].hex(), "height": operation.height}]

    def _operation(self, txid):
        operation = self.chain.transactions.get(txid)
        if operation is None:
            raise Refusal(f"daemon error: no transaction {txid}")
        return operation

    def _merkle(self, txid, height):
        if self._operation(txid).height != height:
            raise Refusal(f"tx {txid} not in block at height {height:,d}")
        # It is the only transaction of its block.
        return {"block_height": height, "merkle": [], "pos": 0}


ANSWERS = {
    "server.version": lambda server, *_: [SOFTWARE, MOST],
    "server.ping": lambda server: None,
    "server.features": Server._features,
    "server.peers.subscribe": lambda server: server.peers,
    "blockchain.headers.subscribe": Server._tip,
    "blockchain.block.header": Server._header,
    "blockchain.block.headers": Server._headers,
    "blockchain.scripthash.get_history": Server._history,
    "blockchain.transaction.get": lambda server, txid: server._operation(txid).raw.hex(),
    "blockchain.transaction.get_merkle": Server._merkle,
}


def certificates(place, count):
    """Files with a key and a certificate that it signed itself, as servers have
    them; made by openssl, because Python makes none."""
    files = []
    for number in range(count):
        key, certificate = (Path(place) / f"{kind}{number}.pem" for kind in ("key", "certificate"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "30", "-subj", "/CN=electrum", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        both = Path(place) / f"server{number}.pem"
        both.write_text(key.read_text() + certificate.read_text())
        files.append(both)
    return files
