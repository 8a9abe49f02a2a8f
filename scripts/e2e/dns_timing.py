"""How long a name takes that is delegated and not in the cache, against the sum of
its round trips, with a proxy that is far away."""

import heapq
import itertools
import socket
import statistics
import threading
import time
from contextlib import suppress

from socks_log import CONNECT, HOST_NAME, USER_AND_PASSWORD, clients

from e2e import dns_wire
from e2e.dns_client import Client
from e2e.dns_unsigned import NSD_HOST
from e2e.session import Failed

# One way, in seconds: a small part of Tor's, so that many rounds fit.
DELAY = 0.02
ROUNDS = 20
PIECE = 65536


class FarAway:
    """Delays each direction of each connection to a port, and counts the round
    trips: how often the client sent something after it had received something."""

    def __init__(self, port):
        self.near = port
        self.round_trips = 0
        self.lock = threading.Lock()
        self.waiting = []  # (when, number, what to do)
        self.numbers = itertools.count()
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._deliver, daemon=True).start()

    def argument(self):
        return f"--proxy=127.0.0.1:{self.port}"

    def _accept(self):
        for client in clients(self.listener):
            server = socket.create_connection(("127.0.0.1", self.near))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Path(self, client, server)

    def later(self, action, *arguments):
        with self.changed:
            entry = (time.monotonic() + DELAY, next(self.numbers), action, arguments)
            heapq.heappush(self.waiting, entry)
            self.changed.notify()

    def _deliver(self):
        with self.changed:
            while True:
                while not self.waiting:
                    self.changed.wait()
                left = self.waiting[0][0] - time.monotonic()
                if left > 0:
                    self.changed.wait(left)
                    continue
                _, _, action, arguments = heapq.heappop(self.waiting)
                with suppress(OSError):
                    action(*arguments)

    def stop(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Path:
    """One connection through it."""

    def __init__(self, far_away, client, server):
        self.far_away = far_away
        self.is_answered = True
        for source, sink in ((client, server), (server, client)):
            arguments = (source, sink, source is client)
            threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source, sink, is_client):
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if is_client and self.is_answered:
                    self.is_answered = False
                    with self.far_away.lock:
                        self.far_away.round_trips += 1
                self.far_away.later(self._send, sink, piece, not is_client)
        self.far_away.later(sink.shutdown, socket.SHUT_WR)

    def _send(self, sink, piece, is_answer):
        # Before it is sent, as the client may send the next thing at once.
        if is_answer:
            self.is_answered = True
        sink.sendall(piece)


def report(program, world):
    """Prints the figures; all that must be is that there are answers."""
    far_away = FarAway(world.proxy.port)
    client = Client(program, world, far_away)
    try:
        client.start()
        for title, name in (("unsigned", "www.timed.bit"), ("signed", "www.signed-p256.bit")):
            print(f"      {title:14}", _figures(far_away, lambda: _ask(client, name)), flush=True)
        print(f"      {'a bare client':14}", _figures(far_away, lambda: _bare(far_away.port)))
    finally:
        client.stop()
        far_away.stop()


def _figures(far_away, ask):
    times, beyond = [], []
    for _ in range(ROUNDS):
        before = far_away.round_trips
        times.append(ask())
        trips = far_away.round_trips - before
        beyond.append((times[-1] - trips * 2 * DELAY) * 1000)
    return (
        f"{trips} round trips of {2000 * DELAY:.0f} ms, {statistics.median(times) * 1000:.1f} ms"
        f" in all, {statistics.median(beyond):.1f} ms beyond them"
        f" (median of {ROUNDS}, {min(beyond):.1f} to {max(beyond):.1f})"
    )


def _ask(client, name):
    answer = client.ask(name)
    if answer.status != 0:
        raise Failed(f"{name}: {answer}")
    return answer.seconds


def _bare(port):
    """What a client takes that does nothing but wait: what the stand-ins add."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as proxy:
        proxy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        credentials = b"\x10" + f"{time.monotonic_ns():016x}"[:16].encode()
        target = bytes([HOST_NAME, len(NSD_HOST)]) + NSD_HOST.encode() + (53).to_bytes(2)
        for request in (
            bytes([5, 1, USER_AND_PASSWORD]),
            b"\x01" + credentials + credentials,
            bytes([5, CONNECT, 0]) + target,
        ):
            proxy.sendall(request)
            proxy.recv(PIECE)
        for kind in (dns_wire.A, dns_wire.AAAA):
            question = dns_wire.query("www.timed.bit.", kind).to_wire()
            proxy.sendall(dns_wire.framed(question))
        for _ in range(2):
            dns_wire.take_frame(proxy)
        return time.monotonic() - begin
