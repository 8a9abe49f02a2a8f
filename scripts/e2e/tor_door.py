"""`ncprop279 serve` at tor's control port, and what becomes of the streams that
clients open at tor."""

import re
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from e2e import CannotStart
from e2e.applications import Socks
from e2e.control import wait_for
from e2e.processes import end
from e2e.session import Failed
from e2e.watch import family

PATIENCE = 10
TOOK_OVER = r"resolving \.bit names for Tor at "
# A controller sees a redirected stream before it is attached.
SETTLED = 0.3


class TorDoor:
    def __init__(self, tor, plugin, source, address=None, wait=True, more=(), inside=()):
        """`source` is where values come from, `address` an address of tor's
        control port or several; its unix socket without that. `inside` is a command
        that runs another one."""
        self.tor = tor
        self.lines = []
        addresses = address or f"unix:{tor.control_socket}"
        addresses = [addresses] if isinstance(addresses, str) else addresses
        self.process = subprocess.Popen(
            [
                *map(str, (*inside, plugin, "serve", *source, *more)),
                *(f"--tor-control={one}" for one in addresses),
                # This Tor has no exit that name servers could be asked through;
                # e2e-dns asks them.
                "--delegations=off",
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait:
            self.wait_until_ready(len(addresses))

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_until_ready(self, times=1):
        with suppress(Failed):
            return wait_for(lambda: self.said(TOOK_OVER) >= times, "", PATIENCE)
        raise CannotStart("ncprop279 serve did not take over: " + " ".join(self.lines[-5:]))

    def said(self, pattern, since=0):
        """How often a line has matched."""
        return sum(1 for line in self.lines[since:] if re.search(pattern, line))

    def children(self):
        return set(family(self.process.pid)) - {self.process.pid}

    def is_running(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it as a service manager does; how long that took."""
        return end(self.process, PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Case:
    """A client that asks tor for a name at a port of its own."""

    def __init__(self, tor, name, make=Socks, at="plain", **more):
        self.name = name
        self.more = {"at": at, **more}
        self.port = tor.port()
        address = tor.http if at == "http" else tor.socks[at]
        self.client = make(address, name, target_port=self.port, **more)

    def status(self):
        return self.client.status()

    def fate(self, seen):
        """For a message, with its status and target at tor."""
        how = f"by {type(self.client).__name__} as {self.more}"
        if seen:
            return f"{how} is at {seen[1]}"
        return f"{how} has status {self.status() if self.client.has_reply() else None}"

    def close(self):
        with suppress(OSError):
            self.client.close()


def expect_targets(tor, cases, targets, patience=PATIENCE):
    """Each stream is redirected to its target, or left as it is if that is its
    name, and attached."""
    wanted = {tor.watcher.number(case.port): case for case in cases}
    targets = dict(zip(wanted, targets))

    def settled():
        seen = tor.control.statuses()
        return seen if all(_at(seen, one, targets[one]) for one in wanted) else None

    try:
        wait_for(settled, "", patience)
    except Failed:
        seen = tor.control.statuses()
        wrong = [
            f"{case.name} {case.fate(seen.get(number))} instead of {targets[number]}"
            for number, case in wanted.items()
            if not _at(seen, number, targets[number])
        ]
        raise Failed(f"after {patience} s {len(wrong)}: " + "; ".join(wrong[:3])) from None
    time.sleep(SETTLED)
    waiting = [case.name for number, case in wanted.items() if not tor.control.is_attached(number)]
    if waiting:
        raise Failed("not attached: " + ", ".join(waiting[:5]))


def _at(seen, number, target):
    # Tor removes labels in front of an onion service when it attaches, and adds a
    # second `.onion` if two controllers redirect.
    found = seen.get(number, ("", ""))[1].strip("[]").lower()
    found = found.replace(".onion.onion", ".onion")
    onion = ".".join(target.lower().split(".")[-2:])
    return found in {target.lower(), onion if onion.endswith(".onion") else None}


def expect_status(case, status, within=5.0):
    """The client is refused with a status."""
    begin = time.monotonic()
    try:
        seen = case.status()
    except OSError as error:
        raise Failed(f"{case.name}: {error or type(error).__name__}") from None
    took = time.monotonic() - begin
    if seen != status or took > within:
        raise Failed(f"{case.name} has status {seen} after {took:.1f} s instead of {status}")
    return took


def no_name_is_attached(tor):
    """No stream goes to a name in `.bit`: of those that have one, none has been
    attached. Attaches them."""
    # A lookup may have to end first.
    ours = lambda: {
        number: target
        for number, (_, target) in tor.control.statuses().items()
        if re.search(r"\.bit(\.onion)?\.*$", target, re.I)
    }
    with suppress(Failed):
        wait_for(lambda: not ours(), "", 2)
    leaked = [target for number, target in ours().items() if tor.control.is_attached(number)]
    if leaked:
        raise Failed("attached: " + ", ".join(leaked[:5]))


def close_all(cases):
    for case in cases:
        case.close()


def is_alive(process):
    """Whether a process runs, which need not be a child of this one."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
