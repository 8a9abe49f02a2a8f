"""A SOCKS5 proxy on the loopback interface that writes down what it sees, for
the scripts here."""

import contextlib
import dataclasses
import ipaddress
import socket
import threading
import time

# RFC 1928 and RFC 1929.
VERSION, PASSWORD_VERSION = 5, 1
USER_AND_PASSWORD, NO_METHOD = 2, 0xFF
CONNECT = 1
IPV4, HOST_NAME, IPV6 = 1, 3, 4
SUCCEEDED, UNREACHABLE, UNSUPPORTED = 0, 4, 7
PIECE = 65536


@dataclasses.dataclass
class Circuit:
    """One connection, as the proxy saw it."""

    user: bytes = b""
    password: bytes = b""
    # Host name or address as it came, and port.
    target: str = ""
    # The type of the target: IPV4, HOST_NAME or IPV6.
    kind: int = 0
    # What the client sent after the handshake.
    sent: bytearray = dataclasses.field(default_factory=bytearray)
    # What a client of Tor must not do, if it did.
    objection: str = ""
    closed: bool = False
    # When it was opened, and the proxy's port towards the server.
    at: float = dataclasses.field(default_factory=time.monotonic)
    port: int = 0


def clients(listener):
    """Those that connect, until the listener is closed."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        yield client


class Objection(Exception):
    """What a client of Tor must not do."""


class SocksLog:
    """Leads each target, `host:port`, to its port on the loopback interface; no
    other target can be reached. Whoever has no credentials is refused.

    A connection that ends before it has named a target is not written down,
    unless there is an objection to it.
    """

    def __init__(self, routes):
        self.routes = routes
        self.circuits = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def argument(self):
        return f"--proxy=127.0.0.1:{self.port}"

    def wait_until_closed(self, patience):
        """What was seen, once all of it has ended; after `patience` seconds also
        if it has not."""
        with self.changed:
            self.changed.wait_for(lambda: all(one.closed for one in self.circuits), patience)
            return list(self.circuits)

    def close(self):
        # A close alone does not wake the thread that waits in accept.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        for client in clients(self.listener):
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        circuit = Circuit()
        # Either side may go away at any time.
        with client, contextlib.suppress(OSError):
            try:
                self._greet(client, circuit)
            except Objection as objection:
                circuit.objection = str(objection)
                self._note(circuit)
            else:
                self._note(circuit)
                self._connect(client, circuit)
        with self.changed:
            circuit.closed = True
            self.changed.notify_all()

    def _note(self, circuit):
        with self.changed:
            self.circuits.append(circuit)

    def _greet(self, client, circuit):
        """The handshake, up to the request."""
        (version,) = _take(client, 1)
        methods = _take_counted(client)
        if version != VERSION or USER_AND_PASSWORD not in methods:
            client.sendall(bytes([VERSION, NO_METHOD]))
            raise Objection("it offers no credentials")
        client.sendall(bytes([VERSION, USER_AND_PASSWORD]))
        _take(client, 1)
        circuit.user, circuit.password = _take_counted(client), _take_counted(client)
        client.sendall(bytes([PASSWORD_VERSION, 0]))
        _, command, _, circuit.kind = _take(client, 4)
        host = _take_host(client, circuit.kind)
        port = int.from_bytes(_take(client, 2))
        circuit.target = f"{host}:{port}"
        if command != CONNECT:
            client.sendall(reply(UNSUPPORTED))
            raise Objection(f"it wants command {command} for {circuit.target}")

    def _connect(self, client, circuit):
        port = self.routes.get(circuit.target)
        if port is None:
            return client.sendall(reply(UNREACHABLE))
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(reply(SUCCEEDED))
            replies = threading.Thread(target=_pass_on, args=(server, client))
            replies.start()
            _pass_on(client, server, lambda octets: self._record(circuit, octets))
            replies.join()

    def _record(self, circuit, octets):
        with self.changed:
            circuit.sent += octets


def _pass_on(source, sink, record=lambda octets: None):
    """Until either side ends; then neither can go on."""
    with contextlib.suppress(OSError):
        while octets := source.recv(PIECE):
            record(octets)
            sink.sendall(octets)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def reply(status):
    return bytes([VERSION, status, 0, IPV4]) + bytes(6)


def _take(client, count):
    octets = b""
    while len(octets) < count:
        more = client.recv(count - len(octets))
        if not more:
            raise ConnectionError("the client went away")
        octets += more
    return octets


def _take_counted(client):
    return _take(client, _take(client, 1)[0])


def _take_host(client, kind):
    if kind == HOST_NAME:
        return _take_counted(client).decode(errors="backslashreplace")
    if kind not in (IPV4, IPV6):
        raise Objection(f"it has a target of type {kind}")
    return str(ipaddress.ip_address(_take(client, 4 if kind == IPV4 else 16)))
