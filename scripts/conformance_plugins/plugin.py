"""The smallest plugin that passes every conformance case.

It is no program for use: it keeps everything for ever and has a thread for each
query. The wrong plugins in flaws.py change one method each.
"""

import argparse
import os
import re
import signal
import sys
import threading
import time

from . import node, values

MAX_LINE = 65536
MAX_UNANSWERED = 1000
ID = re.compile(rb"[+-]?[0-9]{1,20}")
ESCAPED = re.compile(r"(?:[^\\]|\\[:;=\\])*")


class Plugin:
    def __init__(self, options):
        self.timeout = options.timeout
        self.client = node.Client(options.rpc_address, options.rpc_user, options.rpc_password)
        self.lock = threading.Lock()  # of all that follows, and of stdout
        self.unanswered = {}  # number of an id -> (ticket, isolation id)
        self.answered = threading.Condition(self.lock)
        self.tickets = 0
        self.kept = {}  # values and absences
        self.fetching = {}  # a lock for each fetch under way
        self.has_warned = False

    # The session.

    def run(self):
        problem = self.start()
        if problem:
            self.write(f"INIT 1 1 {self.quoted(problem)}")
            self.log(problem)
            return 1
        self.write("INIT 1 0")
        for line in self.lines():
            self.line(line)
        with self.lock:
            self.answered.wait_for(self.may_end)
        return 0

    def start(self):
        """Sees to signals and the environment, and tells what will not do."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: os._exit(0))
        versions = os.environ.get("TOR_NS_PROTO_VERSION")
        if versions is not None and "1" not in versions.split(","):
            return "no common version"
        options = os.environ.get("TOR_NS_PLUGIN_OPTIONS", "")
        entries = re.split(r"(?<!\\);", options) if options else []
        if not ESCAPED.fullmatch(options) or not all(re.match(".+=", one) for one in entries):
            return "malformed options"
        return None

    def may_end(self):
        return not self.unanswered

    def lines(self):
        """The lines of stdin; one that is too long is left out."""
        line, is_skipping = b"", False
        while octets := os.read(0, 65536):
            *ended, rest = octets.split(b"\n")
            for piece in ended:
                if not is_skipping and len(line + piece) <= MAX_LINE:
                    yield line + piece
                line, is_skipping = b"", False
            line += rest
            if len(line) > MAX_LINE:
                line, is_skipping = b"", True
        if line:
            yield line

    def words(self, line):
        return [word for word in re.split(rb"[ \t\r]", line) if word]

    def line(self, line):
        words = self.words(line)
        if not words or words[0] not in (b"RESOLVE", b"CANCEL"):
            return
        if len(words) < 2 or not ID.fullmatch(words[1]):
            self.log("a request without a usable id")
        elif words[0] == b"CANCEL":
            self.cancel(words[1].decode())
        else:
            self.resolve(words[1].decode(), *(words + [None, None])[2:4])

    def cancel(self, id):
        with self.lock:
            self.unanswered.pop(self.number(id), None)
            self.write(f"CANCELED {self.written(id)}")
            self.answered.notify_all()

    def resolve(self, id, name, isolation):
        deadline = time.monotonic() + self.timeout
        ticket = self.take(id, isolation)
        if ticket is None:
            return
        if name is None or not self.is_printable(name) or len(name.removesuffix(b".")) > 253:
            self.answer(id, ticket, 3, "no usable name")
        elif isolation is not None and not (self.is_printable(isolation) and len(isolation) <= 1024):
            self.answer(id, ticket, 3, "no usable isolation id")
        elif self.count(isolation) > MAX_UNANSWERED:
            self.answer(id, ticket, 1, "too many queries are waiting")
        else:
            query = (name.decode(), isolation.decode() if isolation else None, deadline)
            self.begin(lambda: self.answer(id, ticket, *self.look_up(*query)))

    def begin(self, work):
        threading.Thread(target=work, daemon=True).start()

    def take(self, id, isolation):
        """A ticket for a query; None if its id is still unanswered."""
        with self.lock:
            if self.number(id) in self.unanswered:
                self.log("an id that is still being answered")
                return None
            self.tickets += 1
            self.unanswered[self.number(id)] = (self.tickets, isolation)
            return self.tickets

    def count(self, isolation):
        with self.lock:
            return sum(other == isolation for _, other in self.unanswered.values())

    def answer(self, id, ticket, status, text):
        with self.lock:
            if self.unanswered.get(self.number(id), (None,))[0] != ticket:
                return  # It was cancelled.
            del self.unanswered[self.number(id)]
            self.write_answer(id, status, text)
            self.answered.notify_all()

    def write_answer(self, id, status, text):
        result = self.quoted(text) if status else text
        self.write(f"RESOLVED {self.written(id)} {status} {result}")

    def number(self, id):
        return int(id)

    def written(self, id):
        return id

    def quoted(self, text):
        octets = text[:100].encode()
        escaped = (self.escaped(octet) for octet in octets)
        return '"' + "".join(escaped) + '"'

    def escaped(self, octet):
        if octet in b'"\\':
            return "\\" + chr(octet)
        return chr(octet) if 32 <= octet <= 126 else f"\\x{octet:02x}"

    def is_printable(self, word):
        return len(word) > 0 and all(33 <= octet <= 126 for octet in word)

    def write(self, line):
        octets = (line + "\n").encode()
        try:
            while octets:
                octets = octets[os.write(1, octets) :]
        except BrokenPipeError:
            os._exit(0)

    def log(self, text):
        try:
            os.write(2, f"plugin: {text}\n".encode())
        except OSError:
            pass

    # Lookups.

    def look_up(self, name, isolation, deadline):
        """Status and text of the answer."""
        name = name.lower().removesuffix(".")
        only_onion = name.endswith(".bit.onion")
        *labels, zone = name.removesuffix(".onion").split(".") if only_onion else name.split(".")
        if zone != "bit":
            return 2, f"{name} is not in .bit"
        if not labels or not all(values.is_label(label) for label in labels):
            return self.permanent("no name that can be registered")
        if labels[-1].isdigit():
            return self.permanent("no name that can be registered")
        try:
            fetch = lambda key: self.fetch(key, isolation, deadline)  # noqa: E731
            return 0, values.answer(".".join([*labels, zone]), only_onion, fetch)
        except values.NoAnswer as why:
            return self.permanent(str(why))
        except node.Absent as why:
            return self.absent(str(why))
        except (node.Unknown, node.Refused) as why:
            return self.transient(str(why))
        except TimeoutError:
            return 4, "no attempt ended in time"

    def permanent(self, why):
        return 3, why

    def absent(self, why):
        return 3, why

    def transient(self, why):
        return 1, why

    def fetch(self, key, isolation, deadline):
        """The value of a name, from what is kept for this isolation id or the node."""
        place = self.place(key, isolation)
        with self.lock:
            fetching = self.fetching.setdefault(place, threading.Lock())
        if not fetching.acquire(timeout=max(0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            if place not in self.kept:
                self.kept[place] = self.ask(key, isolation, deadline)
        finally:
            fetching.release()
        if isinstance(self.kept[place], Exception):
            raise self.kept[place]
        return self.kept[place]

    def place(self, key, isolation):
        return isolation, key

    def ask(self, key, isolation, deadline):
        """A value or absence; asks until the time is up."""
        last = TimeoutError()
        while time.monotonic() < deadline:
            try:
                return self.client.value(key, isolation, deadline)
            except node.Absent as absent:
                return absent
            except node.Refused as refused:
                return self.failed(refused)
            except node.Unknown as unknown:
                last = unknown
            except TimeoutError:
                break
            time.sleep(min(0.05, max(0, deadline - time.monotonic())))
        return self.failed(last)

    def failed(self, why):
        """A failure is not kept."""
        raise why


def main(kind, arguments):
    """Runs a plugin of some kind; its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpc-address", required=True)
    parser.add_argument("--rpc-user", required=True)
    parser.add_argument("--rpc-password", required=True)
    parser.add_argument("--timeout", type=float, required=True)
    status = kind(parser.parse_args(arguments)).run()
    sys.stdout.flush()
    # Threads of cancelled queries are not waited for.
    os._exit(status)
