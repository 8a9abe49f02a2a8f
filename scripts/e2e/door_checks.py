"""The checks of `ncprop279 serve`: what its clients mean is what tor sees, and a
name in `.bit` is never what tor sees."""

import json
import re
import subprocess
import time

from e2e.applications import RESOLVE, HttpConnect, Socks, Socks4
from e2e.door import close_all, credentials
from e2e.names import ONION, OTHER_ONION
from e2e.session import UNREACHABLE, Failed

DIGEST = re.compile("[0-9a-f]{64}")
# Tor proposal 351: isolate by the password. This program's own.
FOLDED = "<torS0X>0"


def _stream(door, make, name, *arguments, **more):
    """What tor sees of one client's request."""
    port = door.port()
    client = make(door.socks, name, *arguments, target_port=port, **more)
    try:
        return door.stream(port)
    finally:
        client.close()


def names_become_their_targets(door):
    cases = {
        "onion.bit": ONION,
        "www.ONION.Bit.": ONION,
        "tor-item.bit": OTHER_ONION,
        "ip.bit": "192.0.2.1",
        "ip6.bit": "2001:db8::1",
        "host.bit": "www.example.com",
        "onion.bit.onion": ONION,
        # Not ours: as they are.
        "www.example.org": "www.example.org",
        "WWW.bit.example": "WWW.bit.example",
        "192.0.2.7": "192.0.2.7",
        ONION: ONION,
    }
    for make in (Socks, Socks4, HttpConnect):
        for name, target in cases.items():
            seen = _stream(door, make, name).target_address.strip("[]")
            if seen.lower() != target.lower():
                raise Failed(f"{name} by {make.__name__} went to {seen} instead of {target}")
    return f"{len(cases)} names by 3 protocols"


def resolve_asks_tor_for_host_names_only(door):
    before = len(door.begun())
    for name, expected in (("ip.bit", (0, "192.0.2.1")), ("ip6.bit", (0, "2001:db8::1"))):
        client = Socks(door.socks, name, command=RESOLVE)
        answer = client.reply()
        client.close()
        if answer != expected:
            raise Failed(f"{name} is answered with {answer} instead of {expected}")
    client = Socks(door.socks, "onion.bit", command=RESOLVE)
    status = client.reply()[0]
    client.close()
    if status != UNREACHABLE or len(door.begun()) != before:
        raise Failed(f"onion.bit has status {status}, tor {len(door.begun()) - before} streams")
    client = Socks(door.socks, "host.bit", command=RESOLVE)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [event for event in door.begun() if event.status == "NEWRESOLVE"]
        if found:
            break
        time.sleep(0.005)
    client.close()
    if [event.target_address for event in found] != ["www.example.com"]:
        raise Failed(f"tor was asked to resolve {[event.target_address for event in found]}")
    return ""


def own_credentials_reach_tor_unchanged(door):
    """Of SOCKS clients on this machine, at the first listener."""
    cases = [
        (Socks, (), (None, None)),
        (Socks, ("alice", "1"), ("alice", "1")),
        (Socks, ("alice", ""), ("alice", "")),
        (Socks, ("", "1"), ("", "1")),
        (Socks, ("", ""), ("", "")),
        (Socks, (FOLDED, "key"), (FOLDED, "key")),
        (Socks, (FOLDED, ""), (FOLDED, "")),
        (Socks, ("u" * 255, "p" * 255), ("u" * 255, "p" * 255)),
        (Socks4, ("alice",), ("alice", "")),
        (Socks4, (), (None, None)),
    ]
    for make, given, expected in cases:
        for name in ("onion.bit", "www.example.org"):
            seen = credentials(_stream(door, make, name, *given))
            # Tor omits what is empty.
            if tuple(one or "" for one in seen) != tuple(one or "" for one in expected):
                raise Failed(f"{make.__name__} {given} for {name} is {seen} to tor")
    return f"{len(cases)} kinds"


