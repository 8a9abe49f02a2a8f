"""`ncprop279 serve` in front of tor, its clients, and what tor's control port
says of their streams."""

import re
import subprocess
import threading
import time
from contextlib import suppress

from e2e import CannotStart
from e2e.processes import end
from e2e.session import Failed

PATIENCE = 10
FIRST_PORT = 20_000


class Door:
    """Two listeners in front of one SOCKS port of tor."""

    def __init__(self, tor, plugin, source):
        self.tor = tor
        self.plugin = plugin
        self.asked = FIRST_PORT
        self.lines = []
        self.begin = len(tor.events)
        command = [plugin, "serve", *source, "--proxy", f"127.0.0.1:{tor.socks}", "-vv"]
        listeners = ["--socks-listen", "127.0.0.1:0", "--socks-listen", "[::1]:0"]
        self.process = subprocess.Popen(
            [*map(str, command), *listeners],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.socks = self._listening(0)
        self.second = self._listening(1)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def _listening(self, number):
        """(host, port) of a listener."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            said = [re.search(r"listening for .* on (\S+);", line) for line in list(self.lines)]
            said = [found[1] for found in said if found]
            if len(said) > number:
                host, _, port = said[number].rpartition(":")
                return host.strip("[]"), int(port)
            time.sleep(0.005)
        raise CannotStart("ncprop279 serve did not start: " + " ".join(self.lines))

    def port(self):
        """A port for a client to ask for that no other client asks for, which is
        how its stream is found."""
        self.asked += 1
        return self.asked

    def stream(self, port):
        """The first event of the stream to a port that a client has asked for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for event in self.begun():
                if event.target_port == port:
                    return event
            time.sleep(0.005)
        raise Failed(f"tor has no stream to port {port}")

    def begun(self):
        """The first event of each stream since the door was opened."""
        events = self.tor.events[self.begin :]
        return [event for event in events if event.status in ("NEW", "NEWRESOLVE")]

    def events(self):
        """All events of those streams."""
        ours = {event.id for event in self.begun()}
        return [event for event in self.tor.events[self.begin :] if event.id in ours]

    def stop(self):
        """Ends it as a service manager does; how long that took."""
        return end(self.process, PATIENCE)


def credentials(event):
    """(user, password) as tor saw them, `None` for what was not given."""
    known = event.keyword_args
    return known.get("SOCKS_USERNAME"), known.get("SOCKS_PASSWORD")


def close_all(clients):
    for client in clients:
        with suppress(OSError):
            client.close()
