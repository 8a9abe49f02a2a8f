"""Checks of what name servers, exits and the network see: isolation, credentials,
targets, messages; and of servers that do not answer."""

import ipaddress
import socket
import time
from contextlib import closing

from e2e import dns_wire
from e2e.dns_liar import Liar, nothing
from e2e.dns_servers import free_port
from e2e.dns_unsigned import CHANGING
from e2e.session import Failed

# The block size that RFC 8467 recommends for queries.
BLOCK = 128
MANY = 20
# Queries for each of which one of two servers is drawn at random.
ROUNDS = 8
SOON = 8
QUESTION_TYPES = {dns_wire.A, dns_wire.AAAA, dns_wire.CNAME, dns_wire.TXT, dns_wire.DS}
QUESTION_TYPES |= {dns_wire.DNSKEY, dns_wire.NS}


def make(table, client, world):
    """All checks but those at the end of a run, each a line of the table."""
    for check in (
        one_id_asks_once,
        another_id_shares_nothing,
        name_servers_in_bit_are_looked_up_under_the_same_id,
        many_ids_at_once,
        unsigned_zones_are_not_asked_for_onions,
    ):
        table.check(check, client)
    for check in (one_server_is_down, all_servers_are_down_then_one_is_up):
        table.check(check, client, world)
    for check in (
        credentials_are_never_used_twice,
        targets_are_servers,
        messages_say_no_more_than_they_must,
    ):
        table.check(check, world)
    table.check(no_name_is_on_stderr, client)


def one_id_asks_once(client):
    trace = client.trace()
    first = client.ask("www.second.bit", "once")
    connections = len(trace.circuits())
    again = client.ask("www.second.bit", "once")
    if not first.is_as("192.0.2.11") or not again.is_as("192.0.2.11"):
        raise Failed(f"{first}, then {again}")
    if not connections or len(trace.circuits()) != connections:
        raise Failed(f"{connections} connections, then {len(trace.circuits())}")
    return f"{connections} connection, then the cache, {again.seconds * 1000:.1f} ms"


def another_id_shares_nothing(client):
    """Its questions are asked again, over connections of its own."""
    seen = []
    for isolation in ("one", "two"):
        trace = client.trace()
        client.ask("onion.signed-p256.bit", isolation)
        seen.append((trace.circuits(), trace.questions()))
    (one, asked), (two, asked_again) = seen
    shared = {circuit.user for circuit in one} & {circuit.user for circuit in two}
    if shared or not one or len(one) != len(two):
        raise Failed(f"{len(one)} and {len(two)} connections, {len(shared)} users shared")
    if sorted(map(_question, asked)) != sorted(map(_question, asked_again)):
        raise Failed("the second id was not asked for as the first")
    return f"{len(one)} and {len(two)} connections"


def name_servers_in_bit_are_looked_up_under_the_same_id(client):
    """The value's name server has an address that another name server knows."""
    for isolation in ("one", "two"):
        trace = client.trace()
        answer = client.ask("www.bit-zone-server.bit", isolation)
        names = [message.name.lower() for message in trace.questions()]
        wanted = ("ns.server-zone.bit.", "www.bit-zone-server.bit.")
        if not answer.is_as("192.0.2.11") or any(name not in names for name in wanted):
            raise Failed(f"{answer}; asked for {names}")
    return "each id asks for it"


