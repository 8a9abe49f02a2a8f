"""Controllers of tor that what clients put into events cannot confuse, as it
does stem."""

import re
import socket
import threading
import time
from dataclasses import dataclass

from e2e.session import Failed

PATIENCE = 10
STREAM = re.compile(r"650 STREAM (\d+) ([A-Z_]+) \d+ (\S*)(.*)")
FIELD = re.compile(r'([A-Z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


class Control:
    """A connection that asks, one command after the other. It has no events."""

    def __init__(self, address, cookie):
        """`address` is the path of a unix socket, or a port."""
        if isinstance(address, int):
            self.socket = socket.create_connection(("127.0.0.1", address), PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(str(address))
        self.lines = self.socket.makefile("rb")
        self.must(f"AUTHENTICATE {cookie.hex()}")

    def ask(self, command):
        """The lines of the reply, the last of which has its final status."""
        self.socket.sendall(command.encode() + b"\r\n")
        reply = []
        while True:
            reply.append(self._line())
            if reply[-1][3:4] == "+":
                while (line := self._line()) != ".":
                    reply.append(line)
            elif reply[-1][3:4] == " ":
                return reply

    def must(self, command):
        reply = self.ask(command)
        if not reply[-1].startswith("250 "):
            raise Failed(f"tor says {reply[-1]!r} to {command.split()[0]}")
        return reply

    def _line(self):
        if not (line := self.lines.readline()):
            raise ConnectionError("tor closed the control connection")
        return line.decode("latin-1").removesuffix("\r\n")

    def option(self, name):
        return self.must(f"GETCONF {name}")[-1].partition("=")[2]

    def listeners(self, kind):
        """The addresses of all listeners of a kind: ports, or paths."""
        (line, _) = self.must(f"GETINFO net/listeners/{kind}")
        return re.findall(r'"([^"]*)"', line)

    def statuses(self):
        """Status and target of each stream, without its port. Not to be relied on
        while there are streams to names with line breaks."""
        found = {}
        for line in self.must("GETINFO stream-status")[:-1]:
            line = line.removeprefix("250-stream-status=")
            if fields := re.match(r"(\d+) ([A-Z]+) \d+ (\S*):\d+$", line):
                found.setdefault(fields[1], (fields[2], fields[3]))
        return found

    def is_attached(self, stream):
        """Whether somebody has attached a stream. If nobody has, this does."""
        answer = self.ask(f"ATTACHSTREAM {stream} 0")[-1]
        return answer.startswith("555 ")

    def close(self):
        self.lines.close()
        self.socket.close()


@dataclass
class Stream:
    """What its first event says."""

    number: str
    host: str
    port: int
    fields: dict

    def value(self, field):
        """What tor compares when it isolates streams."""
        known = {
            "DESTADDR": self.host.lower(),
            "DESTPORT": self.port,
            "CLIENTADDR": self.fields.get("SOURCE_ADDR", "").rpartition(":")[0],
        }
        return known[field] if field in known else self.fields.get(field)


class Watcher:
    """A connection that has the events, and acts on nothing."""

    def __init__(self, control):
        self.control = control
        self.streams = []
        self.numbers = {}  # by the port that the client asked for
        self.closed = set()
        self.relays = set()  # what tor tried to reach
        control.must("SETEVENTS STREAM ORCONN")
        control.socket.settimeout(None)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while True:
                self._event(self.control._line())
        except (OSError, ValueError):
            pass

    def _event(self, line):
        if line.startswith("650 ORCONN "):
            self.relays.add(line.split()[2].rpartition(":")[0])
        if not (found := STREAM.fullmatch(line)):
            return
        number, status, target, rest = found.groups()
        if status in ("NEW", "NEWRESOLVE") and "SOURCE_ADDR=" in rest:
            host, _, port = target.rpartition(":")
            port = int(port) if port.isdecimal() else 0
            stream = Stream(number, host, port, dict(FIELD.findall(rest)))
            self.streams.append(stream)
            self.numbers.setdefault(stream.port, number)
        elif status == "CLOSED":
            self.closed.add(number)

    def number(self, port):
        """The stream that asked for a port which nobody else has asked for."""
        return wait_for(lambda: self.numbers.get(port), f"tor has no stream to port {port}")

    def stop(self):
        self.control.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join(PATIENCE)
        self.control.close()


def wait_for(condition, failure, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"{failure} within {patience} s")
        time.sleep(0.002)
    return found
