"""The checks of how `ncprop279 serve --tor-control` comes and goes: logins, tor's
own restarts, other controllers, and its own end."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

from e2e.applications import Socks4
from e2e.control import wait_for
from e2e.controlled_tor import PASSWORD
from e2e.names import ONION
from e2e.session import UNREACHABLE, Failed
from e2e.stemns import StemNs
from e2e.tor_door import (
    SETTLED,
    Case,
    TorDoor,
    close_all,
    expect_status,
    expect_targets,
    is_alive,
)
from e2e.watch import sockets

LOST = r"Tor's control port at .* cannot be used: "
ANOTHER = r"another controller of Tor at .* attaches streams, too"
# How long streams may hang when the door has been killed.
UNDONE = 1.0
# SOCKS 5: the time to live has expired, which is how tor reports a lookup that has timed out.
TIMED_OUT = 6


def _works(door):
    cases = [Case(door.tor, "onion.bit"), Case(door.tor, "www.example.org")]
    try:
        expect_targets(door.tor, cases, [ONION, "www.example.org"])
    finally:
        close_all(cases)


def waiting_streams_are_taken_over(tor, plugin, source):
    """Streams that wait since before the door is there."""
    tor.control.must("SETCONF __LeaveStreamsUnattached=1")
    cases = [Case(tor, name) for name in ("onion.bit", "www.example.org", "missing.bit")]
    for case in cases:
        tor.watcher.number(case.port)
    door = TorDoor(tor, plugin, source)
    try:
        expect_targets(tor, cases[:2], [ONION, "www.example.org"])
        expect_status(cases[2], UNREACHABLE)
    finally:
        close_all(cases)
        door.stop()
    return f"{len(cases)} streams"


def reload_does_not_end_it(door):
    door.tor.control.must("SIGNAL RELOAD")
    # It is off for a moment.
    time.sleep(0.1)
    wait_for(door.tor.leaves_streams, "the option has not been set again", 2)
    _works(door)
    return ""


def a_silent_node_delays_nobody_else(door, node):
    """The door's --timeout is a second."""
    node.delay = 4.0
    silent = [Case(door.tor, f"many{n}.bit", user=f"silent{n}", password="s") for n in range(10)]
    try:
        begin = time.monotonic()
        _works_for_others(door)
        took = time.monotonic() - begin
        for case in silent:
            expect_status(case, TIMED_OUT)
    finally:
        node.delay = 0.0
        close_all(silent)
    if took > SETTLED + 1:
        raise Failed(f"another stream has waited for {took:.1f} s")
    return f"{len(silent)} names"


def _works_for_others(door):
    case = Case(door.tor, "www.example.org")
    try:
        expect_targets(door.tor, [case], ["www.example.org"])
    finally:
        case.close()


def _waiting(door, node, user):
    """Clients whose names are looked up, and will be for a while."""
    node.delay = 5.0
    before = len(node.calls)
    waiting = [Case(door.tor, f"many{n}.bit", user=f"{user}{n}", password="p") for n in range(3)]
    asked = lambda: len(node.calls) - before >= len(waiting)
    wait_for(asked, "the node has not been asked")
    return waiting


def sigterm_gives_streams_back(door, node):
    """The option is off, and nobody hangs."""
    waiting = _waiting(door, node, "term")
    children = door.children()
    took = door.stop()
    try:
        if door.process.returncode != 0 or took > 2:
            raise Failed(f"it ended with {door.process.returncode} after {took:.1f} s")
        if door.tor.leaves_streams():
            raise Failed("the option is still set")
        _are_refused(waiting)
        _nothing_is_left(door.tor, children)
    finally:
        node.delay = 0.0
        close_all(waiting)
    return f"{took * 1000:.0f} ms, {len(waiting)} waiting clients refused"


