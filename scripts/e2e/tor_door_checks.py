"""The checks of `ncprop279 serve --tor-control`: where streams go, and what
clients hear if there is no answer."""

import base64
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from e2e import names
from e2e.applications import AAAA, PTR, RESOLVE, RESOLVE_PTR, A, HttpConnect, Socks, Socks4
from e2e.applications import query_dns
from e2e.control import wait_for
from e2e.names import ONION, OTHER_ONION
from e2e.session import UNREACHABLE, Failed
from e2e.tor_door import (
    SETTLED,
    Case,
    TorDoor,
    close_all,
    expect_status,
    expect_targets,
    no_name_is_attached,
)

# What applications hear of a name that does not exist.
SOCKS4_GRANTED, SOCKS4_REFUSED, HTTP_UNAVAILABLE, SERVER_FAILURE = 90, 91, 503, 2
FUZZED = Path(__file__).resolve().parents[2] / "tests/data/fuzz_value.txt"
FUZZED_COUNT = 400
TARGETS = {
    "onion.bit": ONION,
    "www.ONION.Bit.": ONION,
    "tor-item.bit": OTHER_ONION,
    "ip.bit": "192.0.2.1",
    "ip.BIT": "192.0.2.1",
    "ip.bit.": "192.0.2.1",
    "ip6.bit": "2001:db8::1",
    "host.bit": "www.example.com",
    "alias-to-onion.bit": ONION,
    "onion.bit.onion": ONION,
    "ONION.bit.Onion.": ONION,
}
ORDINARY = ["www.example.org", "WWW.bit.example", "192.0.2.7", "2001:db8::7", OTHER_ONION]
FAILING = ["missing.bit", "MISSING.bit.", "text.bit", "ip.bit.onion", "a_b.bit", "bit", "bit.onion"]


def _checked(door, cases, targets):
    try:
        expect_targets(door.tor, cases, targets)
    finally:
        close_all(cases)


def names_become_their_targets(door):
    cases, targets = [], []
    for make, at in ((Socks, "plain"), (Socks4, "plain"), (HttpConnect, "http")):
        for name, target in TARGETS.items():
            if make is Socks4 and ":" in target:
                continue  # Tor refuses such a target.
            cases.append(Case(door.tor, name, make, at))
            targets.append(target)
    for at in ("unix", "ipv6"):
        if at in door.tor.socks:
            cases.append(Case(door.tor, "onion.bit", at=at))
            targets.append(ONION)
    for more in ({"user": "alice", "password": "1"}, {"user": "u" * 255, "password": "p" * 255}):
        cases.append(Case(door.tor, "ip.bit", **more))
        targets.append("192.0.2.1")
    _checked(door, cases, targets)
    kinds = "SOCKS 4a and 5, HTTP, unix socket" + (", ::1" if "ipv6" in door.tor.socks else "")
    return f"{len(cases)} streams by {kinds}"


def other_streams_are_attached(door):
    cases = [Case(door.tor, name) for name in ORDINARY]
    cases += [Case(door.tor, ORDINARY[0], make) for make in (Socks4,)]
    cases += [Case(door.tor, ORDINARY[0], HttpConnect, "http", isolation="x")]
    cases += [Case(door.tor, ORDINARY[0], command=RESOLVE)]
    cases += [Case(door.tor, "192.0.2.7", command=RESOLVE_PTR)]
    _checked(door, cases, [case.name for case in cases])
    return f"{len(cases)} streams"


def many_names_at_once(door):
    answers = names.many_answers()
    cases = [
        Case(door.tor, f"{name}.bit", user=f"many{n % 5}", password="x")
        for n, name in enumerate(answers)
    ]
    begin = time.monotonic()
    _checked(door, cases, answers.values())
    return f"{len(cases)} names in {time.monotonic() - begin - SETTLED:.2f} s"


def failures_reach_the_client_at_once(door):
    took = []
    for name in FAILING:
        for make, at, status in (
            (Socks, "plain", UNREACHABLE),
            (Socks4, "plain", SOCKS4_REFUSED),
            (HttpConnect, "http", HTTP_UNAVAILABLE),
        ):
            case = Case(door.tor, name, make, at)
            took.append(expect_status(case, status))
            case.close()
    if (found := query_dns(door.tor.dns, "missing.bit")) != (SERVER_FAILURE, []):
        raise Failed(f"missing.bit by DNS: {found}")
    return f"{len(FAILING)} names by 4 protocols, {max(took) * 1000:.0f} ms at most"