def other_distinctions_are_in_the_password(door):
    kinds = {
        "HTTP": (HttpConnect, {}),
        "HTTP with a user": (HttpConnect, {"user": "alice", "password": "1"}),
        "HTTP with another": (HttpConnect, {"user": "bob", "password": "1"}),
        "HTTP with a header": (HttpConnect, {"isolation": "x"}),
        "SOCKS4 with a parameter": (Socks4, {"user": FOLDED + "x"}),
        "another address": (Socks, {"source": "127.0.0.2"}),
        "another address with a user": (
            Socks,
            {"source": "127.0.0.2", "user": "alice", "password": "1"},
        ),
    }
    seen = {}
    for kind, (make, how) in kinds.items():
        first, again = (credentials(_stream(door, make, "onion.bit", **how)) for _ in range(2))
        if first != again:
            raise Failed(f"{kind}: {first}, then {again}")
        seen[kind] = first
    first_listener, door.socks = door.socks, door.second
    try:
        for kind, how in {
            "second listener": {},
            "second with a user": {"user": "alice", "password": "1"},
            "second with another password": {"user": "alice", "password": "2"},
            "second with nothing in both": {"user": "", "password": ""},
        }.items():
            seen[kind] = credentials(_stream(door, Socks, "onion.bit", **how))
    finally:
        door.socks = first_listener
    for kind, (user, password) in seen.items():
        if not DIGEST.fullmatch(password or ""):
            raise Failed(f"{kind}: the password {password!r}")
        wanted = {"HTTP with a user": "Basic YWxpY2U6MQ==", "HTTP with another": "Basic Ym9iOjE="}
        named = "alice" if kind.endswith(("with a user", "another password")) else FOLDED
        if user != wanted.get(kind, named):
            raise Failed(f"{kind}: the user {user!r}")
    if len({password for _, password in seen.values()}) != len(seen):
        raise Failed(f"two kinds have one password: {seen}")
    return f"{len(seen)} kinds, {FOLDED} is accepted"


def what_has_no_answer_is_refused_here(door):
    before = len(door.begun())
    failing = ["missing.bit", "MISSING.bit.", "text.bit", "ip.bit.onion", "a_b.bit", "bit"]
    for name in failing:
        client = Socks(door.socks, name)
        status = client.reply()[0]
        client.close()
        if status != UNREACHABLE:
            raise Failed(f"{name} has status {status}")
    if len(door.begun()) != before:
        raise Failed("tor was asked")
    return f"{len(failing)} names"


def two_users_have_two_ids_at_the_node(door, node):
    for user in ("alice", "bob", "alice"):
        _stream(door, Socks, "ip.bit", user, "1")
    _stream(door, Socks, "onion.bit", "alice", "1")
    _stream(door, HttpConnect, "ip.bit", user="alice", password="1")
    asked = [isolation for name, isolation in node.calls if name == "d/ip"]
    (alice,) = [isolation for name, isolation in node.calls if name == "d/onion"]
    if len(asked) != 3 or len(set(asked)) != 3 or asked[0] != alice or None in asked:
        raise Failed(f"the node heard {node.calls}")
    if not all(DIGEST.fullmatch(isolation) for isolation in asked):
        raise Failed(f"the ids are {asked}")
    return "3 ids for 3 kinds of streams"


def no_bit_name_is_in_an_event(door):
    events = door.events()
    seen = [str(event) for event in events if re.search(r"\.bit(\.onion)?\.?:", str(event), re.I)]
    if seen or not events:
        raise Failed(f"of {len(events)}: {seen}")
    return f"{len(events)} events"


def the_log_has_no_names_and_credentials(door):
    secrets = [".bit", ".onion", "alice", "bob", "missing", "example", "torS0X", "192.0.2."]
    shown = [line for line in door.lines if any(secret in line for secret in secrets)]
    if shown:
        raise Failed(shown[0])
    return f"{len(door.lines)} lines with -vv"


def check_serve_knows_this_tor(door, names):
    """With streams that wait for a controller, and as it usually is."""
    found = {}
    for leaves in ("1", "0"):
        door.tor.control.set_conf("__LeaveStreamsUnattached", leaves)
        found[leaves] = _findings(door, names)
    door.tor.control.set_conf("__LeaveStreamsUnattached", "1")
    healths = [found[leaves].get("Tor", (None, ""))[0] for leaves in "10"]
    if healths != ["fail", "ok"] or "leaves requests unanswered" not in found["1"]["Tor"][1]:
        raise Failed(f"{found}")
    if found["0"]["listener"][0] != "warn" or "already running" not in found["0"]["listener"][1]:
        raise Failed(f"of the open door it says {found['0']['listener']}")
    return "also if it waits for a controller"


def _findings(door, names):
    """Health and text by label."""
    host, port = door.socks
    command = [
        *(door.plugin, "check", "serve", "--json", "--names-file", names),
        *("--proxy", f"127.0.0.1:{door.tor.socks}", "--socks-listen", f"{host}:{port}"),
    ]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, timeout=20)
    findings = json.loads(done.stdout)["findings"]
    return {one["label"]: (one["health"], one["what"]) for one in findings}


def sigterm_ends_it_with_open_streams(door):
    port = door.port()
    clients = [Socks(door.socks, "www.example.org", target_port=port) for _ in range(5)]
    door.stream(port)
    took = door.stop()
    close_all(clients)
    if door.process.returncode != 0 or took > 1:
        raise Failed(f"it ended with {door.process.returncode} after {took:.1f} s")
    return f"{took * 1000:.0f} ms"