def sigkill_is_undone_within_a_second(door, node):
    waiting = _waiting(door, node, "kill")
    children = door.children()
    begin = time.monotonic()
    door.kill()
    # It arrives while nobody attaches streams.
    late = [Case(door.tor, "www.example.org")]
    try:
        wait_for(lambda: not door.tor.leaves_streams(), "the option is still set", UNDONE)
        took = time.monotonic() - begin
        expect_targets(door.tor, late[:1], ["www.example.org"])
        _are_refused(waiting)
        _nothing_is_left(door.tor, children)
    finally:
        node.delay = 0.0
        close_all([*waiting, *late])
    return f"{took * 1000:.0f} ms, {len(waiting)} waiting clients refused"


def a_guardian_that_was_killed_is_replaced(tor, plugin, source):
    """The process that undoes it if the program is killed."""
    door = TorDoor(tor, plugin, source)
    try:
        guardians = door.children()
        for process in guardians:
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: door.children() - guardians, "there is no other guardian", 5)
        # It has to connect to tor first.
        time.sleep(SETTLED)
        _works(door)
        door.kill()
        wait_for(lambda: not tor.leaves_streams(), "the option is still set", UNDONE)
    finally:
        door.stop()
    return f"{len(guardians)} killed"


def a_tor_that_is_busy_hears_of_the_end(tor, plugin, source):
    """It goes on when the program has ended."""
    door = TorDoor(tor, plugin, source)
    tor.process.send_signal(signal.SIGSTOP)
    try:
        took = door.stop()
    finally:
        tor.process.send_signal(signal.SIGCONT)
    wait_for(lambda: not tor.leaves_streams(), "the option is still set", UNDONE)
    if door.process.returncode != 0 or took > 5:
        raise Failed(f"it ended with {door.process.returncode} after {took:.1f} s")
    return f"{took:.1f} s"


def _are_refused(cases):
    for case in cases:
        begin = time.monotonic()
        if case.status() == 0 or time.monotonic() > begin + UNDONE:
            raise Failed(f"{case.name} has not been refused")


def _nothing_is_left(tor, children):
    gone = lambda: not [one for one in children if is_alive(one)]
    wait_for(gone, "a process of it is still there", 2)
    # Tor attaches what comes from now on by itself.
    case = Case(tor, "foo.local")
    try:
        expect_status(case, 1)
    finally:
        case.close()


def a_restart_of_tor_is_survived(door):
    """It says so once for each change."""
    before = len(door.lines)
    door.tor.stop()
    wait_for(lambda: door.said(LOST, before), "it does not say that tor has gone")
    time.sleep(0.5)
    door.tor.start()
    wait_for(lambda: door.said("resolving .bit names", before), "it has not taken over again")
    # That the connection broke, and that there is none.
    lost = [line for line in door.lines[before:] if re.search(LOST, line)]
    if len(lost) != len(set(lost)) or len(lost) > 2:
        raise Failed("it says more than once that tor has gone: " + " ".join(lost))
    _works(door)
    return ""


def it_waits_for_a_tor_that_is_not_there(tor, plugin, source):
    tor.stop()
    door = TorDoor(tor, plugin, source, wait=False)
    try:
        wait_for(lambda: door.said(LOST), "it does not say that tor is missing")
        tor.start()
        door.wait_until_ready()
        _works(door)
    finally:
        door.stop()
    return ""


def each_way_to_log_in_works(tor, plugin, source):
    port = f"127.0.0.1:{tor.control_port}"
    hashed = {"HashedControlPassword": _hash(tor)}
    with_password = ["--tor-password", PASSWORD]
    ways = {
        "cookie": ({}, []),
        "password": (hashed | {"CookieAuthentication": 0}, with_password),
        "password beside a cookie": (hashed, with_password),
        "nothing": ({"CookieAuthentication": 0}, []),
    }
    for way, (settings, more) in ways.items():
        with _settings(tor, settings):
            for address in (None, port):
                door = TorDoor(tor, plugin, source, address, more=more)
                try:
                    _works(door)
                finally:
                    door.stop()
    refusals = {"no password": [], "a wrong password": ["--tor-password", "wrong"]}
    for what, more in refusals.items():
        with _settings(tor, hashed | {"CookieAuthentication": 0}):
            door = TorDoor(tor, plugin, source, wait=False, more=more)
            try:
                wait_for(lambda: door.said(LOST) or not door.is_running(), f"no word of {what}")
                if door.said("resolving .bit names") or not door.said("password"):
                    raise Failed(f"{what}: {door.lines[-3:]}")
            finally:
                door.stop()
    return f"{', '.join(ways)}; {len(refusals)} refused"