def dns_and_resolve_give_addresses(door):
    cases = {
        ("ip.bit", A): ["192.0.2.1"],
        ("IP.Bit", A): ["192.0.2.1"],
        ("ip6.bit", AAAA): ["2001:db8::1"],
        ("alias.bit", A): ["192.0.2.1"],
    }
    for (name, kind), addresses in cases.items():
        if (found := query_dns(door.tor.dns, name, kind)) != (0, addresses):
            raise Failed(f"DNS type {kind} of {name}: {found}")
    # There is no address of the type that was asked for.
    for name, kind in (("ip.bit", AAAA), ("ip6.bit", A), ("onion.bit", A), ("onion.bit", AAAA)):
        if (found := query_dns(door.tor.dns, name, kind))[1]:
            raise Failed(f"DNS type {kind} of {name}: {found}")
    for name, address in (("ip.bit", "192.0.2.1"), ("ip6.bit", "2001:db8::1")):
        client = Socks(door.tor.socks["plain"], name, command=RESOLVE)
        found = client.reply()
        client.close()
        if found != (0, address):
            raise Failed(f"RESOLVE of {name}: {found}")
    case = Case(door.tor, "onion.bit", command=RESOLVE)
    if case.status() == 0:
        raise Failed("RESOLVE of onion.bit succeeds")
    case.close()
    _ptr_questions_are_attached(door)
    return f"{len(cases)} answers, 5 without an address, PTR"


def _ptr_questions_are_attached(door):
    """Tor answers them only when it has a network."""
    before = len(door.tor.watcher.streams)
    try:
        query_dns(door.tor.dns, "9.2.0.192.in-addr.arpa", PTR, patience=SETTLED)
        raise Failed("PTR has been answered")
    except TimeoutError:
        pass
    (asked,) = door.tor.watcher.streams[before:]
    if not door.tor.control.is_attached(asked.number):
        raise Failed("PTR has not been attached")


def what_a_listener_forbids_is_refused(door):
    forbidden = (("no-ipv6", "ip6.bit", Socks), ("onions-only", "ip.bit", Socks))
    for at, name, make in (*forbidden, ("plain", "ip6.bit", Socks4)):
        case = Case(door.tor, name, make, at)
        if case.status() in (0, SOCKS4_GRANTED):
            raise Failed(f"{name} succeeds at {at}")
        case.close()
    good = [Case(door.tor, "ip.bit", at="no-ipv6"), Case(door.tor, "onion.bit", at="onions-only")]
    _checked(door, good, ["192.0.2.1", ONION])
    return "IPv6 by SOCKS 4, too"


