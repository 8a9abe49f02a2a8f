"""A SOCKS5 proxy that stands for Tor: opening a circuit and a round trip take
time, dead servers fail as they do there, and bandwidth is scarce."""

import contextlib
import queue
import socket
import threading
import time

from socks_log import PIECE, SUCCEEDED, SocksLog, reply

REFUSED, TTL_EXPIRED = 5, 6
# How a dead server fails: nothing comes for two minutes, as long as Tor tries;
# its port is closed; it resets the connection.
HANGS, REFUSES, RESETS = "hangs", "refuses", "resets"
HANGING = 120
# What a circuit holds while it waits; more is not taken from the server.
HELD = 16


class Gate:
    """Lets so many bytes through in a second, whoever sends them."""

    def __init__(self, rate):
        self.rate = rate
        self.lock = threading.Lock()
        self.free = time.monotonic()

    def wait(self, octets):
        if not self.rate:
            return
        with self.lock:
            self.free = max(self.free, time.monotonic()) + octets / self.rate
            until = self.free
        time.sleep(max(0, until - time.monotonic()))


class SlowSocks(SocksLog):
    """`fate` says of a target without a route how it fails; `opening` and `trip`
    are ranges of seconds, of which each circuit draws its own; `rate` is the
    bytes a second that all circuits have together, in the direction of the
    client."""

    def __init__(self, routes, draw, fate=lambda target: REFUSES, opening=(0, 0), trip=(0, 0), rate=None):
        self.draw, self.fate, self.opening, self.trip = draw, fate, opening, trip
        self.gate = Gate(rate)
        super().__init__(routes)

    def _connect(self, client, circuit):
        port = self.routes.get(circuit.target)
        if port is None:
            return self._fail(client, self.fate(circuit.target))
        time.sleep(self.draw.uniform(*self.opening))
        with socket.create_connection(("127.0.0.1", port)) as server:
            circuit.port = server.getsockname()[1]
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(reply(SUCCEEDED))
            delay = self.draw.uniform(*self.trip)
            replies = threading.Thread(target=self._delay, args=(server, client, delay))
            replies.start()
            with contextlib.suppress(OSError):
                while octets := client.recv(PIECE):
                    server.sendall(octets)
            _end(server)
            replies.join()

    def _fail(self, client, fate):
        if fate == HANGS:
            client.settimeout(HANGING)
            with contextlib.suppress(TimeoutError):
                # It ends when the client gives up.
                client.recv(1)
                return
            client.sendall(reply(TTL_EXPIRED))
        time.sleep(self.draw.uniform(*self.opening))
        if fate == REFUSES:
            client.sendall(reply(REFUSED))
        if fate == RESETS:
            client.sendall(reply(SUCCEEDED))
            time.sleep(self.draw.uniform(*self.trip))

    def _delay(self, source, sink, delay):
        """Passes on what comes, a round trip later: the way there is part of it."""
        pieces = queue.Queue(HELD)
        sender = threading.Thread(target=self._send, args=(pieces, sink))
        sender.start()
        with contextlib.suppress(OSError):
            while octets := source.recv(PIECE):
                pieces.put((time.monotonic() + delay, octets))
        pieces.put(None)
        sender.join()
        _end(source)

    def _send(self, pieces, sink):
        while piece := pieces.get():
            due, octets = piece
            time.sleep(max(0, due - time.monotonic()))
            # Where the client is gone, the rest is drained.
            with contextlib.suppress(OSError):
                for at in range(0, len(octets), 4096):
                    part = octets[at : at + 4096]
                    self.gate.wait(len(part))
                    sink.sendall(part)
        _end(sink)


def _end(stream):
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