def many_ids_at_once(client):
    """No connection carries questions of two ids."""
    names = ["www.plain.bit", "www.second.bit"] * (MANY // 2)
    trace = client.trace()
    answers = [str(answer) for answer in client.ask_all(names)]
    if answers != ["192.0.2.2", "192.0.2.11"] * (MANY // 2):
        raise Failed(f"{answers}")
    circuits = trace.circuits()
    if len(circuits) < MANY:
        raise Failed(f"{len(circuits)} connections for {MANY} ids")
    for circuit in circuits:
        asked = [_question(dns_wire.parse(frame)) for frame in dns_wire.frames(circuit.sent)]
        if len({name for name, _ in asked}) > 1 or len(asked) != len(set(asked)):
            raise Failed(f"one connection carries {asked}")
    return f"{len(circuits)} connections for {MANY} ids"


def credentials_are_never_used_twice(world):
    circuits = world.proxy.circuits
    for part in ("user", "password"):
        used = [getattr(circuit, part) for circuit in circuits]
        if len(set(used)) != len(used):
            raise Failed(f"{len(used) - len(set(used))} connections have the {part} of another")
        if min(map(len, used)) < 16:
            raise Failed(f"a {part} is short: {min(used, key=len)}")
    return f"{len(circuits)} connections"


def targets_are_servers(world):
    """Public addresses, onions and host names outside .bit, at port 53."""
    targets = set()
    for circuit in world.proxy.circuits:
        if circuit.objection:
            raise Failed(circuit.objection)
        host, _, port = circuit.target.rpartition(":")
        targets.add(host)
        last = host.rstrip(".").rpartition(".")[2].lower()
        if port != "53" or last in ("bit", "local", "localhost", "exit"):
            raise Failed(f"the proxy was asked for {circuit.target}")
        if _is_internal(host):
            raise Failed(f"the proxy was asked for the internal address {host}")
    return f"{len(targets)} targets"


def _is_internal(host):
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Addresses for documentation stand for public ones here.
    documentation = ("203.0.113.0/24", "2001:db8::/32")
    networks = map(ipaddress.ip_network, documentation)
    return not address.is_global and not any(address in network for network in networks)


def messages_say_no_more_than_they_must(world):
    """Random ids and capitals, padding, and nothing that tells clients apart."""
    messages, ids, mixed, unpadded = 0, set(), 0, 0
    for circuit in world.proxy.circuits:
        for frame in dns_wire.frames(circuit.sent):
            message = dns_wire.parse(frame)
            messages += 1
            ids.add(message.id)
            letters = [letter for letter in message.name if letter.isalpha()]
            mixed += len({letter.isupper() for letter in letters}) == 2
            unpadded += len(frame) % BLOCK != 0
            _check_message(message)
    if len(ids) < messages * 0.9:
        raise Failed(f"{len(ids)} different ids in {messages} messages")
    if mixed < messages * 0.9:
        raise Failed(f"{mixed} of {messages} names are in mixed case")
    if unpadded:
        raise Failed(f"{unpadded} of {messages} messages are not padded to {BLOCK} bytes")
    return f"{messages} messages"


def _check_message(message):
    shown = f"{message.name} {message.kind}"
    if len(message.questions) != 1 or message.kind not in QUESTION_TYPES:
        raise Failed(f"an odd question: {shown}")
    # Neither recursion desired nor any other flag but checking disabled.
    if message.flags & ~0x0010:
        raise Failed(f"flags {message.flags:04x} with {shown}")
    if not message.opt():
        raise Failed(f"no EDNS with {shown}")
    if other := set(message.options()) - {dns_wire.PADDING}:
        raise Failed(f"EDNS options {sorted(other)} with {shown}")


def unsigned_zones_are_not_asked_for_onions(client):
    trace = client.trace()
    client.ask("onion.plain.bit")
    kinds = {message.kind for message in trace.questions()}
    if kinds != {dns_wire.A, dns_wire.AAAA}:
        raise Failed(f"asked for the types {sorted(kinds)}")


def one_server_is_down(client, world):
    """Nobody listens, the host is unknown, it closes, it is silent, it knows no such zone."""
    closes = Liar(free_port(), nothing)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=128)) as silent:
        ways = {
            "refuses": free_port(),
            "is unknown": None,
            "closes": closes.port,
            "is silent": silent.getsockname()[1],
            "knows no such zone": world.servers["bind"].port,
        }
        longest = {}
        for way, port in ways.items():
            world.lead(CHANGING[0], port)
            world.lead(CHANGING[1], world.servers["nsd"].port)
            begin = time.monotonic()
            answers = client.ask_all(["www.two-servers.bit"] * ROUNDS)
            longest[way] = time.monotonic() - begin
            wrong = [answer for answer in answers if not answer.is_as("192.0.2.11")]
            if wrong or longest[way] > SOON:
                raise Failed(f"if it {way}: {(wrong or [''])[0]} in {longest[way]:.1f} s")
    closes.stop()
    return ", ".join(f"{way} {seconds:.2f} s" for way, seconds in longest.items())


def all_servers_are_down_then_one_is_up(client, world):
    """A failure is not kept as an answer."""
    for place in CHANGING:
        world.lead(place, free_port())
    begin = time.monotonic()
    down = client.ask("www.two-servers.bit", "patient")
    took = time.monotonic() - begin
    if down.status not in (1, 4):
        raise Failed(f"while all are down: {down}")
    world.lead(CHANGING[1], world.servers["nsd"].port)
    up = client.ask("www.two-servers.bit", "patient")
    if not up.is_as("192.0.2.11"):
        raise Failed(f"when one is up: {up}")
    return f"{down} after {took:.1f} s, then {up}"


def nothing_left_this_machine(watch):
    if watch.outside:
        raise Failed("; ".join(sorted(watch.outside)))
    if not watch.is_looking() or not watch.looks:
        raise Failed("the sockets could not be seen")
    return f"{watch.looks} looks at the sockets of {len(watch.seen)} processes"


def no_name_is_on_stderr(client):
    log = (client.world.folder / "plugin.log").read_text()
    if ".bit" in log or "id-" in log:
        raise Failed(next(line for line in log.splitlines() if ".bit" in line or "id-" in line))
    return f"{len(log.splitlines())} lines"


def _question(message):
    return message.name.lower(), message.kind