def hostile_values():
    """The values of `names.HOSTILE`, and those of the fuzz corpus that are text."""
    found = {}
    lines = FUZZED.read_text().split()
    for line in lines[:: max(1, len(lines) // (2 * FUZZED_COUNT))]:
        try:
            value = base64.b64decode(line).decode()
        except UnicodeDecodeError:
            continue
        if len(value.encode()) <= 520 and len(found) < FUZZED_COUNT:
            found[f"fuzzed{len(found)}"] = value
    return names.HOSTILE | found


def hostile_values_hurt_nobody(door):
    """Those that were made for it have no answer. Of the others each is refused
    or has a target that tor accepts, and whatever it is, it is no name in .bit."""
    hostile = [f"{name}.bit" for name in names.HOSTILE]
    values = hostile_values()
    fuzzed = [f"{name}.bit" for name in values if name not in names.HOSTILE]
    cases = [Case(door.tor, name) for name in hostile + fuzzed]
    for case in cases[: len(hostile)]:
        expect_status(case, UNREACHABLE)
    others = {door.tor.watcher.number(case.port): case for case in cases[len(hostile) :]}

    def waiting():
        targets = door.tor.control.statuses()
        ours = [number for number in others if targets.get(number, ("", ""))[1].endswith(".bit")]
        return [others[number] for number in ours if not others[number].client.has_reply()]

    with suppress(Failed):
        wait_for(lambda: not waiting(), "")
    if found := waiting():
        raise Failed(f"{found[0].name} with {values[found[0].name[:-4]]!r} has no answer")
    time.sleep(SETTLED)
    answered = {one: case for one, case in others.items() if not case.client.has_reply()}
    for number, case in answered.items():
        if not door.tor.control.is_attached(number):
            raise Failed(f"{case.name} with {values[case.name[:-4]]!r} has not been attached")
    for case in set(others.values()) - set(answered.values()):
        expect_status(case, UNREACHABLE)
    close_all(cases)
    _checked(door, [Case(door.tor, "onion.bit")], [ONION])
    return f"{len(cases)} values, {len(answered)} of them have an answer"


def virtual_addresses_lead_to_names(door):
    """With AutomapHostsOnResolve."""
    control = door.tor.control
    control.must("SETCONF AutomapHostsOnResolve=1")
    try:
        time.sleep(SETTLED)
        addresses = {}
        for name in ("onion.bit", "ip.bit", "missing.bit"):
            code, found = query_dns(door.tor.dns, name)
            if code or not found or not found[0].startswith("127."):
                raise Failed(f"DNS of {name}: {code} {found}")
            addresses[name] = found[0]
        code, found = query_dns(door.tor.dns, "onion.bit", AAAA)
        if code or not found:
            raise Failed(f"DNS of onion.bit: {code} {found}")
        good = [addresses["onion.bit"], found[0], addresses["ip.bit"]]
        _checked(door, [Case(door.tor, one) for one in good], [ONION, ONION, "192.0.2.1"])
        case = Case(door.tor, addresses["missing.bit"])
        expect_status(case, UNREACHABLE)
        case.close()
        return "SOCKS, " + _through_trans_port(door, addresses["onion.bit"])
    finally:
        control.must("RESETCONF AutomapHostsOnResolve")
        time.sleep(SETTLED)


def virtual_addresses_cannot_be_forged(tor, plugin, source):
    """A client puts lines about another name's address into the list of them, before
    the program is there and later."""
    tor.control.must("SETCONF AutomapHostsOnResolve=1")
    try:
        (address,) = query_dns(tor.dns, "onion.bit")[1]
        _plant(tor, address)
        door = TorDoor(tor, plugin, source)
        try:
            for _ in range(2):
                _checked(door, [Case(tor, address)], [ONION])
                _plant(tor, address)
        finally:
            door.stop()
    finally:
        tor.control.must("RESETCONF AutomapHostsOnResolve")
    return ""


def _plant(tor, address):
    # Their order in tor's list is random.
    for name in (
        *(f"x{n}\r\n{address} tor-item.bit" for n in range(4)),
        f"y NEVER\r\n{address} tor-item.bit",
        f'y "2100-01-01 00:00:00"\r\n{address} tor-item.bit',
        f"z\r\n{address} tor-item.bit NEVER\r\nx.bit",
    ):
        with suppress(TimeoutError):
            query_dns(tor.dns, name, patience=0.3)


def _through_trans_port(door, address):
    """Tor listens at the virtual address itself, which is one of this machine:
    no rule of a packet filter has to lead the connection there."""
    if os.geteuid() != 0:
        return "TransPort: skipped: only root can listen transparently"
    control = door.tor.control
    answer = control.ask(f'SETCONF TransPort="{address}:auto" TransProxyType=TPROXY')[-1]
    if not answer.startswith("250 "):
        return f"TransPort: skipped: tor says {answer!r}"
    try:
        port = int(control.listeners("trans")[0].rpartition(":")[2])
        with socket.create_connection((address, port), 5):
            number = door.tor.watcher.number(port)
            where = lambda: control.statuses().get(number, ("", ""))[1] == ONION
            wait_for(where, f"TransPort: {address} does not become onion.bit's service")
            time.sleep(SETTLED)
            if not control.is_attached(number):
                raise Failed("TransPort: not attached")
        return "TransPort"
    finally:
        control.must("RESETCONF TransPort TransProxyType")


def no_name_in_bit_is_attached(tor):
    no_name_is_attached(tor)
    return f"{len(tor.watcher.streams)} streams so far"
