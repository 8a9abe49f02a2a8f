"""The checks that no client of tor can hurt another one through
`ncprop279 serve --tor-control`: forged events, and clients that go early."""

import random
import threading
import time
from contextlib import suppress

from e2e.applications import HttpConnect, Socks, Socks4, query_dns
from e2e.control import wait_for
from e2e.names import ONION, OTHER_ONION
from e2e.session import UNREACHABLE, Failed
from e2e.tor_door import SETTLED, Case, close_all, expect_status, expect_targets

# What a victim asks for, and what an attacker would lead it to.
VICTIM, EVIL = "onion.bit", "tor-item.bit"
EARLY = 1000
VICTIMS = 200


def _lines(number, epoch):
    """What an attacker might have the events say of a stream."""
    fields = f"NYM_EPOCH={epoch} ISO_FIELDS=NYM_EPOCH"
    return [
        f"650 STREAM {number} CONTROLLER_WAIT 0 {EVIL}:80 {fields}",
        f"650 STREAM {number} NEW 0 {EVIL}:80 SOURCE_ADDR=127.0.0.1:1 PURPOSE=USER {fields}",
        f"650 STREAM {number} NEW 0 {EVIL}:80 SOURCE_ADDR=127.0.0.1:1 PURPOSE=USER {fields}"
        f"\r\n650 STREAM {number} CONTROLLER_WAIT 0 {EVIL}:80 {fields}",
        f"650 STREAM {number} CLOSED 0 {VICTIM}:80 REASON=DONE {fields}",
        f"650 STREAM {number} FAILED 0 {VICTIM}:80 REASON=RESOLVEFAILED {fields}",
        f"650 STREAM {number} REMAP 0 {EVIL}:80 SOURCE=CACHE {fields}",
        "250 OK",
        "250 OK\r\n250 OK\r\n250 OK",
        f'552 Unknown stream "{number}"',
        '552 Unrecognized key "00"',
        "551 Unable to attach stream",
        "555 Connection is not managed by controller.",
        "250+stream-status=\r\n.\r\n250 OK",
        "650 SIGNAL NEWNYM",
        "650-CONF_CHANGED\r\n650-__LeaveStreamsUnattached=1\r\n650 OK",
        "650+x\r\n.\r\n650 OK",
        "514 Authentication required.",
        "",
        "\r\n\r\n",
    ]


def _labels(text):
    """As labels of a name in DNS. Between two of them is a dot."""
    labels = text.split(".")
    return all(len(one) <= 63 for one in labels) and len(text) < 250


def _attack(tor, lines):
    """Each in a name by SOCKS 4a and 5, HTTP and DNS; how many names there were."""
    clients = []
    for line in lines:
        text = f"a\r\n{line}\r\n650 X"
        if len(text) <= 255:
            with suppress(OSError):
                clients.append(Socks(tor.socks["plain"], text))
            with suppress(OSError):
                clients.append(Socks4(tor.socks["plain"], text))
        with suppress(OSError):
            clients.append(HttpConnect(tor.http, text.replace(" ", "\t")))
        for name in (text, line.replace(" ", "\r\n650 ")):
            if name and _labels(name) and all(name.split(".")):
                with suppress(TimeoutError):
                    query_dns(tor.dns, name, patience=0.001)
    return clients


def forged_events_lead_nobody_elsewhere(door, node):
    """While a victim's name is looked up."""
    node.delay = 1.5
    victim = Case(door.tor, VICTIM, user="victim", password="v")
    other = Case(door.tor, "missing.bit", user="victim", password="v")
    number = door.tor.watcher.number(victim.port)
    epoch = door.tor.watcher.streams[-1].fields["NYM_EPOCH"]
    lines = _lines(number, epoch)
    clients = _attack(door.tor, lines)
    try:
        time.sleep(SETTLED)
        if victim.client.has_reply() or other.client.has_reply():
            raise Failed("a victim has been refused")
        where = door.tor.control.statuses()[number][1]
        if where not in (VICTIM, ONION):
            raise Failed(f"the victim is at {where}")
        expect_targets(door.tor, [victim], [ONION])
        expect_status(other, UNREACHABLE)
        if not door.is_running() or door.said("cannot be used"):
            raise Failed(f"the door has lost tor: {door.lines[-3:]}")
    finally:
        node.delay = 0.0
        close_all([victim, other, *clients])
    return f"{len(lines)} forgeries by 4 protocols"


def _victims_beside(door, forgeries):
    """Victims connect while an attacker sends one name after the other, which
    `forgeries` makes from the number that tor is likely to give to a stream next."""
    tor = door.tor
    ended = threading.Event()
    first = Case(tor, "www.example.org")
    latest = [int(tor.watcher.number(first.port))]
    first.close()

    def attack():
        seen, attempts = 0, 0
        while not ended.is_set():
            # Tor counts, and each attempt takes a number, too.
            seen, attempts = latest[0], attempts + 1 if seen == latest[0] else 0
            line = random.choice(forgeries(seen + attempts + random.randrange(1, 4)))
            with suppress(OSError):
                Socks(tor.socks["plain"], f"a\r\n{line}\r\n650 X", "mallory", "m").close()

    attacker = threading.Thread(target=attack, daemon=True)
    attacker.start()
    cases, targets = [], []
    begin = time.monotonic()
    try:
        for n in range(VICTIMS):
            name, target = ((VICTIM, ONION), ("www.example.org",) * 2)[n % 2]
            cases.append(Case(tor, name, user=f"victim{n % 3}", password="v"))
            targets.append(target)
            latest[0] = int(tor.watcher.number(cases[-1].port))
        expect_targets(tor, cases[-20:], targets[-20:])
    finally:
        ended.set()
        attacker.join()
    try:
        expect_targets(tor, cases, targets)
    finally:
        close_all(cases)
    return f"{len(cases)} victims in {time.monotonic() - begin - 2 * SETTLED:.1f} s"


