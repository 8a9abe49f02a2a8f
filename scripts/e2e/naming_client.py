"""A small naming client on stem: it takes the streams that tor leaves to it,
asks a plugin for the names under `.bit`, and tells tor where each stream goes.

It does what StemNS does where that matters to a plugin: it writes queries
without waiting for INIT, and hands tor an answer as it is. What StemNS would die
of it writes down as a problem.
"""

import hashlib
import hmac
import json
import os
import secrets
import subprocess
import threading
from contextlib import suppress

import stem
from stem.control import EventType

from e2e import CannotStart
from e2e.tor import controller

SUFFIXES = (".bit", ".bit.onion")
PLUGIN_PATIENCE = 5


class NamingClient:
    title = "the client of this script"

    def __init__(self, tor, command, folder):
        self.problems = []
        self.ids = IsolationIds()
        self.streams = {}  # stream id by query id
        self.sources = {}  # client address by stream id
        self.query = 0
        self.lock = threading.Lock()
        environment = {
            "TOR_NS_PROTO_VERSION": "1",
            "TOR_NS_STATE_LOCATION": str(folder),
            "TOR_NS_PLUGIN_OPTIONS": "",
        }
        self.plugin = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            text=True,
            bufsize=1,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.control = controller(tor.control_port)
        if self.control.get_conf("__LeaveStreamsUnattached") != "1":
            raise CannotStart("tor would attach streams before they have their names")
        self.control.add_event_listener(self._stream, EventType.STREAM)

    def _stream(self, event):
        if event.status in ("NEW", "NEWRESOLVE"):
            self.sources[event.id] = event.source_address
        if event.status != "CONTROLLER_WAIT":
            return
        if not event.target_address.lower().endswith(SUFFIXES):
            return self._try(self.control.attach_stream, event.id, 0)
        isolation = self.ids.of(event, self.sources.get(event.id))
        with self.lock:
            self.query += 1
            self.streams[self.query] = event.id
            line = f"RESOLVE {self.query} {event.target_address} {isolation}\n"
            try:
                self.plugin.stdin.write(line)
            except OSError:
                self.problems.append("the plugin has ended by itself")

    def _read(self):
        for line in self.plugin.stdout:
            words = line.split()
            match words:
                case ["INIT", "1", "0"]:
                    pass
                case ["RESOLVED", query, "0", target]:
                    self._redirect(self._take(query), target)
                case ["RESOLVED", query, "1" | "2" | "3" | "4", _, *_]:
                    reason = stem.RelayEndReason.RESOLVEFAILED
                    self._try(self.control.close_stream, self._take(query), reason)
                case _:
                    self.problems.append(f"an unexpected line: {line!r}")

    def _take(self, query):
        with self.lock:
            return self.streams.pop(int(query), "of-no-query")

    def _redirect(self, stream, target):
        """Only a stream that was redirected has the target that tor checks: a
        MapAddress would be a mapping for every stream, whoever it belongs to."""
        answer = self.control.msg(f"REDIRECTSTREAM {stream} {target}")
        if not answer.is_ok():
            self.problems.append(f"REDIRECTSTREAM to {target}: {answer}")
        self._try(self.control.attach_stream, stream, 0, to=target)

    def _try(self, action, *arguments, to=None):
        try:
            action(*arguments)
        except stem.ControllerError as error:
            subject = f" to {to}" if to else ""
            self.problems.append(f"{action.__name__}{subject}: {error}")

    def stop(self):
        with suppress(OSError):
            self.plugin.stdin.close()
        try:
            self.plugin.wait(PLUGIN_PATIENCE)
        except subprocess.TimeoutExpired:
            self.problems.append("the plugin did not end when its stdin was closed")
            self.plugin.terminate()
            self.plugin.wait()
        self.reader.join(PLUGIN_PATIENCE)
        self.control.close()


class IsolationIds:
    """Streams that tor would put on one circuit have one id. Which of a stream's
    properties count is for its listener to say, in ISO_FIELDS."""

    def __init__(self):
        self.key = secrets.token_bytes(32)

    def of(self, event, source):
        known = dict(event.keyword_args)
        known["CLIENTADDR"] = source
        known["DESTADDR"], known["DESTPORT"] = event.target_address, event.target_port
        # Without NYM_EPOCH tor would isolate nothing by NEWNYM.
        fields = {"NYM_EPOCH", *known["ISO_FIELDS"].split(",")}
        values = sorted((field, known.get(field)) for field in fields)
        text = json.dumps(values).encode()
        return hmac.new(self.key, text, hashlib.sha256).hexdigest()
