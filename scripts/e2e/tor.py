"""A tor that knows no network (see alone.py), and what can be seen of it from
outside."""

import re
import socket
import subprocess
import time

from stem.control import Controller, EventType

from e2e import CannotStart, alone
from e2e.processes import end

TORRC = """
# What the README tells people to write.
ControlPort 127.0.0.1:auto
CookieAuthentication 1
__LeaveStreamsUnattached 1
# Where applications connect.
SocksPort 127.0.0.1:auto
SocksPort 127.0.0.1:auto
SocksPort 127.0.0.1:auto IsolateDestAddr
HTTPTunnelPort 127.0.0.1:auto
DNSPort 127.0.0.1:auto
# Tor's default, and what makes an internal address in an answer harmful.
ClientRejectInternalAddresses 1
ControlPortWriteToFile {folder}/control-port
"""


class Tor:
    def __init__(self, path, folder, owner):
        self.folder = folder
        # Bound and not listening, so that connections to it are refused and
        # nobody else takes it.
        self.nobody = socket.socket()
        self.nobody.bind(("127.0.0.1", 0))
        port = self.nobody.getsockname()[1]
        torrc = (alone.TORRC + TORRC).format(folder=folder, nobody=port, owner=owner)
        (folder / "torrc").write_text(torrc)
        (folder / "torrc-defaults").touch()
        files = ["-f", folder / "torrc", "--defaults-torrc", folder / "torrc-defaults"]
        self.process = subprocess.Popen([path, *files, "--quiet"], stdin=subprocess.DEVNULL)
        self.control = None

    def connect(self):
        """Waits until tor is there, and watches its streams from then on."""
        self.control_port = self._control_port()
        self.control = controller(self.control_port)
        self.version = str(self.control.get_version()).split()[0]
        self.streams = {}  # stream id by the port that its client connects from
        self.waiting = {}  # stream id to target, when a controller has to act
        self.events = []  # of streams
        self.failures = []  # (stream id, target, reason)
        self.relays = set()  # what tor tried to reach
        self.control.add_event_listener(self._stream, EventType.STREAM)
        self.control.add_event_listener(self._relay, EventType.ORCONN)
        socks = self._listeners("socks")
        self.socks, self.other_socks, self.socks_by_destination = socks
        (self.http,) = self._listeners("httptunnel")
        (self.dns,) = self._listeners("dns")

    def _control_port(self):
        written = self.folder / "control-port"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if written.exists() and (found := re.search(r":(\d+)$", written.read_text().strip())):
                return int(found[1])
            time.sleep(0.01)
        raise CannotStart(f"tor did not start:\n{self.log()}")

    def _listeners(self, kind):
        listed = self.control.get_info(f"net/listeners/{kind}")
        return [int(port) for port in re.findall(r'"127\.0\.0\.1:(\d+)"', listed)]

    def _stream(self, event):
        self.events.append(event)
        if event.status in ("NEW", "NEWRESOLVE") and event.source_port:
            self.streams[event.source_port] = event.id
        elif event.status == "CONTROLLER_WAIT":
            self.waiting[event.id] = event.target_address
        elif event.status == "FAILED":
            self.failures.append((event.id, event.target_address, str(event.reason)))

    def _relay(self, event):
        self.relays.add(event.endpoint_address or event.endpoint_fingerprint)

    def targets(self):
        """The present target of each stream, without its port."""
        lines = self.control.get_info("stream-status").splitlines()
        fields = [line.split() for line in lines if line]
        return {stream: target.rpartition(":")[0] for stream, _, _, target in fields}

    def progress(self):
        phase = self.control.get_info("status/bootstrap-phase")
        return int(re.search(r"PROGRESS=(\d+)", phase)[1])

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def warnings(self):
        """But those about the network that it has been denied."""
        usual = ("[notice]", "bootstrapping", "connections")
        return [line for line in self.log().splitlines() if not any(u in line for u in usual)]

    def stop(self):
        if self.control:
            self.control.close()
        end(self.process)
        self.nobody.close()


def controller(port):
    control = Controller.from_port(port=port)
    control.authenticate()
    return control
