"""Checks of delegated names at `ncprop279 serve`, and of when they are not followed."""

import subprocess
from types import SimpleNamespace

from e2e.applications import PORT, Socks
from e2e.dns_client import PATIENCE, Trace
from e2e.door import Door, close_all
from e2e.names import ONION
from e2e.session import UNREACHABLE, Failed

USER = "user-of-the-client"
STREAMS = {
    "www.plain.bit": "192.0.2.2",
    "outside.plain.bit": "www.example.com",
    "onion.signed-p256.bit": ONION,
}


def make(table, program, world):
    # All of tor that the door needs.
    tor = SimpleNamespace(socks=world.proxy.port, events=[])
    door = Door(tor, program, ["--names-file", world.names_file])
    try:
        table.check(streams_go_where_name_servers_say, door, world)
        table.check(two_users_of_the_door_share_nothing, door, world)
        table.check(what_does_not_exist_is_refused, door, world)
    finally:
        door.stop()
    table.check(without_a_proxy_nobody_is_asked, program, world)
    table.check(delegations_off_asks_nobody, program, world)


def streams_go_where_name_servers_say(door, world):
    for name, target in STREAMS.items():
        streams, questions = _seen(door, world, name)
        if [circuit.target for circuit in streams] != [f"{target}:{PORT}"]:
            raise Failed(f"{name} went to {[circuit.target for circuit in streams]}")
        # The client's credentials are for its streams only.
        if not questions or any(circuit.user == USER.encode() for circuit in questions):
            raise Failed(f"{len(questions)} connections, or with the client's credentials")
    return f"{len(STREAMS)} streams"


def two_users_of_the_door_share_nothing(door, world):
    _, first = _seen(door, world, "www.second.bit", "first-user")
    _, cached = _seen(door, world, "www.second.bit", "first-user")
    _, second = _seen(door, world, "www.second.bit", "second-user")
    if not first or cached or len(second) != len(first):
        raise Failed(f"{len(first)}, {len(cached)} and {len(second)} connections")
    return f"{len(first)}, {len(cached)} and {len(second)} connections"


def what_does_not_exist_is_refused(door, world):
    streams, questions = _seen(door, world, "missing.plain.bit")
    if streams or not questions:
        raise Failed(f"{len(streams)} streams, {len(questions)} connections")


def _seen(door, world, name, user=USER):
    """The streams that a client of the door makes, and the other connections."""
    trace = Trace(world.proxy)
    client = Socks(door.socks, name, user, "password")
    try:
        # No target is there, whatever it is.
        if (reply := client.reply()[0]) != UNREACHABLE:
            raise Failed(f"{name}: SOCKS status {reply}")
    finally:
        close_all([client])
    streams, questions = [], []
    for circuit in trace.circuits():
        (questions if circuit.target.endswith(":53") else streams).append(circuit)
    return streams, questions


def without_a_proxy_nobody_is_asked(program, world):
    return _resolve_asks_nobody(program, world)


def delegations_off_asks_nobody(program, world):
    return _resolve_asks_nobody(program, world, world.proxy.argument(), "--delegations=off")


def _resolve_asks_nobody(program, world, *more):
    trace = Trace(world.proxy)
    command = [program, "resolve", "www.plain.bit", "--names-file", world.names_file, *more]
    done = subprocess.run(
        [*map(str, command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    if done.returncode != 3 or done.stdout or trace.circuits():
        raise Failed(f"exit status {done.returncode}: {done.stdout} {done.stderr}")
    return done.stderr.strip()