@contextmanager
def _settings(tor, settings):
    if settings:
        tor.control.must("SETCONF " + " ".join(f"{name}={settings[name]}" for name in settings))
    try:
        yield
    finally:
        if settings:
            tor.control.must("RESETCONF " + " ".join(settings))


def _hash(tor):
    done = subprocess.run(
        [tor.path, "--quiet", "--hash-password", PASSWORD], capture_output=True, text=True
    )
    return done.stdout.split()[-1]


def two_tors_are_served_at_once(other, tor, plugin, source):
    addresses = [f"unix:{one.control_socket}" for one in (tor, other)]
    door = TorDoor(tor, plugin, source, addresses)
    try:
        for one in (tor, other, tor):
            door.tor = one
            _works(door)
    finally:
        door.stop()
    if tor.leaves_streams() or other.leaves_streams():
        raise Failed("the option is still set")
    return ""


def debians_own_address_is_found(tor, plugin, source):
    """`auto`, where a tor has its control socket as Debian's has it."""
    if not tor:
        return "skipped: no namespace of its own can be made"
    inside = ["nsenter", f"--target={tor.process.pid}", "--mount", "--net"]
    door = TorDoor(tor, plugin, source, "auto", inside=inside)
    try:
        cases = [Case(tor, "onion.bit", at="unix"), Case(tor, "www.example.org", at="unix")]
        try:
            expect_targets(tor, cases, [ONION, "www.example.org"])
        finally:
            close_all(cases)
        if not door.said("at .*/run/tor/control"):
            raise Failed("it does not name the socket")
    finally:
        door.stop()
    return ""


def another_controller_is_reported_once(tor, plugin, source):
    """One that attaches whatever comes, names in .bit too."""
    door = TorDoor(tor, plugin, source)
    other = tor.connect()
    other.must("SETEVENTS STREAM")
    other.socket.settimeout(None)
    rival = threading.Thread(target=_attach_everything, args=(other,), daemon=True)
    rival.start()
    try:
        # It need not always be faster.
        for _ in range(5):
            cases = [Case(tor, name) for name in ("ip.bit", "www.example.org") for _ in range(20)]
            time.sleep(SETTLED)
            waiting = [case.name for case in cases if not _is_attached(tor, case)]
            close_all(cases)
            if waiting:
                raise Failed(f"{len(waiting)} streams hang")
        if (said := door.said(ANOTHER)) != 1:
            raise Failed(f"it says so {said} times")
    finally:
        other.socket.shutdown(socket.SHUT_RDWR)
        rival.join()
        other.close()
        door.stop()
    return ""


def _is_attached(tor, case):
    return tor.control.is_attached(tor.watcher.number(case.port))


def _attach_everything(control):
    with suppress(OSError):
        for line in control.lines:
            words = line.split()
            if words[3:4] == [b"CONTROLLER_WAIT"]:
                control.socket.sendall(b"ATTACHSTREAM %s 0\r\n" % words[2])


def stemns_beside_it_hurts_nobody(tor, plugin, source, folder, stemns):
    """StemNS beside it: whoever is first, no stream hangs, and it says so once."""
    door = TorDoor(tor, plugin, source)
    command = [plugin, *source]
    client = StemNs(tor, command, folder, stemns)
    try:
        wait_for(lambda: list(sockets(client.process.pid)), "StemNS does not come")
        time.sleep(0.5)
        for _ in range(10):
            cases = [Case(tor, name) for name in ("onion.bit", "www.example.org")]
            for name in ("ip.bit", "host.bit"):
                cases.append(Case(tor, name, Socks4))
            targets = [ONION, "www.example.org", "192.0.2.1", "www.example.com"]
            try:
                expect_targets(tor, cases, targets)
            finally:
                close_all(cases)
        said = door.said(ANOTHER)
        if said > 1 or not door.is_running():
            raise Failed(f"it says so {said} times")
    finally:
        client.stop()
        door.stop()
    return f"said {said} times"