def forged_events_of_coming_streams_neither(door, node):
    """An attacker announces the streams that victims are about to open."""
    node.delay = 0.0

    def forgeries(number):
        new = f"650 STREAM {number} NEW 0 {EVIL}:80 SOURCE_ADDR=::1:1 PURPOSE=USER"
        waits = f"650 STREAM {number} CONTROLLER_WAIT 0 {EVIL}:80 ISO_FIELDS=NYM_EPOCH"
        closed = f"650 STREAM {number} CLOSED 0 {VICTIM}:80 REASON=DONE"
        return [f"{new}\r\n{waits}", waits, new, closed, f"{new}\r\n{closed}"]

    return _victims_beside(door, forgeries)


def forged_replies_delay_nobody(door, node):
    """Between the replies that the door waits for."""
    node.delay = 0.0
    replies = [
        "250 OK",
        "250 OK\r\n250 OK",
        "551 Unable to attach stream",
        '552 Unrecognized key "00"',
        "250+x=\r\n.\r\n250 OK",
        "250-x",
        "650+x",
        "250+x",
        ".",
    ]
    return _victims_beside(door, lambda _: replies)


def names_with_strange_bytes_are_refused(door):
    """They are in an event as they are, and none of them reaches the network."""
    strange = ["a b.bit", "a\tb.bit", 'a"b.bit', "a\\b.bit", "\x01.bit", "ä.bit"]
    strange += ["a.bit:80", "http://a.bit/", "a.bit\r\n650 X", "x" * 251 + ".bit", "a" * 255]
    for name in strange:
        with suppress(OSError):
            case = Case(door.tor, name)
            status = case.status()
            case.close()
            if status == 0:
                raise Failed(f"{name!r} succeeds")
    for name in ("a b.bit", "\x01.bit", "a\r\n650 X.bit"):
        try:
            found = query_dns(door.tor.dns, name, patience=5)
        except TimeoutError:
            raise Failed(f"DNS of {name!r} has no reply") from None
        if found[0] == 0:
            raise Failed(f"DNS of {name!r}: {found}")
    return f"{len(strange)} by SOCKS, 3 by DNS"


def ids_reach_the_node(door, node):
    before = len(node.calls)
    for user, name in (("alice", "ip.bit"), ("bob", "ip.bit"), ("alice", "onion.bit")):
        heard = len(node.calls)
        case = Case(door.tor, name, user=user, password="node")
        wait_for(lambda: node.calls[heard:], f"the node does not hear of {name}")
        case.close()
    (alice, bob), (again,) = (
        [isolation for one, isolation in node.calls[before:] if one == f"d/{name}"]
        for name in ("ip", "onion")
    )
    if alice != again or alice == bob or None in (alice, bob):
        raise Failed(f"the node heard {node.calls[before:]}")
    return ""


def clients_that_go_early_hurt_nobody(door, node):
    """A thousand, at any time from before tor has read the request until after
    the answer."""
    node.delay = 0.02
    case = Case(door.tor, "www.example.org")
    first = int(door.tor.watcher.number(case.port))
    case.close()
    choices = random.Random()
    names = [VICTIM, "ip.bit", "missing.bit", "www.example.org", "foo.local", OTHER_ONION]
    makes = [(Socks, "plain"), (Socks4, "plain"), (HttpConnect, "http"), (Socks, "unix")]
    try:
        for _ in range(EARLY // 100):
            cases = []
            for n in range(100):
                make, at = choices.choice(makes)
                more = {} if make is Socks4 else {"user": f"early{n % 40}", "password": "e"}
                name = choices.choice(names)
                cases.append(Case(door.tor, name, make, at, **more))
                if choices.random() < 0.5:
                    cases.pop(choices.randrange(len(cases))).close()
                time.sleep(choices.random() * 0.001)
            choices.shuffle(cases)
            close_all(cases)
    finally:
        node.delay = 0.0
    # Some of other checks wait for a network, and tor has its own.
    ours = lambda: set(door.tor.watcher.numbers.values()) & set(door.tor.control.statuses())
    left = lambda: [one for one in ours() if int(one) > first]
    wait_for(lambda: not left(), "streams of clients that have gone are still there", 5)
    if not door.is_running() or door.said("cannot be used"):
        raise Failed(f"the door has lost tor: {door.lines[-3:]}")
    case = Case(door.tor, VICTIM, user="late", password="l")
    try:
        expect_targets(door.tor, [case], [ONION])
    finally:
        case.close()
    return f"{EARLY} clients"
